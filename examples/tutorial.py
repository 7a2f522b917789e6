# %% [markdown]
# # From recorded branches to a controller of your own
#
# A reasoning model is asked each question many times. A *controller* decides which of these
# *branches* to open, to let run on and to drop, and when to answer. We simulate recorded branches,
# replay controllers on them, write one, see why it fails, let a search look for a better one, and
# judge what it found on questions that nobody tuned on. No model, no key, no GPU; some two minutes.
#
# The file is a script (`python examples/tutorial.py`) and, cell by cell, a notebook.

# %%
import tempfile
from pathlib import Path

import autotts

work = Path(tempfile.mkdtemp(prefix="autotts-"))

# %% [markdown]
# ## Recorded branches
#
# A *store* holds what one model said to one data set: for each question N branches, cut into
# intervals of 500 tokens, with the answer probed at the end of each. Yours come from your own
# server; these two are drawn from a model of such recordings.

# %%
search = autotts.simulate(work / "search", dataset="seen", questions=20, branches=96, seed=1)
held_out = autotts.simulate(work / "held-out", dataset="unseen", questions=20, branches=96, seed=2)
store = autotts.load(search)
print(store)

# %% [markdown]
# ## Replay
#
# Evaluating a controller is looking things up in the store: exact, repeatable, in milliseconds.
# Each controller has one knob, beta, from cheap to accurate. Here is a plain vote of all branches
# beside two that stop early. `tokens` are per question.

# %%
few = autotts.Experiment(draws="reference:20")
found = autotts.evaluate(store, ["sc", "asc", "cmc"], betas=[0.1, 0.5, 0.9], experiment=few)
print(found.frame().drop("store", "accuracy_low", "accuracy_high"))

# %% [markdown]
# ## A controller of your own
#
# It is a file with two functions. `schedule` gives every parameter from beta; `solve` is plain code
# over `env` (`help(autotts.engine.interpreted.Env)` lists what it offers). This one opens a few
# branches and answers as soon as enough of them have finished.

# %%
mine = work / "mine.py"
mine.write_text('''"""Answer when the first few of some branches have finished."""


def schedule(beta):
    return {"width": round(4 + 40 * beta), "first": round(2 + 10 * beta)}


def solve(env, p):
    env.branch(min(p.width, env.room))
    while env.n_finished < min(p.first, env.n):
        env.advance(env.active())
    return env.vote()
''')
compared = autotts.compare(mine, "cmc", store, experiment=few)
print(compared)
print(compared.at_tokens.select("budget", "accuracy_a", "accuracy_b", "low", "high", "verdict"))

# %% [markdown]
# The differences are paired by question, and `low` to `high` is their 95 % interval. Twenty
# questions show little: most verdicts are "can't tell", and that is the honest answer.
#
# ## Why does it fail?
#
# Every wrong episode is replayed from where it went wrong: had it gone on, had it not pruned, had
# it voted otherwise.

# %%
diagnosed = autotts.diagnose(store, mine, betas=[0.2, 0.8], experiment=few)
print("\n".join(str(diagnosed).splitlines()[:16]), "\n...")

# %% [markdown]
# ## Let a search look
#
# An *explorer* proposes programs; each is checked, sealed, replayed over a sweep of beta, audited
# and diagnosed. `offline` needs no model; `chat` asks any OpenAI-compatible server, `agent` runs a
# coding agent. One round here; five are usual.

# %%
run = autotts.discover(
    search,
    work / "run",
    held_out=held_out,
    rounds=1,
    draws="reference:20",
    seed=1,
    say=print,
)
print(run)
print(run.frame().select("name", "area", "accepted"))

# %% [markdown]
# The held-out store is opened once, for the best program. What is left of its lead there is what
# you may believe.

# %%
print(autotts.finalize(work / "run"))
print((work / "run" / "best.py").read_text())

# %% [markdown]
# ## Look
#
# `report` writes one page that opens anywhere; `plot` draws figures for a paper.

# %%
print(autotts.report(work / "run", work / "report.html"))
figures = autotts.plot(found, work / "figures", formats=["png"])
print(*figures, sep="\n")
