/* A long list of lines of known heights, of which only those near the window exist. */

const MARGIN = 900;

class Lines {
  constructor(container, build, gone) {
    this.container = container;
    this.build = build;
    this.gone = gone;
    this.lines = [];
    this.tops = [0];
    this.nodes = new Map();
    this.waiting = false;
    const later = () => {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => ((this.waiting = false), this.render()));
    };
    addEventListener("scroll", later, { passive: true });
  }

  set(lines) {
    for (const number of [...this.nodes.keys()]) this.remove(number);
    this.lines = lines;
    this.tops = [0];
    for (const { height } of lines) this.tops.push(this.tops.at(-1) + height);
    this.container.style.height = `${this.tops.at(-1)}px`;
    this.render();
  }

  get top() {
    return this.container.getBoundingClientRect().top;
  }

  lineAt(offset) {
    let [low, high] = [0, this.lines.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle + 1] <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  render() {
    const top = this.top;
    const from = this.lineAt(Math.max(0, -top - MARGIN));
    const until = Math.min(this.lines.length, this.lineAt(Math.max(0, innerHeight - top + MARGIN)) + 1);
    for (const [number, node] of this.nodes) {
      if ((number < from || number >= until) && !node.contains(document.activeElement)) this.remove(number);
    }
    for (let number = from; number < until; number++) if (!this.nodes.has(number)) this.add(number);
  }

  add(number) {
    const node = this.build(this.lines[number]);
    node.style.top = `${this.tops[number]}px`;
    node.style.height = `${this.lines[number].height}px`;
    const after = [...this.nodes.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
    this.container.insertBefore(node, this.nodes.get(after) ?? null);
    this.nodes.set(number, node);
  }

  remove(number) {
    const node = this.nodes.get(number);
    this.nodes.delete(number);
    this.gone(this.lines[number], node);
    node.remove();
  }

  begin(number, below) {
    scrollBy(0, this.top + this.tops[number] - below);
    this.render();
  }

  /* Below what sticks to the top of the window. */
  bring(number, below, above) {
    const top = this.top + this.tops[number];
    const bottom = this.top + this.tops[number + 1];
    if (top < below) scrollBy(0, top - below);
    else if (bottom > innerHeight - above) scrollBy(0, Math.min(bottom - innerHeight + above, top - below));
    this.render();
  }

  /* On paper every line is there, one under the other; `most` bounds what a printer is asked for. */
  unroll(most) {
    for (let number = 0; number < Math.min(most, this.lines.length); number++) if (!this.nodes.has(number)) this.add(number);
  }
}
