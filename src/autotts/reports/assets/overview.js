// The head of the report: facts, the table with intervals, and what made it.
function overview() {
  const parts = [];
  if (data.facts.length) {
    parts.push(card(h("dl", { class: "facts" }, data.facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))))));
  }
  if (data.lines.length) parts.push(resultsTable());
  if (Object.keys(data.made_by).length) parts.push(card(h("h2", null, "What made this"), provenance(data.made_by)));
  return parts.length ? parts : [nothing("Nothing has been evaluated yet.")];
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
    h("td", null, interval(r), whisker(r, span)), h("td", null, whole(r.tokens)), h("td", null, whole(r.sequential_tokens))));
  return card(h("h2", null, "Results"),
    h("div", { class: "controls" }, select("store", stores(data.lines), store, (value) => { chosen.store = value; render(); }),
      checkbox("every β, not only the most accurate", all, (on) => { chosen.allBetas = on; render(); })),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "results" },
      h("table", null, h("thead", null, h("tr", null, head)), h("tbody", null, body))),
    h("p", { class: "note" }, "Tokens are per question; sequential tokens count, round by round, the longest decode, so they stand for latency. ",
      "Intervals resample questions, with all their draws and models together."));
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
