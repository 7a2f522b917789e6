"""A model server for tests, on a real socket: a little model behind the dialects of real servers.

The model reads characters: id = 3 + code point. What it says is a function of the question and of a
letter that it draws first, by the seed; so intervals join to what one request gives, and a probe of
a prefix always says the same. Replies have the fields that each server documents. Ids from `BYTES`
on are single bytes, as of characters that a vocabulary has no token for.
"""

import asyncio
import json
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

EOS = 2
BYTES = 3 + 0x110000
SUFFIX = "\nSo the answer is"
PROMPT_END = "|assistant|"
Fault = Callable[["Exchange"], Awaitable[bool]]
"""Does something else to a request for tokens; gives whether the request is dealt with."""


def encode(text: str) -> list[int]:
    return [3 + ord(c) for c in text]


def decode(ids: list[int]) -> str:
    said = (bytes([i - BYTES]) if i >= BYTES else chr(i - 3).encode() for i in ids if i > EOS)
    return b"".join(said).decode("utf-8", "replace")


def speech(question: str, letter: str) -> str:
    """All that the model says after it has drawn a letter."""
    rng = random.Random(f"{question}{letter}")
    words = " ".join(rng.choice(("so", "then", "wait", "hence")) for _ in range(rng.randint(8, 30)))
    return f"{letter} {words}. The answer is {answer(question, letter)}."


def answer(question: str, letter: str) -> str:
    return str(len(question) if letter < "n" else ord(letter))


def continued(text: str, seed: int, max_tokens: int) -> list[int]:
    """The next tokens after a prompt and what was said so far."""
    question, _, said = text.partition(PROMPT_END)
    if said.endswith(SUFFIX):
        told = f" {answer(question, said[0])}." if len(said) > 40 + len(SUFFIX) else ""
        return [*encode(told), EOS][:max_tokens]
    letter = said[0] if said else chr(97 + random.Random(seed).randrange(26))
    return [*encode(speech(question, letter)), EOS][len(said) :][:max_tokens]


@dataclass
class Exchange:
    """One request and where its reply goes."""

    server: "ModelServer"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    path: str
    headers: dict[str, str]
    body: Any

    async def send(
        self, value: Any, status: int = 200, kind: str = "application/json", **headers: str
    ) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        lines = [
            f"HTTP/1.1 {status} X",
            f"content-type: {kind}",
            f"content-length: {len(content)}",
            *(f"{name.replace('_', '-')}: {said}" for name, said in headers.items()),
        ]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await self.writer.drain()


