// Python in colours, and what changed from one program to the next.
const TOKEN = /("""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(#[^\n]*)|\b(and|as|assert|break|class|continue|def|elif|else|False|for|from|if|import|in|is|lambda|None|not|or|pass|return|True|while)\b|\b(\d[\d_.]*(?:e[+-]?\d+)?)\b/g;
function colours(source) {
  // [text, class] of the pieces of each line.
  const lines = [[]];
  const put = (text, kind) => text.split("\n").forEach((piece, k) => {
    if (k) lines.push([]);
    if (piece) lines.at(-1).push([piece, kind]);
  });
  let at = 0;
  for (const match of source.matchAll(TOKEN)) {
    put(source.slice(at, match.index), null);
    put(match[0], ["s", "c", "k", "n"][match.slice(1).findIndex((group) => group !== undefined)]);
    at = match.index + match[0].length;
  }
  put(source.slice(at), null);
  return lines;
}
const pieces = (line) => line.map(([text, kind]) => (kind ? h("span", { class: kind }, text) : text));
const program = (source) => h("pre", { tabindex: 0 }, h("code", null, colours(source).map((line) => [...pieces(line), "\n"])));

function compareLines(a, b) {
  // Longest common subsequence; programs have a few hundred lines.
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  const rows = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) rows.push([" ", i++, j++]);
    else if (i < a.length && (j === b.length || best[i + 1][j] >= best[i][j + 1])) rows.push(["−", i++, null]);
    else rows.push(["+", null, j++]);
  }
  return rows;
}
function difference(from, to) {
  const a = from.split("\n"), b = to.split("\n");
  const [ca, cb] = [colours(from), colours(to)];
  const rows = compareLines(a, b);
  const near = rows.map((_, k) => rows.slice(Math.max(0, k - 3), k + 4).some((row) => row[0] !== " "));
  const out = [];
  let skipped = 0;
  const gap = () => { if (skipped) out.push(h("div", { class: "gap" }, `⋯ ${skipped} equal lines`)); skipped = 0; };
  rows.forEach(([sign, i, j], k) => {
    if (!near[k]) { skipped++; return; }
    gap();
    out.push(h("div", { class: `row ${{ "+": "add", "−": "del" }[sign] ?? ""}` },
      h("span", null, i === null ? "" : i + 1), h("span", null, j === null ? "" : j + 1), h("span", null, sign),
      h("span", null, pieces(j === null ? ca[i] : cb[j]))));
  });
  gap();
  const [added, removed] = ["+", "−"].map((sign) => rows.filter((row) => row[0] === sign).length);
  return [h("p", { class: "note" }, added + removed ? `${added} lines added, ${removed} removed` : "The two programs are the same."),
    added + removed ? h("pre", { class: "diff", tabindex: 0 }, out) : null];
}
