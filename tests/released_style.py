"""Programs as the released AutoTTS research code has them: classes over a question object.

Written from the papers and from descriptions of what the released code does, sharing nothing with
the package, so that our controllers can be held against them. `ValueError` says that branches have
run out, as the released code has it.
"""

from collections import Counter

from scipy.special import betainc


def leader(answers):
    """The most frequent answer, the first seen among equals."""
    return Counter(answers).most_common(1)[0][0]


def confidence(answers):
    """P(p > 1/2) for p ~ Beta(v1 + 1, v2 + 1) of the two largest counts."""
    counts = [count for _, count in Counter(answers).most_common(2)]
    first, second = [*counts, 0, 0][:2]
    return 1 - betainc(first + 1, second + 1, 0.5) if first else 0.0


class Released:
    """What they have in common: a config, read by name."""

    def __init__(self, config):
        self.config = config
        self.beta = min(max(config["beta"], 0.0), 1.0)


class Adaptive(Released):
    """Adaptive self-consistency, branch by branch."""

    def solve(self, question):
        answers = []
        for _ in range(self.config.get("max_branches", 64)):
            try:
                answers.append(question.get_new_branch_final_answer())
            except ValueError:
                break
            if len(answers) > 1 and confidence(answers) > self.config.get("threshold", 0.95):
                break
        return leader(answers)


class Windows(Released):
    """Early-stopping self-consistency: windows of 8."""

    def solve(self, question):
        answers = []
        for _ in range(self.config["max_branches"] // self.config["window"]):
            window = [question.get_new_branch_final_answer() for _ in range(self.config["window"])]
            answers += window
            if len(set(window)) == 1:
                return window[0]
        return leader(answers)


class SideBySide(Released):
    """All branches an interval at a time, to their ends."""

    def solve(self, question):
        running, finals = [], []
        for _ in range(self.config["width"]):
            _, index, _ = question.probe_new()
            running.append(index)
        while running:
            for index in list(running):
                answer, finished = question.probe_more(index)
                if finished:
                    running.remove(index)
                    finals.append(answer)
        return leader(finals)


class ParallelProbe(Released):
    """Vote on every branch's answer so far, drop deviants, stop when the vote stands."""

    def solve(self, question):
        answers, off, finished, pruned = {}, {}, set(), set()
        for _ in range(self.config["width"]):
            answer, i, _ = question.probe_new()
            answers[i], off[i] = answer, 0
        stable, previous = 0, None
        for step in range(100):
            for i in answers:
                if i not in pruned and i not in finished:
                    answers[i], ended = question.probe_more(i)
                    if ended:
                        finished.add(i)
            active = [i for i in answers if i not in pruned]
            winner = leader(answers[i] for i in active)
            if step >= self.config["warmup"] and len(active) > 1:
                for i in set(active) - finished:
                    off[i] = off[i] + 1 if answers[i] != winner else 0
                    if off[i] >= self.config["patience"]:
                        pruned.add(i)
                active = [i for i in answers if i not in pruned]
                winner = leader(answers[i] for i in active)
            stable = stable + 1 if winner == previous else 0
            previous = winner
            if stable >= self.config["stable"]:
                return winner
            if all(i in finished or i in pruned for i in answers):
                break
        return previous


class ConfidenceMomentum(Released):
    """CMC, whose every parameter follows from beta; averages twice a round, keeps the second."""

    def __init__(self, config):
        super().__init__(config)
        b = self.beta
        self.n_init = max(2, round(2 + 6 * b))
        self.max_branches = min(64, round(4 + 60 * b))
        self.warm_up = max(2, round(2 + 8 * b))
        self.patience = max(3, round(3 + 9 * b))
        self.window = max(2, round(2 + 6 * b))
        self.alpha = 0.70 - 0.40 * b
        self.threshold = 0.85 + 0.12 * b
        self.slack = 0.04 - 0.03 * b
        self.burst = max(1, round(1 + 2 * b))
        self.widen = max(1, round(1 + 3 * b))
        self.trend = 0.04 - 0.03 * b
        self.min_complete = max(2, round(2 + 3 * b))

    def open(self, question, count):
        for _ in range(min(count, self.max_branches - len(self.latest))):
            try:
                answer, i, _ = question.probe_new()
            except ValueError:
                self.max_branches = len(self.latest)
                return
            self.latest[i], self.probes[i], self.disagree[i] = answer, 1, 0

    def active(self):
        return [i for i in self.latest if i not in self.finished and i not in self.abandoned]

    def average(self):
        self.ema = (1 - self.alpha) * self.ema + self.alpha * confidence(self.pool)
        return self.ema

    def abandon(self, winner):
        for i in self.active():
            self.disagree[i] = self.disagree[i] + 1 if self.latest[i] != winner else 0
        candidates = [i for i in self.active() if self.disagree[i] >= self.patience]
        candidates.sort(key=lambda i: -self.disagree[i])
        spare = max(0, len(self.active()) - 2)
        self.abandoned.update(candidates[:spare])

    def advance(self, question, winner):
        for i in sorted(self.active(), key=lambda i: -self.probes[i]):
            aligned = winner is not None and self.latest[i] == winner
            for _ in range(self.burst if aligned else 1):
                self.latest[i], ended = question.probe_more(i)
                self.probes[i] += 1
                if ended:
                    self.finished.add(i)
                    self.pool.append(self.latest[i])
                    break

    def solve(self, question):
        self.latest, self.probes, self.disagree = {}, {}, {}
        self.finished, self.abandoned, self.pool, self.ema = set(), set(), [], 0.0
        self.open(question, self.n_init)
        averages = []
        for round_ in range(500):
            warm = round_ >= self.warm_up
            averages = [*averages, self.average()][-self.window :]
            winner = leader(self.pool) if warm and self.pool else None
            if winner is not None:
                self.abandon(winner)
            self.advance(question, winner)
            averages[-1] = self.average()
            delta = averages[-1] - averages[0]
            if (
                warm
                and len(self.finished) >= self.min_complete
                and self.ema >= self.threshold
                and delta >= -self.slack
            ):
                break
            if not self.active():
                break
            if (
                delta <= self.trend
                and round_ >= max(1, self.warm_up // 2)
                and self.ema < self.threshold
            ):
                self.open(question, self.widen)
        return leader(self.pool or [self.latest[i] for i in self.latest if i not in self.abandoned])
