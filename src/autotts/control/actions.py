"""The actions of an episode, what they cost, and what the state does not admit.

The five actions of AutoTTS (arXiv 2605.08083, section 2) over one question's pool of recorded
trajectories, under the rules of `docs/architecture.md`: BRANCH, CONTINUE, PROBE, PRUNE, ANSWER.
Every driver runs these functions and no others, so admissibility and billing live here alone.

An action returns `ADMITTED`, or the code of the rule it breaks, in which case nothing has changed.
With `s.checks_only` set nothing changes either way: so whoever has yet to decode what an action
will read asks first whether it is admitted.
"""

from typing import Any

from numba.extending import register_jitable

from autotts.control.billing import (
    affords_some,
    charge,
    cost_of_batch,
    cost_of_probes,
    fits,
    may_decode,
    most_affordable,
    refuse,
    release,
    saturated,
)
from autotts.control.requests import (
    BRANCH,
    CONTINUE,
    FINISH,
    NOTE,
    PROBE,
    PRUNE,
    log_head,
    log_ids,
    log_note,
    log_word,
    pack_times,
)
from autotts.control.state import (
    ADMITTED,
    CLOSED,
    EMPTY,
    IS_FINISHED,
    IS_PRUNED,
    MAX_TIMES,
    NO_PROBES,
    NO_SUCH_BRANCH,
    NO_SUCH_MODEL,
    NONE_LEFT,
    NOT_POSITIVE,
    PROBED_ALREADY,
    REPEATED,
    TOO_MANY,
    State,
)

_inlined = register_jitable(forceinline=True)


@_inlined
def check_ids(s: State, ids: Any) -> int:
    """Whether a batch names open branches, each once."""
    if len(ids) == 0:
        return refuse(s, EMPTY, -1, 0)
    s.stamp += 1
    for i in ids:
        if i < 0 or i >= s.n:
            return refuse(s, NO_SUCH_BRANCH, i, s.n)
        if s.seen[i] >= s.stamp:
            rule = IS_FINISHED if s.finished[i] else IS_PRUNED if s.pruned[i] else REPEATED
            return refuse(s, rule, i, 0)
        s.seen[i] = s.stamp
    return ADMITTED


@_inlined
def count_intervals(s: State, ids: Any, times: Any) -> int:
    """How many intervals a batch asks for; -1 if some number of times is not one."""
    asked = 0
    for j in range(len(ids)):
        if times[j] < 1 or times[j] > MAX_TIMES:
            refuse(s, NOT_POSITIVE, ids[j], times[j])
            return -1
        asked += times[j]
    return asked


@_inlined
def write_step(s: State, kind: int, i: int, tokens: int) -> None:
    """Add what just happened to branch i to the trace, if one is kept."""
    if s.steps_at < s.steps_size:
        a = s.answer[i] if s.probed[i] == s.depth[i] or s.finished[i] else -1
        fill_step(s, kind, i, s.depth[i], s.code_of[a] if a >= 0 else -1, tokens)


@register_jitable
def fill_step(s: State, kind: int, i: int, depth: int, code: int, tokens: int) -> None:
    at = s.steps_at * 8
    s.steps[at] = s.episode
    s.steps[at + 1] = s.rounds
    s.steps[at + 2] = kind
    s.steps[at + 3] = i
    s.steps[at + 4] = depth
    s.steps[at + 5] = code
    s.steps[at + 6] = tokens
    s.steps[at + 7] = s.model[i] if i >= 0 else -1
    s.steps_at += 1


@_inlined
def reveal(s: State, code: int) -> int:
    """Make an answer of the pool known; returns its id in this episode, -1 for none."""
    if code == s.failed:
        return -1
    a = s.id_of[code]
    if a < 0:
        a = s.n_answers
        s.id_of[code] = a
        s.code_of[a] = code
        s.n_answers = a + 1
    return a


@_inlined
def probe_here(s: State, i: int) -> None:
    """Reveal the answer at the current depth of branch i and charge the probe."""
    d = s.depth[i]
    s.answer[i] = reveal(s, s.probes[s.order[i] * s.intervals + d - 1])
    s.history[i * s.intervals + d - 1] = s.answer[i]
    s.probed[i] = d
    charge(s, i, s.probe_tokens)
    s.probe_spent += s.probe_tokens


