/* The page at work: settings, what is active and chosen, filters, keys. */

const settings = { view: "grid", columns: usualColumns, lead: "", size: 260, order: "spec", loop: true, muted: true };
for (const [name, value] of shelf.readMap("vidu-run view")) if (Object.hasOwn(settings, name) && typeof value === typeof settings[name]) settings[name] = value;
if (!Object.hasOwn(ORDERS, settings.order)) settings.order = "spec";
if (settings.view !== "list") settings.view = "grid";
settings.size = Math.min(720, Math.max(120, settings.size));
settings.columns = promoted ? DRAFTS : chosenColumns();

const sheet = one(".sheet");
const bar = one(".transport");
const find = one(".find input");
const chosen = new Set();
const known = new Map();
let active = null;
let keyed = false;
let shown = [];

const lines = new Lines(sheet, build, gone);
const stage = new Stage((clip) => known.get(clip) && one(".screen", known.get(clip)), showTransport);
const tools = transport(stage, button("Stop", { class: "tool", click: () => stage.close() }, icon("cross")));

function setting(name, value) {
  settings[name] = value;
  shelf.write("vidu-run view", settings);
}

/* Laying out. */

function build(line) {
  const node = line.head ? headOf(line.head) : line.item ? itemOf(line.item) : el("div", { class: "cells", role: "list" }, line.cells.map((clip) => cellOf(clip, line.cell)));
  node.classList.add("line");
  if (line.item) return el("div", { class: "line", role: "list" }, node);
  if (line.cell) node.style.setProperty("--cell", `${line.cell}px`);
  requestAnimationFrame(() => clipsOf(line).forEach((clip) => stage.attach(clip)));
  return node;
}

const clipsOf = (line) => (line.item ? [line.item] : (line.cells ?? []).filter(Boolean));

function gone(line, node) {
  spare.push(...node.querySelectorAll(".rating"));
  for (const clip of clipsOf(line)) {
    if (hover.clip === clip) hover.leave();
    stage.detach(clip);
    known.delete(clip);
  }
}

let laidOut = 0;

function layOut() {
  const width = (laidOut = sheet.clientWidth);
  sheet.className = `sheet ${settings.view}`;
  document.documentElement.style.setProperty("--aspect", page.aspect);
  const held = sheet.contains(document.activeElement);
  lines.set(settings.view === "grid" ? gridLines(shown, width) : listLines(shown, width));
  if (held) (known.has(active) ? one(".open", known.get(active)) : one("main")).focus({ preventScroll: true });
}

/* The same clips in other sizes: what stood at the top stands there again. */
function layOutInPlace() {
  const below = Math.max(0, one(".toolbar").getBoundingClientRect().bottom);
  const from = lines.top < below ? lines.lineAt(below - lines.top) : -1;
  const headed = Boolean(lines.lines[from]?.head);
  const topmost = lines.lines.slice(Math.max(0, from), from + 2).flatMap(clipsOf)[0];
  layOut();
  if (from > 0 && topmost) lines.begin(lineOf(topmost) - headed, Math.max(0, one(".toolbar").getBoundingClientRect().bottom));
}

const lineOf = (clip) => lines.lines.findIndex((line) => clipsOf(line).includes(clip));

function refresh() {
  const order = settings.view === "list" ? ORDERS[settings.order][1] : ORDERS.spec[1];
  shown = clips.filter(isShown);
  if (settings.view === "list" && settings.order !== "spec") shown.sort(order);
  one(".nothing").hidden = shown.length > 0;
  one(".showing").textContent = shown.length === clips.length ? "" : `${shown.length} of ${clips.length} shown`;
  for (const each of document.querySelectorAll(".filters button")) each.setAttribute("aria-pressed", String((each.dataset.state ?? null) === filter.state));
  for (const each of document.querySelectorAll(".views button")) each.setAttribute("aria-pressed", String(each.dataset.view === settings.view));
  drawChoices();
  layOut();
  if (active && !isShown(active)) active = null;
  if (stage.empty) return;
  const here = new Set(lines.lines.flatMap(clipsOf));
  stage.narrow((clip) => here.has(clip));
}

