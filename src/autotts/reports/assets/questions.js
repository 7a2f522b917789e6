// Which questions a controller gets right, and what it did on one of them.
const episodeKey = (e) => `${e.controller}, β ${fixed(e.beta)}`;
function questions() {
  if (!data.grids.length) return [lacking("the questions")];
  const store = pick("gridStore", stores(data.grids));
  const grid = data.grids.find((g) => g.store === store);
  const beta = Number(pick("gridBeta", unique(grid.rows.map((row) => row.beta)), nearest(unique(grid.rows.map((row) => row.beta)), 0.5)));
  return [h("div", { class: "controls" },
    select("store", stores(data.grids), store, (value) => { chosen.gridStore = value; render(); }),
    select("β", unique(grid.rows.map((row) => row.beta)).sort().map((b) => ({ value: b, text: fixed(b) })), beta, (value) => { chosen.gridBeta = value; render(); }),
    radios("order", { number: "by number", hope: "hardest first" }, chosen.order ?? "number", (value) => { chosen.order = value; render(); })),
  h("div", { class: "split" }, heatMap(grid, beta), matrixCard(grid))];
}
// The question on which controllers are least sure, to begin with.
function undecided(grid) {
  const doubt = (q) => sum(grid.rows.map((row) => row.right[q] * (100 - row.right[q])));
  return grid.texts.reduce((best, _, q) => (doubt(q) > doubt(best) ? q : best), 0);
}
const nearest = (values, wanted) => values.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a));
function heatColour(value) {
  const [low, high] = [css("--heat-low"), css("--heat-high")].map((text) => text.split(",").map(Number));
  const mixed = low.map((v, k) => v + ((high[k] - v) * value) / 100);
  const light = 0.299 * mixed[0] + 0.587 * mixed[1] + 0.114 * mixed[2];
  return { background: `rgb(${mixed.map(Math.round).join(" ")})`, color: light > 140 ? "#16181c" : "#ffffff" };
}
function heatMap(grid, beta) {
  const rows = grid.rows.filter((row) => row.beta === beta);
  const order = grid.hope.map((_, q) => q);
  if (chosen.order === "hope") order.sort((a, b) => grid.hope[a] - grid.hope[b]);
  const cell = (q, value, name, controller) => {
    const pressed = chosen.question === q && chosen.controller === controller && Boolean(controller);
    return h("td", null, h("button", {
      type: "button", style: heatColour(value), "aria-pressed": String(pressed), "data-key": `cell${q}${name}`,
      "aria-label": `question ${q}, ${name}: ${value} % right`,
      onclick: () => { chosen.question = q; if (controller) chosen.controller = controller; chosen.round = null; render(); },
    }, Math.round(value)));
  };
  return card(h("h2", null, "Right answers, % of draws"),
    h("div", { class: "scroll" }, h("table", { class: "heat" },
      h("thead", null, h("tr", null, h("th", { scope: "col", "aria-label": "question" }, "#"), h("th", { scope: "col" }, "any branch"), rows.map((row) => h("th", { scope: "col" }, row.controller)))),
      h("tbody", null, order.map((q) => h("tr", null, h("th", { scope: "row" }, q), cell(q, grid.hope[q], "any branch", null),
        rows.map((row) => cell(q, row.right[q], row.controller, row.controller))))))),
    h("p", { class: "note" }, "“Any branch” is the share of recorded branches that end right. Choose a cell to see an episode."));
}

function matrixCard(grid) {
  const here = data.episodes.filter((e) => e.store === grid.store);
  if (!here.length) return nothing("No episodes were kept for this store.");
  const count = grid.texts.length;
  chosen.question = Math.min(chosen.question ?? undecided(grid), count - 1);
  const q = chosen.question;
  const controller = pick("controller", unique(here.map((e) => e.controller)));
  const betas = unique(here.filter((e) => e.controller === controller).map((e) => e.beta));
  const beta = Number(pick("episodeBeta", betas, nearest(betas, 0.5)));
  const episode = here.find((e) => e.question === q && e.controller === controller && e.beta === beta);
  const matrix = data.matrices.find((m) => m.store === grid.store && m.question === q);
  return card(h("h2", null, `Question ${q}`),
    h("div", { class: "controls" },
      select("question", grid.texts.map((_, k) => k), q, (value) => { chosen.question = Number(value); chosen.round = null; render(); }),
      select("controller", unique(here.map((e) => e.controller)), controller, (value) => { chosen.controller = value; chosen.round = null; render(); }),
      select("β", betas.map((b) => ({ value: b, text: fixed(b) })), beta, (value) => { chosen.episodeBeta = value; chosen.round = null; render(); })),
    h("div", { class: "question", tabindex: 0 }, grid.texts[q] ? rich(grid.texts[q]) : "The store has no text for this question."),
    episode && matrix ? player(matrix, episode) : nothing("This episode was not kept."));
}

