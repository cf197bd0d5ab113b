/* The grid and the list: which clips are shown, how they are arranged, and the pieces they are made of. */

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

const TAKEN_BACK = "cancelled by you";

const HEAD = 64;
const GAP = 16;
const touch = matchMedia("(hover: none)");

/* A finger needs larger stars: where they do not fit beside a clip's label they stand below it. */
const captionHeight = (cell) => (touch.matches && cell < 300 ? 68 : 40);
const DRAFTS = "draft and final";

/* Which clips: a state, a label for each axis, a model, a verdict, words, or a group of failures. */

const filter = { state: null, labels: Object.create(null), model: null, verdict: "", words: [], group: null };

const VERDICTS = {
  "": ["any verdict", () => true],
  picked: ["picked", ({ stars: given }) => given > 0],
  2: ["★★ and up", ({ stars: given }) => given >= 2],
  3: ["★★★ and up", ({ stars: given }) => given >= 3],
  4: ["★★★★ and up", ({ stars: given }) => given >= 4],
  5: ["★★★★★", ({ stars: given }) => given >= 5],
  open: ["no verdict yet", ({ stars: given }) => given === null],
  rejected: ["rejected", ({ stars: given }) => given === REJECTED],
  noted: ["with a note", ({ note }) => note !== ""],
};

function isShown(clip) {
  if (filter.state && clip.state !== filter.state) return false;
  if (filter.model && clip.model !== filter.model) return false;
  if (filter.group && !filter.group.has(clip.index)) return false;
  for (const axis in filter.labels) if (filter.labels[axis] !== null && clip.labels[axis] !== filter.labels[axis]) return false;
  if (filter.verdict && !VERDICTS[filter.verdict][1](picks.of(clip))) return false;
  if (!filter.words.length) return true;
  clip.sought ??= soughtText(clip);
  return filter.words.every((part) => clip.sought.includes(part));
}

/* With a filter that leaves holes the clips move together; an axis narrowed down leaves none. */
const isSparse = () => Boolean(filter.state || filter.model || filter.group || filter.verdict || filter.words.length);

/* Rows and columns. A row is what differs in the column's axis alone; the spec's order stands. Jobs without that axis
   follow one another; and where almost every place would be a hole, as with seeds of each job's own, all move together. */

const MOST_HOLES = 4;

const varied = page.axes.filter(({ labels }) => labels.length > 1).map(({ name }) => name);
const promoted = Object.keys(page.drafts).length > 0;
const columnAxes = promoted ? [DRAFTS, ...varied] : varied;
const usualColumns = promoted ? DRAFTS : (varied.find((name) => name === "seed") ?? varied.at(-1) ?? "");
const chosenColumns = () => (settings.columns === "" || columnAxes.includes(settings.columns) ? settings.columns : usualColumns);

const axisOf = (wanted) => page.axes.findIndex(({ name }) => name === wanted);

/* Whether two axes advance together, as zipped ones do: each label of one stands with one label of the other, and
   some pair of labels comes again. (Where each job has its own, the axes only happen to.) */
function together(one, other) {
  const { places, labels } = page.axes[one];
  if (labels.length < 2 || labels.length !== page.axes[other].labels.length || labels.length === places.length) return false;
  const partners = new Map();
  return page.axes[other].places.every((place, at) => {
    if (!partners.has(places[at])) partners.set(places[at], place);
    return partners.get(places[at]) === place && (places[at] === null) === (place === null);
  });
}

const companions = new Map();

/* The axes that advance together with this one; found once, since they are those of all jobs. */
function companionsOf(across) {
  if (!companions.has(across)) companions.set(across, page.axes.map((_, axis) => axis).filter((axis) => axis !== across && together(across, axis)));
  return companions.get(across);
}