@_inlined
def end_branch(s: State, i: int) -> None:
    """Branch i has ended itself: its final answer is known and votes."""
    s.answer[i] = reveal(s, s.finals[s.order[i]])
    count_finished(s, i)


@_inlined
def count_finished(s: State, i: int) -> None:
    """Branch i is finished, and votes for its latest answer."""
    s.finished[i] = True
    s.seen[i] = CLOSED
    if s.answer[i] >= 0:
        s.votes[s.answer[i]] += 1
    s.finish_order[s.n_finished] = i
    s.n_finished += 1


@_inlined
def decode_rest(s: State, i: int) -> bool:
    """Decode what branch i has past its last whole interval; whether it could."""
    rest = max(0, s.totals[s.order[i]] - s.decoded[i])
    if not may_decode(s, i, rest):
        return False
    s.decoded[i] += rest
    charge(s, i, rest)
    return True


@_inlined
def decode(s: State, i: int, times: int, probe: bool) -> None:
    """CONTINUE branch i by `times` intervals, ending early where it ends.

    `reference` billing (the released recordings): L whole intervals, then one more call that
    charges the rest and ends the branch. `exact`: the L-th interval is the rest, and ends it.
    """
    first = s.depth[i]
    length = s.lengths[s.order[i]]
    unit = s.interval + (s.probe_tokens if probe else 0)
    whole = min(times, max(0, length - s.exact - first))
    if s.wide and s.uneven and whole:
        for d in range(first, first + whole):
            if not decode_uneven(s, i, d, unit, probe):
                return
    elif whole:
        s.decoded[i] += whole * s.interval
        release(s, i, whole * unit)
        decode_whole(s, i, first, first + whole, unit, probe)
    if whole < times:
        release(s, i, unit)
        before = s.tokens[i]
        if decode_rest(s, i):
            if s.exact:
                read_signals(s, i, s.depth[i], length)
                s.depth[i] = length
                s.probed[i] = length
            end_branch(s, i)
            if s.exact:
                s.history[i * s.intervals + length - 1] = s.answer[i]
            write_step(s, FINISH, i, s.tokens[i] - before)


@_inlined
def decode_uneven(s: State, i: int, d: int, unit: int, probe: bool) -> bool:
    """Decode branch i from depth d by an interval that holds what it holds; whether it could.

    A batch reserves `unit` for it, the nominal interval and its probe.
    """
    end = s.ends[s.order[i] * s.intervals + d]
    tokens = end - s.decoded[i] + unit - s.interval
    release(s, i, unit)
    if not may_decode(s, i, tokens):
        return False
    s.decoded[i] = end
    decode_whole(s, i, d, d + 1, tokens, probe)
    return True


@_inlined
def decode_whole(s: State, i: int, first: int, last: int, tokens: int, probe: bool) -> None:
    """Take branch i from depth `first` to `last`, for `tokens` an interval."""
    s.depth[i] = last
    charge(s, i, (last - first) * tokens)
    if probe:
        s.probed[i] = last
        s.probe_spent += (last - first) * s.probe_tokens
    a = -1
    for d in range(first, last):
        if probe:
            a = reveal(s, s.probes[s.order[i] * s.intervals + d])
        s.history[i * s.intervals + d] = a
        if s.steps_at < s.steps_size:
            code = s.code_of[a] if a >= 0 else -1
            fill_step(s, BRANCH if d == 0 else CONTINUE, i, d + 1, code, tokens)
    if probe:
        s.answer[i] = a
    read_signals(s, i, first, last)


@_inlined
def read_signals(s: State, i: int, first: int, last: int) -> None:
    """Reveal the signals of branch i from depth `first` to `last`, which were decoded with it."""
    if s.wide:
        row = s.order[i] * s.intervals
        for k in range(s.n_signals):
            to, at = (k * s.slots + i) * s.intervals, s.signal_offsets[k] + row
            for d in range(first, last):
                s.signals[to + d] = s.recorded[at + d]


@_inlined
def begin_round(s: State) -> None:
    s.before = s.n_finished
    s.rounds += 1


@register_jitable
def end_round(s: State, longest: int) -> None:
    s.sequential += longest
    if s.budget >= 0:
        s.overrun = max(0, s.spent - s.budget)
    if not s.wide:
        s.cost = s.spent
    elif s.cost_budget >= 0:
        s.cost_overrun = max(0, s.cost - s.cost_budget)


