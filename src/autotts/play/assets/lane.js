// A lane: one controller at one beta on the question, from its knob to its vote.
class Lane {
  constructor(app, chosen) {
    Object.assign(this, { app, chosen, folded: fold(NOTHING_YET), sweep: [], problem: "", asked: 0 });
    const id = `lane${Math.random().toString(36).slice(2)}`;
    this.select = h("select", { "aria-label": "controller", onchange: () => app.change(this, { controller: this.select.value }) });
    this.slider = h("input", { type: "range", id, min: 0, max: 1, step: 0.05, oninput: () => app.change(this, { beta: Number(this.slider.value) }) });
    this.beta = h("output", { for: id });
    this.bars = h("div", { class: "bars", "aria-hidden": "true" });
    this.idea = h("p", { class: "idea" });
    this.closer = h("button", { type: "button", "aria-label": "remove this controller", onclick: () => app.removeLane(this) }, "✕");
    this.figures = h("dl", { class: "figures" });
    this.meter = h("i");
    this.meterNote = h("p", { class: "note" });
    this.canvas = h("canvas", { role: "img", "aria-label": "no branches yet" });
    this.area = svg("svg", { class: "area", viewBox: `0 0 1000 ${BAND}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.votes = h("ul", { class: "votes" });
    this.happens = h("div", { class: "happens" });
    this.log = h("ol", { class: "log" });
    this.details = h("details", { ontoggle: () => this.drawLog() }, h("summary", null, "Round by round"), this.log);
    this.reply = h("div", { hidden: true });
    this.node = h("section", { class: "card lane", "aria-label": "controller and episode" },
      h("div", { class: "top" },
        h("div", { class: "lane-head" }, this.select, this.closer), this.idea,
        h("div", { class: "beta" }, this.bars, h("label", { for: id }, "β"), this.slider, this.beta),
        this.figures, h("div", { class: "meter", "aria-hidden": "true" }, this.meter), this.meterNote),
      h("div", { class: "picture" }, h("h3", null, "Branches by interval"), h("div", { class: "canvas" }, this.canvas),
        h("h3", null, "What branches say, by tokens spent"), this.area),
      h("div", { class: "tally" }, h("h3", null, "The vote as it stands"), this.votes, this.happens, this.reply, this.details));
    this.canvas.addEventListener("pointermove", (event) => {
      const found = branchAt(this.canvas, this.folded, this.shown(), event);
      if (found && this.folded.branches[found[0]].cells[0].round <= this.round) showTip(branchWords(this.folded, this.round, ...found, (t) => t || "no answer"), event.clientX, event.clientY);
      else hideTip();
    });
    this.canvas.addEventListener("pointerleave", hideTip);
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement);
  }
  get name() { return this.chosen.controller; }
  get round() { return this.app.roundOf(this); }
  get ended() { return !this.running && this.round >= this.folded.last; }

  take(trace) {
    this.folded = fold(trace);
    this.folded.ahead = new Map(trace.ahead);
    this.problem = "";
    for (const text of trace.answers) if (text) this.app.rankOf(text);
  }
  // How answers look; the colour of a text is the same in every lane.
  shown() {
    const { app, folded } = this, text = (a) => folded.trace.answers[a];
    return {
      depth: app.deepest(), rank: (a) => app.rankOf(text(a)), isGold: (a) => app.isGold(text(a)),
      shade: (a) => app.shade(text(a)), letter: (a) => app.letter(text(a)),
    };
  }
  offer(controllers) {
    this.select.replaceChildren(...controllers.map((c) => h("option", { value: c.spec }, c.spec)));
    this.select.value = this.chosen.controller;
    this.idea.textContent = controllers.find((c) => c.spec === this.chosen.controller)?.idea.replaceAll("`", "") ?? "";
    this.idea.title = this.idea.textContent;
    this.select.disabled = this.slider.disabled = this.app.fixed;
    this.closer.hidden = this.app.fixed || this.app.lanes.length < 2;
  }
  drawKnob() {
    const { beta } = this.chosen, most = Math.max(1, ...this.sweep.map((one) => one.tokens));
    this.slider.value = beta;
    this.beta.textContent = fixed(beta);
    this.slider.setAttribute("aria-valuetext", `beta ${fixed(beta)}`);
    this.bars.hidden = !this.sweep.length;
    this.bars.replaceChildren(...this.sweep.map((one) => h("i", {
      class: Math.abs(one.beta - beta) < 0.001 ? "here" : null, title: `β ${fixed(one.beta)}: ${whole(one.tokens)} tokens, ${one.answer ?? "no answer"}`,
      style: { height: `${(100 * one.tokens) / most}%`, background: one.answer === null ? "var(--answer-rest)" : this.app.shade(one.answer) },
    })));
  }
  draw() {
    if (!this.node.isConnected) return;
    const { app, folded: f, round } = this, now = stateAt(f, round), shown = this.shown();
    paintBranches(this.canvas, f, round, shown);
    paintArea(this.area, f, shown, { tokens: now.tokens, most: app.mostTokens(), parts: app.parts ? f.spent[Math.min(app.parts, f.last)] : null });
    this.votes.replaceChildren(...voteRows(f, now, shown, 6));
    const figure = (name, value, kind) => h("div", { class: kind ?? null }, h("dt", null, name), h("dd", null, value));
    this.figures.replaceChildren(figure("tokens spent", whole(now.tokens), "spent"), figure("round", `${round} / ${f.last}`),
      figure("opened", now.branches.length), figure("finished", now.finished), figure("pruned", now.pruned));
    const share = app.whole ? now.tokens / app.whole.tokens : now.tokens / Math.max(1, app.mostTokens());
    this.meter.style.width = `${Math.min(100, 100 * share)}%`;
    this.meterNote.textContent = app.whole ? `${fixed(100 * share, 1)} % of reading all ${app.whole.branches} branches to their ends` : this.running ? "still going on" : this.remark ?? "";
    this.happens.replaceChildren(...(this.problem ? [h("span", { class: "badge bad" }, "failed"), ` ${this.problem}`] : this.ended && f.last ? this.verdict() : [`Round ${round}: ${happened(f, round, (t) => t || "no answer")}.`]));
    const leads = now.leader < 0 ? "no answer leads" : `${f.trace.answers[now.leader] || "no answer"} leads`;
    this.words = `${this.name} at beta ${fixed(this.chosen.beta)}, round ${round} of ${f.last}: ${now.branches.length} opened, ${now.finished} finished, ${now.pruned} pruned, ${whole(now.tokens)} tokens; ${leads}`;
    this.canvas.setAttribute("aria-label", `Branches by interval. ${this.words}`);
    this.log.querySelector("[aria-current]")?.removeAttribute("aria-current");
    this.log.querySelector(`[data-round="${round}"]`)?.setAttribute("aria-current", "step");
  }
  verdict() {
    const { trace } = this.folded, text = trace.answers[trace.answer], given = trace.answer >= 0;
    const right = this.app.gold?.length ? given && this.app.isGold(text) : null;
    return [h("div", { class: "verdict" }, "Answers ", given ? h("span", { class: "chip", style: { background: this.app.shade(text) }, "aria-hidden": "true" }, this.app.letter(text)) : "", h("span", null, given ? answerNode(text) : "nothing"),
      right === null ? "" : h("span", { class: `badge ${right ? "good" : "bad"}` }, right ? "right" : "wrong")),
    h("p", { class: "note" }, `after ${whole(trace.tokens)} tokens, ${whole(trace.sequential_tokens)} of them one after the other`, trace.remark ? `; ${trace.remark}` : "")];
  }
  drawLog() {
    if (!this.details.open) return;
    const f = this.folded, rows = [];
    for (let r = 1; r <= Math.min(f.last, 2000); r++) {
      rows.push(h("li", null, h("button", { type: "button", "data-round": r, onclick: () => this.app.goToRound(this, r) },
        h("span", null, `round ${r}`), h("span", null, whole(f.spent[r])), h("span", null, happened(f, r, (t) => t || "no answer")))));
    }
    this.log.replaceChildren(...rows);
    this.draw();
  }
}