const unroll = (runs) => { const out = []; for (let k = 0; k < runs.length; k += 2) out.push(...Array(runs[k + 1]).fill(runs[k])); return out; };
function readRounds(runs) {
  const out = [];
  for (let k = 0; k < runs.length; k += 3) for (let r = 0; r < runs[k + 2]; r++) out.push(...Array(runs[k + 1]).fill(runs[k] + r));
  return out;
}
const ALPHABET = () => data.alphabet;
function prepare(matrix, episode) {
  const code = (char) => ALPHABET().indexOf(char);
  const spent = unroll(episode.spent);
  let total = 0;
  const cumulative = [0, ...spent.map((tokens) => (total += tokens))];
  return {
    matrix, episode, cumulative, reads: episode.reads.map(readRounds),
    probes: matrix.probes.map((row) => [...row].map(code)), finals: [...matrix.finals].map(code),
  };
}
// The gold answer has a colour of its own, and a dot, so that it stands out without colour too.
const answerColour = (code, gold) => {
  if (code < 0) return css("--soft"); // recorded without probes
  if (code === gold) return css("--answer-gold");
  const rank = code - (code > gold ? 1 : 0);
  return rank < 6 ? css(`--answer-${rank}`) : css("--answer-rest");
};
function state(p, round) {
  const { episode } = p;
  const open = p.reads.filter((rounds) => rounds.length && rounds[0] <= round).length;
  const ended = (list) => list.filter((r) => r && r <= round).length;
  const votes = new Map(), latest = new Map();
  const add = (map, code) => map.set(code, (map.get(code) ?? 0) + 1);
  p.reads.forEach((rounds, i) => {
    if (episode.finished[i] && episode.finished[i] <= round) add(votes, p.finals[i]);
    else if (!(episode.pruned[i] && episode.pruned[i] <= round)) {
      const depth = rounds.filter((r) => r <= round).length;
      if (depth && p.probes[i][depth - 1] >= 0) add(latest, p.probes[i][depth - 1]);
    }
  });
  return { open, finished: ended(episode.finished), pruned: ended(episode.pruned), votes, latest };
}

