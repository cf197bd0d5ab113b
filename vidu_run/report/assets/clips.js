/* The clips of the page, read from its packed data: one object a job, in the order of the spec. */

const page = JSON.parse(document.getElementById("data").textContent);
const rows = document.getElementById("rows").textContent.split("\n");
const keys = page.keys.split(" ");

const text = (number) => (number === null ? null : page.texts[number]);

const still = (number) => (number === null ? null : page.stills[number]);

/* A file that stands where its job's name or its bytes' hash says is no more than a mark. */
const USUAL = 1;
const video = (href, { name }) => file(href === USUAL ? `./videos/${name.split("/").map(encodeURIComponent).join("/")}.mp4` : href);
const poster = (href, { sha256 }) => (href === USUAL ? `./posters/${sha256.slice(0, 24)}.webp` : href);
const file = (href) => href && { href, get name() { return readable(href.replace(/^\.\//, "")); } };

/* A folder's name can hold bytes that are not UTF-8. */
function readable(href) {
  try {
    return decodeURIComponent(href);
  } catch {
    return href;
  }
}

/* Twenty thousand are opened at once and few are looked at: a part is read when somebody asks for it. */
const PARTS = { prompt: text, model: text, resolution: text, error: text, hint: text, first: still, last: still, file: video, poster };
const AT = Object.fromEntries(page.fields.map((field, at) => [field, at]));

class Clip {
  constructor(key, index) {
    this.key = key;
    this.index = index;
  }

  get row() {
    this.parts ??= JSON.parse(rows[this.index]);
    return this.parts;
  }

  get state() {
    return text(page.states[this.index]);
  }

  get draft() {
    return page.drafts[this.index] ?? null;
  }

  get labels() {
    this.known ??= Object.fromEntries(page.axes.map(({ name, labels, places }) => [name, labels[places[this.index]] ?? null]));
    return this.known;
  }

  get request() {
    return text(this.row[AT.request]).replace(/^  "seed": null/m, () => `  "seed": ${this.asked}`);
  }
}

for (const field of page.fields) {
  const read = PARTS[field] ?? ((value) => value);
  if (!(field in Clip.prototype)) Object.defineProperty(Clip.prototype, field, { get() { return read(this.row[AT[field]], this); } });
}

const clips = page.keys ? keys.map((key, index) => new Clip(key, index)) : [];

/* Found out once somebody has picked something. */
const byKey = {
  get map() {
    this.made ??= new Map(clips.map((clip) => [clip.key, clip]));
    return this.made;
  },
  has: (key) => byKey.map.has(key),
  get: (key) => byKey.map.get(key),
};

/* A draft stands beside the clip that was promoted from it; it is looked at, never counted or picked. */
function draftOf(clip) {
  const { draft } = clip;
  if (!draft) return null;
  const own = { ...draft, key: `draft ${clip.key}`, file: file(draft.file), draft: null, final: clip, state: "done", hint: null, error: null };
  clip.draftClip ??= Object.create(clip, Object.getOwnPropertyDescriptors(own));
  return clip.draftClip;
}

/* Names and labels of some axes, given by their places; those that the clip does not have are left out. */
function labelled(clip, axes) {
  return axes.map((axis) => [page.axes[axis].name, page.axes[axis].labels[page.axes[axis].places[clip.index]]]).filter(([, label]) => label !== undefined);
}

const labelsOf = (clip) => labelled(clip, [...page.axes.keys()]);

function soughtText(clip) {
  const labels = labelsOf(clip).map(([axis, label]) => `${axis}=${label}`);
  const parts = [clip.name, clip.prompt, clip.model, clip.resolution, word(clip.state), clip.error, clip.task_id, clip.key, `seed=${clip.seed}`];
  return [...parts, ...labels].filter(Boolean).join("\n").toLowerCase();
}
