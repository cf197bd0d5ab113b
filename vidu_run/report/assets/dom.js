/* Building blocks: elements, words, small storage. Text is always a text node; nothing here reads markup. */

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/* What is said already is not said again: a screen reader would. */
function put(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

const one = (selector, inside = document) => inside.querySelector(selector);

const button = (label, attributes, ...children) =>
  el("button", { type: "button", "aria-label": label, title: label, ...attributes }, ...children);

/* A star or a mark that was clicked does not take the keys: Space is to play, not to click it again. */
function keepFocus(event) {
  event.preventDefault();
  if (document.activeElement.matches("select, input, textarea")) document.activeElement.blur();
}

const icon = (name) => el("span", { class: `icon ${name}`, "aria-hidden": "true" });

/* Pixels across, as `report/poster.py` makes the smaller of two pictures. */
const SMALL = 240;

/* A picture of the page has a smaller one, for where it is shown small: the browser keeps about a thousand decoded ones.
   Where there is none the picture itself is tried. None is lazy: only those near the window are made, and Chromium
   keeps a lazy one, and all it stood in, for ever when it goes before it came. */
function picture(src, alt, kind, width = Infinity) {
  const small = src.replace(/\bposters\/([^/]+)$/, "posters/small/$1");
  const failed = ({ target }) => (target.getAttribute("src") === src ? target.remove() : (target.src = src));
  return el("img", { src: width * devicePixelRatio > SMALL * 1.4 ? src : small, alt, class: kind, decoding: "async", draggable: "false", error: failed });
}

const link = (target) => el("a", { href: target.href, target: "_blank", rel: "noreferrer noopener" }, el("bdi", null, target.name));

const word = (state) => state.replaceAll("_", " ");

/* Whole numbers, in groups of three. */
const format = (number) => String(number).replace(/\B(?=(?:\d{3})+$)/g, ",");

const count = (number, noun, plural = `${noun}s`) => `${format(number)} ${number === 1 ? noun : plural}`;

function span(seconds) {
  if (seconds < 59.5) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const size = (bytes) => (bytes < 999_500 ? `${Math.max(1, Math.round(bytes / 1000))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

const moment = (seconds) =>
  new Date(seconds * 1000).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/* A command can be selected whole with one click, and wraps nowhere inside a word. */
const command = (line) => el("code", { class: "command", tabindex: "0" }, line);

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/* What the browser keeps between visits; a browser that keeps nothing is no reason to stop. */
const shelf = {
  read(name) {
    try {
      return JSON.parse(localStorage.getItem(name));
    } catch {
      return null;
    }
  },
  readMap(name) {
    const value = this.read(name);
    return new Map(value && typeof value === "object" ? Object.entries(value) : []);
  },
  write(name, value) {
    try {
      localStorage.setItem(name, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  },
};

function say(text) {
  one(".said").textContent = text;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    (one("dialog[open]") ?? document.body).append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}
