// The trajectory of a discovery: where each round's program lies, what it said, what it changed.
const roundColour = (k, n) => `color-mix(in oklab, var(--round-last) ${Math.round((100 * (k + 1)) / n)}%, var(--round-first))`;
function rounds() {
  if (!data.rounds.length) return [nothing("These results come from an evaluation: a discovery run has rounds.")];
  return [trajectory(), effort(), changes(), ...data.rounds.map(roundCard).reverse()];
}
const bestOf = (points) => points.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
function trajectory() {
  const cost = pick("cost", Object.keys(COSTS));
  const own = new Set(data.rounds.map((round) => round.controller));
  const store = stores(data.lines)[0];
  const base = data.lines.filter((line) => line.store === store && !own.has(line.controller));
  const tried = data.rounds.filter((round) => round.points.length);
  if (!tried.length) return nothing("No program could be evaluated yet.");
  const series = base.map((line) => ({ color: "var(--soft)", shape: look(line.controller).shape, thin: true, faint: true, dash: "3 3", points: line.points.map(asPoint(line.controller, cost)) }));
  tried.forEach((round, k) => series.push({
    color: roundColour(k, tried.length), shape: SHAPES[0], points: round.points.map(asPoint(`round ${round.name}`, cost)),
  }));
  // The paper's figure 4: each round's most accurate setting, in order.
  series.push({
    color: "var(--ink)", shape: SHAPES[0], dash: "2 4", thin: true,
    points: tried.map((round) => ({ ...asPoint(`round ${round.name}, its most accurate setting`, cost)(bestOf(round.points)), label: round.name })),
  });
  return card(h("h2", null, "Trajectory"),
    h("div", { class: "controls" }, radios("cost", { tokens: "total", sequential_tokens: "sequential" }, cost, (value) => { chosen.cost = value; render(); })),
    lineChart({ series, log: true, xLabel: `${COSTS[cost]} per question`, yLabel: "accuracy, %", height: 480, label: "accuracy and cost of each round's program; arrow keys walk over the settings" }),
    h("p", { class: "note" }, "A coloured curve is a round's program over β, darker for later rounds; a numbered disc is its most accurate setting. ",
      base.length ? `Grey: ${base.map((line) => line.controller).join(", ")}.` : ""));
}
const dollars = (round) => (round.usd === null ? "unpriced" : `$${fixed(round.usd)}`);
const clock = (seconds) => (seconds === null ? "–" : seconds < 90 ? `${fixed(seconds, 1)} s` : `${fixed(seconds / 60, 1)} min`);
function effort() {
  const known = data.rounds.filter((round) => round.seconds !== null);
  const priced = data.rounds.every((round) => round.usd !== null);
  const rows = data.rounds.map((round) => h("tr", null, h("td", null, `round ${round.name}`), h("td", { class: "words" }, status(round)),
    h("td", null, round.area === null ? "–" : fixed(round.area)), h("td", null, round.points.length ? fixed(bestOf(round.points).accuracy) : "–"),
    h("td", null, clock(round.seconds)), h("td", null, round.model_tokens === null ? "–" : whole(round.model_tokens)), h("td", null, dollars(round))));
  return card(h("h2", null, "Scores, cost and time"), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "rounds" }, h("table", null,
    h("thead", null, h("tr", null, ["round", "outcome", "frontier area, as found", "best accuracy, %", "time", "model tokens", "cost"].map((name, k) => h("th", { scope: "col", class: k === 1 ? "words" : null }, name)))),
    h("tbody", null, rows, h("tr", { class: "group" }, h("td", null, "in total"), h("td"), h("td"), h("td"),
      h("td", null, clock(known.length ? sum(known.map((round) => round.seconds)) : null)),
      h("td", null, whole(sum(data.rounds.map((round) => round.model_tokens ?? 0)))),
      h("td", null, priced ? `$${fixed(sum(data.rounds.map((round) => round.usd)))}` : "unpriced"))))));
}
function status(round) {
  const mark = (text, kind) => h("span", { class: `badge ${kind}` }, text);
  if (round.errors.length) return mark(round.points.length ? "refused" : "failed", "bad");
  return [round.best ? mark("best", "good") : null, " ", round.accepted ? mark("accepted", "good") : mark("not accepted", "")];
}
function changes() {
  const sources = data.rounds.filter((round) => round.source);
  if (sources.length < 2) return null;
  const names = sources.map((round) => round.name);
  const [from, to] = [pick("from", names, names.at(-2)), pick("to", names, names.at(-1))];
  const source = (name) => sources.find((round) => round.name === name).source;
  return card(h("h2", null, "What changed"),
    h("div", { class: "controls" },
      select("from round", names, from, (value) => { chosen.from = value; render(); }),
      select("to round", names, to, (value) => { chosen.to = value; render(); })),
    difference(source(from), source(to)));
}
function roundCard(round) {
  const said = [["Idea", round.idea], ["What was learned", round.learned], ["Expected effect", round.expected_effect]].filter(([, text]) => text);
  const opened = (name, title, inside) => h("details", { open: chosen[name + round.name], ontoggle: (event) => { chosen[name + round.name] = event.target.open; } }, h("summary", null, title), inside);
  return h("section", { class: "card round" }, h("h3", null, `Round ${round.name}`, status(round)),
    h("dl", { class: "words-of" }, said.flatMap(([name, text]) => [h("dt", null, name), h("dd", null, rich(text))])),
    round.errors.length ? h("ul", { class: "errors" }, round.errors.map((text) => h("li", null, text))) : null,
    round.remarks.length ? h("ul", { class: "note" }, round.remarks.map((text) => h("li", null, text))) : null,
    round.digest ? opened("digest", "Diagnosis", h("pre", { class: "wrap", tabindex: 0 }, round.digest)) : null,
    round.source ? opened("source", "Program", program(round.source)) : null);
}
