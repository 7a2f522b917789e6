// Line charts: axes, bands, and marks that the pointer and the arrow keys find.
function niceTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((s) => s * power >= rough) * power;
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9 * step; t += step) ticks.push(+t.toPrecision(12));
  return ticks;
}
function logTicks(low, high, most) {
  for (const steps of [[1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
      for (const s of steps) if (s * 10 ** e >= low * 0.999 && s * 10 ** e <= high * 1.001) ticks.push(s * 10 ** e);
    }
    if (ticks.length <= most || steps.length === 1) return ticks;
  }
  return [];
}
function scale(values, log, from, to, pad) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) [low, high] = [Math.log(Math.max(low, 1)), Math.log(Math.max(high, 1))];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const room = (high - low) * pad;
  [low, high] = [low - room, high + room];
  const at = (v) => from + (((log ? Math.log(Math.max(v, 1)) : v) - low) / (high - low)) * (to - from);
  at.low = log ? Math.exp(low) : low;
  at.high = log ? Math.exp(high) : high;
  return at;
}

/* series: [{name, color, shape, dash, points: [{x, y, low, high, text, label}], band, faint, thin}] */
function lineChart(options) {
  const host = h("div", { class: "chart" });
  let drawn = 0;
  const draw = () => {
    const width = Math.round(host.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    hideTip();
    host.replaceChildren(plot(options, width));
  };
  new ResizeObserver(draw).observe(host);
  return host;
}
function plot({ series, xLabel, yLabel, log, yLog, label, height = 420 }, width) {
  height = Math.min(height, Math.max(260, width * 0.75));
  const box = { left: 58, right: width - 14, top: 12, bottom: height - 46 };
  const points = series.flatMap((line) => line.points);
  const x = scale(points.map((p) => p.x), log, box.left, box.right, 0.03);
  const ys = series.flatMap((line) => line.points.flatMap((p) => (line.band && p.low !== null && p.low !== undefined ? [p.low, p.high] : [p.y])));
  const y = scale(ys, yLog, box.bottom, box.top, 0.05);
  const xTicks = log ? logTicks(x.low, x.high, width / 62) : niceTicks(x.low, x.high, width / 90);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  const yTicks = yLog ? logTicks(y.low, y.high, height / 45) : niceTicks(y.low, y.high, height / 60);
  for (const t of yTicks) {
    root.append(svg("path", { class: "gridline", d: `M${box.left} ${y(t)}H${box.right}` }),
      svg("text", { x: box.left - 8, y: y(t) + 4, "text-anchor": "end" }, short(t)));
  }
  for (const t of xTicks) {
    root.append(svg("path", { class: "gridline", d: `M${x(t)} ${box.top}V${box.bottom}` }),
      svg("text", { x: x(t), y: box.bottom + 18, "text-anchor": "middle" }, short(t)));
  }
  root.append(svg("path", { class: "axis", fill: "none", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` }),
    svg("text", { class: "label", x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
    svg("text", { class: "label", transform: `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel));
  for (const line of series.filter((s) => s.band)) {
    const known = line.points.filter((p) => p.low !== null && p.low !== undefined);
    if (known.length > 1) {
      const up = known.map((p) => `${x(p.x)} ${y(p.high)}`), down = known.map((p) => `${x(p.x)} ${y(p.low)}`).reverse();
      root.append(svg("path", { d: `M${up.concat(down).join("L")}Z`, fill: line.color, opacity: 0.13 }));
    } else if (known.length) {
      root.append(svg("path", { d: `M${x(known[0].x)} ${y(known[0].low)}V${y(known[0].high)}`, stroke: line.color, "stroke-width": 2, opacity: 0.5 }));
    }
  }
  const rows = series.map((line) => {
    root.append(svg("path", {
      d: `M${line.points.map((p) => `${x(p.x)} ${y(p.y)}`).join("L")}`, fill: "none", stroke: line.color,
      "stroke-width": line.thin ? 1.3 : 2.2, "stroke-linejoin": "round", "stroke-dasharray": line.dash, opacity: line.faint ? 0.55 : 1,
    }));
    return line;
  }).map((line) => line.points.filter((p) => p.text).map((p) => {
    const mark = svg("g", { class: "mark", transform: `translate(${x(p.x)} ${y(p.y)})`, role: "img", tabindex: -1, "aria-label": p.text.replaceAll("\n", ", ") },
      svg("circle", { class: "halo", r: 11, fill: line.color }), svg("circle", { r: 11, fill: "transparent" }),
      svg("path", { d: line.shape, fill: line.color, stroke: "var(--card)", "stroke-width": 1, opacity: line.faint ? 0.6 : 1, transform: p.label ? "scale(2)" : null }),
      p.label && svg("text", { y: 4, "text-anchor": "middle", style: { fill: "var(--card)", fontWeight: 700 } }, p.label));
    root.append(mark);
    return explain(mark, p.text);
  })).filter((marks) => marks.length);
  rove(rows, root);
  return root;
}
// One stop of the tab key for the whole chart; the arrow keys walk along and between its lines.
function rove(rows, root) {
  if (!rows.length) return;
  let [r, c] = [0, 0];
  rows[0][0].setAttribute("tabindex", 0);
  rows.forEach((marks, i) => marks.forEach((mark, j) => mark.addEventListener("focus", () => { [r, c] = [i, j]; })));
  root.addEventListener("keydown", (event) => {
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === "Escape") hideTip();
    if (!move) return;
    event.preventDefault();
    rows[r][c].setAttribute("tabindex", -1);
    r = (r + move[0] + rows.length) % rows.length;
    c = Math.min(Math.max(0, c + move[1]), rows[r].length - 1);
    rows[r][c].setAttribute("tabindex", 0);
    rows[r][c].focus();
  });
}
