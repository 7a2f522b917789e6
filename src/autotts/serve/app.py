"""The routes of a service."""

import asyncio
import contextlib
import hmac
import logging
import re
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from autotts.errors import AutottsError, ServerError
from autotts.inference.server import Context, Message, Sampling, Server, ids_of
from autotts.serve.answering import Answer, Answering, Progress
from autotts.serve.body import (
    BadRequest,
    ChatBody,
    Common,
    CompletionBody,
    parse,
    template_options,
    unserved,
)
from autotts.serve.choosing import BETA_HEADER, choose
from autotts.serve.deployment import Deployment
from autotts.serve.metrics import Metrics
from autotts.serve.openapi import description
from autotts.serve.passing import PassedOn
from autotts.serve.replies import STILL_RUNNING, CompletionShape, Shape, error_body, event
from autotts.serve.responses import ResponsesBody, ResponsesShape
from autotts.serve.turns import Full, Turns
from autotts.serve.wish import Wish, wish_seed
from autotts.untrusted import parse_json

KEEP_ALIVE_SECONDS = 10.0
BODY_SECONDS = 60.0
"""That a client has to send the body of a request."""
_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_OWN_HOST = re.compile(r"(localhost|127(\.\d{1,3}){3}|0\.0\.0\.0|\[::1?\])(:\d{1,5})?")

_UPSTREAMS_WORDS = re.compile(r"(HTTP \d{3}):.*", re.DOTALL)

log = logging.getLogger("autotts.serve")

OnPrompt = Callable[[Progress], None]


