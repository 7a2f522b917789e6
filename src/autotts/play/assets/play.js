// The page: lanes over one question, moved through together.
const source = document.getElementById("source"), stage = document.getElementById("stage");

class App {
  constructor() {
    Object.assign(this, { lanes: [], gold: null, whole: null, parts: 0, fixed: data.mode === "trace" });
    this.ranks = new Map();
    this.controllers = [];
    this.transport = new Transport(this);
    this.adder = h("button", { type: "button", class: "add", onclick: () => this.toggleLane() }, "+ another controller beside it ", h("kbd", null, "c"));
    this.origin = { recorded: RecordedQuestions, served: ServedModel, trace: FollowedTrace }[data.mode];
  }
  async start() {
    document.getElementById("title").textContent = data.title;
    document.getElementById("footer").textContent = `autotts ${data.version}`;
    drawTheme(() => { for (const lane of this.lanes) lane.draw(); });
    this.origin = new this.origin(this);
    await this.attempt(() => this.origin.start());
  }
  // An error of the server is told, and the page stays as it was.
  async attempt(act) {
    const box = document.getElementById("trouble");
    try {
      const done = await act();
      box.hidden = true;
      return done;
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      box.textContent = error instanceof TypeError ? "The server doesn't answer; is it still running?" : error.message;
      box.hidden = false;
      if (!(error instanceof Refused || error instanceof TypeError)) throw error;
      return undefined;
    }
  }
  setLanes(chosen) {
    this.lanes = chosen.map((one) => new Lane(this, one));
    this.arrange();
  }
  arrange() {
    stage.classList.toggle("two", this.lanes.length > 1);
    stage.replaceChildren(...this.lanes.map((lane) => lane.node), ...(this.lanes.length < 2 && !this.fixed ? [this.adder] : []));
    for (const lane of this.lanes) { lane.offer(this.controllers); lane.drawKnob(); }
    this.changed();
  }
  toggleLane() {
    if (this.fixed || !this.lanes.length) return;
    if (this.lanes.length > 1) { this.removeLane(this.lanes[1]); return; }
    const first = this.lanes[0].chosen.controller;
    const other = ["short-mk", "cmc", "asc", "sc"].find((name) => name !== first && this.controllers.some((c) => c.spec === name)) ?? this.controllers.find((c) => c.spec !== first)?.spec ?? first;
    this.lanes.push(new Lane(this, { ...this.lanes[0].chosen, controller: other }));
    this.arrange();
    this.attempt(() => this.origin.laneChanged(this.lanes[1]));
  }
  removeLane(lane) {
    this.lanes = this.lanes.filter((other) => other !== lane);
    this.arrange();
    this.origin.remember();
    stage.focus({ preventScroll: true });
  }
  change(lane, what) {
    lane.chosen = { ...lane.chosen, ...what };
    if (what.controller) { lane.sweep = []; lane.offer(this.controllers); }
    lane.drawKnob();
    this.attempt(() => this.origin.laneChanged(lane));
  }
  toggleGold() { return this.attempt(() => this.origin.toggleGold?.()); }
  // A lane has another episode, or more of it.
  changed() {
    const [a, b] = this.lanes;
    this.parts = a && b && a.folded.last && b.folded.last ? parting(a.folded, b.folded) : 0;
    for (const lane of this.lanes) { lane.folded.area = null; lane.drawKnob(); lane.drawLog(); }
    if (this.lanes.length) this.transport.retime();
    this.drawParting();
  }
  drawParting() {
    const [a, b] = this.lanes, box = document.getElementById("parting");
    box.hidden = !(b && a.folded.last && b.folded.last);
    if (box.hidden) return;
    if (!this.parts) { box.replaceChildren("They do the same, round for round, to the end."); return; }
    const words = (lane) => `${lane.name}${a.name === b.name ? ` at ${fixed(lane.chosen.beta)}` : ""} ${happened(lane.folded, this.parts, (t) => t || "no answer")}`;
    box.replaceChildren(h("strong", null, `They part in round ${this.parts}: `), h("span", null, `${words(a)}, while ${words(b)}.`),
      h("button", { type: "button", onclick: () => this.transport.jump(this.transport.parts) }, "go there"));
  }
  drawLanes() { for (const lane of this.lanes) lane.draw(); }
  roundOf(lane) { return Math.min(lane.folded.last, this.transport.moments[this.transport.at]?.[this.lanes.indexOf(lane)] ?? 0); }
  goToRound(lane, r) { this.transport.jump(this.transport.moments.findIndex((rounds) => rounds[this.lanes.indexOf(lane)] >= r)); }
  deepest() { return Math.max(...this.lanes.map((lane) => lane.folded.depth)); }
  mostTokens() { return Math.max(1, ...this.lanes.map((lane) => lane.folded.spent.at(-1))); }
  // Colours go by how common an answer is in the recording, or by when it was first seen.
  rankOf(text) {
    if (!this.ranks.has(text)) this.ranks.set(text, this.ranks.size);
    return this.ranks.get(text);
  }
  isGold(text) { return Boolean(this.gold?.includes(text)); }
  shade(text) {
    if (this.isGold(text)) return css("--answer-gold");
    const rank = text ? this.rankOf(text) : Infinity;
    return css(rank < 6 ? `--answer-${rank}` : "--answer-rest");
  }
  letter(text) { return this.isGold(text) ? "●" : (text && "ABCDEF"[this.rankOf(text)]) || "·"; }
}

class Refused extends Error {}
async function getJson(path, asked = {}, options = {}) {
  const query = new URLSearchParams(asked).toString();
  const reply = await fetch(query ? `${path}?${query}` : path, options);
  const said = await reply.json();
  if (!reply.ok) throw new Refused(said.error?.message ?? said.error ?? `the server says ${reply.status}`);
  return said;
}

const app = new App();
app.start();
