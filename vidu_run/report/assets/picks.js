/* Verdicts: what the file beside the spec says, and over it what was picked in this browser. */

const REJECTED = 0;
const NOTHING = Object.freeze({ stars: null, note: "" });
const same = (one, other) => one.stars === other.stars && one.note === other.note;

const picks = {
  shelf: `vidu-run picks ${page.provider} ${page.spec}`,
  inFile: new Map(page.picks.map(([key, name, stars, note]) => [key, { name, stars, note }])),
  edits: new Map(),
  past: [],
  unkept: new Set(),

  get kept() {
    return this.unkept.size === 0;
  },

  /* At the beginning, and when another window wrote. What the file was once seen to say is settled: from then on the
     file has the word. A spec of the same name in another folder shares the shelf, so what is not of this page stays. */
  load(beginning) {
    const there = shelf.readMap(this.shelf);
    const settled = [];
    for (const [key, edit] of there) {
      if (!(byKey.has(key) || this.inFile.has(key)) || this.unkept.has(key) || (beginning && edit?.settled)) continue;
      this.put(key, wellFormed(edit));
      if (!edit?.settled && !this.edits.has(key)) settled.push(key);
    }
    for (const key of this.edits.keys()) if (!there.has(key) && !this.unkept.has(key)) this.edits.delete(key);
    if (settled.length) this.keep(settled);
  },

  of(clip) {
    return this.edits.get(clip.key) ?? this.inFile.get(clip.key) ?? NOTHING;
  },

  /* The stars of clips on this page. */
  given() {
    return [...new Map([...this.inFile, ...this.edits])].filter(([key]) => byKey.has(key)).map(([, { stars }]) => stars);
  },

  put(key, verdict) {
    if (same(verdict, this.inFile.get(key) ?? NOTHING)) this.edits.delete(key);
    else this.edits.set(key, verdict);
  },

  /* `editing` tells the keystrokes of one note from those of the next: undo takes back all of it. */
  set(clip, change, editing = null) {
    this.setAll([[clip, change]], editing);
  },

  /* What is set together is taken back together. */
  setAll(changes, editing = null) {
    const steps = changes.map(([{ key }, change]) => {
      const { stars, note } = this.edits.get(key) ?? this.inFile.get(key) ?? NOTHING;
      return { key, before: { stars, note }, after: { stars, note, ...change } };
    });
    const real = steps.filter(({ before, after }) => !same(before, after));
    if (!real.length) return;
    if (!editing || this.past.at(-1)?.editing !== editing) this.past.push({ editing, steps: real });
    for (const { key, after } of real) this.put(key, after);
    this.keep(real.map(({ key }) => key));
  },

  /* The clips whose verdict is again what it was. */
  undo() {
    const { steps } = this.past.pop() ?? { steps: [] };
    for (const { key, before } of steps) this.put(key, before);
    if (steps.length) this.keep(steps.map(({ key }) => key));
    return steps.map(({ key }) => byKey.get(key)).filter(Boolean);
  },

  forget() {
    const keys = [...this.edits.keys()];
    this.past = [];
    this.edits.clear();
    this.keep(keys);
  },

  /* Other windows write there too: only what changed here is changed there. */
  keep(keys) {
    const there = shelf.readMap(this.shelf);
    for (const key of keys) this.unkept.add(key);
    for (const key of this.unkept) {
      if (this.edits.has(key)) there.set(key, this.edits.get(key));
      else if (this.inFile.has(key)) there.set(key, { stars: this.inFile.get(key).stars, note: this.inFile.get(key).note, settled: true });
      else there.delete(key);
    }
    if (shelf.write(this.shelf, Object.fromEntries(there))) this.unkept.clear();
  },

  /* Also of jobs that are not on this page: they stand in the file and stay there. */
  all() {
    const here = clips.map((clip) => [clip.key, { name: clip.name, ...this.of(clip) }]);
    const gone = [...this.inFile].filter(([key]) => !byKey.has(key)).map(([key, pick]) => [key, { ...pick, ...this.edits.get(key) }]);
    return [...here, ...gone].map(([key, { name, stars, note }]) => ({ key, name, stars, note })).filter((pick) => !same(pick, NOTHING));
  },

  yaml() {
    const lines = this.all().map(({ key, name, stars, note }) => {
      const parts = [`key: ${key}`, `name: ${quoted(name)}`];
      if (stars !== null) parts.push(`stars: ${stars}`);
      if (note) parts.push(`note: ${quoted(note)}`);
      return `  - {${parts.join(", ")}}\n`;
    });
    const head = `# Picks of ${page.spec.replace(/[^\x20-\x7e\xa1-\ud7ff]|[\u2028\u2029]/g, "?")}, made on its page: 5 stars to 1, and 0 for a rejection.\n`;
    return head + (lines.length ? `picks:\n${lines.join("")}` : "picks: []\n");
  },
};

/* The longest note that the schema of the picks allows. */
const LONGEST_NOTE = 2000;

function wellFormed(edit) {
  const stars = Number.isInteger(edit?.stars) && edit.stars >= 0 && edit.stars <= 5 ? edit.stars : null;
  return { stars, note: typeof edit?.note === "string" ? edit.note.slice(0, LONGEST_NOTE) : "" };
}

/* JSON's quotes are YAML's, but for the characters that YAML does not allow or takes for the end of a line. */
function quoted(words) {
  const escape = (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(words.toWellFormed?.() ?? words).replace(/[\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]/g, escape);
}

const stars = (number) => (number === null ? "" : number === REJECTED ? "rejected" : "★".repeat(number));

function verdict({ stars: number }) {
  if (number === null) return "no verdict";
  return number === REJECTED ? "rejected" : count(number, "star");
}

/* The control of one clip's stars: five stars and a cross, each a button; what is set already is taken back. */
function rating(clip, compact) {
  const box = (compact && spare.pop()) || newRating(compact);
  box.clip = clip;
  put(box, "aria-label", `Verdict on ${clip.name}`);
  box.show();
  return box;
}

/* Most of what a cell is made of: those that scroll away serve those that come. */
const spare = [];

function newRating(compact) {
  const given = ({ target }) => target.closest("button") && judge(box.clip, Number(target.closest("button").value));
  const box = el("div", { class: "rating", role: "group", mousedown: keepFocus, click: given });
  const reach = compact ? { tabindex: "-1" } : {};
  for (let number = 1; number <= 5; number++) box.append(button(count(number, "star"), { class: "star", value: number, ...reach }, "★"));
  box.append(button("Reject", { class: "reject", value: REJECTED, ...reach }, icon("cross")));
  box.show = () => {
    const number = picks.of(box.clip).stars;
    [...box.children].forEach((each, at) => put(each, "aria-pressed", String(at < 5 ? number > at : number === REJECTED)));
    box.dataset.stars = number ?? "";
  };
  return box;
}