@dataclass
class ModelServer:
    """What it was asked and what it did.

    dialect: "vllm", "sglang", "llamacpp", "text" or "chat".
    faults: what is done to the next requests for tokens, one each.
    token_seconds: how long it takes for a token.
    reply_seconds: how long it takes for a request, whatever it is for.
    keep: whether requests are kept in `asked`.
    aborts: whether there is an abort endpoint.
    models: names of those that it lists.
    tokens: decoded in all, whoever read them.
    stopped: how many requests were ended by closing, and how many by abort.
    """

    dialect: str
    faults: list[Fault] = field(default_factory=list)
    token_seconds: float = 0.0
    aborts: bool = True
    reply_seconds: float = 0.0
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    keep: bool = True
    tokens: int = 0
    running: int = 0
    most_running: int = 0
    closed: int = 0
    aborted: list[str] = field(default_factory=list)
    port: int = 0
    models: tuple[str, ...] = ("toy",)
    _jobs: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bodies(self, path: str = "/v1/completions") -> list[Any]:
        return [body for asked, _, body in self.asked if asked == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
                length = int(headers.get("content-length", 0))
                content = await reader.readexactly(length)
                body = json.loads(content) if content else None
                path = first.split()[1]
                if self.keep:
                    self.asked.append((path, headers, body))
                await self._answer(Exchange(self, reader, writer, path, headers, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, exchange: Exchange) -> None:
        path = exchange.path
        if path in ("/v1/completions", "/v1/chat/completions"):
            if self.faults and await self.faults.pop(0)(exchange):
                return
            await self._complete(exchange)
            return
        found = self._endpoint(path, exchange.body)
        status = 404 if found is None else 200
        await exchange.send({"detail": "Not Found"} if found is None else found, status)

    def _endpoint(self, path: str, body: Any) -> Any:
        """What the other endpoints say; None where there is none."""
        dialect = self.dialect
        if path == "/v1/models":
            about = {"object": "model", "max_model_len": 4096}
            return {"object": "list", "data": [{"id": name, **about} for name in self.models]}
        if path == "/get_model_info" and dialect == "sglang":
            return {"model_path": "toy", "tokenizer_path": "toy", "is_generation": True}
        if path == "/props" and dialect == "llamacpp":
            return {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4}
        if path == "/tokenize" and dialect in ("vllm", "sglang", "llamacpp"):
            text = body.get("content" if dialect == "llamacpp" else "prompt")
            if text is None:
                text = "".join(m["content"] for m in body["messages"]) + PROMPT_END
            ids = encode(text)
            more = {} if dialect == "llamacpp" else {"count": len(ids), "max_model_len": 4096}
            return {"tokens": ids, **more}
        if path == "/detokenize" and dialect == "llamacpp":
            return {"content": decode(body["tokens"])}
        if path == "/apply-template" and dialect == "llamacpp":
            return {"prompt": "".join(m["content"] for m in body["messages"]) + PROMPT_END}
        if path == "/abort_request" and dialect == "sglang" and self.aborts:
            return self._abort([rid for rid in self._jobs if rid.startswith(body["rid"])])
        if path == "/abort_requests" and dialect == "vllm" and self.aborts:
            # vLLM's engine has a prefix and a number of its own around the id of the request.
            assert body["request_ids"], "an empty list stops every request"
            return self._abort([i for i in self._jobs if f"cmpl-{i}-0" in body["request_ids"]])
        return None

    def _abort(self, ids: list[str]) -> Any:
        for i in ids:
            self.aborted.append(i)
            self._jobs[i].set()
        return {}

    async def _complete(self, exchange: Exchange) -> None:
        body, chat = exchange.body, exchange.path.endswith("/chat/completions")
        if chat != (self.dialect == "chat"):
            await exchange.send({"error": {"message": "no such endpoint"}}, 404)
            return
        prompt = body["messages"][0]["content"] + PROMPT_END if chat else body["prompt"]
        if isinstance(prompt, list) and self.dialect == "text":
            await exchange.send({"detail": "prompt must be a string"}, 400)
            return
        text = prompt if isinstance(prompt, str) else decode(prompt)
        ids = continued(text, body.get("seed", 0), body["max_tokens"])
        if not await self._run(exchange, body.get("rid") or body.get("request_id") or "", len(ids)):
            return
        reply = completion(self.dialect, body, len(text), ids)
        if body.get("stream"):
            await exchange.send(streamed(reply), kind="text/event-stream")
        else:
            await exchange.send(reply)

    async def _run(self, exchange: Exchange, request_id: str, tokens: int) -> bool:
        """Take the time for some tokens; gives whether anybody still waits for them."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        stop = self._jobs[request_id] = asyncio.Event()
        gone = asyncio.create_task(exchange.reader.read(1)) if self.token_seconds else None
        try:
            await asyncio.sleep(self.reply_seconds)
            for _ in range(tokens if self.token_seconds else 0):
                await asyncio.sleep(self.token_seconds)
                self.tokens += 1
                if stop.is_set():
                    break
                if gone and gone.done():
                    self.closed += 1
                    return False
            else:
                self.tokens += 0 if self.token_seconds else tokens
            return not stop.is_set()
        finally:
            self.running -= 1
            self._jobs.pop(request_id, None)
            if gone:
                gone.cancel()


def completion(dialect: str, body: Any, prompt_tokens: int, ids: list[int]) -> dict[str, Any]:
    """The reply to a request for tokens, as the dialect's server documents it."""
    ended = ids[-1] == EOS
    text, reason = decode(ids), "stop" if ended else "length"
    choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
    usage: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(ids),
        "total_tokens": prompt_tokens + len(ids),
    }
    reply = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }
    tops = [[-0.1 - i % 7 / 100, -3.0 - i % 5 / 10] for i in ids]
    if dialect in ("vllm", "sglang"):
        if body.get("return_token_ids"):
            choice["token_ids"] = ids
            choice["prompt_token_ids"] = body["prompt"]
        choice["stop_reason"] = None
        if body.get("logprobs"):
            choice["logprobs"] = {
                "text_offset": [-1] * len(ids),
                "token_logprobs": [top[0] for top in tops],
                "tokens": [decode([i]) for i in ids],
                "top_logprobs": [{"a": a, "b": b} for a, b in tops],
            }
        usage["prompt_tokens_details"] = None
    elif dialect == "llamacpp":
        usage["prompt_tokens_details"] = {"cached_tokens": prompt_tokens - 1}
        if body.get("verbose"):
            told = ids if body.get("return_tokens") else []
            reply["__verbose"] = {"content": text, "tokens": told, "stop_type": "eos"}
        if body.get("logprobs"):
            choice["logprobs"] = {
                "content": [
                    {
                        "id": i,
                        "token": decode([i]),
                        "bytes": [i - 3],
                        "logprob": top[0],
                        "top_logprobs": [
                            {"id": i, "token": name, "bytes": [97], "logprob": value}
                            for name, value in zip("ab", top, strict=True)
                        ],
                    }
                    for i, top in zip(ids, tops, strict=True)
                    if i != EOS
                ]
            }
    elif dialect == "chat":
        choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        reply["object"] = "chat.completion"
    return reply


