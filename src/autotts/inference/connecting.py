"""Which dialect a server speaks and what it can do, found by trying and not by its name."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from autotts import plugins
from autotts.errors import ServerError, SpecError
from autotts.inference.address import check_address, read_key
from autotts.inference.exact import ExactServer
from autotts.inference.http import AskAgain, Client, Patience, Trouble
from autotts.inference.llamacpp import LlamaCppServer
from autotts.inference.server import Capabilities, Context, Decoded, Sampling, Server, ids_of
from autotts.inference.sglang import SglangServer
from autotts.inference.text import TextServer
from autotts.inference.vllm import VllmServer
from autotts.text import shorten

_TEXT = "The quick brown fox"
_PROMPT = ids_of(range(100, 108))
"""Every vocabulary has these ids, and no tokenizer is needed for them."""
_TOKENS = 8
_SAMPLING = Sampling(temperature=1.0)
_NOBODY = "autotts-a-request-that-nobody-sent-00000000"
_TOP = 20
_LOGPROBS = (_TOP, 5, 0)
_LISTED = 400
"""Characters of the names of a server's models, in an error."""
_ANSWERS: frozenset[Trouble] = frozenset({"unsound", "broken"})
"""While trying these say that something doesn't work; later they may be bad luck."""


_DIALECTS: tuple[type[ExactServer], ...] = (SglangServer, LlamaCppServer, VllmServer)


def _installed() -> list[type[ExactServer]]:
    """The dialects that installed packages speak, which are tried before ours.

    Raises:
        SpecError: a package's can't be loaded, or is no `ExactServer` with a path it is known by.
    """
    found = []
    for plugin in plugins.published(plugins.DIALECTS):
        dialect = plugin.load()
        sound = isinstance(dialect, type) and issubclass(dialect, ExactServer)
        if not sound or not dialect.known_by:
            raise SpecError(
                f"server dialect {plugin.name} of the package {plugin.package}: {plugin.target}"
                " must be a subclass of ExactServer with a path in `known_by`"
            )
        found.append(dialect)
    return found


async def connect(
    url: str,
    model: str = "",
    *,
    at_once: int = 256,
    patience: Patience | None = None,
    interruptible: bool = True,
) -> Server:
    """A server, tried out with some dozen tokens.

    Args:
        url: with or without /v1. A key is taken from OPENAI_API_KEY.
        model: as the server calls it; "" where it has one only.
        at_once: most requests at a time.
        interruptible: whether what is cancelled has to end on the server within a second, which
            llama.cpp's server does at the cost of some of its speed; else its requests run out.

    Raises:
        SpecError: the address is none, or the HTTP client is not installed.
        ServerError: it can't be reached, lacks the model, or gives nothing that can be read.
    """
    asker = "a model server"
    root = check_address(url, "address", asker).removesuffix("/v1")
    key = read_key("OPENAI_API_KEY", asker)
    client = Client(root, key=key, at_once=at_once, patience=patience, interruptible=interruptible)
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(client.aclose)
        name, context_tokens = await _model(client, model)
        server = await _exact(client, name, context_tokens) or await _text(client, name)
        cleanup.pop_all()
    return server


@asynccontextmanager
async def connected(
    urls: Sequence[str],
    model: str = "",
    *,
    at_once: int = 256,
    patience: Patience | None = None,
    interruptible: bool = True,
) -> AsyncIterator[list[Server]]:
    """Servers of one model, closed at the end; arguments are as of `connect`.

    Raises:
        SpecError, ServerError: as `connect`, or they have different models.
    """
    servers: list[Server] = []
    async with AsyncExitStack() as closing:
        for url in urls:
            server = await connect(
                url, model, at_once=at_once, patience=patience, interruptible=interruptible
            )
            closing.push_async_callback(server.aclose)
            servers.append(server)
        if len(names := {server.model for server in servers}) > 1:
            raise SpecError(f"the servers have different models: {', '.join(sorted(names))}")
        yield servers