/* In the order in which the eye meets them. */
function shownClips() {
  return lines.lines.flatMap(clipsOf).filter((clip) => !clip.final);
}

/* An axis may have thousands of labels: a choice is made once for what it offers, most of it when the clips stand there,
   and then only takes another value. */
const made = new Map();
const AT_ONCE = 50;

function select(offer, label, value, options, change) {
  if (!made.has(offer)) {
    const box = el("select", { "aria-label": label, change: () => change(box.value) });
    const fill = (some) => box.append(...some.map(([key, name]) => el("option", { value: key }, name)));
    fill(options().slice(0, AT_ONCE));
    setTimeout(() => fill(options().slice(AT_ONCE)));
    made.set(offer, el("label", { class: "choice" }, el("span", null, label), box));
  }
  const box = one("select", made.get(offer));
  if (box.value !== value) box.value = value;
  return made.get(offer);
}

function drawChoices() {
  const grid = settings.view === "grid";
  const others = page.axes.map(({ name }) => name).filter((name) => name !== chosenColumns());
  const set = (name) => (value) => (setting(name, value), refresh());
  const parts = [
    grid && columnAxes.length ? select("columns", "Columns", chosenColumns(), () => [...columnAxes.map((name) => [name, name]), ["", "none"]], set("columns")) : null,
    grid && chosenColumns() !== "" && chosenColumns() !== DRAFTS && others.length > 1 ? select(`rows beside ${chosenColumns()}`, "Rows by", others.includes(settings.lead) ? settings.lead : others[0], () => others.map((name) => [name, name]), set("lead")) : null,
    grid ? null : select("order", "Order", settings.order, () => Object.entries(ORDERS).map(([key, [name]]) => [key, name]), set("order")),
    ...page.axes.filter(({ labels }) => labels.length > 1).map(({ name, labels }) => select(`axis ${name}`, name, String(labels.indexOf(filter.labels[name])), () => [["-1", "all"], ...labels.map((label, at) => [String(at), label])], (at) => narrow(name, labels[at] ?? null))),
    page.models.length > 1 ? select("model", "Model", filter.model ?? "", () => [["", "all"], ...page.models.map((model) => [model, model])], (model) => ((filter.model = model || null), refresh())) : null,
    select("verdict", "Verdict", filter.verdict, () => Object.entries(VERDICTS).map(([key, [name]]) => [key, name]), (key) => ((filter.verdict = key), refresh())),
    grid ? zoom : null,
  ].filter(Boolean);
  const place = one(".choices");
  if (parts.length === place.children.length && parts.every((part, at) => part === place.children[at])) return;
  const held = place.contains(document.activeElement) ? document.activeElement : null;
  place.replaceChildren(...parts);
  if (held?.isConnected) held.focus();
}

const sizes = el("input", { type: "range", min: "120", max: "720", step: "20", value: settings.size, input: () => (setting("size", Number(sizes.value)), layOutInPlace()) });
const zoom = el("label", { class: "choice" }, el("span", null, "Size"), sizes);

function narrow(axis, label) {
  filter.labels[axis] = label;
  refresh();
}

function onlyState(state) {
  filter.state = state === filter.state ? null : state;
  filter.group = null;
  refresh();
}

function seek(words) {
  filter.words = words.toLowerCase().split(/\s+/).filter(Boolean);
  refresh();
}

function showAll() {
  Object.assign(filter, { state: null, labels: Object.create(null), model: null, verdict: "", group: null });
  find.value = "";
  seek("");
}

/* The clip that keys speak of: under the mouse, or reached by the keyboard. */

function activate(clip) {
  if (clip.final || clip === active) return;
  const before = active;
  active = clip;
  if (before) mark(before);
  mark(clip);
}

/* Unless the page moved under a mouse that rests: then the keys go on where they were. And who points at a clip has
   done with the choice above, which would take the digits for itself. */
function pointed(clip) {
  if (keyed) return;
  if (document.activeElement.matches(".choices select")) document.activeElement.blur();
  activate(clip);
}

function reach(clip) {
  const number = lineOf(clip);
  if (number < 0) return;
  hover.leave();
  activate(clip);
  lines.bring(number, one(".toolbar").getBoundingClientRect().bottom + 8, bar.hidden ? 8 : bar.offsetHeight + 8);
  const node = known.get(clip);
  if (node) one(".open", node).focus({ preventScroll: true });
}

