// The first screen: what was found, the frontier that shows it, and the best program; then the figures, and what made them.
function overview() {
  const parts = data.lines.length ? [lead(), resultsTable()] : [nothing("Nothing has been evaluated yet.")];
  if (data.facts.length) {
    parts.push(card(h("h2", null, "Figures"), h("dl", { class: "facts" }, data.facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))))));
  }
  if (Object.keys(data.made_by).length) {
    parts.push(h("section", { class: "card" }, h("details", { class: "fold", open: chosen.madeBy, ontoggle: (event) => { chosen.madeBy = event.target.open; } },
      h("summary", null, "What made this"), provenance(data.made_by))));
  }
  return parts;
}
// What a run was judged by.
const spends = () => (data.objective === "sequential" ? "sequential_tokens" : "tokens");
// The settings of a controller that none of its cheaper ones beats.
function frontier(points) {
  const out = [];
  for (const p of [...points].sort((a, b) => a[spends()] - b[spends()] || b.accuracy - a.accuracy)) {
    if (!out.length || p.accuracy > out.at(-1).accuracy) out.push(p);
  }
  return out;
}
function lead() {
  // The sentence speaks of the held-out stores where there are any.
  const store = pick("store", stores(data.lines), stores(data.lines).find((name) => name === data.held_out) ?? stores(data.lines)[0]);
  const lines = data.lines.filter((line) => line.store === store);
  const own = new Set(data.rounds.map((round) => round.controller));
  const top = (line) => bestOf(line.points).accuracy;
  const best = lines.find((line) => line.controller === data.best) ?? lines.reduce((a, b) => (top(b) > top(a) ? b : a));
  const others = lines.filter((line) => line !== best);
  const rivals = others.some((line) => !own.has(line.controller)) ? others.filter((line) => !own.has(line.controller)) : others;
  const rival = rivals.length ? rivals.reduce((a, b) => (top(b) > top(a) ? b : a)) : null;
  // Bands of many curves hide each other: the best and the one to beat have theirs, other rounds are faint.
  const banded = [rival, best].filter(Boolean);
  const series = [...others.filter((line) => line !== rival), ...banded].map((line) => ({
    ...look(line.controller), band: banded.includes(line), thin: !banded.includes(line), faint: line !== best && own.has(line.controller),
    points: frontier(line.points).map(asPoint(line.controller, spends())),
  }));
  return h("section", { class: "card lead" },
    data.conclusion ? h("p", { class: "conclusion" }, data.conclusion) : null,
    h("div", { class: "lead-parts" },
      h("div", null,
        h("div", { class: "controls" }, h("h2", null, "Frontier"), stores(data.lines).length > 1 ? select("on", stores(data.lines), store, (value) => { chosen.store = value; render(); }) : h("span", { class: "note" }, store)),
        h("ul", { class: "key" }, [...banded].reverse().concat(others.filter((line) => line !== rival)).map((line) => h("li", null, swatch(look(line.controller)), line.controller))),
        lineChart({ series, log: true, xLabel: `${COSTS[spends()]} per question`, yLabel: "accuracy, %", height: 380, label: `frontiers on ${store}; arrow keys walk over the settings` }),
        h("p", { class: "note" }, bandWords(banded))),
      bestProgram(best)));
}
function bandWords(lines) {
  const points = lines.flatMap((line) => line.points);
  const known = points.filter((p) => p.accuracy_low !== null);
  const marks = "Each mark is the setting of a controller that none of its cheaper ones beats. ";
  if (!known.length) return `${marks}No interval: that takes two questions or more, and what each of them gave.`;
  const flat = known.every((p) => p.accuracy_low === p.accuracy_high) ? ` ${FLAT}` : "";
  return `${marks}Shaded: 95 % interval of ${lines.map((line) => line.controller).reverse().join(" and of ")}, by resampling questions.${flat}`;
}
const FLAT = "An interval without width says that all questions came out alike, not that the figure is certain.";
// Lines of a source are as long as its columns allow; what goes on in the next one is one paragraph here.
const docstring = (source) => docstringLines(source).trim().replace(/([^\n])\n(?=[^\s*-])/g, "$1 ");
const docstringLines = (source) => (/^\s*(?:"""([^]*?)"""|'''([^]*?)''')/.exec(source) ?? []).slice(1).find(Boolean) ?? "";
function bestProgram(line) {
  const round = data.rounds.find((one) => one.controller === line.controller);
  const source = round?.source || (line.controller === data.best ? data.program : "");
  const p = bestOf(line.points);
  const idea = round?.idea || docstring(source);
  const rows = [["accuracy", `${percent(p.accuracy)}${p.accuracy_low === null ? "" : ` (95 %: ${interval(p)})`}`], ["total tokens per question", whole(p.tokens)], ["sequential tokens", whole(p.sequential_tokens)]];
  return h("div", { class: "best" }, h("h2", null, line.controller, " ", h("span", { class: "badge good" }, data.best && line.controller === data.best ? "best" : "most accurate")),
    round && round.area !== null ? h("p", { class: "note" }, `Frontier area, as found on the search questions: ${fixed(round.area)}`) : null,
    idea ? h("p", { class: "idea" }, rich(idea)) : null,
    h("h3", null, `Its most accurate setting, β ${fixed(p.beta)}`),
    h("dl", { class: "plain" }, rows.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)])),
    source ? h("details", { open: chosen.bestSource, ontoggle: (event) => { chosen.bestSource = event.target.open; } }, h("summary", null, "Its program"), program(source)) : null);
}
const COLUMNS = [
  ["controller", (r) => r.controller], ["β", (r) => r.beta], ["accuracy, %", (r) => r.accuracy], ["95 % interval", (r) => r.accuracy],
  ["tokens", (r) => r.tokens], ["sequential", (r) => r.sequential_tokens],
];
function resultsTable() {
  const store = pick("store", stores(data.lines));
  const lines = data.lines.filter((line) => line.store === store);
  const all = chosen.allBetas ?? lines.length < 3;
  let rows = lines.flatMap((line) => (all ? line.points : [bestOf(line.points)]).map((p, k) => ({ ...p, controller: line.controller, first: all && k === 0 })));
  const by = COLUMNS[chosen.sort];
  if (by) {
    const way = chosen.down ? -1 : 1;
    rows = rows.map((r) => ({ ...r, first: false })).sort((a, b) => (by[1](a) < by[1](b) ? -way : by[1](a) > by[1](b) ? way : 0));
  }
  const ends = rows.flatMap((r) => [r.accuracy, r.accuracy_low ?? r.accuracy, r.accuracy_high ?? r.accuracy]);
  const span = [Math.min(...ends), Math.max(...ends)];
  const head = COLUMNS.map(([name], k) => h("th", { scope: "col", "aria-sort": chosen.sort === k ? (chosen.down ? "descending" : "ascending") : null },
    h("button", { type: "button", "data-key": `sort${k}`, onclick: () => { chosen.down = chosen.sort === k && !chosen.down; chosen.sort = k; render(); } },
      name, chosen.sort === k ? (chosen.down ? " ↓" : " ↑") : "")));
  const body = rows.map((r) => h("tr", { class: r.first ? "group" : null },
    h("td", null, swatch(look(r.controller)), " ", r.controller), h("td", null, fixed(r.beta)), h("td", null, fixed(r.accuracy)),
    h("td", null, interval(r) || "none", whisker(r, span)), h("td", null, whole(r.tokens)), h("td", null, whole(r.sequential_tokens))));
  return card(h("h2", null, `Results, ${store}`),
    h("div", { class: "controls" },
      checkbox("every β, not only the most accurate", all, (on) => { chosen.allBetas = on; render(); })),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "results" },
      h("table", null, h("thead", null, h("tr", null, head)), h("tbody", null, body))),
    h("p", { class: "note" }, "Tokens are per question; sequential tokens count, round by round, the longest decode, so they stand for latency. ",
      "Intervals resample questions, with all their draws and models together. ",
      rows.some((r) => r.accuracy_low !== null && r.accuracy_low === r.accuracy_high) ? FLAT : ""));
}
function whisker(r, [low, high]) {
  const at = (v) => 4 + (136 * (v - low)) / Math.max(high - low, 1e-9);
  if (r.accuracy_low === null) return null;
  return explain(svg("svg", { class: "whisker", viewBox: "0 0 144 18", role: "img", "aria-label": interval(r) },
    svg("path", { d: `M${at(r.accuracy_low)} 9H${at(r.accuracy_high)}`, stroke: "var(--soft)", "stroke-width": 2 }),
    svg("circle", { cx: at(r.accuracy), cy: 9, r: 4.5, fill: look(r.controller).color })), interval(r));
}
function provenance(value) {
  if (Array.isArray(value)) {
    if (!value.length) return "none";
    if (value.every((v) => v !== null && typeof v === "object" && !Array.isArray(v))) {
      const keys = unique(value.flatMap(Object.keys));
      return h("div", { class: "scroll", tabindex: 0 }, h("table", null,
        h("thead", null, h("tr", null, keys.map((key) => h("th", { scope: "col", class: "words" }, key.replaceAll("_", " "))))),
        h("tbody", null, value.map((row) => h("tr", null, keys.map((key) => h("td", { class: "words" }, brief(row[key]))))))));
    }
    return value.map(brief).join(", ");
  }
  if (value === null || typeof value !== "object") return brief(value);
  return h("dl", { class: "plain" }, Object.entries(value).flatMap(([key, inner]) =>
    [h("dt", null, key.replaceAll("_", " ")), h("dd", null, provenance(inner))]));
}
function brief(value) {
  if (value === null || value === undefined) return "none";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return /^[0-9a-f]{40,}$/.test(text) ? h("span", { title: text }, `${text.slice(0, 16)}…`) : text;
}
