"use strict";

const page = JSON.parse(document.getElementById("data").textContent);

const ABSENT = {
  planned: "Not sent yet",
  submitted: "Being made at the service",
  ready: "Made, not fetched yet",
  in_doubt: "Nobody knows whether it was taken",
  failed: "The service could not make it",
  rejected: "The service refused it",
  abandoned: "Given up by you",
  done: "The file is not in this folder",
};

const find = document.querySelector(".find input");
const filters = [...document.querySelectorAll(".filters button")];
const view = { state: null, words: [] };
let playing = null;

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const picture = (src, alt, kind) =>
  el("img", { src, alt, class: kind, loading: "lazy", decoding: "async", error: (event) => event.target.remove() });

const word = (state) => state.replaceAll("_", " ");

const outside = (still) => /^https:/i.test(still.href);

/* The film: what can be seen of a job. */

function film(entry) {
  const ruler = el("span", { class: "ruler" }, el("span", null, entry.job.duration ? `${entry.job.duration} s` : ""));
  ruler.style.setProperty("--seconds", entry.job.duration || 1);
  const frame = entry.job.file ? posterButton(entry, ruler) : unexposed(entry.job);
  const { first, last } = entry.job;
  const strip = first || last ? el("div", { class: "strip" }, end(first, "First frame", entry.job), ruler, end(last, "Last frame", entry.job)) : null;
  return el("div", { class: "film" }, frame, strip);
}

function posterButton(entry, ruler) {
  const { job } = entry;
  const image = job.poster ?? job.first?.image;
  const button = el(
    "button",
    { type: "button", class: "matte", "aria-label": `Play ${job.name}`, click: () => play(entry, button, ruler) },
    image ? picture(image, "", "poster") : null,
    el("span", { class: "play", "aria-hidden": "true" }),
  );
  return button;
}

function unexposed(job) {
  const stills = [job.first, job.last].filter((still) => still?.image);
  return el(
    "div",
    { class: "matte unexposed" },
    stills.map((still) => picture(still.image, "", "half")),
    el("p", null, ABSENT[job.state] ?? "No video"),
  );
}

function end(still, label, job) {
  if (!still) return el("span", { class: "end" });
  const link = { class: "end", href: still.href, title: `${label}: ${still.name}`, target: "_blank", rel: "noreferrer noopener" };
  if (still.image) return el("a", link, picture(still.image, `${label} of ${job.name}`));
  return el("a", { ...link, "aria-label": `${label} of ${job.name}, on the web` }, outside(still) ? "web ↗" : "file");
}

function play(entry, button, ruler) {
  stop();
  const { job } = entry;
  const video = el("video", {
    src: job.file.href, poster: job.poster, controls: true, loop: true, playsinline: true, "aria-label": `Video of ${job.name}`,
  });
  const close = el("button", { type: "button", class: "close", "aria-label": `Close the video of ${job.name}`, click: () => stop() });
  const box = el("div", { class: "matte" }, video, close);
  video.onerror = () => video.replaceWith(el("p", { class: "broken" }, "This video could not be opened: ", el("bdi", null, job.file.name)));
  playing = { entry, button, box, video, ruler };
  button.replaceWith(box);
  video.focus({ preventScroll: true });
  video.play().catch(() => {});
  requestAnimationFrame(moveHead);
}

function stop() {
  if (!playing) return;
  const { button, box, video, ruler } = playing;
  const focused = box.contains(document.activeElement);
  playing = null;
  video.onerror = null;
  video.pause();
  video.removeAttribute("src");
  video.load();
  ruler.classList.remove("running");
  box.replaceWith(button);
  if (focused) button.focus({ preventScroll: true });
}

function moveHead() {
  if (!playing) return;
  const { video, ruler } = playing;
  ruler.classList.add("running");
  ruler.style.setProperty("--at", video.duration ? video.currentTime / video.duration : 0);
  requestAnimationFrame(moveHead);
}

/* The words: what is known of a job. */

function words(job) {
  return el(
    "div",
    { class: "words" },
    job.error ? el("p", { class: "error", dir: "auto" }, job.error) : null,
    job.hint ? hint(job.hint) : null,
    job.prompt ? el("p", { class: "prompt", dir: "auto" }, job.prompt) : null,
    chips(job),
    el("ul", { class: "facts" }, facts(job).map((fact) => el("li", null, fact))),
    details(job),
  );
}

function hint(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return el("div", { class: "hint" }, lines.map((line) => (/^(\$ )?vidu-run /.test(line) ? command(line.replace(/^\$ /, "")) : el("p", { dir: "auto" }, line))));
}

function command(line) {
  return el("code", null, line.split(" ").flatMap((part) => [" ", el("span", null, part)]).slice(1));
}

function chips(job) {
  const names = [...new Set([...page.axes, ...Object.keys(job.axes ?? {})])].filter((name) => job.axes?.[name] !== undefined);
  return names.length ? el("ul", { class: "chips", "aria-label": "Axes" }, names.map((name) => el("li", null, el("span", null, name), " ", el("bdi", null, String(job.axes[name]))))) : null;
}