/* A verdict on a clip that was scrolled away brings it back: nobody judges what they do not see. */
function inSight(clip) {
  const places = clip ? [known.get(clip), films.place(clip)].filter(Boolean).map((node) => node.getBoundingClientRect()) : [];
  if (clip && !places.some((place) => place.bottom > 0 && place.top < innerHeight)) reach(clip);
}

function step(by) {
  const order = shownClips();
  const at = order.indexOf(active);
  const next = at < 0 ? order[0] : order[Math.min(order.length - 1, Math.max(0, at + by))];
  if (next) reach(next);
}

/* To the clip above or below, in the line before or after that has one. */
function climb(direction) {
  const all = lines.lines;
  let number = lineOf(active);
  if (number < 0) return step(0);
  const column = all[number].item ? 0 : all[number].cells.indexOf(active);
  for (number += direction; all[number]; number += direction) {
    const line = all[number];
    const target = line.item ?? line.cells?.[column] ?? (line.cells ? clipsOf(line).at(-1) : null);
    if (target && !target.final) return reach(target);
  }
  return undefined;
}

/* Verdicts. */

function judge(clip, given) {
  const now = picks.of(clip).stars;
  decide(clip, { stars: now === given ? null : given });
}

function decide(clip, change) {
  if (!clip || clip.final) return;
  picks.set(clip, change);
  judged(clip);
}

function annotate(clip, note, editing) {
  picks.set(clip, { note }, editing);
  judged(clip, true);
}

function judged(clip, quietly) {
  mark(clip);
  films.judged(clip);
  focus.marked(clip);
  drawTally();
  if (!quietly) say(`${clip.name}: ${verdict(picks.of(clip))}`);
}

function undo() {
  const [clip, ...others] = picks.undo();
  if (!clip) {
    say("Nothing to undo");
    return;
  }
  others.forEach((other) => judged(other, true));
  judged(clip);
  if (!focus.open && !films.holds(document.activeElement)) reach(clip);
}

/* Another window of this page picked something. */
function elsewhere() {
  picks.load(false);
  for (const clip of known.keys()) mark(clip);
  films.redrawn();
  if (focus.current) focus.marked(focus.current);
  drawTally();
}

function drawTally() {
  const given = picks.given();
  const good = given.filter((number) => number > 0).length;
  const out = given.filter((number) => number === REJECTED).length;
  one(".tally").textContent = [good ? `${good} picked` : "", out ? `${out} rejected` : "", picks.kept ? "" : "not kept by this browser"].filter(Boolean).join(", ");
  one(".export").classList.toggle("waiting", picks.edits.size > 0);
}

/* Choosing some to look at together. */

function choose(clip) {
  if (!clip.file || clip.final) return;
  if (!chosen.delete(clip)) chosen.add(clip);
  mark(clip);
  showTransport();
}

function chooseNone() {
  const before = [...chosen];
  chosen.clear();
  before.forEach(mark);
  showTransport();
}

function playTogether(wanted, title) {
  hover.leave();
  films.pause();
  if (!stage.empty && stage.title === title && wanted.slice(0, MOST_AT_ONCE).every((clip, at) => clip === stage.clips[at]) && stage.clips.length === Math.min(wanted.length, MOST_AT_ONCE) && !stage.broken.size) return stage.toggle();
  stage.show(wanted, title);
  stage.play();
  if (wanted.length > MOST_AT_ONCE) say(`The first ${MOST_AT_ONCE} of ${wanted.length} play`);
  return undefined;
}

function look(clip) {
  hover.leave();
  films.pause();
  if (stage.playing) stage.close();
  activate(clip.final ?? clip);
  focus.show(withDraft(clip.final ?? clip));
}

function sideBySide() {
  const wanted = [...chosen].sort((one, other) => one.index - other.index);
  if (wanted.length < 2) return;
  stage.close();
  focus.show(wanted.slice(0, 9));
}

function showTransport() {
  bar.hidden = stage.empty && chosen.size === 0;
  const state = `${chosen.size} ${stage.empty}`;
  if (bar.dataset.parts !== state) drawTransport();
  bar.dataset.parts = state;
  tools.show();
}

