// Where episodes come from: recorded questions, a served model, or a trace that may still be growing.
class RecordedQuestions {
  constructor(app) {
    this.app = app;
    const pickers = (label, change) => h("select", { "aria-label": label, onchange: change });
    this.store = pickers("store", () => this.choose({ store: Number(this.store.value), question: 0, draw: 0 }));
    this.question = pickers("question", () => this.choose({ question: Number(this.question.value) }));
    this.draw = h("input", { type: "number", min: 0, value: 0, "aria-label": "draw: the order in which branches are opened", onchange: () => this.choose({ draw: Number(this.draw.value) }) });
    this.text = h("div", { class: "question", tabindex: 0 });
    this.goldButton = h("button", { type: "button", "aria-pressed": "false", onclick: () => app.toggleGold() }, "show the true answer");
    this.goldText = h("span", { class: "verdict" });
    const beside = (text, label, by) => h("button", { type: "button", "aria-label": label, onclick: () => this.choose({ question: this.at.question + by }) }, text);
    this.storeField = h("label", null, h("span", null, "store"), this.store);
    fill(source, {}, [h("div", { class: "row" }, this.storeField,
      h("label", { class: "grow" }, h("span", null, "question"), this.question),
      h("span", { class: "pair" }, beside("‹", "question before", -1), beside("›", "next question", 1)),
      h("label", null, h("span", null, "draw"), this.draw), this.goldButton, this.goldText), this.text]);
  }
  async start() {
    this.catalogue = await getJson("catalogue.json");
    const { stores } = this.catalogue;
    document.getElementById("subtitle").textContent = "recorded branches, played again: watch them grow, agree and get pruned";
    this.store.replaceChildren(...stores.map((one, k) => h("option", { value: k }, one.name)));
    this.storeField.hidden = stores.length < 2;
    const told = new URLSearchParams(location.hash.slice(1));
    const number = (name, most) => Math.max(0, Math.min(most, Math.round(Number(told.get(name))) || 0));
    const store = number("store", stores.length - 1);
    this.at = { store, question: number("question", stores[store].questions.length - 1), draw: number("draw", stores[store].draws - 1) };
    this.app.controllers = stores[store].controllers;
    const lanes = [told.get("a"), told.get("b")].filter(Boolean).map((text) => this.laneFrom(text)).filter(Boolean);
    const [first] = this.app.controllers;
    this.app.setLanes(lanes.length ? lanes : [{ controller: this.app.controllers.find((c) => c.spec === "cmc")?.spec ?? first.spec, beta: first.beta }]);
    await this.show();
  }
  laneFrom(text) {
    const [, spec, beta] = text.match(/^(.*)@([\d.]+)$/) ?? [null, text, "0.5"];
    return this.app.controllers.some((c) => c.spec === spec) ? { controller: spec, beta: Math.max(0, Math.min(1, Number(beta) || 0)) } : null;
  }
  get here() { return this.catalogue.stores[this.at.store]; }
  choose(what) {
    const at = { ...this.at, ...what }, store = this.catalogue.stores[at.store];
    const within = (value, count) => Math.max(0, Math.min(count - 1, Math.round(value) || 0));
    this.at = { store: at.store, question: within(at.question, store.questions.length), draw: within(at.draw, store.draws) };
    return this.app.attempt(() => this.show());
  }
  async show() {
    const { app, at, here } = this;
    app.transport.pause();
    app.controllers = here.controllers;
    for (const lane of app.lanes) {
      if (!here.controllers.some((c) => c.spec === lane.chosen.controller)) lane.chosen.controller = here.controllers[0].spec;
      lane.offer(here.controllers);
      lane.sweep = [];
    }
    this.store.value = at.store;
    this.question.replaceChildren(...here.questions.map((title, k) => h("option", { value: k, selected: k === at.question }, `${k}  ${title}`)));
    this.draw.value = at.draw;
    this.draw.max = here.draws - 1;
    const about = await getJson("question.json", { store: at.store, question: at.question });
    if (at !== this.at) return;
    this.text.replaceChildren(...(about.text ? rich(about.text) : ["The store has no text for this question."]));
    app.ranks = new Map(about.answers.map((text, k) => [text, k]));
    app.whole = { branches: about.branches, tokens: about.whole };
    this.hideGold();
    app.transport.at = app.transport.last;
    await Promise.all(app.lanes.map((lane) => this.laneChanged(lane)));
  }
  // The newest wish of a lane counts, whichever reply comes first.
  async laneChanged(lane) {
    const { app, at } = this, mine = ++lane.asked, { controller, beta } = lane.chosen;
    const asked = { ...at, controller };
    try {
      const trace = await getJson("episode.json", { ...asked, beta });
      if (mine !== lane.asked) return;
      lane.take(trace);
    } catch (error) {
      if (!(error instanceof Refused) || mine !== lane.asked) throw error;
      lane.folded = fold(NOTHING_YET);
      lane.problem = error.message;
    }
    app.changed();
    this.remember();
    if (lane.sweep.length) return;
    const sweep = await getJson("sweep.json", asked).catch((error) => { if (error instanceof Refused) return []; throw error; });
    if (lane.chosen.controller !== controller || at !== this.at) return;
    lane.sweep = sweep;
    lane.drawKnob();
  }
  remember() {
    const { app, at } = this, told = { ...at };
    app.lanes.forEach((lane, k) => { told["ab"[k]] = `${lane.chosen.controller}@${lane.chosen.beta}`; });
    history.replaceState(null, "", `#${new URLSearchParams(told)}`);
  }
  async toggleGold() {
    if (this.app.gold) { this.hideGold(); this.app.changed(); return; }
    const found = await getJson("gold.json", { store: this.at.store, question: this.at.question });
    this.app.gold = found;
    this.goldButton.setAttribute("aria-pressed", "true");
    this.goldText.replaceChildren(...(found.length ? [h("span", { class: "chip", style: { background: "var(--answer-gold)" }, "aria-hidden": "true" }, "●"), h("span", null, answerNode(found[0])), found.length > 1 ? ` (or ${found.slice(1).join(", ")})` : ""] : ["none is known"]));
    this.app.changed();
  }
  hideGold() {
    this.app.gold = null;
    this.goldButton.setAttribute("aria-pressed", "false");
    this.goldText.replaceChildren();
  }
}
