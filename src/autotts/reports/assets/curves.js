// Accuracy against tokens, every controller.
const COSTS = { tokens: "total tokens", sequential_tokens: "sequential tokens" };
function describe(controller, p) {
  return `${controller}, β ${fixed(p.beta)}\n${fixed(p.accuracy)} % right${p.accuracy_low === null ? "" : ` (${interval(p)})`}\n` +
    `${whole(p.tokens)} tokens, ${whole(p.sequential_tokens)} sequential`;
}
const asPoint = (controller, cost) => (p) => ({
  x: p[cost], y: p.accuracy, low: p.accuracy_low, high: p.accuracy_high, text: describe(controller, p),
});
function curves() {
  if (!data.lines.length) return [nothing("Nothing has been evaluated yet.")];
  const store = pick("store", stores(data.lines));
  const cost = pick("cost", Object.keys(COSTS));
  chosen.hidden ??= new Set();
  const lines = data.lines.filter((line) => line.store === store);
  const shown = lines.filter((line) => !chosen.hidden.has(line.controller));
  // Bands of many curves hide each other: at first only a few have theirs.
  chosen.bands ??= lines.length <= 3;
  const series = shown.map((line) => ({ ...look(line.controller), band: chosen.bands, points: line.points.map(asPoint(line.controller, cost)) }));
  const toggle = (controller) => (on) => { chosen.hidden[on ? "delete" : "add"](controller); render(); };
  return [card(
    h("div", { class: "controls" },
      select("store", stores(data.lines), store, (value) => { chosen.store = value; render(); }),
      radios("cost", { tokens: "total", sequential_tokens: "sequential" }, cost, (value) => { chosen.cost = value; render(); }),
      checkbox("95 % bands", chosen.bands, (on) => { chosen.bands = on; render(); }),
      checkbox("log scale", chosen.log ?? true, (on) => { chosen.log = on; render(); })),
    h("div", { class: "controls" }, h("fieldset", null, h("legend", null, "controllers"),
      lines.map((line) => checkbox(line.controller, !chosen.hidden.has(line.controller), toggle(line.controller), swatch(look(line.controller)))))),
    shown.length ? lineChart({
      series, log: chosen.log ?? true, xLabel: `${COSTS[cost]} per question`, yLabel: "accuracy, %", height: 520,
      label: `accuracy against ${COSTS[cost]} on ${store}; arrow keys walk over the settings`,
    }) : nothing("Every controller is switched off."),
    h("p", { class: "note" }, "Each mark is one β. Point at a mark, or press tab and walk with the arrow keys.")),
  card(h("h2", null, "β against tokens"), lineChart({
    series: shown.map((line) => ({ ...look(line.controller), points: line.points.map((p) => ({ x: p.beta, y: p[cost], text: describe(line.controller, p) })) })),
    xLabel: "β", yLabel: COSTS[cost], yLog: true, height: 320, label: "tokens against β",
  }))];
}
