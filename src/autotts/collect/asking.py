"""How a plan asks a server: the prompt of a question, and how answers are read."""

from autotts.answers import FAILED, extract
from autotts.collect.plan import Plan
from autotts.collect.questions import Item, canonical
from autotts.inference.branch import Probing
from autotts.inference.server import Context, Server
from autotts.live import Reading


async def prompt_of(plan: Plan, item: Item, server: Server) -> Context:
    """A question as the model reads it.

    Raises:
        ServerError: the server can't write it.
    """
    text = item.prompt(plan.prompt)
    if plan.chat:
        return await server.render([("user", text)], plan.template)
    return await server.encode(text, special=True)


async def reading_of(plan: Plan, server: Server) -> Reading:
    """How the answers of branches are read: as the store compares them.

    Raises:
        ServerError: the server can't encode the suffix of probes.
    """
    probing = None
    if plan.probe:
        suffix = await server.encode(plan.probe)
        probing = Probing(
            suffix, plan.probe, plan.probe_tokens, plan.probe_stop, logprobs=int(plan.signals)
        )
    return Reading(
        of=lambda text: compared(extract(text)),
        probing=probing,
        closing=probing,
        shown=lambda probed: compared(probed.answer),
    )


def compared(answer: str) -> str:
    """An answer as votes compare it, so that 0.5 and 1/2 are one."""
    return answer if answer == FAILED else canonical(answer)
