// The branches of an episode as they grow: a row each, a square an interval, coloured by the answer that was asked there.
const GUTTER = 26, CAP = 15;
function geometry(canvas, f, depth) {
  const rows = Math.max(1, f.branches.length), width = canvas.clientWidth || 1;
  const high = Math.max(6, Math.min(17, 380 / rows));
  return { width, rows, high, w: Math.min(26, (width - GUTTER - CAP - 4) / depth), height: rows * high + 20 };
}
/* shown: { depth: most intervals of any lane, shade(answer), isGold(answer), letter(answer) } */
function paintBranches(canvas, f, r, shown) {
  const g = geometry(canvas, f, shown.depth), ratio = window.devicePixelRatio || 1;
  canvas.style.height = `${g.height}px`;
  canvas.width = Math.round(g.width * ratio);
  canvas.height = Math.round(g.height * ratio);
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  c.font = "10px system-ui, sans-serif";
  const [ink, soft, paper, line, card] = ["--ink", "--soft", "--paper", "--line", "--card"].map(css);
  const gap = g.w > 4 ? 1 : 0.3, tall = g.high - (g.high > 9 ? 2 : 1);
  f.branches.forEach((b, i) => {
    const y = i * g.high, opened = b.cells[0].round <= r, dropped = b.pruned <= r, done = b.finished <= r;
    if (i % (g.high < 9 ? 8 : g.high < 12 ? 4 : 1) === 0) {
      c.globalAlpha = opened ? 1 : 0.5; c.fillStyle = soft; c.textAlign = "right";
      c.fillText(String(i), GUTTER - 6, y + g.high / 2 + 3);
    }
    if (!opened) { c.globalAlpha = 1; c.fillStyle = paper; c.fillRect(GUTTER, y + tall / 2 - 0.5, g.w, 1); return; }
    const depth = b.cells.filter((cell) => cell.round <= r).length;
    for (let k = 0; k < depth; k++) {
      const answer = probed(b.cells[k], r), fresh = b.cells[k].round === r, x = GUTTER + k * g.w;
      c.globalAlpha = dropped ? 0.36 : fresh ? 1 : 0.78;
      c.fillStyle = answer < 0 ? line : shown.shade(answer);
      const [top, h] = answer < 0 ? [y + tall * 0.28, tall * 0.44] : [y, tall];
      c.fillRect(x, top, Math.max(0.7, g.w - gap), h);
      if (answer >= 0 && shown.isGold(answer) && g.w > 4) { c.fillStyle = card; c.beginPath(); c.arc(x + (g.w - gap) / 2, y + tall / 2, Math.min(g.w, tall) / 5, 0, 7); c.fill(); }
      if (fresh && !dropped && g.w > 5) { c.strokeStyle = ink; c.lineWidth = 1; c.strokeRect(x + 0.5, top + 0.5, Math.max(1, g.w - gap - 1), h - 1); }
    }
    const ahead = r === f.last ? f.ahead?.get(i) ?? 0 : 0;
    c.globalAlpha = 0.9; c.strokeStyle = soft; c.lineWidth = 1;
    for (let k = depth; k < depth + ahead; k++) c.strokeRect(GUTTER + k * g.w + 0.5, y + tall * 0.28, Math.max(1, g.w - gap - 1), tall * 0.44);
    end(c, { x: GUTTER + (depth + ahead) * g.w, y: y + tall / 2, tall, done, dropped, b, shown, ink, soft, card });
  });
  c.globalAlpha = 1; c.fillStyle = soft; c.textAlign = "center";
  const step = Math.max(1, Math.ceil(shown.depth / Math.max(2, g.width / 60) / 5) * 5);
  for (let k = step; k <= shown.depth; k += step) c.fillText(String(k), GUTTER + (k - 0.5) * g.w, g.height - 5);
}
// How a branch ended: a disc in the colour of its answer, a cross, or an arrow where it may go on.
function end(c, { x, y, tall, done, dropped, b, shown, ink, soft, card }) {
  const size = Math.max(2.4, Math.min(6.5, tall / 2));
  c.globalAlpha = 1;
  if (done) {
    c.fillStyle = b.final < 0 ? soft : shown.shade(b.final);
    c.beginPath(); c.arc(x + size + 1.5, y, size, 0, 7); c.fill();
    c.strokeStyle = ink; c.lineWidth = size > 4 ? 1.3 : 0.8; c.stroke();
    if (size > 5.5 && b.final >= 0) { c.fillStyle = card; c.textAlign = "center"; c.font = "bold 8.5px system-ui, sans-serif"; c.fillText(shown.isGold(b.final) ? "●" : shown.letter(b.final), x + size + 1.5, y + 3); c.font = "10px system-ui, sans-serif"; }
  } else if (dropped) {
    const d = size * 0.75;
    c.strokeStyle = soft; c.lineWidth = 1.5;
    c.beginPath(); c.moveTo(x + 3, y - d); c.lineTo(x + 3 + 2 * d, y + d); c.moveTo(x + 3, y + d); c.lineTo(x + 3 + 2 * d, y - d); c.stroke();
  } else {
    c.globalAlpha = 0.75; c.fillStyle = soft;
    c.beginPath(); c.moveTo(x + 1.5, y - size * 0.7); c.lineTo(x + 1.5 + size, y); c.lineTo(x + 1.5, y + size * 0.7); c.fill();
  }
}
function branchAt(canvas, f, shown, event) {
  const g = geometry(canvas, f, shown.depth), box = canvas.getBoundingClientRect();
  const [i, k] = [Math.floor((event.clientY - box.top) / g.high), Math.floor((event.clientX - box.left - GUTTER) / g.w)];
  return i >= 0 && i < f.branches.length ? [i, k] : null;
}
function branchWords(f, r, i, k, name) {
  const b = f.branches[i], cell = b.cells[k], answer = cell ? probed(cell, r) : -1;
  const lines = [`branch ${i}, ${whole(b.tokens)} tokens in all`];
  if (cell && cell.round <= r) lines.push(`interval ${k + 1}, round ${cell.round}: ${answer < 0 ? "not asked" : name(f.trace.answers[answer])}`);
  if (b.finished <= r) lines.push(`finished in round ${b.finished} with ${b.final < 0 ? "no answer" : name(f.trace.answers[b.final])}`);
  if (b.pruned <= r) lines.push(`pruned in round ${b.pruned}`);
  return lines.join("\n");
}
