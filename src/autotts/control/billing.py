"""What actions cost, and whether the budgets admit it.

Tokens are counted, and beside them cost units: tokens times the price of the model that made the
branch. With one model the price is 1, and both are the same. A budget may be set in either, or in
both, and then a batch is admitted only if both admit it. A state that is not `wide` has one model
and no budget in cost units: its cost is brought up to its tokens when a round ends.
"""

from typing import Any

from numba.extending import register_jitable

from autotts.control.state import ADMITTED, NO_SUCH_MODEL, OVER_BUDGET, OVER_COST, State

_inlined = register_jitable(forceinline=True)

MOST_COST = 2**61
"""More than any budget of cost units: what a batch asks for is counted no further."""


@register_jitable
def refuse(s: State, rule: int, branch: int, value: int) -> int:
    s.error = rule
    s.error_branch = branch
    s.error_value = value
    return rule


@register_jitable
def room(s: State, model: int) -> int:
    """How many more branches of a model may be opened: by the ceiling, the pool and the budgets.

    -1 for a model that there is not, which is a rule broken.
    """
    if model < 0 or model >= s.n_models:
        refuse(s, NO_SUCH_MODEL, -1, model)
        return -1
    left = s.ceiling - s.n
    unit = s.interval + s.probe_tokens
    if s.wide and s.n_models > 1:
        left = min(left, s.left[model])
    if s.budget >= 0:
        left = min(left, max(0, s.budget - s.spent) // unit)
    if s.wide and s.cost_budget >= 0:
        left = min(left, max(0, s.cost_budget - s.cost) // (unit * s.price[model]))
    return left


@_inlined
def saturated(tokens: int, price: int) -> int:
    """Cost units of tokens, `MOST_COST` where they are more."""
    return tokens * price if float(tokens) * price < MOST_COST else MOST_COST


@_inlined
def cost_of_batch(s: State, ids: Any, times: Any, unit: int) -> int:
    """Cost units of `times` intervals of `unit` tokens of each of `ids`; 0 without a budget."""
    cost = 0
    if s.wide and s.cost_budget >= 0:
        for j in range(len(ids)):
            price = s.price[s.model[ids[j]]]
            cost = min(MOST_COST, cost + saturated(times[j] * unit, price))
    return cost


@_inlined
def cost_of_probes(s: State, ids: Any) -> int:
    """Cost units of a probe of each of `ids`; 0 without a budget."""
    cost = 0
    if s.wide and s.cost_budget >= 0:
        for i in ids:
            cost += s.probe_tokens * s.price[s.model[i]]
    return cost


@_inlined
def fits(s: State, tokens: int, cost: int) -> int:
    """Whether the budgets admit a batch that asks for so much; reserves it if so."""
    if s.budget >= 0 and s.spent + tokens > s.budget:
        return refuse(s, OVER_BUDGET, -1, tokens)
    if s.wide and s.cost_budget >= 0 and s.cost + cost > s.cost_budget:
        return refuse(s, OVER_COST, -1, cost)
    s.reserved = tokens
    s.reserved_cost = cost
    s.overran = 0
    return ADMITTED


@_inlined
def release(s: State, i: int, tokens: int) -> None:
    """What a batch has reserved for branch i is now decided on."""
    s.reserved -= tokens
    if s.wide and s.cost_budget >= 0:
        s.reserved_cost -= tokens * s.price[s.model[i]]


@_inlined
def may_decode(s: State, i: int, tokens: int) -> bool:
    """Whether the budgets let branch i decode `tokens` that could not be known before.

    One in a batch may overrun a budget by them; others wait.
    """
    over = s.budget >= 0 and s.spent + tokens + s.reserved > s.budget
    if s.wide and s.cost_budget >= 0 and not over:
        cost = tokens * s.price[s.model[i]]
        over = s.cost + cost + s.reserved_cost > s.cost_budget
    if over:
        if s.overran:
            return False
        s.overran = 1
    return True


@_inlined
def affords_some(s: State, ids: Any) -> int:
    """Whether the budgets have a token left for any of `ids`."""
    if s.budget >= 0 and s.spent >= s.budget:
        return refuse(s, OVER_BUDGET, -1, 1)
    if s.wide and s.cost_budget >= 0:
        least = MOST_COST
        for i in ids:
            least = min(least, s.price[s.model[i]])
        if s.cost + least > s.cost_budget:
            return refuse(s, OVER_COST, -1, least)
    return ADMITTED


@_inlined
def most_affordable(s: State, i: int, tokens: int) -> int:
    """How many of these tokens of branch i the budgets have left."""
    if s.budget >= 0:
        tokens = min(tokens, max(0, s.budget - s.spent))
    if s.wide and s.cost_budget >= 0:
        tokens = min(tokens, max(0, s.cost_budget - s.cost) // s.price[s.model[i]])
    return tokens


@_inlined
def charge(s: State, i: int, tokens: int) -> None:
    s.tokens[i] += tokens
    s.spent += tokens
    s.longest += tokens
    if s.wide:
        s.cost += tokens * s.price[s.model[i]]
