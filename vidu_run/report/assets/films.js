/* The films of the spec: what each is made of, how it plays, and which take stands for a segment. */

const NARROWEST = 84;
const NARROWEST_TAKE = 184;
const NEAR = 600;
const MOST_NAMED = 3;

/* Pieces in a row that scrolls sideways, of which only those in sight and near it exist. */
class Row {
  constructor(box, build, gone) {
    Object.assign(this, { box, build, gone, inner: box.firstElementChild, lefts: [0], nodes: new Map(), waiting: false });
    box.addEventListener("scroll", () => this.later(), { passive: true });
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => ((this.waiting = false), this.render()));
  }

  set(widths) {
    for (const number of [...this.nodes.keys()]) this.remove(number);
    this.size(widths);
  }

  size(widths) {
    this.lefts = [0];
    for (const width of widths) this.lefts.push(this.lefts.at(-1) + width);
    this.inner.style.width = `${this.lefts.at(-1)}px`;
    for (const [number, node] of this.nodes) this.place(number, node);
    this.render();
  }

  place(number, node) {
    node.style.left = `${this.lefts[number]}px`;
    node.style.width = `${this.lefts[number + 1] - this.lefts[number]}px`;
  }

  at(offset) {
    let [low, high] = [0, this.lefts.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lefts[middle + 1] <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  render() {
    const { scrollLeft, clientWidth } = this.box;
    const from = this.at(Math.max(0, scrollLeft - NEAR));
    const until = Math.min(this.lefts.length - 1, this.at(scrollLeft + clientWidth + NEAR) + 1);
    for (const [number, node] of this.nodes) if ((number < from || number >= until) && !node.contains(document.activeElement)) this.remove(number);
    for (let number = from; number < until; number++) this.need(number);
  }

  need(number) {
    if (this.nodes.has(number)) return this.nodes.get(number);
    const node = this.build(number);
    this.place(number, node);
    const after = [...this.nodes.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
    this.inner.insertBefore(node, this.nodes.get(after) ?? null);
    this.nodes.set(number, node);
    return node;
  }

  remove(number) {
    const node = this.nodes.get(number);
    this.nodes.delete(number);
    this.gone?.(node);
    node.remove();
  }

  bring(number) {
    const [left, right] = [this.lefts[number], this.lefts[number + 1]];
    if (left < this.box.scrollLeft) this.box.scrollLeft = left;
    else if (right > this.box.scrollLeft + this.box.clientWidth) this.box.scrollLeft = Math.min(left, right - this.box.clientWidth);
    this.render();
    return this.need(number);
  }
}

/* A film plays as a clip does; its video is there once it is asked for. */
class Screening extends Stage {
  constructor(film, screenOf, shown) {
    super(screenOf, shown);
    this.film = film;
    this.loop = false;
  }

  get duration() {
    return this.empty ? this.film.duration : super.duration;
  }

  open() {
    if (this.empty) this.show([this.film]);
  }

  play() {
    if (stage.playing) stage.pause();
    films.pause(this);
    this.open();
    super.play();
  }

  seek(time) {
    this.open();
    super.seek(time);
  }
}

/* As the command chooses: most stars; without any the first that was not rejected. */
function takeOf(takes, of = (clip) => picks.of(clip)) {
  let [best, most, first] = [null, 0, null];
  for (const clip of takes) {
    const given = of(clip).stars;
    if (given > most) [best, most] = [clip, given];
    if (first === null && given !== REJECTED) first = clip;
  }
  return best ?? first ?? takes[0];
}

function whyOf({ takes, chosen: clip }) {
  const said = picks.of(clip);
  if (said.stars > 0) return verdict(said);
  if (said.stars === REJECTED) return "rejected, as all of them are";
  return takes.length > 1 ? `the first of ${takes.length}` : "the only one";
}

const ofFile = (clip) => picks.inFile.get(clip.key) ?? NOTHING;
const absent = new Set((page.absent ?? []).map((row) => clips[row]));
const isHere = (clip) => clip.state === "done" && !absent.has(clip);

class Film {
  constructor(told, first) {
    this.told = told;
    this.segments = told.segments.map(([rows, made, start], index) => {
      const takes = rows.map((row) => clips[row]);
      return { index, takes, made: made === null || made === undefined ? null : clips[made], start, filed: takeOf(takes, ofFile), chosen: takeOf(takes) };
    });
    this.inOrder = this.segments.filter(({ start }) => start !== null).sort((one, other) => one.start - other.start);
    this.selected = 0;
    this.playing = null;
    this.cells = new Map();
    this.node = el("details", { class: "film", open: first, toggle: () => (this.node.open ? this.build() : this.stage?.pause()) }, el("summary", null, el("h2", null, el("bdi", null, told.name)), el("span", { class: "length" }, this.length()), (this.chip = el("span", { class: "state" }))));
    this.tell();
  }

  length() {
    const { seconds, segments } = this.told;
    return [count(segments.length, "segment"), seconds === null ? null : span(seconds)].filter(Boolean).join(", ");
  }

  get missing() {
    return this.segments.filter(({ chosen: clip }) => !isHere(clip)).map(({ chosen: clip }) => clip);
  }

  get current() {
    return this.told.same_cut && this.segments.every(({ chosen: clip, made }) => clip === made);
  }

  /* The parts are made when the film is first seen unfolded. */
  build() {
    if (this.body) return;
    const { name, file: href } = this.told;
    this.strip = new Row(el("div", { class: "strip-of-segments" }, el("div", { role: "tablist", "aria-label": `Segments of ${name}`, keydown: (event) => this.onStrip(event) })), (number) => this.tab(number));
    this.mark = el("span", { class: "playhead", "aria-hidden": "true", hidden: true });
    this.strip.box.append(this.mark);
    this.row = new Row(el("div", { class: "row-of-takes" }, el("div", { role: "list" })), (number) => this.take(number), (node) => this.left(node));
    this.about = el("p", { class: "stands" });
    this.panel = el("div", { class: "takes", role: "tabpanel", id: `takes-${films.all.indexOf(this)}` }, this.about, this.row.box);
    this.advice = el("div", { class: "next-step", role: "status" });
    const bench = el("div", { class: "bench" }, this.strip.box, this.panel, this.advice);
    this.body = el("div", { class: "cutting" }, href ? this.player() : this.blank(), bench, el("ol", { class: "cut-on-paper" }));
    this.node.append(this.body);
    let width = 0;
    new ResizeObserver(() => bench.clientWidth !== width && ((width = bench.clientWidth), this.layOut())).observe(bench);
    width = bench.clientWidth;
    this.layOut();
    this.select(0);
    this.tell();
  }

  /* The film itself. */

  player() {
    const { name, file: href, seconds } = this.told;
    const film = { name, file: file(href), poster: this.segments[0].made?.poster ?? this.segments[0].chosen.poster, duration: seconds };
    const start = button(`Play the film ${name}`, { class: "start", click: () => (this.stage.play(), one(".tool", this.tools).focus({ preventScroll: true })) }, icon("play"));
    this.screen = el("div", { class: "screen", click: ({ target }) => !target.closest("button") && !this.stage.empty && this.stage.toggle() }, film.poster ? picture(film.poster, "", "poster") : null, start);
    this.stage = new Screening(film, () => this.screen, () => {
      start.hidden = !this.stage.empty;
      this.tools.show();
      this.follow(this.stage.empty ? null : this.stage.time);
    });
    const whole = document.fullscreenEnabled ? button("Fill the screen", { class: "tool", click: () => (document.fullscreenElement ? document.exitFullscreen() : this.theatre.requestFullscreen().catch(() => {})) }, icon("whole")) : null;
    this.tools = transport(this.stage, whole);
    this.tools.show();
    this.theatre = el("div", { class: "theatre", role: "group", "aria-label": `Player of ${name}` }, this.screen, this.tools);
    return el("div", { class: "player" }, this.theatre, el("p", { class: "film-file" }, link(film.file)));
  }

  blank() {
    const image = this.segments[0]?.chosen.first?.image ?? this.segments[0]?.chosen.poster;
    return el("div", { class: "player" }, el("div", { class: "screen" }, image ? el("span", { class: "unexposed" }, picture(image, "", "half")) : null, el("span", { class: "why" }, "Not made yet")));
  }

  /* Which segment is seen, and how far it is. */
  follow(time) {
    const at = time === null ? -1 : this.inOrder.findLastIndex(({ start }) => start <= time + 1e-6);
    const segment = this.inOrder[at] ?? null;
    if (segment !== this.playing) {
      this.playing = segment;
      for (const number of this.strip.nodes.keys()) this.drawTab(number);
      if (segment && this.stage.playing && !this.strip.box.matches(":hover, :focus-within")) this.strip.bring(segment.index);
    }
    this.mark.hidden = !segment;
    if (!segment) return;
    const until = this.inOrder[at + 1]?.start ?? this.told.seconds;
    const part = Math.min(1, (time - segment.start) / Math.max(0.001, until - segment.start));
    const [left, right] = [this.strip.lefts[segment.index], this.strip.lefts[segment.index + 1]];
    this.mark.style.transform = `translateX(${left + part * (right - left)}px)`;
  }

  /* The strip. */

  layOut() {
    const wide = this.strip.box.clientWidth;
    if (!wide) return;
    const lengths = this.segments.map(({ chosen: clip }) => clip.duration || 1);
    const [whole, least] = [lengths.reduce((sum, one) => sum + one, 0), lengths.reduce((min, one) => Math.min(min, one))];
    const scale = Math.max(wide / whole, NARROWEST / least);
    this.strip.size(lengths.map((length) => length * scale));
    if (this.row.lefts.length > 1) this.row.size(this.widths());
    this.follow(!this.stage || this.stage.empty ? null : this.stage.time);
  }

  /* Few takes are larger; of many the row shows where it goes on. */
  widths() {
    const { takes } = this.segments[this.selected];
    this.cell = Math.min(440, Math.max(NARROWEST_TAKE, this.row.box.clientWidth / Math.min(5.3, Math.max(3, takes.length))));
    return takes.map(() => this.cell);
  }

  tab(number) {
    const tab = el("button", { type: "button", role: "tab", class: "segment", "aria-controls": this.panel.id, "aria-posinset": number + 1, "aria-setsize": this.segments.length, click: () => this.turnTo(number) });
    this.drawTab(number, tab);
    return tab;
  }

  drawTab(number, tab = this.strip?.nodes.get(number)) {
    if (!tab) return;
    const segment = this.segments[number];
    const { chosen: clip, takes } = segment;
    const given = picks.of(clip).stars;
    const image = clip.poster ?? clip.first?.image;
    if (tab.clip !== clip) {
      tab.clip = clip;
      tab.replaceChildren(
        ...[image ? picture(image, "", null, 110) : null, el("span", { class: "number" }, String(number + 1)), el("span", { class: "words" }, el("bdi", null, clip.name), el("span", { class: "given" }))].filter(Boolean),
      );
    }
    one(".given", tab).textContent = given > 0 ? stars(given) : isHere(clip) ? count(takes.length, "take") : word(clip.state);
    one(".given", tab).classList.toggle("starred", given > 0);
    const selected = number === this.selected;
    put(tab, "aria-selected", String(selected));
    put(tab, "tabindex", selected ? "0" : "-1");
    tab.classList.toggle("now", segment === this.playing);
    tab.classList.toggle("waiting", !isHere(clip));
    tab.classList.toggle("other", this.told.file !== null && clip !== segment.made);
    put(tab, "aria-label", [`Segment ${number + 1}: ${clip.name}`, whyOf(segment), isHere(clip) ? null : word(clip.state)].filter(Boolean).join(", "));
    tab.title = clip.name;
  }

  turnTo(number) {
    this.select(number);
    const { start, chosen: clip } = this.segments[number];
    activate(clip);
    if (this.stage && start !== null) this.stage.seek(start + FRAME / 4);
  }

  onStrip(event) {
    const to = { ArrowLeft: this.selected - 1, ArrowRight: this.selected + 1, Home: 0, End: this.segments.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const number = Math.min(this.segments.length - 1, Math.max(0, to));
    if (this.stage && !this.stage.empty) this.turnTo(number);
    else (this.select(number), activate(this.segments[number].chosen));
    this.strip.bring(number).focus({ preventScroll: true });
  }

  /* The takes of one segment. */

  select(number) {
    const before = this.selected;
    this.selected = number;
    this.drawTab(before);
    this.strip.bring(number);
    this.drawTab(number);
    this.row.box.scrollLeft = 0;
    this.row.set(this.widths());
    this.row.bring(this.segments[number].takes.indexOf(this.segments[number].chosen));
    this.drawAbout();
  }

  take(number) {
    const segment = this.segments[this.selected];
    const clip = segment.takes[number];
    const choose = el("button", { type: "button", class: "plain use", click: () => this.use(segment, clip) });
    const label = clip.seed === null ? clip.name : `seed ${clip.seed}`;
    const cell = el(
      "div",
      { class: "cell", role: "listitem", "data-state": clip.state, ...pointing(clip), focusin: () => activate(clip) },
      screen(clip, this.cell, false),
      el("div", { class: "caption" }, el("bdi", { class: "label", title: clip.name }, label), clip.state === "done" ? null : el("span", { class: "state" }, word(clip.state)), rating(clip, true)),
      segment.takes.length > 1 ? choose : null,
    );
    cell.clip = clip;
    this.cells.set(clip, cell);
    this.drawTake(segment, clip);
    return cell;
  }

  left(cell) {
    if (hover.clip === cell.clip) hover.leave();
    this.cells.delete(cell.clip);
  }

  drawTake(segment, clip) {
    const cell = this.cells.get(clip);
    if (!cell) return;
    const stands = segment.chosen === clip;
    cell.classList.toggle("stands-for-it", stands);
    markAs(cell, clip);
    const choose = one(".use", cell);
    if (!choose) return;
    put(choose, "aria-pressed", String(stands));
    put(choose, "aria-label", `${stands ? "Chosen take" : "Use this take"}: ${clip.name}`);
    choose.replaceChildren(...(stands ? [icon("check"), "Chosen take"] : ["Use this take"]));
  }

  drawAbout() {
    const segment = this.segments[this.selected];
    const { chosen: clip, made } = segment;
    const other = this.told.file !== null && made && made !== clip ? [" The film has ", el("bdi", null, made.name), "."] : [];
    put(this.panel, "aria-label", `Takes of segment ${this.selected + 1}`);
    this.about.replaceChildren(el("b", null, `Segment ${this.selected + 1} of ${this.segments.length}`), " ", el("bdi", null, clip.name), `, ${whyOf(segment)}.`, ...other);
  }

  use(segment, clip) {
    if (segment.chosen === clip) {
      say(`${clip.name} is the chosen take`);
      return;
    }
    const equals = segment.takes.filter((take) => take !== clip && picks.of(take).stars === 5);
    const changes = [[clip, { stars: 5 }], ...equals.map((take) => [take, { stars: 4 }])];
    picks.setAll(changes);
    changes.forEach(([changed]) => judged(changed, true));
    say(`${clip.name} is the take of segment ${segment.index + 1} now`);
  }

  /* What somebody may have to do, and with what. */

  tell() {
    const { missing, current } = this;
    const made = this.told.file !== null;
    const [state, words] = current ? ["done", "made"] : missing.length ? ["submitted", `waits for ${count(missing.length, "clip")}`] : made ? ["in_doubt", this.others ? "made of other takes" : "made otherwise"] : ["planned", "not made yet"];
    this.chip.dataset.state = state;
    this.chip.textContent = words;
    if (!this.body) return;
    const unsaved = this.segments.some(({ chosen: clip, filed }) => clip !== filed);
    this.advice.replaceChildren(...this.steps(missing, current, made, unsaved));
  }

  steps(missing, current, made, unsaved) {
    const save = unsaved ? button("Picks…", { class: "plain", click: openPicks, "aria-haspopup": "dialog" }, "Picks…") : null;
    if (current && !unsaved) return [];
    if (current) return [el("p", null, "Made of the chosen takes; ", el("bdi", null, page.picks_file), " does not name them yet, and the next run would make it of others. ", save)];
    if (missing.length) return [el("p", null, ...this.waiting(missing, made))];
    const why = made ? this.past : "All of its clips are there.";
    const how = unsaved ? "Export the picks, put them beside the spec, and run:" : made ? "Make it again:" : "Make it:";
    return [el("p", null, `${why} ${how}`), el("div", { class: "do" }, save, command(page.film))];
  }

  get others() {
    return this.segments.some(({ chosen: clip, made }) => clip !== made);
  }

  get past() {
    return this.others ? "Made of other takes than those chosen now." : "Made otherwise than the spec asks for now.";
  }

  waiting(missing, made) {
    const few = missing.slice(0, MOST_NAMED).flatMap((clip, at) => [at ? ", " : "", el("bdi", null, clip.name)]);
    const more = missing.length > MOST_NAMED ? ` and ${missing.length - MOST_NAMED} more` : "";
    const begins = made ? `${this.past} It is made again` : "It is made";
    return [`${begins} when ${missing.length === 1 ? "this clip is" : "these clips are"} there: `, ...few, more, "."];
  }

  /* A verdict changed. */
  redraw(segment) {
    segment.chosen = takeOf(segment.takes);
    this.drawTab(segment.index);
    if (segment.index !== this.selected || !this.body) return;
    for (const clip of segment.takes) this.drawTake(segment, clip);
    this.drawAbout();
  }

  print() {
    const lines = this.body ? this.segments.slice(0, MOST_ON_PAPER) : [];
    if (this.body) one(".cut-on-paper", this.body).replaceChildren(...lines.map((segment) => el("li", null, el("bdi", null, segment.chosen.name), `, ${whyOf(segment)}`)));
  }
}

Object.assign(films, {
  all: [],
  places: new Map(),

  begin() {
    this.all = page.films.map((told, at) => new Film(told, at === 0));
    for (const film of this.all) {
      for (const segment of film.segments) {
        for (const clip of segment.takes) {
          if (!this.places.has(clip)) this.places.set(clip, []);
          this.places.get(clip).push([film, segment]);
        }
      }
    }
    document.documentElement.style.setProperty("--aspect", page.aspect);
    one(".films").append(...this.all.map(({ node }) => node));
    this.all[0].build();
    addEventListener("beforeprint", () => this.all.forEach((film) => film.print()));
  },

  marked(clip) {
    for (const [film] of this.places.get(clip) ?? []) if (film.cells.has(clip)) markAs(film.cells.get(clip), clip);
  },

  judged(clip) {
    for (const [film, segment] of this.places.get(clip) ?? []) {
      film.redraw(segment);
      film.tell();
    }
  },

  redrawn() {
    for (const film of this.all) {
      film.segments.forEach((segment) => film.redraw(segment));
      film.tell();
    }
  },

  pause(but = null) {
    for (const { stage: each } of this.all) if (each && each !== but && each.playing) each.pause();
  },

  /* The film that keys speak of. */
  live() {
    return this.all.find(({ stage: each, node }) => each && (each.playing || (node.contains(document.activeElement) && !each.empty)))?.stage ?? null;
  },

  place(clip) {
    return (this.places.get(clip) ?? []).map(([film]) => film.cells.get(clip)).find((cell) => cell?.isConnected) ?? null;
  },

  holds: (node) => Boolean(node?.closest(".films")),

  /* From take to take, where the keys are among them. */
  step(by) {
    const film = this.all.find(({ row }) => row?.box.contains(document.activeElement));
    if (!film) return false;
    const { takes } = film.segments[film.selected];
    const at = [...film.row.nodes].find(([, node]) => node.contains(document.activeElement))[0];
    one(".open", film.row.bring(Math.min(takes.length - 1, Math.max(0, at + by)))).focus({ preventScroll: true });
    return true;
  },
});
