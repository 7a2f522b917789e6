// An episode as it was round after round: by branch, by round, and its votes. Numbers in, numbers out; nothing is drawn here.
const [BRANCH, CONTINUE, FINISH, PROBE, PRUNE] = [0, 1, 2, 3, 4];
const NOTHING_YET = { answers: [], steps: [], notes: [], answer: -1, tokens: 0, sequential_tokens: 0, rounds: 0 };

function fold(trace) {
  const branches = [], rounds = [], order = [];
  const round = (r) => {
    while (rounds.length <= r) rounds.push({ tokens: 0, opened: [], advanced: new Set(), probed: [], finished: [], pruned: [], notes: [] });
    return rounds[r];
  };
  round(trace.rounds);
  for (const [r, kind, i, depth, answer, tokens] of trace.steps) {
    while (branches.length <= i) branches.push({ cells: [], finished: Infinity, pruned: Infinity, final: -1, tokens: 0 });
    const [b, now] = [branches[i], round(r)];
    now.tokens += tokens;
    b.tokens += tokens;
    if (kind === PROBE) { b.cells[depth - 1].probes.push([r, answer]); now.probed.push(i); continue; }
    if (kind === PRUNE) { b.pruned = r; now.pruned.push(i); continue; }
    while (b.cells.length < depth) b.cells.push({ round: r, probes: [] });
    if (kind === FINISH) { b.finished = r; b.final = answer; order.push(i); now.finished.push(i); continue; }
    if (answer >= 0) b.cells[depth - 1].probes.push([r, answer]);
    if (kind === BRANCH) now.opened.push(i); else now.advanced.add(i);
  }
  for (const [r, name, value] of trace.notes) round(r).notes.push([name, value]);
  let total = 0;
  const spent = rounds.map((one) => (total += one.tokens));
  return { trace, branches, rounds, order, spent, last: rounds.length - 1, depth: Math.max(1, ...branches.map((b) => b.cells.length)) };
}

// How things stand after a round: each branch, and who votes for what.
function stateAt(f, r) {
  const branches = f.branches.filter((b) => b.cells[0].round <= r).map((b) => {
    const depth = b.cells.filter((cell) => cell.round <= r).length;
    let answer = -1;
    for (let k = depth - 1; k >= 0 && answer < 0; k--) answer = probed(b.cells[k], r);
    const finished = b.finished <= r;
    return { depth, finished, pruned: b.pruned <= r, answer: finished ? b.final : answer };
  });
  const votes = new Map();
  const at = (answer) => votes.get(answer) ?? votes.set(answer, { final: 0, running: 0 }).get(answer);
  for (const b of branches) if (b.answer >= 0 && !b.pruned) at(b.answer)[b.finished ? "final" : "running"]++;
  return { branches, votes, leader: leader(f, branches, votes), tokens: f.spent[r], finished: branches.filter((b) => b.finished).length, pruned: branches.filter((b) => b.pruned).length };
}
const probed = (cell, r) => cell.probes.findLast(([when]) => when <= r)?.[1] ?? -1;

// The vote as control counts it: the commonest final answer, what finished first among equals; before there is one, the commonest latest answer.
function leader(f, branches, votes) {
  let best = -1;
  for (const i of f.order) {
    const answer = branches[i]?.finished ? branches[i].answer : -1;
    if (answer >= 0 && (best < 0 || votes.get(answer).final > votes.get(best).final)) best = answer;
  }
  if (best >= 0) return best;
  for (const { answer, pruned } of branches) {
    if (answer >= 0 && !pruned && (best < 0 || votes.get(answer).running > votes.get(best).running)) best = answer;
  }
  return best;
}

// What a round did, in words.
const listed = (ids) => (ids.length > 6 ? `${several(ids.length, "branch")}` : `${ids.length === 1 ? "branch" : "branches"} ${ids.join(", ")}`).replace("branchs", "branches");
function happened(f, r, name) {
  const now = f.rounds[r];
  if (!now) return "has ended";
  const words = [];
  if (r === 0) words.push("nothing opened yet");
  if (now.opened.length) words.push(`opens ${listed(unique(now.opened))}`);
  const on = [...now.advanced].filter((i) => !now.opened.includes(i));
  if (on.length) words.push(`goes on with ${listed(on)}`);
  if (now.probed.length) words.push(`asks ${listed(now.probed)}`);
  const ends = now.finished.map((i) => `${i} with ${f.branches[i].final < 0 ? "no answer" : name(f.trace.answers[f.branches[i].final])}`);
  if (ends.length) words.push(ends.length > 4 ? `${ends.length} branches finish` : `${ends.length === 1 ? "branch" : "branches"} ${ends.join(", ")} ${ends.length === 1 ? "finishes" : "finish"}`);
  if (now.pruned.length) words.push(`prunes ${listed(now.pruned)}`);
  for (const [note, value] of now.notes) words.push(`${note} = ${+value.toPrecision(3)}`);
  return words.join("; ") || "nothing";
}

// The first round in which two episodes do something else, 0 if they never do. Only probing differently costs and shows the same.
function parting(a, b) {
  const did = (f, r) => {
    const now = f.rounds[r];
    return now ? [now.opened, [...now.advanced], now.finished, now.pruned, now.tokens].map(String).join("|") : "ended";
  };
  for (let r = 1; r <= Math.max(a.last, b.last); r++) if (did(a, r) !== did(b, r)) return r;
  return 0;
}
