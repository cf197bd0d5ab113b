/* Playing clips together. Video elements exist only for what plays or is about to: never one for each clip. */

const MOST_AT_ONCE = 16;
const DRIFT = 0.06;
const JUMP = 0.35;
const FRAME = 1 / 24;

function videoOf(clip, muted) {
  const video = el("video", { src: clip.file.href, poster: clip.poster, playsinline: true, preload: "auto", "aria-label": `Video of ${clip.name}`, tabindex: "-1" });
  video.muted = muted;
  return video;
}

function drop(video) {
  video.onerror = null;
  video.pause();
  video.removeAttribute("src");
  video.load();
  video.remove();
}

const broken = (clip) => el("p", { class: "broken" }, "This video could not be opened: ", el("bdi", null, clip.file.name));

/* Some clips with one clock: the longest leads, the others keep up with it, and each stays on its last frame at its end. */
class Stage {
  constructor(screenOf, shown) {
    this.screenOf = screenOf;
    this.shown = shown;
    this.clips = [];
    this.videos = new Map();
    this.broken = new Set();
    this.time = 0;
    this.playing = false;
    this.loop = settings.loop;
    this.title = "";
    this.frame = 0;
    this.tick = this.tick.bind(this);
  }

  get empty() {
    return this.clips.length === 0;
  }

  get duration() {
    const lengths = this.clips.filter((clip) => !this.broken.has(clip)).map((clip) => this.videos.get(clip)?.duration || clip.duration || 0);
    return Math.max(0.1, ...lengths.filter(Number.isFinite));
  }

  has(clip) {
    return this.clips.includes(clip);
  }

  show(chosen, title = "") {
    const playable = chosen.filter((clip) => clip?.file).slice(0, MOST_AT_ONCE);
    for (const clip of this.clips) if (!playable.includes(clip) || this.broken.has(clip)) this.detach(clip);
    this.broken.clear();
    this.clips = playable;
    this.title = title;
    this.time = 0;
    playable.forEach((clip) => this.attach(clip));
    this.shown(this);
  }

  close() {
    this.playing = false;
    this.show([]);
  }

  /* What is no longer on the page ends; the rest goes on. */
  narrow(stays) {
    const left = this.clips.filter(stays);
    if (left.length === this.clips.length) return;
    this.clips.filter((clip) => !left.includes(clip)).forEach((clip) => this.detach(clip));
    this.clips = left;
    if (this.empty) this.playing = false;
    this.sound();
    this.shown(this);
  }

  /* Also for a screen that scrolled away and came back. */
  attach(clip) {
    const screen = this.screenOf(clip);
    if (!screen || !this.has(clip)) return;
    if (this.broken.has(clip)) {
      if (!one(".broken", screen)) screen.append(broken(clip));
      return;
    }
    let video = this.videos.get(clip);
    if (!video) {
      video = videoOf(clip, settings.muted || clip !== this.clips[0]);
      video.onerror = () => this.fail(clip, video);
      video.onloadedmetadata = () => (this.place(video, this.time), this.shown(this));
      this.videos.set(clip, video);
    }
    if (video.parentNode !== screen) screen.append(video);
    this.place(video, this.time);
    if (this.playing) video.play().catch(() => {});
  }

  detach(clip) {
    const video = this.videos.get(clip);
    this.videos.delete(clip);
    if (video) drop(video);
    for (const note of this.screenOf(clip)?.querySelectorAll(".broken") ?? []) note.remove();
  }

  fail(clip, video) {
    this.videos.delete(clip);
    drop(video);
    this.broken.add(clip);
    this.attach(clip);
    if (this.broken.size === this.clips.length) this.playing = false;
    this.shown(this);
  }

  place(video, time) {
    if (!video.duration) return;
    const wanted = Math.min(time, Math.max(0, video.duration - FRAME / 2));
    if (Math.abs(video.currentTime - wanted) > FRAME / 4) video.currentTime = wanted;
  }

  play() {
    if (this.broken.size === this.clips.length) return;
    if (this.time > this.duration - FRAME) this.seek(0);
    this.playing = true;
    for (const video of this.videos.values()) video.play().catch(() => {});
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(this.tick);
    this.shown(this);
  }