function drawTransport() {
  const held = bar.contains(document.activeElement) ? document.activeElement : null;
  bar.replaceChildren(...(chosen.size ? [choosing()] : []), ...(stage.empty ? [] : [tools]));
  if (!held) return;
  if (held.isConnected) held.focus();
  else (known.has(active) ? one(".open", known.get(active)) : one("main")).focus({ preventScroll: true });
}

function choosing() {
  return el(
    "div",
    { class: "choosing" },
    el("b", null, `${chosen.size} selected`),
    button("Play the selected clips together", { class: "plain", click: () => playTogether([...chosen], "the selection") }, icon("play"), "Play"),
    chosen.size > 1 ? button("Show the selected clips side by side", { class: "plain", click: sideBySide }, "Side by side") : null,
    button("Select none", { class: "plain", click: chooseNone }, "Clear"),
  );
}

/* What asks for attention. */

const MOST_DOUBTS = 12;

function drawAttention() {
  const doubts = clips.filter((clip) => clip.state === "in_doubt");
  const box = one(".doubt");
  box.hidden = doubts.length === 0;
  one(".cases", box).replaceChildren(
    ...doubts.slice(0, MOST_DOUBTS).map((clip) => el("li", { "data-state": "in_doubt" }, el("h3", null, el("bdi", null, clip.name)), ...advice(clip.hint))),
    ...(doubts.length > MOST_DOUBTS ? [el("li", null, `and ${doubts.length - MOST_DOUBTS} more: `, button("Show all in doubt", { class: "plain", click: () => onlyState("in_doubt") }, "show them all"))] : []),
  );
  one(".failures").hidden = page.failures.length === 0;
  one(".failures .cases").replaceChildren(...page.failures.map(failureCase));
}

function advice(words) {
  return (words ?? "").split("\n").map((line) => line.trim()).filter(Boolean).map((line) => (line.startsWith("vidu-run ") ? command(line) : el("p", { dir: "auto" }, line)));
}

function failureCase({ state, cause, shared, advice: what, jobs }) {
  return el(
    "li",
    { "data-state": state },
    el("h3", null, el("bdi", null, cause)),
    el("p", null, count(jobs.length, "job"), shared.length ? [", all with ", el("bdi", null, shared.join(", "))] : null, " ", button(`Show the jobs that ended so: ${cause}`, { class: "plain", click: () => ((filter.group = new Set(jobs)), (filter.state = null), refresh(), sheet.scrollIntoView()) }, "show them")),
    ...advice(what),
  );
}

/* Two small dialogs. */

const LARGEST = "1080p";

function openPicks() {
  const dialog = one("dialog.picks");
  const name = page.picks_file;
  const told = el("p", { role: "status" });
  const download = () => {
    const anchor = el("a", { href: URL.createObjectURL(new Blob([picks.yaml()], { type: "application/yaml" })), download: name });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
    told.textContent = `It is in your downloads. Put it beside ${page.spec} as ${name}.`;
  };
  const clipboard = async () => (told.textContent = (await copy(picks.yaml())) ? "In the clipboard." : "The browser does not allow it: download the file.");
  const all = picks.all();
  const larger = clips.some((clip) => clip.resolution !== LARGEST);
  const tally = [5, 4, 3, 2, 1].map((number) => [stars(number), all.filter((pick) => pick.stars === number).length]).filter(([, many]) => many);
  const out = all.filter((pick) => pick.stars === REJECTED).length;
  const parts = [
    el("header", null, el("h2", { id: "picks-title" }, "Picks"), button("Close", { class: "tool close", click: () => dialog.close() }, icon("cross"))),
    all.length ? el("ul", { class: "sums" }, tally.map(([mark, many]) => el("li", null, mark, " ", el("b", null, String(many)))), out ? el("li", { class: "refused" }, "rejected ", el("b", null, String(out))) : null) : el("p", null, "Nothing is picked yet: point at a clip and press 1 to 5, or X to reject it."),
    picks.kept ? null : el("p", { class: "error" }, "This browser keeps nothing between visits: export before you close the page."),
    el("p", null, picks.edits.size ? `${count(picks.edits.size, "change")} of yours ${picks.edits.size === 1 ? "is" : "are"} not in ${name} yet. They are kept in this browser.` : all.length ? `All of it stands in ${name} already.` : ""),
    el("div", { class: "row" }, button(`Download ${name}`, { class: "strong", click: download }, `Download ${name}`), button("Copy as text", { class: "plain", click: clipboard }, "Copy as text"), picks.edits.size ? button("Forget my changes", { class: "plain", click: () => (picks.forget(), films.redrawn(), drawTally(), refresh(), openPicks()) }, "Forget my changes") : null),
    told,
    el("p", null, "Beside the spec and in git, the file is read by ", el("code", null, "report"), page.films ? [", ", el("code", null, "film")] : "", " and ", el("code", null, "promote"), ", which writes the next spec:"),
    command(larger ? `${page.promote} --with resolution=${LARGEST}` : page.promote),
  ];
  dialog.replaceChildren(...parts.filter(Boolean));
  if (!dialog.open) dialog.showModal();
  else one(".strong", dialog).focus();
}