class Service:
    """The application: requests in, answers out.

    asgi: what a server of ASGI runs.
    """

    def __init__(
        self,
        answering: Answering,
        *,
        keys: Collection[str] = (),
        passed_on: Sequence[PassedOn] | None = None,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        body_seconds: float = BODY_SECONDS,
        page: str = "",
    ) -> None:
        """
        Args:
            keys: one of which a client must show; none asks for none.
            page: HTML that stands at `/`, for anybody; none if empty.
            passed_on: for each upstream what passes on requests that are not served; None refuses
                them.
        """
        self._answering = answering
        self._keys = tuple(key.encode() for key in keys)
        self._keep_alive = keep_alive_seconds
        self._body_seconds = body_seconds
        self._passed_on = passed_on
        limits = answering.deployment.limits
        self._turns = Turns(limits.requests, limits.waiting)
        self._metrics = Metrics(self._turns)
        self._draining = False
        self._page = page
        routes = [
            *([Route("/", self._show_page)] if page else []),
            self._route("/v1/chat/completions", self._chat, "POST"),
            self._route("/v1/completions", self._complete, "POST"),
            self._route("/v1/responses", self._respond, "POST"),
            self._route("/v1/models", self._models),
            self._route("/v1/models/{model:path}", self._model),
            Route("/health", self._health),
            self._route("/metrics", self._show_metrics),
            Route("/openapi.json", self._openapi),
        ]
        handlers: Mapping[Any, Any] = {HTTPException: _refused}
        self.asgi = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._draining = True
            self._answering.close()

    @property
    def deployment(self) -> Deployment:
        return self._answering.deployment

    def _route(
        self,
        path: str,
        answer: Callable[[Request, str], Awaitable[Response]],
        method: Literal["GET", "POST"] = "GET",
    ) -> Route:
        """A route whose errors are OpenAI's, for those who have a key."""

        async def endpoint(request: Request) -> Response:
            try:
                response = await answer(request, self._client(request))
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception as error:
                status, body, headers = _failed(error, path)
                response = JSONResponse(body, status, headers)
            # By the route: what stands in a path is the client's, who need have no key, and every
            # other text would be kept for ever.
            self._metrics.ended(path, response.status_code)
            return response

        return Route(path, endpoint, methods=[method])

    def _client(self, request: Request) -> str:
        """Who asks: its key, or its address.

        Raises:
            BadRequest: it shows no key, or a wrong one; or a page of another site asks for it.
        """
        if not self._keys:
            _require_own_page(request)
            return request.client.host if request.client else ""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        shown = given.strip().encode(errors="replace")
        matches = [hmac.compare_digest(shown, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise BadRequest(
                "this service needs a key: Authorization: Bearer KEY", "authorization",
                status=401, code="invalid_api_key",
            )  # fmt: skip
        return f"key {matches.index(True)}"

    async def _chat(self, request: Request, client: str) -> Response:
        said = await self._body(request)
        if self._passes(said):
            return await self._pass_on(request, client, said)
        body = parse(ChatBody, said)
        messages, options = [turn.said() for turn in body.messages], template_options(body)

        async def prompts(server: Server) -> list[Context]:
            if options and not server.can.exact:
                raise BadRequest(
                    "this upstream's template takes nothing: leave chat_template_kwargs out",
                    "chat_template_kwargs",
                )
            return [await server.render(messages, options)]

        most = body.max_completion_tokens or body.max_tokens
        shape = CompletionShape(True, body.model or self.deployment.name)
        asked = [_question(messages)]
        return await self._reply(request, client, body, most, shape, prompts, asked)

    async def _respond(self, request: Request, client: str) -> Response:
        said = await self._body(request)
        if self._passes(said):
            return await self._pass_on(request, client, said)
        body = parse(ResponsesBody, said)
        messages = body.messages()

        async def prompts(server: Server) -> list[Context]:
            return [await server.render(messages)]

        shape = ResponsesShape(body.model or self.deployment.name, body.echoed())
        most, asked = body.max_output_tokens, [_question(messages)]
        return await self._reply(request, client, body, most, shape, prompts, asked)

    async def _complete(self, request: Request, client: str) -> Response:
        said = await self._body(request)
        if self._passes(said):
            return await self._pass_on(request, client, said)
        body = parse(CompletionBody, said)
        given = _as_list(body.prompt)

        async def prompts(server: Server) -> list[Context]:
            made: list[Context] = []
            for one in given:
                if isinstance(one, str):
                    made.append(await server.encode(one, special=True))
                elif server.can.exact:
                    made.append(ids_of(one))
                else:
                    raise BadRequest("this upstream takes no token ids: send a text", "prompt")
            return made

        shape = CompletionShape(False, body.model or self.deployment.name)
        most = body.max_tokens
        asked = [one if isinstance(one, str) else "" for one in given]
        return await self._reply(request, client, body, most, shape, prompts, asked)

    def _passes(self, said: Mapping[str, Any]) -> bool:
        """Whether a body asks for what is not served, and such ones are passed on."""
        return self._passed_on is not None and unserved(said) is not None

    async def _pass_on(self, request: Request, client: str, said: Mapping[str, Any]) -> Response:
        """What an upstream replies to a request as it is; it waits its turn like any other."""
        assert self._passed_on is not None
        passed_on = self._passed_on

        async def passed() -> Response:
            async with AsyncExitStack() as held:
                await held.enter_async_context(self._turns.turn(client))
                upstream = self._answering.least_busy()
                own_name = {**said, "model": self.deployment.upstreams[upstream].model}
                return await passed_on[upstream].reply(request.url.path, own_name, held)

        task = asyncio.create_task(passed())
        await self._until_done_or_gone(request, task)
        return await task

    async def _reply(
        self,
        request: Request,
        client: str,
        body: Common,
        most: int | None,
        shape: Shape,
        prompts: Callable[[Server], Awaitable[list[Context]]],
        questions: Sequence[str],
    ) -> Response:
        wish = self._wish(request, body, most).shared_by(len(questions))
        several = len(questions) > 1
        wishes = [
            replace(wish, id=f"{shape.reply_id}{f'.{k}' if several else ''}", question=one)
            for k, one in enumerate(questions)
        ]

        async def run(on_progress: Callable[[Progress], None]) -> list[Answer]:
            async def by(upstream: int) -> list[Answer]:
                made = await prompts(self.deployment.upstreams[upstream])
                return await _side_by_side(
                    [
                        self._answering.answer(upstream, one, each, on_progress)
                        for one, each in zip(made, wishes, strict=True)
                    ]
                )

            async with self._turns.turn(client):
                began = time.monotonic()
                answers = await self._answering.by_some_upstream(by)
                for answer in answers:
                    self._metrics.answered(answer, time.monotonic() - began)
                self._log(request, answers, time.monotonic() - began)
                return answers

        if self._draining:
            raise Full(1)
        if body.stream:
            self._turns.require_room()
            stream = self._stream(run, shape, body, request.url.path)
            return StreamingResponse(stream, media_type="text/event-stream")
        task = asyncio.create_task(run(lambda _: None))
        await self._until_done_or_gone(request, task)
        return JSONResponse(shape.whole(await task))

    async def _until_done_or_gone(self, request: Request, task: asyncio.Task[Any]) -> None:
        """Wait for an answer; a client that leaves takes it along.

        Raises:
            ClientDisconnect: it left.
        """
        gone = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not task.done():
                await _cancel(task)
                self._metrics.cancelled()
        if task.cancelled():
            raise ClientDisconnect

    async def _stream(
        self,
        run: Callable[[Callable[[Progress], None]], Awaitable[list[Answer]]],
        shape: Shape,
        body: Common,
        path: str,
    ) -> AsyncIterator[bytes]:
        """The events of a stream: comments while branches run, then the text."""
        told: asyncio.Queue[Progress] = asyncio.Queue()

        async def running() -> list[Answer]:
            return await run(told.put_nowait)

        task = asyncio.create_task(running())
        try:
            for piece in shape.begins():
                yield piece
            while not (task.done() and told.empty()):
                progress = await _next(told, task, self._keep_alive)
                if progress is None:
                    yield b"" if task.done() else STILL_RUNNING
                elif body.progress in ("events", "trace"):
                    yield event(progress.record(), "autotts.progress")
                elif body.progress == "reasoning":
                    for piece in shape.progress(progress):
                        yield piece
            usage_wanted = bool(body.stream_options.include_usage)
            for piece in shape.ends(task.result(), usage_wanted=usage_wanted):
                yield piece
        except asyncio.CancelledError:
            raise
        except Exception as error:
            for piece in shape.fails(_failed(error, path)[1]):
                yield piece
        finally:
            if not task.done():
                await _cancel(task)
                self._metrics.cancelled()

    def _wish(self, request: Request, body: Common, most: int | None) -> Wish:
        """What a request asks for, within what the operator allows.

        Raises:
            BadRequest: it asks for more, or for what there isn't.
        """
        limits, usual = self.deployment.limits, self.deployment.sampling
        choice = choose(self.deployment, body, request.headers.get(BETA_HEADER))
        for name, asked, allowed in (
            ("max_tokens", most, limits.branch_tokens),
            ("max_total_tokens", body.max_total_tokens, limits.total_tokens),
            ("deadline_seconds", body.deadline_seconds, limits.seconds),
        ):
            if asked is not None and allowed and asked > allowed:
                raise BadRequest(f"{name} {asked:g}: at most {allowed:g} is allowed here", name)
        # An empty text would end every branch at once, and says nothing.
        said = [body.stop] if isinstance(body.stop, str) else body.stop or []
        stop = tuple(text for text in said if text) or usual.stop
        return Wish(
            choice=choice,
            sampling=Sampling(
                temperature=usual.temperature if body.temperature is None else body.temperature,
                top_p=usual.top_p if body.top_p is None else body.top_p,
                top_k=usual.top_k if body.top_k is None else max(0, body.top_k),
                min_p=usual.min_p if body.min_p is None else body.min_p,
                stop=stop,
            ),
            branch_tokens=most or limits.branch_tokens,
            total_tokens=body.max_total_tokens or limits.total_tokens or None,
            cost=body.max_cost,
            seconds=body.deadline_seconds or limits.seconds or None,
            answers=body.answers.format() if body.answers else self.deployment.answers,
            seed=wish_seed(body.seed),
            traced=body.stream and body.progress == "trace",
        )

    async def _body(self, request: Request) -> dict[str, Any]:
        """The JSON object of a request, bounded.

        Raises:
            BadRequest: it is none, or too large.
        """
        most = self.deployment.limits.body_bytes
        too_large = BadRequest(f"a body of more than {most:,} bytes", status=413)
        if int(request.headers.get("content-length", 0)) > most:
            raise too_large
        read = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for piece in request.stream():
                    read += piece
                    if len(read) > most:
                        raise too_large
        except TimeoutError as error:
            words = f"no whole body within {self._body_seconds:g} s"
            raise BadRequest(words, status=408) from error
        try:
            body = parse_json(bytes(read), most_bytes=most)
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise BadRequest("the body must be a JSON object")
        return body

    async def _models(self, request: Request, client: str) -> Response:
        listed = [_model_object(name) for name in self.deployment.models]
        return JSONResponse({"object": "list", "data": listed})

    async def _model(self, request: Request, client: str) -> Response:
        name = request.path_params["model"]
        if name not in self.deployment.models:
            raise BadRequest(f"there is no model {name[:80]!r} here", "model", status=404)
        return JSONResponse(_model_object(name))

    async def _health(self, request: Request) -> Response:
        status = "draining" if self._draining else "ok"
        return JSONResponse({"status": status}, 503 if self._draining else 200)

    async def _show_metrics(self, request: Request, client: str) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def _show_page(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers=_PAGE_HEADERS)

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(description(self.deployment, keys=bool(self._keys)))

    def _log(self, request: Request, answers: Sequence[Answer], seconds: float) -> None:
        for answer in answers:
            account = answer.account
            # Neither prompt nor text nor answer: they are the client's.
            log.info(
                "answered",
                extra={
                    "path": request.url.path,
                    "controller": account.controller,
                    "beta": account.beta,
                    "stop_reason": account.stop_reason,
                    "tokens": account.spent.decoded + account.spent.probed,
                    "branches": account.branches,
                    "seconds": round(seconds, 3),
                },
            )


async def _side_by_side(work: Sequence[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """What each gives; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except* Exception as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(BaseException):
        await task


def _require_own_page(request: Request) -> None:
    """Raises BadRequest if a browser asks for a page that this service didn't give.

    Without keys any page that a user looks at could spend their tokens. Browsers say where a page
    is from, if it sends something; a name that was made to lead here is no loopback address.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not _OWN_HOST.fullmatch(host):
        raise BadRequest(
            f"this service needs no key, so it answers as localhost only, and not as {host[:80]!r};"
            " give it keys for others",
            "host", status=403, code="foreign_host",
        )  # fmt: skip
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        raise BadRequest(
            f"a page of {origin[:80]!r} asks, and this service needs no key: only its own page may;"
            " give it keys for others",
            "origin", status=403, code="foreign_origin",
        )  # fmt: skip


async def _next(
    told: asyncio.Queue[Progress], task: asyncio.Task[Any], seconds: float
) -> Progress | None:
    """The next that is told; None when the task is done, or nothing was told for so long."""
    if not told.empty():
        return told.get_nowait()
    waiting = asyncio.create_task(told.get())
    try:
        done, _ = await asyncio.wait(
            {waiting, task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        return waiting.result() if waiting in done else None
    finally:
        waiting.cancel()


def _question(messages: Sequence[Message]) -> str:
    """What the user said last."""
    return next((said for role, said in reversed(messages) if role == "user"), "")


def _as_list(prompt: str | list[str] | list[int] | list[list[int]]) -> list[str | list[int]]:
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        return [[one for one in prompt if isinstance(one, int)]]
    return [one for one in prompt if not isinstance(one, int)]


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "autotts"}


def _error_of(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of the reply to a request that failed."""
    if isinstance(error, BadRequest):
        kind = "authentication_error" if error.status == 401 else "invalid_request_error"
        return error.status, error_body(str(error), kind, error.where, error.code), {}
    if isinstance(error, Full):
        body = error_body("too many requests wait; try again", "rate_limit_error", code="full")
        return 429, body, {"Retry-After": str(error.seconds)}
    if isinstance(error, ServerError):
        return 502, error_body(str(error), "upstream_error", code="upstream"), {}
    if isinstance(error, AutottsError):
        return 500, error_body(str(error), "controller_error", code="controller"), {}
    return 500, error_body("an error of the service; its log has more", "internal_error"), {}


def _failed(error: Exception, path: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """As `_error_of`, with a line in the log: of what a client said, the name of a field at most.

    An upstream that refuses a request may say the request again.
    """
    status, body, headers = _error_of(error)
    about = {"path": path, "status": status}
    if status < 500:
        log.info("refused", extra={**about, "field": getattr(error, "where", "")})
    elif isinstance(error, AutottsError):
        log.warning("failed", extra={**about, "why": _UPSTREAMS_WORDS.sub(r"\1", str(error))})
    else:
        log.error("failed", extra=about, exc_info=error)
    return status, body, headers


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = error_body(f"{request.method} {request.url.path[:80]}: {error.detail}", "not_found")
    return JSONResponse(body, error.status_code, error.headers)
