// Time: moments that all lanes share, by round or by tokens spent, and the ways through them.
const SPEEDS = { "½×": 2, "1×": 1, "2×": 0.5, "4×": 0.25 };
const SHAPES_OF = {
  play: "M4 2.5V13.5L13.5 8Z", pause: "M3.5 2.5H6.5V13.5H3.5ZM9.5 2.5H12.5V13.5H9.5Z", on: "M6 3.5V12.5L11 8Z", back: "M10 3.5V12.5L5 8Z",
  first: "M3 3.5H5V12.5H3ZM12.5 3.5V12.5L6.5 8Z", last: "M11 3.5H13V12.5H11ZM3.5 3.5V12.5L9.5 8Z",
};
const icon = (name) => svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: SHAPES_OF[name] }));
class Transport {
  constructor(app) {
    Object.assign(this, { app, at: 0, moments: [[]], clock: "rounds", timer: null, speed: 1 });
    const button = (shape, label, act, kind) => h("button", { type: "button", "aria-label": label, title: label, class: kind ?? null, onclick: act }, icon(shape));
    this.play = button("play", "play", () => this.toggle(), "main");
    this.slider = h("input", { type: "range", min: 0, value: 0, "aria-label": "moment of the episode", oninput: () => { this.pause(); this.go(Number(this.slider.value)); } });
    this.mark = h("div", { class: "mark", hidden: true }, h("span", null, "they part"));
    this.output = h("output");
    const speed = h("select", { "aria-label": "speed", onchange: () => { this.speed = SPEEDS[speed.value]; if (this.timer) { this.pause(); this.run(); } } }, Object.keys(SPEEDS).map((text) => h("option", { selected: text === "1×" }, text)));
    this.clockBox = h("select", { "aria-label": "lanes move together by", onchange: () => { this.clock = this.clockBox.value; this.retime(); } },
      h("option", { value: "rounds" }, "by rounds"), h("option", { value: "tokens" }, "by tokens"));
    this.clockLabel = h("label", { class: "wide" }, "side by side", this.clockBox);
    fill(document.getElementById("transport"), {}, [h("div", null,
      h("div", { class: "scrub" }, this.slider, this.mark),
      h("div", { class: "keys" },
        h("div", null, button("first", "to the beginning", () => this.jump(0)), button("back", "a step back", () => this.step(-1)), this.play,
          button("on", "a step on", () => this.step(1)), button("last", "to the end", () => this.jump(Infinity)), this.output),
        h("div", null, this.clockLabel, h("label", null, "speed", speed),
          h("span", { class: "note" }, h("kbd", null, "space"), " ", h("kbd", null, "←"), " ", h("kbd", null, "→")))))]);
    document.addEventListener("keydown", (event) => this.key(event));
  }
  get last() { return this.moments.length - 1; }
  // Moments, each with the round of every lane. By tokens, a lane is where it was before it would have spent more.
  retime() {
    const lanes = this.app.lanes.map((lane) => lane.folded), held = this.moments[this.at] ?? [], ended = this.at === this.last;
    if (this.clock === "rounds" || lanes.length < 2) {
      this.moments = Array.from({ length: 1 + Math.max(...lanes.map((f) => f.last)) }, (_, k) => lanes.map((f) => Math.min(k, f.last)));
    } else {
      const spent = unique(lanes.flatMap((f) => f.spent)).sort((a, b) => a - b), at = lanes.map(() => 0);
      this.moments = spent.map((t) => lanes.map((f, k) => { while (at[k] < f.last && f.spent[at[k] + 1] <= t) at[k]++; return at[k]; }));
    }
    const near = this.moments.findIndex((rounds) => rounds[0] >= (held[0] ?? 0));
    // Who looked at the end goes on doing so, whatever the knob does to it.
    this.at = ended || near < 0 ? this.last : near;
    this.slider.max = this.last;
    const parts = this.app.parts ? this.moments.findIndex((rounds) => rounds.some((r) => r >= this.app.parts)) : -1;
    this.parts = parts;
    this.mark.hidden = parts < 0;
    // The thumb of a slider is as wide as its ends are set in.
    this.mark.style.left = `calc(${parts / Math.max(1, this.last)} * (100% - 16px) + 8px)`;
    this.mark.classList.toggle("early", parts < 0.06 * this.last);
    this.mark.classList.toggle("late", parts > 0.94 * this.last);
    document.getElementById("transport").hidden = this.last < 1;
    this.clockLabel.hidden = lanes.length < 2;
    this.go(this.at);
  }
  go(at) {
    this.at = Math.max(0, Math.min(this.last, at));
    this.slider.value = this.at;
    this.output.textContent = `${this.clock === "tokens" && this.app.lanes.length > 1 ? "moment" : "round"} ${this.at} of ${this.last}`;
    this.app.drawLanes();
    this.slider.setAttribute("aria-valuetext", this.output.textContent);
  }
  // Said aloud when somebody steps, not while a film runs.
  say() { document.getElementById("said").textContent = this.app.lanes.map((lane) => lane.words).join(". "); }
  jump(at) { this.pause(); this.go(at); this.say(); }
  step(by) { this.jump(this.at + by); }
  toggle() { if (this.timer) this.pause(); else this.run(); }
  run() {
    if (this.at === this.last) this.go(0);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const by = Math.max(1, Math.round(this.last / (calm ? 30 : 150)));
    this.play.replaceChildren(icon("pause"));
    this.play.setAttribute("aria-label", "pause");
    this.timer = setInterval(() => {
      this.go(this.at < this.parts && this.at + by > this.parts ? this.parts : this.at + by);
      if (this.at === this.last) { this.pause(); this.say(); }
    }, (calm ? 700 : this.last < 40 ? 260 : 90) * this.speed);
  }
  pause() {
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = null;
    this.play.replaceChildren(icon("play"));
    this.play.setAttribute("aria-label", "play");
  }
  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, select, textarea, summary")) return;
    const button = event.target.matches("button, a");
    const acts = { ArrowLeft: () => this.step(event.shiftKey ? -10 : -1), ArrowRight: () => this.step(event.shiftKey ? 10 : 1), Home: () => this.jump(0), End: () => this.jump(Infinity), c: () => this.app.toggleLane(), g: () => this.app.toggleGold() };
    if (!button) acts[" "] = () => this.toggle();
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }
}