async def _model(client: Client, wanted: str) -> tuple[str, int | None]:
    """The name of the model and how long its context is, where the server says."""
    try:
        listed = await client.insist(lambda: client.get("/v1/models"), accept=_ANSWERS | {"lost"})
    except AskAgain as error:
        if error.kind == "lost":
            raise ServerError(f"{error}: no server answers there; start it first") from error
        if not wanted:
            raise
        return wanted, None  # some servers have trouble with the list alone
    models = listed.get("data") if isinstance(listed, dict) else None
    found = {
        str(m["id"]): m
        for m in (models if isinstance(models, list) else ())
        if isinstance(m, dict) and "id" in m
    }
    if not wanted and len(found) == 1:
        wanted = next(iter(found))
    if not wanted:
        raise SpecError(
            f"{client.root} has {len(found)} models; name one: {shorten(', '.join(found), _LISTED)}"
        )
    if found and wanted not in found:
        raise ServerError(
            f"{client.root} has no model {wanted!r}; it has {shorten(', '.join(found), _LISTED)}"
        )
    about: Mapping[str, Any] = found.get(wanted, {})
    meta = about.get("meta")
    context = about.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return wanted, context if isinstance(context, int) else None


async def _exact(client: Client, model: str, context_tokens: int | None) -> ExactServer | None:
    """The server in the first dialect in which ids go in and come out; None if in none."""
    untried = Capabilities(exact=True, continues=True, renders=False, context_tokens=context_tokens)
    for dialect in (*_installed(), *_DIALECTS):
        # What only it has spares tokens that the others would decode for nothing.
        if dialect.known_by and not await _works(client.get(dialect.known_by)):
            continue
        server = dialect(client, model, untried)
        if (tried := await _decode(client, server)) is None:
            continue
        first, logprobs = tried
        again = await _ask(client, server, logprobs)
        paths = server.abort_requests(_NOBODY)
        aborts = [path for path, asked in paths.items() if await _works(client.tell(path, asked))]
        server.can = replace(
            untried,
            renders=await _works(server.render([("user", "hi")])),
            aborts=aborts[0] if aborts else "",
            logprobs=logprobs,
            repeats=again.content == first.content,
            tells_cached=first.cached_tokens is not None,
        )
        return server
    return None


async def _decode(client: Client, server: ExactServer | TextServer) -> tuple[Decoded, int] | None:
    """A first reply, and how many log-probabilities came with it; None if there is none."""
    for logprobs in _LOGPROBS:
        try:
            decoded = await _ask(client, server, logprobs)
        except ServerError:
            # It may refuse so many log-probabilities, or all that was asked.
            continue
        return decoded, logprobs if decoded.logprobs is not None else 0
    return None


async def _ask(client: Client, server: ExactServer | TextServer, logprobs: int) -> Decoded:
    context: Context = _PROMPT if server.can.exact else _TEXT
    if not server.can.continues:
        context = await server.encode(_TEXT)
    return await client.insist(
        lambda: server.ask(context, _TOKENS, _SAMPLING, 1, logprobs), accept=_ANSWERS
    )


async def _text(client: Client, model: str) -> TextServer:
    """The server by text, by completions or else by chat.

    Raises:
        ServerError: it speaks neither.
    """
    for continues in (True, False):
        can = Capabilities(exact=False, continues=continues, renders=not continues, logprobs=_TOP)
        server = TextServer(client, model, can)
        if (tried := await _decode(client, server)) is not None:
            first, logprobs = tried
            again = await _ask(client, server, logprobs)
            server.can = replace(
                can,
                logprobs=logprobs,
                repeats=again.content == first.content,
                tells_cached=first.cached_tokens is not None,
            )
            return server
    # As the server puts it, in its last dialect.
    await _ask(client, server, 0)
    raise ServerError(f"{client.root} answers neither /v1/completions nor chat reliably")


async def _works(attempt: Awaitable[object]) -> bool:
    try:
        await attempt
    except ServerError:
        return False
    return True
