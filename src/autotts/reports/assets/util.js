// Elements, numbers and colours. Text reaches the page through textContent alone.
let data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}
const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

const unique = (values) => [...new Set(values)];
const sum = (values) => values.reduce((a, b) => a + b, 0);
const whole = (value) => Math.round(value).toLocaleString("en-US");
const fixed = (value, digits = 2) => value.toFixed(digits);
const percent = (value) => `${fixed(value)} %`;
function short(value) {
  if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e3) return `${+(value / 1e3).toPrecision(3)}k`;
  return `${+value.toPrecision(3)}`;
}
const interval = (p, digits = 1) =>
  p.accuracy_low === null ? "" : `${fixed(p.accuracy_low, digits)} … ${fixed(p.accuracy_high, digits)}`;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const controllers = () => unique(data.lines.map((line) => line.controller)
  .concat(data.waste.map((w) => w.controller), data.episodes.map((e) => e.controller)));
const seriesColour = (k) => `var(--series-${k % 8})`;
const SHAPES = ["M0-4.6A4.6 4.6 0 1 1-.01-4.6Z", "M-4-4H4V4H-4Z", "M0-5.2 5 3.8H-5Z", "M0-5.6 5.6 0 0 5.6-5.6 0Z",
  "M0 5.2 5-3.8H-5Z", "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z", "M-5 0-2.5-4.6H2.5L5 0 2.5 4.6H-2.5Z",
  "M0-5.8 1.5-1.8 5.6-1.8 2.3.8 3.5 5 0 2.5-3.5 5-2.3.8-5.6-1.8-1.5-1.8Z"];
const DASHES = [null, "7 4", "2 4"];
function look(controller) {
  const k = Math.max(0, controllers().indexOf(controller));
  return { color: seriesColour(k), shape: SHAPES[k % 8], dash: DASHES[Math.floor(k / 8) % 3] };
}
const swatch = (style) => svg("svg", { class: "swatch", viewBox: "-12 -7 24 14", "aria-hidden": "true" },
  svg("path", { d: "M-12 0H12", stroke: style.color, "stroke-width": 2, "stroke-dasharray": style.dash }),
  svg("path", { d: style.shape, fill: style.color }));

// What the reader chose; kept while a live page takes in news.
const chosen = {};
const card = (...children) => h("section", { class: "card" }, ...children);
const several = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
// Why a part is empty: each source of reports lacks something else.
const lacking = (what) => nothing(data.rounds.length || data.live
  ? `This is the run's log alone. autotts report RUN replays its stores, and adds ${what}.`
  : `This is a results file alone. Give autotts report its stores as well, and it replays them, and adds ${what}.`);
const nothing = (text) => h("div", { class: "card empty" }, text);
function select(label, options, value, change) {
  const box = h("select", { onchange: () => change(box.value) },
    options.map((o) => h("option", { value: o.value ?? o, selected: String(o.value ?? o) === String(value) }, o.text ?? o)));
  return h("label", null, h("span", null, label), box);
}
function checkbox(label, on, change, mark) {
  const box = h("input", { type: "checkbox", checked: on, onchange: () => change(box.checked) });
  return h("label", null, box, mark, label);
}
function radios(label, options, value, change) {
  const name = `r${Math.random().toString(36).slice(2)}`;
  return h("fieldset", null, h("legend", null, label), Object.entries(options).map(([key, text]) =>
    h("label", null, h("input", { type: "radio", name, value: key, checked: key === value, onchange: () => change(key) }), text)));
}
const stores = (parts) => unique(parts.map((part) => part.store));
function pick(name, options, first = options[0]) {
  if (!options.some((o) => String(o) === String(chosen[name]))) chosen[name] = first;
  return chosen[name];
}

const tip = document.getElementById("tip");
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(Math.max(6, x - box.width / 2), window.innerWidth - box.width - 6);
  const top = y - box.height - 14 < 4 ? y + 18 : y - box.height - 14;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}
const hideTip = () => { tip.hidden = true; };
function explain(node, text) {
  const at = () => { const r = node.getBoundingClientRect(); showTip(text, r.left + r.width / 2, r.top); };
  node.addEventListener("pointerenter", at);
  node.addEventListener("pointerleave", hideTip);
  node.addEventListener("focus", at);
  node.addEventListener("blur", hideTip);
  return node;
}