  pause() {
    this.playing = false;
    for (const video of this.videos.values()) {
      video.pause();
      video.playbackRate = 1;
      this.place(video, this.time);
    }
    this.shown(this);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  seek(time) {
    this.time = Math.min(Math.max(0, time), this.duration);
    for (const video of this.videos.values()) this.place(video, this.time);
    this.shown(this);
  }

  step(frames) {
    if (this.playing) this.pause();
    this.seek(Math.round(this.time / FRAME + frames) * FRAME);
  }

  sound() {
    this.clips.forEach((clip, at) => {
      const video = this.videos.get(clip);
      if (video) video.muted = settings.muted || at > 0;
    });
  }

  leader() {
    const videos = [...this.videos.values()].filter((video) => video.duration);
    return videos.reduce((longest, video) => (longest && longest.duration >= video.duration ? longest : video), null);
  }

  tick() {
    if (!this.playing) return;
    const leader = this.leader();
    if (leader) {
      this.time = leader.currentTime;
      if (leader.ended) this.over();
      else for (const video of this.videos.values()) if (video !== leader) this.follow(video);
      this.shown(this);
    }
    this.frame = requestAnimationFrame(this.tick);
  }

  over() {
    if (!this.loop) {
      this.time = this.duration;
      this.pause();
      return;
    }
    this.time = 0;
    for (const video of this.videos.values()) {
      video.currentTime = 0;
      video.play().catch(() => {});
    }
  }

  /* A clip that lags a little runs a little faster; one that is far off jumps. */
  follow(video) {
    if (video.ended || video.seeking || !video.duration) return;
    const off = video.currentTime - this.time;
    if (Math.abs(off) > JUMP) this.place(video, this.time);
    else video.playbackRate = Math.abs(off) > DRIFT ? (off > 0 ? 0.9 : 1.1) : 1;
    if (video.paused) video.play().catch(() => {});
  }
}

/* Play, loop, step and scrub for a stage. */
function transport(stage, ...more) {
  const play = button("Play", { class: "tool", click: () => stage.toggle() }, icon("play"));
  const loop = button("Loop", { class: "tool", click: () => setting("loop", (stage.loop = !stage.loop), stage) }, icon("loop"));
  const sound = button("Sound", { class: "tool", click: () => (setting("muted", !settings.muted, stage), stage.sound()) }, icon("sound"));
  const scrub = el("input", { type: "range", class: "scrub", min: "0", step: "0.001", "aria-label": "Position", input: () => scrubbed(stage, Number(scrub.value)) });
  const back = button("One frame back", { class: "tool", click: () => stage.step(-1) }, icon("back"));
  const on = button("One frame on", { class: "tool", click: () => stage.step(1) }, icon("on"));
  const clock = el("span", { class: "clock" });
  const title = el("bdi", { class: "playing" });
  const bar = el("div", { class: "bar-of-tools" }, play, back, on, scrub, clock, loop, sound, title, ...more);
  bar.show = () => {
    play.classList.toggle("running", stage.playing);
    for (const name of ["aria-label", "title"]) put(play, name, stage.playing ? "Pause" : "Play");
    put(loop, "aria-pressed", String(stage.loop));
    put(sound, "aria-pressed", String(!settings.muted));
    put(scrub, "max", String(stage.duration));
    scrub.value = String(stage.time);
    scrub.style.setProperty("--at", stage.time / stage.duration);
    const digits = stage.playing ? 0 : 2;
    const told = `${stage.time.toFixed(digits)} of ${stage.duration.toFixed(digits)} seconds`;
    put(scrub, "aria-valuetext", told);
    clock.textContent = `${stage.time.toFixed(2)} / ${stage.duration.toFixed(2)} s`;
    if (title.textContent !== stage.title) title.textContent = stage.title;
  };
  return bar;
}

function scrubbed(stage, time) {
  stage.pause();
  stage.seek(time);
}

/* One clip plays while the mouse is on it. */
const hover = {
  clip: null,
  video: null,
  timer: 0,

  enter(clip, screen) {
    if (clip === this.clip || !clip.file || calm.matches) return;
    this.leave();
    this.clip = clip;
    this.timer = setTimeout(() => {
      this.video = videoOf(clip, true);
      this.video.classList.add("hovering");
      this.video.loop = true;
      this.video.onerror = () => (drop(this.video), (this.video = null));
      screen.append(this.video);
      this.video.play().catch(() => {});
    }, 120);
  },

  leave() {
    clearTimeout(this.timer);
    if (this.video) drop(this.video);
    this.clip = this.video = null;
  },
};
