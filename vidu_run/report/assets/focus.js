/* One clip from close by, or several side by side, in a dialog over the page. */

const focus = {
  dialog: one("dialog.focus"),
  clips: [],
  current: null,
  opener: null,
  stage: null,
  bar: null,
  screens: new Map(),
  ends: [],

  get open() {
    return this.dialog.open;
  },

  show(chosenClips) {
    if (!this.dialog.open) this.opener = document.activeElement.closest(".films .open");
    this.leaveEnds();
    this.stage?.close();
    this.clips = chosenClips;
    this.current = chosenClips.find((clip) => !clip.final) ?? chosenClips[0];
    this.screens = new Map(chosenClips.map((clip) => [clip, this.screen(clip)]));
    this.stage = new Stage((clip) => this.screens.get(clip), () => this.heard());
    this.bar = transport(this.stage);
    this.draw();
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    this.stage.show(chosenClips);
    if (!calm.matches) this.stage.play();
    (one(".bar-of-tools button", this.dialog) ?? one(".close", this.dialog)).focus({ preventScroll: true });
  },

  heard() {
    if (this.stage.playing && this.ends.length) this.leaveEnds();
    this.bar.show();
  },

  close() {
    this.dialog.close();
    this.closed();
  },

  /* At once, and once: the browser tells of it a moment later, when fast fingers have gone on. */
  closed() {
    if (this.dialog.open || !this.clips.length) return;
    this.clips = [];
    this.leaveEnds();
    this.stage?.close();
    this.dialog.replaceChildren();
    if (this.opener?.isConnected) this.opener.focus({ preventScroll: true });
    else if (this.current) reach(this.current.final ?? this.current);
  },

  screen(clip) {
    return el("div", { class: "screen", click: () => clip.file && this.stage.toggle() }, cover(clip));
  },

  draw() {
    const [clip] = this.clips;
    const alone = this.clips.length === 1;
    const order = shownClips();
    const place = order.indexOf(clip.final ?? clip);
    const parts = [
      el(
        "header",
        null,
        el("h2", null, alone ? el("bdi", null, clip.name) : `${this.clips.length} clips side by side`),
        alone && clip.state !== "done" ? el("span", { class: "state", "data-state": clip.state }, word(clip.state)) : null,
        place >= 0 ? el("span", { class: "place" }, `${place + 1} of ${order.length}`) : null,
        el("span", { class: "gap" }),
        alone && clip.file ? button("Compare its ends with the frames", { class: "plain ends-of-it", "aria-pressed": "false", click: (event) => this.toggleEnds(event.currentTarget) }, "Ends") : null,
        button("Previous", { class: "tool", click: () => this.go(-1) }, icon("previous")),
        button("Next", { class: "tool", click: () => this.go(1) }, icon("next")),
        button("Close", { class: "tool close", click: () => this.close() }, icon("cross")),
      ),
      el("div", { class: "room", "data-clips": String(this.clips.length) }, this.clips.map((each) => this.figure(each, alone))),
      this.clips.some((each) => each.file) ? el("div", { class: "strip" }, end(clip.first, "First frame", clip), this.bar, end(this.clips.at(-1).last, "Last frame", clip)) : null,
      this.clips[0].final ? el("div", { class: "room remark", "data-clips": "2" }, el("div", { class: "unfilled" }), this.note(this.current)) : null,
      alone ? this.words(clip) : this.differences(),
    ];
    this.dialog.replaceChildren(...parts.filter(Boolean));
    this.bar.show();
  },

  figure(clip, alone) {
    const screenBox = this.screens.get(clip);
    if (alone) return el("figure", null, screenBox);
    const name = el("bdi", null, clip.final ? `draft of ${clip.name}` : clip.name);
    const figure = el("figure", { click: () => this.turnTo(clip) }, screenBox, el("figcaption", null, name, clip.final ? null : rating(clip, false)));
    figure.classList.toggle("current", clip === this.current);
    return figure;
  },

  turnTo(clip) {
    if (clip.final) return;
    this.current = clip;
    [...this.dialog.querySelectorAll("figure")].forEach((figure, at) => figure.classList.toggle("current", this.clips[at] === clip));
  },

  /* A step through what the page shows; beside a held clip only the other one changes. */
  go(step) {
    const order = shownClips();
    const at = order.indexOf(this.current.final ?? this.current);
    const next = order[Math.min(order.length - 1, Math.max(0, at + step))];
    if (!next || next === this.current) return;
    activate(next);
    if (this.clips.length === 2 && !this.clips[0].final && next !== this.clips[0]) this.show([this.clips[0], next]);
    else this.show(withDraft(next));
    if (this.clips.length === 2) this.turnTo(next);
  },

  marked(clip) {
    for (const box of this.dialog.querySelectorAll(".rating")) box.show();
    const note = one(".noted textarea", this.dialog);
    if (note && note !== document.activeElement && clip === this.current) note.value = picks.of(clip).note;
  },

  words(clip) {
    const hint = advice(clip.hint);
    return el(
      "div",
      { class: "about" },
      el("div", { class: "verdict" }, rating(clip, false), this.note(clip)),
      el(
        "div",
        { class: "told" },
        clip.error ? el("p", { class: "error", "data-state": clip.state, dir: "auto" }, clip.error) : null,
        hint.length ? el("div", { class: "hint" }, hint) : null,
        clip.prompt ? el("p", { class: "prompt", dir: "auto" }, clip.prompt) : null,
        el("ul", { class: "chips", "aria-label": "Axes" }, labelsOf(clip).map(([axis, label]) => el("li", null, el("span", null, axis), " ", el("bdi", null, label)))),
        this.history(clip),
      ),
      el("div", { class: "papers" }, papers(clip), el("pre", { tabindex: "0", "aria-label": "The request" }, clip.request)),
    );
  },

  note(clip) {
    let editing = null;
    const area = el("textarea", { rows: "2", maxlength: LONGEST_NOTE, placeholder: "A note", "aria-label": `Note on ${clip.name}`, focus: () => (editing = {}), input: () => annotate(clip, area.value, editing) });
    area.value = picks.of(clip).note;
    return el("div", { class: "noted" }, area);
  },

  history(clip) {
    const lines = [...(clip.history ?? [])].map(([state, posted, finished, task, error]) => el("li", null, el("span", { class: "state", "data-state": state }, word(state)), ` sent ${moment(posted)}`, finished ? `, ended after ${span(finished - posted)}` : "", task ? [", task ", el("bdi", null, task)] : null, error ? [": ", el("bdi", null, error)] : null));
    const price = clip.credits === null ? "no known price" : `${count(clip.credits, "credit")}${page.usd === null ? "" : `, $${(clip.credits * page.usd).toFixed(2)}`}`;
    const cost = page.rehearsal ? `Nothing spent on this rehearsal. Bought: ${price}` : clip.credits === null ? price : `${price}${clip.charged ? " charged" : " by the price list"}`;
    return el("div", { class: "history" }, el("h3", null, "History and cost"), lines.length ? el("ol", null, lines) : el("p", null, clip.state === "planned" ? "Not sent yet." : "Delivered before: the list of deliveries tells no more."), el("p", null, cost));
  },

  /* What tells the clips apart, and nothing they share. */
  differences() {
    const shownOf = (clip) => new Map([...labelsOf(clip), ["model", clip.model], ["resolution", clip.resolution], ["duration", clip.duration && `${clip.duration} s`], ["seed", clip.seed], ["prompt", clip.prompt], ["credits", clip.credits]]);
    const tables = this.clips.map(shownOf);
    const names = [...new Set(tables.flatMap((table) => [...table.keys()]))].filter((name) => new Set(tables.map((table) => String(table.get(name) ?? ""))).size > 1);
    const column = (table) => el("dl", null, names.map((name) => el("div", null, el("dt", null, name), el("dd", { dir: "auto" }, String(table.get(name) ?? "–")))));
    return el("div", { class: "room differences", role: "region", "aria-label": "What tells them apart", "data-clips": String(this.clips.length) }, names.length ? tables.map(column) : el("p", null, "Nothing in their requests tells them apart."));
  },

  /* The clip's own first and last picture between the frames it was asked to begin and end with. */
  toggleEnds(pressed) {
    if (this.ends.length) {
      this.leaveEnds();
      return;
    }
    const [clip] = this.clips;
    this.stage.pause();
    pressed.setAttribute("aria-pressed", "true");
    const frozen = (atEnd) => {
      const video = videoOf(clip, true);
      video.onloadedmetadata = () => (video.currentTime = atEnd ? Math.max(0, video.duration - FRAME / 2) : 0);
      this.ends.push(video);
      return video;
    };
    const frame = (given) => (given?.image ? picture(given.href, "", "poster") : el("span", { class: "why" }, given ? "on the web" : "none"));
    const part = (name, ...inside) => el("figure", { class: "small" }, el("div", { class: "screen" }, inside), el("figcaption", null, name));
    one(".room", this.dialog).append(
      el("div", { class: "four" }, part("First frame", frame(clip.first)), part("The clip begins", frozen(false)), part("Last frame", frame(clip.last)), part("The clip ends", frozen(true))),
    );
    one(".room", this.dialog).classList.add("with-ends");
  },

  leaveEnds() {
    this.ends.forEach(drop);
    this.ends = [];
    one(".ends-of-it", this.dialog)?.setAttribute("aria-pressed", "false");
    one(".four", this.dialog)?.remove();
    one(".room", this.dialog)?.classList.remove("with-ends");
  },
};

function end(frame, label, clip) {
  if (!frame) return el("span", { class: "end" });
  const place = { class: "end", href: frame.href, title: `${label}: ${frame.name}`, target: "_blank", rel: "noreferrer noopener", "aria-label": `${label} of ${clip.name}` };
  if (frame.image) return el("a", place, picture(frame.image, "", null, 120));
  return el("a", place, /^https:/i.test(frame.href) ? "web ↗" : "file");
}

function papers(clip) {
  const rows = [
    ["Made with", facts(clip).join(" · ")],
    ["File", clip.file && [link(clip.file), clip.bytes ? ` ${size(clip.bytes)}` : ""]],
    ["First", clip.first && link(clip.first)],
    ["Last", clip.last && link(clip.last)],
    ["Task", clip.task_id && el("bdi", null, clip.task_id)],
    ["Key", clip.key],
    ["SHA-256", clip.sha256],
    ["Draft", clip.draft && link(file(clip.draft.file))],
  ].filter(([, value]) => value);
  return el("dl", null, rows.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value))));
}

const withDraft = (clip) => [draftOf(clip), clip].filter(Boolean);