function arranged(shown) {
  const columns = chosenColumns();
  if (columns === "") return { rows: [{ labels: [], cells: shown }], columns: shown.length };
  if (columns === DRAFTS) return { rows: shown.map((clip) => ({ labels: [["", clip.name]], cells: [draftOf(clip), clip] })), columns: 2 };
  const across = axisOf(columns);
  const others = page.axes.map((_, axis) => axis).filter((axis) => axis !== across && !companionsOf(across).includes(axis));
  const led = others.includes(axisOf(settings.lead));
  const lead = led ? [axisOf(settings.lead), ...others.filter((axis) => axis !== axisOf(settings.lead))] : others;
  const groups = new Map();
  const used = new Set();
  for (const clip of shown) {
    const key = lead.map((axis) => page.axes[axis].places[clip.index]).join();
    if (!groups.has(key)) groups.set(key, { labels: labelled(clip, lead), rank: led ? (page.axes[lead[0]].places[clip.index] ?? -1) : 0, loose: [], rows: [] });
    const { loose, rows } = groups.get(key);
    const at = page.axes[across].places[clip.index];
    if (at === null) {
      loose.push(clip);
      continue;
    }
    used.add(at);
    const free = rows.find((places) => !places.has(at));
    if (free) free.set(at, clip);
    else rows.push(new Map([[at, clip]]));
  }
  const sorted = [...groups.values()].sort((group, other) => group.rank - other.rank);
  const inOrder = [...used].sort((one, other) => one - other);
  const aligned = sorted.flatMap(({ rows }) => rows).length;
  const close = isSparse() || aligned * used.size > MOST_HOLES * shown.length;
  const placed = (places) => (close ? inOrder.filter((at) => places.has(at)) : inOrder).map((at) => places.get(at) ?? null);
  const made = sorted.flatMap(({ labels, rows, loose }) => [
    ...rows.map((places) => ({ labels, cells: placed(places) })),
    ...(loose.length ? [{ labels, cells: loose, loose: true }] : []),
  ]);
  const wide = aligned ? made.filter((row) => !row.loose) : made;
  return { rows: made, columns: Math.max(1, ...wide.map(({ cells }) => cells.length)) };
}

const fitting = (width, size) => Math.max(1, Math.floor((width + GAP) / (size + GAP)));

/* All columns in one line where they fit with a little squeezing; else in lines of equal length. */
function balanced(columns, width) {
  if (columns <= fitting(width, settings.size * 0.7)) return columns;
  return Math.ceil(columns / Math.ceil(columns / fitting(width, settings.size)));
}

function gridLines(shown, width) {
  const { rows, columns } = arranged(shown);
  const across = chosenColumns() === "" ? fitting(width, settings.size) : balanced(columns, width);
  const cell = Math.min((width - (across - 1) * GAP) / across, Math.max(settings.size * 1.4, Math.min(width, 160)));
  const height = Math.round(cell / page.aspect) + captionHeight(cell) + GAP;
  const lines = [];
  for (const row of rows) {
    if (row.labels.length) lines.push({ head: row, height: HEAD });
    for (let from = 0; from < row.cells.length; from += across) lines.push({ row, cells: row.cells.slice(from, from + across), cell, height });
  }
  return lines;
}

const listLines = (shown, width) => shown.map((clip) => ({ item: clip, height: width < 720 ? 132 : 92 }));

const ORDERS = {
  spec: ["order of the spec", () => 0],
  stars: ["most stars first", (one, other) => (picks.of(other).stars ?? 0.5) - (picks.of(one).stars ?? 0.5)],
  name: ["name", (one, other) => one.name.localeCompare(other.name, "en", { numeric: true })],
  state: ["state", (one, other) => one.state.localeCompare(other.state)],
  credits: ["credits", (one, other) => (other.credits ?? -1) - (one.credits ?? -1)],
  took: ["slowest first", (one, other) => (other.took ?? -1) - (one.took ?? -1)],
};

/* What a page with films does more; the part that shows films says how. */
const films = { begin() {}, marked() {}, judged() {}, redrawn() {}, pause() {}, step: () => false, live: () => null, place: () => null, holds: () => false };

/* The pieces. */

/* Pixels across of a clip in the list. */
const IN_LIST = 120;

function screen(clip, width, selectable = true) {
  const open = el(
    "button",
    { type: "button", class: "open", "data-key": clip.key, click: (event) => (event.shiftKey || event.ctrlKey || event.metaKey ? choose(clip) : look(clip)) },
    cover(clip, width),
  );
  const under = (event) => event.pointerType === "mouse" && !keyed && !stage.has(clip) && hover.enter(clip, box);
  const box = el("div", { class: "screen", pointerenter: under, pointermove: under, pointerleave: () => hover.leave() }, open);
  if (clip.final) box.append(el("span", { class: "tag" }, "draft"));
  else if (clip.file && selectable) box.append(button(`Select ${clip.name}`, { class: "mark", tabindex: "-1", mousedown: keepFocus, click: () => choose(clip) }, icon("check")));
  return box;
}

/* What is there before a video plays; of a clip without one, why not. */
function cover(clip, width = Infinity) {
  const image = clip.poster ?? (clip.file ? clip.first?.image : null);
  if (image) return picture(image, "", "poster", width);
  return clip.file ? null : unexposed(clip, width);
}

function unexposed(clip, width) {
  const stills = [clip.first, clip.last].filter((frame) => frame?.image);
  return el("span", { class: "unexposed" }, stills.map((frame) => picture(frame.image, "", "half", width / 2)), el("span", { class: "why" }, clip.error === TAKEN_BACK ? "Cancelled by you" : ABSENT[clip.state] ?? "No video"));
}