function facts(job) {
  const seed = job.seed !== null && String(job.axes?.seed) !== job.seed ? `seed ${job.seed}` : null;
  const credits = job.credits === null || job.credits === undefined ? null : `${job.credits} ${job.credits === 1 ? "credit" : "credits"}`;
  return [job.model, job.duration ? `${job.duration} s` : null, job.resolution, seed, credits, job.took ? `took ${span(job.took)}` : null].filter(Boolean);
}

function span(seconds) {
  if (seconds < 59.5) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function size(bytes) {
  return bytes < 999_500 ? `${Math.max(1, Math.round(bytes / 1000))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function details(job) {
  const more = el("details", { toggle: () => more.open && more.children.length === 1 && more.append(...inside(job)) }, el("summary", null, "Details"));
  return more;
}

function inside(job) {
  const link = (target) => el("a", { href: target.href, target: "_blank", rel: "noreferrer noopener" }, el("bdi", null, target.name));
  const rows = [
    ["File", job.file && [link(job.file), job.bytes ? ` ${size(job.bytes)}` : ""]],
    ["First", job.first && link(job.first)],
    ["Last", job.last && link(job.last)],
    ["Task", job.task_id],
    ["Key", job.key],
    ["SHA-256", job.sha256],
  ].filter(([, value]) => value);
  return [
    el("dl", null, rows.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value)))),
    el("pre", { tabindex: "0", "aria-label": "The request" }, job.request),
  ];
}

/* The sheet: one list item a job, filled only near the viewport. */

const entries = page.jobs.map((job, index) => ({ job, index, node: el("li", { class: "card", "data-state": job.state }), sought: null }));
const entryOf = new WeakMap(entries.map((entry) => [entry.node, entry]));

function fill(entry) {
  if (entry.node.firstChild) return;
  const { job, index } = entry;
  const number = String(index + 1).padStart(String(page.jobs.length).length, "0");
  entry.node.append(
    el("h3", null, el("span", { class: "number", "aria-hidden": "true" }, number), el("bdi", { title: job.name }, job.name), el("span", { class: "state" }, word(job.state))),
    film(entry),
    words(job),
  );
}

function empty(entry) {
  const held = playing?.entry === entry || entry.node.contains(document.activeElement) || entry.node.querySelector("details[open]");
  if (!held) entry.node.replaceChildren();
}

const nearby = new IntersectionObserver(
  (changes) => changes.forEach(({ target, isIntersecting }) => (isIntersecting ? fill : empty)(entryOf.get(target))),
  { rootMargin: "1500px 0px" },
);

function layOut() {
  const isDoubtful = (entry) => entry.job.state === "in_doubt";
  document.querySelector(".doubt .sheet").append(...entries.filter(isDoubtful).map((entry) => entry.node));
  document.querySelector(".rest .sheet").append(...entries.filter((entry) => !isDoubtful(entry)).map((entry) => entry.node));
  entries.forEach((entry) => nearby.observe(entry.node));
}

/* The view: which jobs are shown. */

function soughtText({ name, prompt, model, resolution, state, error, task_id, key, seed, axes }) {
  const labels = Object.entries(axes ?? {}).map(([axis, value]) => `${axis}=${value}`);
  return [name, prompt, model, resolution, word(state), error, task_id, key, `seed=${seed}`, ...labels].filter(Boolean).join("\n").toLowerCase();
}

function isShown(entry) {
  if (view.state && entry.job.state !== view.state) return false;
  if (!view.words.length) return true;
  entry.sought ??= soughtText(entry.job);
  return view.words.every((part) => entry.sought.includes(part));
}

function refresh() {
  let shown = 0;
  for (const entry of entries) {
    const visible = isShown(entry);
    if (!visible && playing?.entry === entry) stop();
    entry.node.hidden = !visible;
    shown += visible;
  }
  for (const section of document.querySelectorAll("main section")) section.hidden = !section.querySelector(".card:not([hidden])");
  document.querySelector(".nothing").hidden = shown > 0;
  document.querySelector(".showing").textContent = shown === entries.length ? "" : `${shown} of ${entries.length} shown`;
  filters.forEach((button) => button.setAttribute("aria-pressed", String((button.dataset.state ?? null) === view.state)));
}

function choose(state) {
  view.state = state === view.state ? null : state;
  refresh();
}

function seek(text) {
  view.words = text.toLowerCase().split(/\s+/).filter(Boolean);
  refresh();
}

function showAll() {
  view.state = null;
  find.value = "";
  seek("");
  find.focus();
}

function onKey(event) {
  const typing = event.target === find;
  if (event.key === "Escape" && playing && !typing) stop();
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  find.focus();
}

layOut();
refresh();
document.querySelector(".toolbar").hidden = false;
filters.forEach((button) => button.addEventListener("click", () => choose(button.dataset.state ?? null)));
find.addEventListener("input", () => seek(find.value));
document.querySelector(".nothing button").addEventListener("click", showAll);
document.addEventListener("keydown", onKey);
window.addEventListener("beforeprint", () => entries.forEach(fill));