@register_jitable
def n_drawn(s: State) -> int:
    """How many trajectories an episode can open branches of, of whatever model."""
    if s.n_models == 1:
        return s.ceiling
    drawn = s.n
    for m in range(s.n_models):
        drawn += s.left[m]
    return drawn


@register_jitable
def drawn(s: State, j: int) -> int:
    """Where the pool has the j-th trajectory of the draw."""
    return s.order[j] if s.n_models == 1 else s.draw[j]


@register_jitable
def next_model(s: State) -> int:
    """The model of the first trajectory of the draw that is not open; there is one."""
    if s.n_models == 1:
        return 0
    best, first = 0, n_drawn(s)
    for m in range(s.n_models):
        at = s.cursor[m]
        while s.left[m] and s.makers[s.draw[at]] != m:
            at += 1
        if s.left[m] and at < first:
            best, first = m, at
    return best


@register_jitable
def take_next(s: State, i: int, model: int) -> None:
    """Let branch i be the next in the draw that a model made; there is one."""
    at = s.cursor[model]
    while s.makers[s.draw[at]] != model:
        at += 1
    s.rows[i] = s.draw[at]
    s.model[i] = model
    s.cursor[model] = at + 1
    s.left[model] -= 1


@register_jitable
def branch(s: State, k: int, probe: bool, model: int) -> int:
    """BRANCH, k at once: open the model's next k of the draw through their first interval."""
    if k < 1:
        return refuse(s, NOT_POSITIVE, -1, k)
    if model < 0 or model >= s.n_models:
        return refuse(s, NO_SUCH_MODEL, -1, model)
    if k > s.ceiling - s.n:
        return refuse(s, TOO_MANY, -1, k)
    if s.wide and s.n_models > 1 and k > s.left[model]:
        return refuse(s, NONE_LEFT, model, s.left[model])
    tokens = k * (s.interval + (s.probe_tokens if probe else 0))
    rule = fits(s, tokens, saturated(tokens, s.price[model]) if s.wide else 0)
    if rule:
        return rule
    if s.checks_only:
        return ADMITTED
    log_word(s, BRANCH, probe, k, model)
    begin_round(s)
    reads = probe and not (s.wide and s.unprobed)
    longest = 0
    for _ in range(k):
        i = s.n
        s.n = i + 1
        if s.wide and s.n_models > 1:
            take_next(s, i, model)
        s.longest = 0
        decode(s, i, 1, reads)
        longest = max(longest, s.longest)
    end_round(s, longest)
    return ADMITTED


@register_jitable
def advance(s: State, ids: Any, times: Any, probe: bool) -> int:
    """CONTINUE each of `ids` `[k]` by `times` `[k]` intervals, ending early where it ends."""
    rule = check_ids(s, ids)
    if rule:
        return rule
    asked = count_intervals(s, ids, times)
    if asked < 0:
        return s.error
    unit = s.interval + (s.probe_tokens if probe else 0)
    rule = fits(s, asked * unit, cost_of_batch(s, ids, times, unit))
    if rule:
        return rule
    if s.checks_only:
        return ADMITTED
    at = log_head(s, CONTINUE, probe, len(ids))
    begin_round(s)
    reads = probe and not (s.wide and s.unprobed)
    longest = 0
    for j in range(len(ids)):
        i = ids[j]
        # Logged in the loop that decodes: with a loop of its own, `short-mk` takes 5 % longer.
        if at >= 0:
            s.log[at + j] = pack_times(i, times[j])
        s.longest = 0
        decode(s, i, times[j], reads)
        longest = max(longest, s.longest)
    end_round(s, longest)
    return ADMITTED


@register_jitable
def finish(s: State, ids: Any) -> int:
    """CONTINUE each of `ids` `[k]` to its end without probing, cut at the budget."""
    rule = check_ids(s, ids)
    if rule:
        return rule
    rule = affords_some(s, ids)
    if rule:
        return rule
    if s.checks_only:
        return ADMITTED
    log_ids(s, FINISH, ids)
    begin_round(s)
    longest = 0
    for i in ids:
        length = s.lengths[s.order[i]]
        rest = max(0, s.totals[s.order[i]] - s.decoded[i])
        affordable = most_affordable(s, i, rest)
        ends = affordable == rest
        rest = affordable
        s.decoded[i] += rest
        s.longest = 0
        charge(s, i, rest)
        longest = max(longest, s.longest)
        reached = length if ends else whole_intervals(s, i, length)
        for d in range(s.depth[i], reached):
            s.history[i * s.intervals + d] = -1
        read_signals(s, i, s.depth[i], reached)
        s.depth[i] = reached
        if ends:
            end_branch(s, i)
        write_step(s, FINISH if ends else CONTINUE, i, rest)
    end_round(s, longest)
    return ADMITTED