const pointing = (clip) => ({ pointerenter: () => pointed(clip), pointermove: () => pointed(clip) });

function cellOf(clip, width) {
  if (!clip) return el("div", { class: "cell hole", role: "listitem" }, el("span", { class: "unseen" }, "no such job"));
  const cell = el("div", { class: "cell", role: "listitem", "data-state": clip.state, ...pointing(clip) }, screen(clip, width), caption(clip));
  known.set(clip, cell);
  mark(clip);
  return cell;
}

function caption(clip) {
  const columns = chosenColumns();
  const label = columns && columns !== DRAFTS && clip.labels[columns] !== null ? [el("span", { class: "axis" }, columns), " ", clip.labels[columns]] : columns === DRAFTS ? [facts(clip).slice(0, 3).join(" · ")] : [clip.name];
  return el("div", { class: "caption" }, el("bdi", { class: "label", title: clip.name }, label), clip.state === "done" ? null : el("span", { class: "state" }, word(clip.state)), clip.final ? null : [el("span", { class: "remarked" }, icon("bubble")), rating(clip, true)]);
}

function headOf(row) {
  const here = row.cells.filter(Boolean);
  const [first] = here;
  const shared = (of) => here.every((clip) => of(clip) === of(first)) && of(first);
  const ends = [shared((clip) => clip.first), shared((clip) => clip.last)];
  const done = here.filter((clip) => clip.file);
  const [lead, ...rest] = row.labels;
  return el(
    "div",
    { class: "head" },
    ends.some((still) => still?.image) ? el("span", { class: "ends" }, ends.map((still) => (still?.image ? picture(still.image, "", null, 80) : null))) : null,
    el(
      "div",
      { class: "words" },
      el("h3", null, el("bdi", null, lead[1]), rest.map(([axis, label]) => el("span", { class: "chip" }, el("span", null, axis), " ", el("bdi", null, label)))),
      shared((clip) => clip.prompt) ? el("p", { class: "prompt", dir: "auto" }, first.prompt) : null,
    ),
    done.length > 1 ? button(`Play ${lead[1]}: ${count(done.length, "clip")} together`, { class: "plain", click: () => playTogether(done, row.labels.map(([, label]) => label).join(" · ")) }, icon("play"), "Play row") : null,
  );
}

function itemOf(clip) {
  const node = el(
    "div",
    { class: "item", role: "listitem", "data-state": clip.state, ...pointing(clip) },
    screen(clip, IN_LIST),
    el(
      "div",
      { class: "words" },
      el("h3", null, el("bdi", { title: clip.name }, clip.name), clip.state === "done" ? null : el("span", { class: "state" }, word(clip.state))),
      el("p", { class: clip.error ? "error" : "prompt", dir: "auto" }, clip.error ?? clip.prompt ?? ""),
      el("ul", { class: "facts" }, [...labelsOf(clip).map(([axis, label]) => `${axis} ${label}`), ...facts(clip)].map((fact) => el("li", null, fact))),
    ),
    el("div", { class: "said-of-it" }, rating(clip, true), el("p", { class: "note", dir: "auto" })),
  );
  known.set(clip, node);
  mark(clip);
  return node;
}

function facts(clip) {
  const seed = clip.seed !== null && clip.labels.seed !== clip.seed ? `seed ${clip.seed}` : null;
  const credits = clip.credits === null ? null : count(clip.credits, "credit");
  return [clip.model, clip.duration ? `${clip.duration} s` : null, clip.resolution, seed, credits, clip.took ? `took ${span(clip.took)}` : null].filter(Boolean);
}

/* What changes about a piece that stands there already. */
function mark(clip) {
  films.marked(clip);
  if (known.has(clip)) markAs(known.get(clip), clip);
}

function markAs(node, clip) {
  node.classList.toggle("active", clip === active);
  node.classList.toggle("chosen", chosen.has(clip));
  one(".mark", node)?.setAttribute("aria-pressed", String(chosen.has(clip)));
  const said = picks.of(clip);
  node.classList.toggle("picked", said.stars > 0);
  node.classList.toggle("out", said.stars === REJECTED);
  one(".rating", node)?.show();
  node.classList.toggle("has-note", said.note !== "");
  one(".remarked", node)?.setAttribute("title", said.note);
  const note = one(".note", node);
  if (note) note.textContent = said.note;
  one(".open", node).setAttribute("aria-label", [clip.final ? `Draft of ${clip.name}` : clip.name, word(clip.state), clip.final ? null : verdict(said), said.note && "with a note"].filter(Boolean).join(", "));
}
