// What a run found to matter on its search stores, before any program was proposed.
function matters() {
  const { hypotheses, features: told, states, families, plain, fitted, contested } = data.matters;
  const signed = (value) => (value > -0.05 && value < 0.05 ? "0.0" : `${value > 0 ? "+" : "−"}${fixed(Math.abs(value), 1)}`);
  const span = (low, high) => `${signed(low)} … ${signed(high)}`;
  const badge = (yes, words) => h("span", { class: yes ? "badge good" : "badge" }, words);
  const lead = ({ low, high }) => (low === null ? `below ${high}` : high === null ? `${low} and more` : `${low} to ${high}`);
  const table = (label, head, rows) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h("table", null, h("thead", null, h("tr", null, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map((cell) => h("td", null, cell)))))));
  return [
    card(h("h2", null, "Hypotheses worth a program"), h("ol", { class: "hypotheses" }, hypotheses.map((words) => h("li", null, rich(words)))),
      h("p", { class: "note" }, "Read off races on the search questions that nothing ended early. Explorers are shown this page as text.")),
    card(h("h2", null, "What tells which answer is right"),
      told.length ? table("features", ["feature", "gain", "95 % interval", "votes, points", "above chance"],
        told.map((t) => [explain(h("span", { class: "term", tabindex: 0 }, t.feature), t.meaning), signed(t.gain), span(t.low, t.high), signed(t.points), badge(t.kept, t.kept ? "yes" : "no")])) : nothing("Too few questions are contested to tell."),
      told.length ? h("dl", { class: "plain meanings" }, told.flatMap((t) => [h("dt", null, t.feature), h("dd", null, t.meaning)])) : null,
      told.length ? h("p", { class: "note" }, `What a feature of an answer adds to those kept before it, on questions left out: log likelihood in 0.01, and percent of contested votes. On ${several(contested, "contested question")} counting makes ${fixed(plain, 1)} % of votes right, the fit ${fixed(fitted, 1)} %.`) : null),
    card(h("h2", null, "Which states still gain"),
      states.length ? table("states", ["lead, log odds", "right, %", "twice the tokens win", "95 % interval", "still gains"],
        states.map((s) => [lead(s), fixed(s.right, 0), signed(s.gain), span(s.gain_low, s.gain_high), badge(s.gain_low > 0, s.gain_low > 0 ? "yes" : "no")])) : nothing("No episode goes on after its first finished branch."),
      h("p", { class: "note" }, "By how far the leading answer is ahead in the fitted vote. Points of right answers won by twice the tokens.")),
    card(h("h2", null, "Which questions lose"),
      table("questions", ["questions where", "count", "right, %", "points lost", "tokens, %"],
        families.map((f) => [f.name, whole(f.questions), fixed(f.right, 0), fixed(f.lost, 1), fixed(f.tokens, 0)]))),
  ];
}
