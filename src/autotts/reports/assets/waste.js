// Where tokens went, what became of episodes, and what the stores themselves are like.
function stacked(rows, names, colours, unit, total) {
  const most = Math.max(...rows.map((row) => sum(Object.values(row.parts))));
  return [h("ul", { class: "key" }, names.map((name) => h("li", null, h("span", { class: "chip", style: { background: colours(name) } }), name))),
    h("div", { class: "bars" }, rows.map((row) => h("div", { class: "row" }, h("span", null, row.name),
      h("div", { class: "stack", role: "img", "aria-label": names.map((name) => `${name} ${unit(row.parts[name] ?? 0)}`).join(", ") },
        names.filter((name) => row.parts[name] > 0).map((name) => explain(h("span", { style: { width: `${(100 * row.parts[name]) / most}%`, background: colours(name) } }),
          `${row.name}\n${name}: ${unit(row.parts[name])} (${fixed((100 * row.parts[name]) / sum(Object.values(row.parts)), 1)} %)`))),
      h("span", null, total(row.parts)))))];
}
function waste() {
  if (!data.waste.length) return [lacking("a diagnosis")];
  const store = pick("wasteStore", stores(data.waste));
  const here = data.waste.filter((w) => w.store === store);
  const by = pick("wasteController", ["all controllers", ...unique(here.map((w) => w.controller))]);
  const betas = unique(here.map((w) => w.beta)).sort((a, b) => a - b);
  const beta = Number(pick("wasteBeta", betas, betas.at(-1)));
  const chosenRows = here.filter((w) => (by === "all controllers" ? w.beta === beta : w.controller === by));
  const named = (key) => chosenRows.map((w) => ({ name: by === "all controllers" ? w.controller : `β ${fixed(w.beta)}`, parts: w[key] }));
  const names = (key) => unique(here.flatMap((w) => Object.keys(w[key])));
  const audits = unique(here.filter((w) => w.audit).map((w) => `${w.controller} was ${w.audit}`));
  const colours = (key, kind) => (name) => `var(--${kind}-${names(key).indexOf(name)})`;
  return [h("div", { class: "controls" },
    select("store", stores(data.waste), store, (value) => { chosen.wasteStore = value; render(); }),
    select("show", ["all controllers", ...unique(here.map((w) => w.controller))], by, (value) => { chosen.wasteController = value; render(); }),
    by === "all controllers" ? select("at β", betas.map((b) => ({ value: b, text: fixed(b) })), beta, (value) => { chosen.wasteBeta = value; render(); }) : null),
  card(h("h2", null, "Where the tokens went, per question"), stacked(named("parts"), names("parts"), colours("parts", "part"), (v) => short(v), (parts) => short(sum(Object.values(parts))))),
  card(h("h2", null, "What became of the episodes"), stacked(named("findings"), names("findings"), colours("findings", "finding"), (v) => `${fixed(v, 1)} %`, (parts) => `${fixed(parts.right, 1)} %`),
    h("p", { class: "note" }, "The number at the end is the share that is right. Episodes of the first draws of each question are counted here, so it differs a little from the results, which are of all draws."),
    audits.length ? h("p", { class: "note" }, audits.join("; "), ".") : null)];
}
function pool() {
  if (!data.pools.length) return [lacking("what the stores are like")];
  return data.pools.map((facts) => card(h("h2", null, facts.store),
    h("dl", { class: "plain" }, facts.numbers.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)])),
    h("div", { class: "pair" }, facts.charts.map((chart) => poolChart(facts.store, chart))),
    facts.features.length ? h("details", null, h("summary", null, "Which feature of a branch tells the right ones"), features(facts)) : null));
}
function poolChart(store, { title, x_label, y_label, log, series }) {
  const names = Object.keys(series);
  const style = (k) => ({ color: seriesColour(k), shape: SHAPES[k % 8], dash: null });
  return h("div", null, h("h3", null, title),
    h("ul", { class: "key" }, names.map((name, k) => h("li", null, swatch(style(k)), name))),
    lineChart({
      series: names.map((name, k) => ({ ...style(k), points: series[name].map(([x, y]) => ({ x, y, text: `${name}\n${short(x)}: ${fixed(y, 1)} %` })) })),
      log, xLabel: x_label, yLabel: y_label, height: 280, label: `${title} on ${store}; arrow keys walk over the points`,
    }));
}
function features(facts) {
  return h("div", { class: "scroll", tabindex: 0 }, h("table", null,
    h("thead", null, h("tr", null, ["feature", "known after", "AUC", "95 % interval"].map((name, k) => h("th", { scope: "col", class: k === 1 ? "words" : null }, name)))),
    h("tbody", null, facts.features.map((row) => h("tr", null, row.map((text, k) => h("td", { class: k === 1 ? "words" : null }, text)))))),
    h("p", { class: "note" }, "Within a question: 0.5 says nothing, above it larger values speak for a right branch, below it smaller ones."));
}