const KEYS = [
  ["1 … 5", "that many stars; with Shift also on to the next clip"],
  ["X", "reject"],
  ["0", "take the verdict back"],
  ["U or Ctrl+Z", "undo"],
  ["N", "write a note"],
  ["← → ↑ ↓ or J K", "move between clips"],
  ["Enter", "look at the clip from close by"],
  ["Space", "play or pause"],
  ["P", "play the whole row together"],
  ["C", "select, to play or compare some"],
  ["V", "the selected clips side by side"],
  [", and .", "one frame back, one on"],
  ["L", "loop or not"],
  ["M", "sound or not"],
  ["G", "grid or list"],
  ["/", "search"],
  ["Esc", "close, stop, select none"],
];

function openKeys() {
  const dialog = one("dialog.keys");
  dialog.replaceChildren(
    el("header", null, el("h2", { id: "keys-title" }, "Keys"), button("Close", { class: "tool close", click: () => dialog.close() }, icon("cross"))),
    el("dl", null, KEYS.map(([key, does]) => el("div", null, el("dt", null, key), el("dd", null, does)))),
    el("p", null, "Point at a clip to play it; Shift and a click select it."),
  );
  if (!dialog.open) dialog.showModal();
}

/* Keys. They speak of the clip in the dialog where it is open, else of the active one. */

function rowOf(clip) {
  const line = lines.lines.find((each) => clipsOf(each).includes(clip));
  const row = line?.row;
  return row ? { clips: row.cells.filter((each) => each?.file), title: row.labels.map(([, label]) => label).join(" · ") } : { clips: [clip].filter((each) => each?.file), title: clip.name };
}

function playActive(clip, liveStage) {
  if (!liveStage.empty) liveStage.toggle();
  else if (clip?.file) playTogether([clip], clip.name);
}

const MOVES = { ArrowRight: 1, KeyJ: 1, ArrowLeft: -1, KeyK: -1 };
const REPEATED = new Set([...Object.keys(MOVES), "ArrowUp", "ArrowDown", "Comma", "Period"]);
const SIGNS = { ",": "Comma", ".": "Period", "/": "Slash" };

/* What the key says goes before where it lies; in an alphabet without these letters their places do. */
const keyOf = ({ code, key }) => (/^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : (SIGNS[key] ?? code));