function player(matrix, episode) {
  const p = prepare(matrix, episode);
  const canvas = h("canvas", { tabindex: 0, role: "img", "aria-label": "" });
  const box = h("div", { class: "matrix" }, canvas);
  const slider = h("input", { type: "range", min: 0, max: episode.rounds, value: chosen.round ?? episode.rounds, "aria-label": "round of the episode", "data-key": "slider" });
  const output = h("output", { role: "status" });
  const votes = h("ul", { class: "votes", "aria-label": "votes" });
  const play = h("button", { type: "button", "aria-label": "play the episode", onclick: () => run(slider, play) }, "▶");
  const show = () => {
    const round = Number(slider.value);
    chosen.round = round;
    const now = state(p, round);
    paint(canvas, p, round);
    const text = `round ${round} of ${episode.rounds}: ${now.open} opened, ${now.finished} finished, ${now.pruned} pruned, ${whole(p.cumulative[round] ?? episode.tokens)} tokens`;
    output.textContent = `${round} / ${episode.rounds}`;
    canvas.setAttribute("aria-label", `branches by intervals after ${text}`);
    line.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    votes.replaceChildren(...voteRows(p, now));
  };
  const line = h("p", { class: "note" });
  slider.addEventListener("input", show);
  new ResizeObserver(show).observe(box);
  inspect(canvas, p, slider);
  const name = (code) => (code < 0 ? "nothing" : answer(matrix.answers[code]));
  return h("div", null,
    h("p", null, "True answer ", h("strong", null, name(matrix.gold)), "; this controller answered ", h("strong", null, name(episode.answer)), " ",
      h("span", { class: `badge ${episode.correct ? "good" : "bad"}` }, episode.correct ? "right" : "wrong"),
      ` after ${whole(episode.tokens)} tokens, ${whole(episode.sequential_tokens)} one after the other.`),
    box, h("div", { class: "slider" }, play, slider, output), line, votes,
    h("p", { class: "note" }, `This is draw ${matrix.draw} of the question. `, "A row is a branch, a square the answer probed after one more interval, an outlined square a final answer. ",
      "The dot marks the true answer. Paler: decoded without probing. Faint: not decoded. Struck through: pruned."));
}
let timer = null;
function run(slider, play) {
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶"; play.setAttribute("aria-label", "play the episode"); };
  if (timer) { stop(); return; }
  if (slider.value === slider.max) slider.value = 0;
  const step = Math.max(1, Math.round(Number(slider.max) / 120));
  play.textContent = "❚❚";
  play.setAttribute("aria-label", "pause");
  timer = setInterval(() => {
    if (!slider.isConnected || slider.value === slider.max) { stop(); return; }
    slider.value = Number(slider.value) + step;
    slider.dispatchEvent(new Event("input"));
  }, 60);
}
function geometry(canvas, p) {
  const width = canvas.clientWidth || 1;
  const depth = Math.max(...p.probes.map((row) => row.length)) + 1;
  const rows = p.probes.length;
  const left = 26;
  return { width, depth, rows, left, w: (width - left - 2) / depth, hgt: Math.max(6, Math.min(12, 620 / rows)), top: 4 };
}
function paint(canvas, p, round) {
  const g = geometry(canvas, p);
  const ratio = window.devicePixelRatio || 1;
  const height = g.top + g.rows * g.hgt + 22;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(g.width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  c.font = "10px system-ui, sans-serif";
  const gap = g.w > 4 ? 1 : 0.4;
  const ink = css("--ink"), soft = css("--soft"), cardColour = css("--card");
  const square = (i, k, code, alpha, final) => {
    const [x, y] = [g.left + k * g.w, g.top + i * g.hgt];
    c.globalAlpha = alpha;
    c.fillStyle = answerColour(code, p.matrix.gold);
    c.fillRect(x, y, Math.max(0.8, g.w - gap), g.hgt - 1);
    if (final && alpha > 0.5) { c.strokeStyle = ink; c.lineWidth = 1.2; c.strokeRect(x + 0.6, y + 0.6, Math.max(1, g.w - gap - 1.2), g.hgt - 2.2); }
    if (code === p.matrix.gold && g.w > 4 && alpha > 0.2) { c.fillStyle = cardColour; c.beginPath(); c.arc(x + (g.w - gap) / 2, y + (g.hgt - 1) / 2, Math.min(g.w, g.hgt) / 6, 0, 7); c.fill(); }
  };
  p.probes.forEach((row, i) => {
    const reads = p.reads[i] ?? [];
    const done = p.episode.finished[i] && p.episode.finished[i] <= round;
    const dropped = p.episode.pruned[i] && p.episode.pruned[i] <= round;
    const depth = reads.filter((r) => r <= round).length;
    row.forEach((code, k) => square(i, k, code, k < depth ? (dropped ? 0.4 : 1) : done ? 0.4 : 0.1, false));
    square(i, row.length, p.finals[i], done ? 1 : 0.1, true);
    if (dropped) {
      const [y, end] = [g.top + (i + 0.5) * g.hgt - 0.5, g.left + Math.max(1, depth) * g.w];
      c.globalAlpha = 0.8; c.strokeStyle = soft; c.lineWidth = 1;
      c.beginPath(); c.moveTo(g.left, y); c.lineTo(end + 3, y); c.moveTo(end + 3, y - 3); c.lineTo(end + 3, y + 3); c.stroke();
    }
    c.globalAlpha = 1; c.fillStyle = soft; c.textAlign = "right";
    if (i % (g.hgt < 9 ? 8 : 4) === 0) c.fillText(String(i), g.left - 5, g.top + i * g.hgt + g.hgt - 1);
  });
  c.globalAlpha = 1; c.fillStyle = soft; c.textAlign = "center";
  const step = Math.ceil(g.depth / Math.max(2, Math.floor(g.width / 70)) / 5) * 5;
  for (let k = step; k < g.depth; k += step) c.fillText(String(k), g.left + (k - 0.5) * g.w, height - 6);
  if (p.cursor) {
    const [i, k] = p.cursor;
    c.strokeStyle = ink; c.lineWidth = 1.6;
    c.strokeRect(g.left + k * g.w - 0.8, g.top + i * g.hgt - 0.8, g.w + 0.6, g.hgt + 0.6);
  }
}
function inspect(canvas, p, slider) {
  const words = (i, k) => {
    const last = k >= p.probes[i].length;
    const code = last ? p.finals[i] : p.probes[i][k];
    const reads = p.reads[i] ?? [];
    const when = last ? p.episode.finished[i] : reads[k] ?? p.episode.finished[i];
    const gold = code === p.matrix.gold ? " (the true answer)" : "";
    return `branch ${i}, ${last ? "final answer" : `interval ${k + 1}`}: ${code < 0 ? "recorded without probes" : p.matrix.answers[code]}${gold}\n` +
      `${when ? `read in round ${when}` : "not read"}${p.episode.pruned[i] ? `, branch pruned in round ${p.episode.pruned[i]}` : ""}; ${whole(p.matrix.tokens[i])} tokens in all`;
  };
  const point = (i, k, x, y) => { p.cursor = [i, k]; paint(canvas, p, Number(slider.value)); showTip(words(i, k), x, y); };
  const leave = () => { p.cursor = null; hideTip(); paint(canvas, p, Number(slider.value)); };
  canvas.addEventListener("pointermove", (event) => {
    const r = canvas.getBoundingClientRect(), g = geometry(canvas, p);
    const [i, k] = [Math.floor((event.clientY - r.top - g.top) / g.hgt), Math.floor((event.clientX - r.left - g.left) / g.w)];
    if (i >= 0 && i < g.rows && k >= 0 && k <= p.probes[i].length) point(i, k, event.clientX, event.clientY);
    else leave();
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === "Escape") leave();
    if (!move) return;
    event.preventDefault();
    const [i0, k0] = p.cursor ?? [0, -1];
    const i = Math.min(Math.max(0, i0 + move[0]), p.probes.length - 1);
    const k = Math.min(Math.max(0, k0 + move[1]), p.probes[i].length);
    const r = canvas.getBoundingClientRect(), g = geometry(canvas, p);
    point(i, k, r.left + g.left + (k + 0.5) * g.w, r.top + g.top + i * g.hgt);
    canvas.setAttribute("aria-label", words(i, k));
  });
}
function voteRows(p, now) {
  const { gold, answers } = p.matrix;
  const codes = unique([gold, ...now.votes.keys(), ...now.latest.keys()]);
  const of = (map, code) => map.get(code) ?? 0;
  codes.sort((a, b) => of(now.votes, b) - of(now.votes, a) || of(now.latest, b) - of(now.latest, a));
  const most = Math.max(1, ...codes.map((code) => of(now.votes, code) + of(now.latest, code)));
  const shown = codes.slice(0, 7);
  if (!shown.includes(gold)) shown[6] = gold;
  const rows = shown.map((code) => {
    const color = answerColour(code, gold);
    const bar = (n, opacity) => h("div", { class: "bar", style: { width: `${(100 * n) / most}%`, background: color, opacity } });
    return h("li", null, h("span", { class: "chip", style: { background: color, color: "var(--card)" } }, code === gold ? "●" : ""),
      h("span", { class: "name", title: answers[code] }, answer(answers[code])),
      h("span", { style: { display: "flex" } }, bar(of(now.votes, code), 1), bar(of(now.latest, code), 0.4)),
      h("span", { class: "count" }, `${of(now.votes, code)} votes + ${of(now.latest, code)}`));
  });
  if (codes.length > 7) rows.push(h("li", { class: "note" }, "", `${codes.length - 7} more`));
  return rows;
}