@_inlined
def whole_intervals(s: State, i: int, length: int) -> int:
    """How many intervals, at most `length`, the tokens decoded of branch i are the whole of."""
    if not (s.wide and s.uneven):
        return max(s.depth[i], min(length, s.decoded[i] // s.interval))
    d = s.depth[i]
    while d < length and s.ends[s.order[i] * s.intervals + d] <= s.decoded[i]:
        d += 1
    return d


@register_jitable
def probe(s: State, ids: Any) -> int:
    """PROBE each of `ids` `[k]` at its current depth."""
    if s.wide and s.unprobed:
        return refuse(s, NO_PROBES, -1, 0)
    rule = check_ids(s, ids)
    if rule:
        return rule
    for i in ids:
        if s.probed[i] == s.depth[i]:
            return refuse(s, PROBED_ALREADY, i, s.depth[i])
    rule = fits(s, len(ids) * s.probe_tokens, cost_of_probes(s, ids))
    if rule:
        return rule
    if s.checks_only:
        return ADMITTED
    log_ids(s, PROBE, ids)
    begin_round(s)
    for i in ids:
        probe_here(s, i)
        write_step(s, PROBE, i, s.probe_tokens)
    end_round(s, s.probe_tokens)
    return ADMITTED


@register_jitable
def prune(s: State, ids: Any) -> int:
    """PRUNE each of `ids` `[k]`: free, and no round, for nothing is decoded."""
    rule = check_ids(s, ids)
    if rule:
        return rule
    if s.checks_only:
        return ADMITTED
    log_ids(s, PRUNE, ids)
    for i in ids:
        s.pruned[i] = True
        s.seen[i] = CLOSED
        write_step(s, PRUNE, i, 0)
    return ADMITTED


@register_jitable
def note(s: State, name: int, bits: int) -> None:
    """Log a number of the program's own: the digest of its name and the bits of a float64."""
    log_note(s, name, bits)
    if s.steps_at < s.steps_size:
        fill_step(s, NOTE, -1, -1, name, bits)


@_inlined
def perform(s: State, kind: int, flag: bool, model: int, words: Any, times: Any) -> int:
    """Make the request of a record; returns the rule it breaks, -1 if it asks for no action.

    Args:
        words: the body of the record; of a CONTINUE the ids.
        times: of a CONTINUE, `[len(words)]`.
    """
    if kind == CONTINUE:
        return advance(s, words, times, flag)
    if kind == BRANCH:
        return branch(s, words[0], flag, model)
    if kind == FINISH:
        return finish(s, words)
    if kind == PROBE:
        return probe(s, words)
    if kind == PRUNE:
        return prune(s, words)
    if kind == NOTE:
        note(s, words[0], words[1])
        return ADMITTED
    return -1


@register_jitable
def active(s: State, out: Any) -> int:
    """Write the branches that may go on to `out`, ascending; returns how many they are."""
    m = 0
    for i in range(s.n):
        out[m] = i
        m += s.seen[i] < CLOSED
    return m


@register_jitable
def vote(s: State) -> int:
    """Most frequent final answer, the one finished first among equals.

    While no branch has finished with an answer: most frequent latest answer of the unpruned
    branches, the lowest branch first among equals; -1 if there is none.
    """
    best = -1
    for j in range(s.n_finished):
        a = s.answer[s.finish_order[j]]
        if a >= 0 and (best < 0 or s.votes[a] > s.votes[best]):
            best = a
    return best if best >= 0 else latest_vote(s)


@register_jitable
def latest_vote(s: State) -> int:
    """Most frequent latest answer of the unpruned branches, the lowest branch first among equals.

    -1 if there is none.
    """
    best = -1
    for a in range(s.n_answers):
        s.counts[a] = 0
    for i in range(s.n):
        if not s.pruned[i] and s.answer[i] >= 0:
            s.counts[s.answer[i]] += 1
    for i in range(s.n):
        a = s.answer[i]
        if not s.pruned[i] and a >= 0 and (best < 0 or s.counts[a] > s.counts[best]):
            best = a
    return best
