"""ModelSwitch: ask the next model where the samples of one disagree, and vote over all.

Chen et al. 2025, arXiv 2504.00762. Each model, in the order of the store, gives `samples` answers;
when they are unanimous, reading stops. A store of one model is asked once. Needs a store whose
models are in the order in which they are asked, the cheap ones first. Beta moves the samples.
"""


def schedule(beta):
    return {"samples": round(2 + 14 * beta)}


def solve(env, p):
    for m in range(env.n_models):
        count = min(p.samples, env.room_of(m))
        if count < 1:
            continue
        first = env.n
        env.branch(count, model=m, probe=False)
        rest = env.active()
        if len(rest) > 0:
            env.finish(rest)
        own = env.answer[first:]
        if own[0] >= 0 and (own == own[0]).all():
            break
    return env.vote()