def streamed(reply: dict[str, Any]) -> bytes:
    """A reply of llama.cpp's server token by token, as it streams it."""
    choice, details = reply["choices"][0], reply.get("__verbose", {})
    content = (choice["logprobs"] or {}).get("content", [])
    events = []
    for k, i in enumerate(details.get("tokens", [])):
        piece = {"text": decode([i]), "index": 0, "finish_reason": None, "logprobs": None}
        if k < len(content):
            piece["logprobs"] = {"content": [content[k]]}
        events.append({"choices": [piece], "__verbose": {"tokens": [i]}})
    last = {"text": "", "index": 0, "finish_reason": choice["finish_reason"], "logprobs": None}
    events.append({"choices": [last], "__verbose": {"tokens": []}})
    events.append({"choices": [], "usage": reply["usage"]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return b": ping\n\n" + "".join([*lines, "data: [DONE]\n\n"]).encode()


@contextmanager
def serving(dialect: str, *faults: Fault, **settings: Any) -> Iterator[ModelServer]:
    """A server in a thread of its own; with faults for its first requests for tokens."""
    server = ModelServer(dialect, list(faults), **settings)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=4096)
        server.port = listening.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        listening.close()

    stop = asyncio.Event()

    def main() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(run())
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=main)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def fails(status: int, **headers: str) -> Fault:
    async def fault(exchange: Exchange) -> bool:
        await exchange.send({"error": {"message": "not now", "code": status}}, status, **headers)
        return True

    return fault


def sends(value: Any, kind: str = "application/json", **headers: str) -> Fault:
    """Something else, with status 200."""

    async def fault(exchange: Exchange) -> bool:
        await exchange.send(value, kind=kind, **headers)
        return True

    return fault


async def resets(exchange: Exchange) -> bool:
    connection = exchange.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()
    raise ConnectionResetError


async def cuts(exchange: Exchange) -> bool:
    """Half of a reply, then nothing."""
    exchange.writer.write(
        b'HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"choi'
    )
    await exchange.writer.drain()
    raise ConnectionResetError


async def hangs(exchange: Exchange) -> bool:
    await exchange.reader.read(1)
    return True


def changes(change: Callable[[dict[str, Any]], None]) -> Fault:
    """The right reply, with something changed."""

    async def fault(exchange: Exchange) -> bool:
        body, prompt = exchange.body, exchange.body["prompt"]
        ids = continued(decode(prompt), body.get("seed", 0), body["max_tokens"])
        reply = completion(exchange.server.dialect, body, len(prompt), ids)
        exchange.server.tokens += len(ids)
        change(reply)
        await exchange.send(reply)
        return True

    return fault
