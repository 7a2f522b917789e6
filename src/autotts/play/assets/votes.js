// Who votes for what: bars for now, and an area for the whole way.
const BAND = 72;
function voteRows(f, now, shown, most) {
  const of = (answer) => now.votes.get(answer);
  const answers = [...now.votes.keys()].sort((a, b) => of(b).final - of(a).final || of(b).running - of(a).running || shown.rank(a) - shown.rank(b));
  const room = Math.max(1, ...answers.map((a) => of(a).final + of(a).running));
  const rows = answers.slice(0, most).map((a) => {
    const { final, running } = of(a), color = shown.shade(a), text = f.trace.answers[a];
    const part = (n) => h("i", { style: { width: `${(100 * n) / room}%`, background: color } });
    return h("li", { class: a === now.leader ? "leads" : null },
      h("span", { class: "chip", style: { background: color }, "aria-hidden": "true" }, shown.isGold(a) ? "●" : shown.letter(a)),
      h("span", { class: "name", title: text }, answerNode(text)),
      h("span", { class: "bar", "aria-hidden": "true" }, part(final), part(running)),
      h("span", { class: "count" }, `${final} finished`, running ? ` + ${running}` : ""));
  });
  if (answers.length > most) rows.push(h("li", { class: "note" }, h("span"), h("span"), `${answers.length - most} more answers`));
  if (!rows.length) rows.push(h("li", { class: "note" }, h("span"), h("span"), "no answer is known yet"));
  return rows;
}
const answerNode = (text) => (text === "" ? "(no answer)" : answer(text));

// How many branches say what, by tokens spent. Pruned branches are gone from it.
function areaOf(f, shown) {
  const count = Math.min(f.last, 160), at = [];
  for (let k = 0; k <= count; k++) at.push(Math.round((k * f.last) / Math.max(1, count)));
  const rows = unique(at).map((r) => {
    const byRank = new Map();
    let silent = 0;
    for (const b of stateAt(f, r).branches) {
      if (b.pruned) continue;
      if (b.answer < 0) silent++;
      else { const rank = Math.min(shown.rank(b.answer), 6); byRank.set(rank, [(byRank.get(rank)?.[0] ?? 0) + 1, b.answer]); }
    }
    return { tokens: f.spent[r], byRank, silent };
  });
  return { rows, ranks: unique(rows.flatMap((row) => [...row.byRank.keys()])).sort((a, b) => a - b) };
}
function paintArea(root, f, shown, { tokens, most, parts }) {
  const { rows, ranks } = (f.area ??= areaOf(f, shown));
  const top = Math.max(1, f.branches.length), x = (t) => (1000 * t) / Math.max(1, most), y = (n) => BAND - 2 - ((BAND - 6) * n) / top;
  const sums = rows.map(() => 0), shapes = [];
  for (const rank of [...ranks, null]) {
    const low = [...sums];
    let sample = null;
    rows.forEach((row, k) => {
      const [n, answer] = rank === null ? [row.silent, null] : row.byRank.get(rank) ?? [0, null];
      sample ??= answer;
      sums[k] += n;
    });
    const up = rows.map((row, k) => `${x(row.tokens).toFixed(1)} ${y(sums[k]).toFixed(1)}`), down = rows.map((row, k) => `${x(row.tokens).toFixed(1)} ${y(low[k]).toFixed(1)}`).reverse();
    shapes.push(svg("path", { d: `M${up.concat(down).join("L")}Z`, style: { fill: rank === null ? "var(--grid)" : rank === 6 ? "var(--answer-rest)" : shown.shade(sample) } }));
  }
  const bar = (t, name) => svg("path", { class: name, d: `M${x(t)} 0V${BAND}`, "vector-effect": "non-scaling-stroke" });
  root.replaceChildren(...shapes, svg("path", { class: "base", d: `M0 ${BAND - 2}H1000`, "vector-effect": "non-scaling-stroke" }), parts === null ? "" : bar(parts, "part"), bar(tokens, "cursor"));
}