function onKey(event) {
  if (event.isComposing) return undefined;
  keyed = true;
  const { target, key } = event;
  const code = keyOf(event);
  const typing = target.closest("textarea, select, input");
  if (key === "Escape") return event.repeat ? undefined : escape(event, typing);
  if (typing && !(typing.type === "range" && !key.startsWith("Arrow"))) return undefined;
  if ((event.ctrlKey || event.metaKey) && code === "KeyZ") return handled(event, undo);
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (one("dialog.panel[open]")) return undefined;
  if (event.repeat && !REPEATED.has(code)) return code === "Tab" || /^(?:Page|Home|End)/.test(code) ? undefined : handled(event, () => {});
  const near = focus.open;
  const clip = near ? focus.current : active;
  const live = near ? focus.stage : (films.live() ?? stage);
  const move = (by) => (near ? focus.go(by) : films.step(by) || step(by));
  const digit = /^(?:Digit|Numpad)([0-5])$/.exec(code)?.[1];
  const give = (number) => (decide(clip, { stars: number }), near || inSight(clip));
  if (digit !== undefined) return handled(event, () => (give(digit === "0" ? null : Number(digit)), event.shiftKey && digit !== "0" && move(1)));
  if (code in MOVES) return handled(event, () => move(MOVES[code]));
  if (key === "?") return handled(event, openKeys);
  const pressing = target.closest("button, a, summary");
  if (code === "Space" && (!pressing || pressing.matches(".sheet .open"))) return handled(event, () => playActive(clip, live));
  const acts = {
    Enter: () => !near && clip && look(clip),
    KeyX: () => give(REJECTED),
    KeyU: undo,
    KeyN: () => clip && (near || look(clip), one(".noted textarea", focus.dialog)?.focus()),
    KeyC: () => !near && clip && choose(clip),
    KeyV: () => !near && sideBySide(),
    KeyP: () => !near && clip && ((row) => playTogether(row.clips, row.title))(rowOf(clip)),
    KeyL: () => setting("loop", (live.loop = !live.loop), live.shown(live)),
    KeyM: () => (setting("muted", !settings.muted), live.sound(), live.shown(live)),
    KeyG: () => !near && (setting("view", settings.view === "grid" ? "list" : "grid"), refresh(), active && reach(active)),
    Comma: () => live.step(-1),
    Period: () => live.step(1),
    Slash: () => !near && find.focus(),
    ArrowUp: () => !near && climb(-1),
    ArrowDown: () => !near && climb(1),
  };
  if (!Object.hasOwn(acts, code) || (code === "Enter" && pressing)) return undefined;
  return handled(event, acts[code]);
}

function handled(event, act) {
  event.preventDefault();
  act();
}

function escape(event, typing) {
  if (one("dialog[open]")) {
    if (typing?.matches("textarea")) handled(event, () => typing.blur());
    return;
  }
  if (typing?.matches("select, [type=search]")) {
    if (!typing.value || typing !== find) typing.blur();
    return;
  }
  const film = films.live();
  if (film && !film.empty) film.close();
  else if (!stage.empty) stage.close();
  else chooseNone();
}

/* Beginning. */

const MOST_ON_PAPER = 600;

function begin() {
  picks.load(true);
  drawAttention();
  drawTally();
  films.begin();
  one(".toolbar").hidden = false;
  refresh();
  for (const each of document.querySelectorAll(".views button")) each.addEventListener("click", () => (setting("view", each.dataset.view), refresh()));
  for (const each of document.querySelectorAll(".filters button")) each.addEventListener("click", () => onlyState(each.dataset.state ?? null));
  find.addEventListener("input", () => seek(find.value));
  one(".nothing button").addEventListener("click", () => (showAll(), find.focus()));
  one(".export").addEventListener("click", openPicks);
  one(".help").addEventListener("click", openKeys);
  focus.dialog.addEventListener("cancel", (event) => handled(event, () => focus.close()));
  focus.dialog.addEventListener("close", () => focus.closed());
  document.addEventListener("keydown", onKey);
  for (const real of ["pointermove", "pointerdown", "wheel"]) addEventListener(real, () => (keyed = false), { capture: true, passive: true });
  addEventListener("storage", ({ key }) => key === picks.shelf && elsewhere());
  new ResizeObserver(() => sheet.clientWidth !== laidOut && layOutInPlace()).observe(sheet);
  addEventListener("beforeprint", () => {
    lines.unroll(MOST_ON_PAPER);
    one(".on-paper").textContent = beyondPaper();
  });
  addEventListener("afterprint", () => lines.render());
}

/* Nobody must take the last page for the last clip. */
function beyondPaper() {
  if (lines.lines.length <= MOST_ON_PAPER) return "";
  const printed = [...lines.nodes.keys()].flatMap((number) => clipsOf(lines.lines[number])).filter((clip) => !clip.final).length;
  return `${format(printed)} of ${format(shown.length)} clips are on paper. Filter the page to print others.`;
}

begin();
