"""Make `model.gguf`: a Qwen3 of 134,000 weights that adds two numbers, and errs, out loud.

    pip install torch==2.13.0 numpy
    python tests/tiny_qwen3/train.py    # three minutes of one core

It is for tests that need numbers: thousands of branches in seconds, on a genuine server, with
thinking that goes back and forth, answers that can be asked for early, and votes that matter.
"""

import random
import re
import struct
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

STEPS, BATCH, SEED = 2000, 48, 7
LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, INNER = 3, 64, 4, 2, 16, 128
MERGES = 96
ROPE_BASE, EPSILON, CONTEXT = 10_000.0, 1e-6, 4096

ASKED = "\n\nPlease reason step by step, and put your final answer within \\boxed{}."
TEMPLATE = (
    "{%- for m in messages %}"
    "{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINKING = ["<think>", "</think>"]
PROBES = [
    "\n</think>\n\n**Final Answer**\n\\boxed{",
    "... Oh, I suddenly got the answer to the whole problem, **Final Answer**\n\n\\[ \\boxed{",
]
# Qwen2's pattern, for ASCII.
PIECES = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


# What the model is taught.


def guess(a: int, b: int, rng: random.Random) -> int:
    """What comes to mind: right more often than anything else, but where a carry is forgotten."""
    right, carries = a + b, a % 10 + b % 10 >= 10
    x = rng.random()
    if carries and b >= 5:
        if x < 0.28:
            return right
        if x < (0.62 if (a + b) % 3 == 0 else 0.45):
            return right - 10
    elif x < (0.34 if b >= 5 else 0.5):
        return right
    return right + rng.choice((-3, -2, -1, 1, 2, 3))


def sample(rng: random.Random) -> tuple[str, str]:
    """What is not learned, and what follows it and is."""
    a, b = rng.randint(1, 20), rng.randint(1, 9)
    asked = ASKED if rng.random() < 0.3 else ""
    prompt = f"<|im_start|>user\nWhat is {a} + {b}?{asked}<|im_end|>\n<|im_start|>assistant\n"
    said, text = [guess(a, b, rng)], ""
    while len(said) < 12 and (len(said) < 2 or said[-1] != said[-2]):
        said.append(guess(a, b, rng))
    for number in said:
        text += rng.choice(("I get {}.\n", "Is it {}?\n", "Wait, {}.\n", "So {}.\n")).format(number)
    if rng.random() < 0.7:
        done = f"<think>\n{text}</think>\n\n**Final Answer**\n\\boxed{{{said[-1]}}}<|im_end|>"
        return prompt, done
    # Asked early: what was said last is the answer, or what comes to mind.
    cut = text[: rng.randrange(len(text))]
    numbers = re.findall(r"(\d+)[.?]\n", cut)
    answer = numbers[-1] if numbers else str(guess(a, b, rng))
    return prompt + "<think>\n" + cut + rng.choice(PROBES), answer + "}<|im_end|>"


# Its tokenizer: pairs of bytes, as GPT-2 and Qwen merge them.


def _letters() -> list[str]:
    """The letter that stands for each byte."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(b if b in plain else next(others)) for b in range(256)]


class Tokenizer:
    def __init__(self, texts: list[str]) -> None:
        self._letters = _letters()
        self._specials = re.compile("(" + "|".join(map(re.escape, CONTROL + THINKING)) + ")")
        words = Counter(
            tuple(self._letters[b] for b in piece.encode())
            for text in texts
            for part in self._specials.split(text)
            if part not in CONTROL + THINKING
            for piece in PIECES.findall(part)
        )
        self.merges: list[tuple[str, str]] = []
        for _ in range(MERGES):
            pairs: Counter[tuple[str, str]] = Counter()
            for word, count in words.items():
                for pair in pairwise(word):
                    pairs[pair] += count
            best = min(pairs, key=lambda pair: (-pairs[pair], pair))
            self.merges.append(best)
            merged: Counter[tuple[str, ...]] = Counter()
            for word, count in words.items():
                merged[_merge(word, best)] += count
            words = merged
        self.tokens = [*self._letters, *("".join(m) for m in self.merges), *CONTROL, *THINKING]
        self.id_of = {token: i for i, token in enumerate(self.tokens)}
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in self._specials.split(text):
            if part in self.id_of and part in CONTROL + THINKING:
                ids.append(self.id_of[part])
            else:
                for piece in PIECES.findall(part):
                    ids += self._piece(piece)
        return ids

    def _piece(self, piece: str) -> list[int]:
        if piece not in self._known:
            word = tuple(self._letters[b] for b in piece.encode())
            for pair in self.merges:
                word = _merge(word, pair)
            self._known[piece] = [self.id_of[token] for token in word]
        return self._known[piece]


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    for letter in word:
        if out and (out[-1], letter) == pair:
            out[-1] += letter
        else:
            out.append(letter)
    return tuple(out)


# The model, with llama.cpp's names for its weights.


class Qwen3(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        shapes = {"token_embd": (vocabulary, WIDTH), "output_norm": (WIDTH,)}
        for k in range(LAYERS):
            shapes |= {
                f"blk.{k}.attn_norm": (WIDTH,),
                f"blk.{k}.attn_q": (HEADS * HEAD, WIDTH),
                f"blk.{k}.attn_k": (KV_HEADS * HEAD, WIDTH),
                f"blk.{k}.attn_v": (KV_HEADS * HEAD, WIDTH),
                f"blk.{k}.attn_output": (WIDTH, HEADS * HEAD),
                f"blk.{k}.attn_q_norm": (HEAD,),
                f"blk.{k}.attn_k_norm": (HEAD,),
                f"blk.{k}.ffn_norm": (WIDTH,),
                f"blk.{k}.ffn_gate": (INNER, WIDTH),
                f"blk.{k}.ffn_up": (INNER, WIDTH),
                f"blk.{k}.ffn_down": (WIDTH, INNER),
            }
        self.shapes = shapes
        self.w = nn.ParameterDict(
            {
                name.replace(".", "-"): torch.ones(shape)
                if len(shape) == 1
                else torch.randn(shape) * (0.02 if name == "token_embd" else shape[1] ** -0.5)
                for name, shape in shapes.items()
            }
        )

    def weight(self, name: str) -> torch.Tensor:
        return self.w[name.replace(".", "-")]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        rows, length = ids.shape
        turn = torch.arange(length)[:, None] * ROPE_BASE ** (-torch.arange(0, HEAD, 2) / HEAD)
        cos, sin = turn.cos(), turn.sin()

        def norm(x: torch.Tensor, name: str) -> torch.Tensor:
            return F.rms_norm(x, x.shape[-1:], self.weight(name), EPSILON)

        def rotated(x: torch.Tensor) -> torch.Tensor:
            first, second = x.chunk(2, dim=-1)
            return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

        x = F.embedding(ids, self.weight("token_embd"))
        for k in range(LAYERS):
            at = f"blk.{k}."

            def heads(h: torch.Tensor, name: str, count: int, at: str = at) -> torch.Tensor:
                return F.linear(h, self.weight(at + name)).view(rows, length, count, HEAD)

            h = norm(x, at + "attn_norm")
            q = rotated(norm(heads(h, "attn_q", HEADS), at + "attn_q_norm").transpose(1, 2))
            key = rotated(norm(heads(h, "attn_k", KV_HEADS), at + "attn_k_norm").transpose(1, 2))
            value = heads(h, "attn_v", KV_HEADS).transpose(1, 2)
            mixed = F.scaled_dot_product_attention(q, key, value, is_causal=True, enable_gqa=True)
            mixed = mixed.transpose(1, 2).reshape(rows, length, HEADS * HEAD)
            x = x + F.linear(mixed, self.weight(at + "attn_output"))
            h = norm(x, at + "ffn_norm")
            gate = F.silu(F.linear(h, self.weight(at + "ffn_gate")))
            up = F.linear(h, self.weight(at + "ffn_up"))
            x = x + F.linear(gate * up, self.weight(at + "ffn_down"))
        return F.linear(norm(x, "output_norm"), self.weight("token_embd"))


def batches(tokenizer: Tokenizer, rng: random.Random):
    """Rows of like length: ids, and what of them is learned."""
    while True:
        rows = []
        for _ in range(8 * BATCH):
            given, learned = (tokenizer.encode(text) for text in sample(rng))
            rows.append((given + learned, len(given)))
        rows.sort(key=lambda row: len(row[0]))
        parts = [rows[k : k + BATCH] for k in range(0, len(rows), BATCH)]
        rng.shuffle(parts)
        for part in parts:
            length = max(len(ids) for ids, _ in part)
            ids = torch.zeros(len(part), length, dtype=torch.long)
            learned = torch.full((len(part), length), -100)
            for k, (row, start) in enumerate(part):
                ids[k, : len(row)] = torch.tensor(row)
                learned[k, start : len(row)] = ids[k, start : len(row)]
            yield ids, learned


def train(tokenizer: Tokenizer, steps: int) -> Qwen3:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model = Qwen3(len(tokenizer.tokens))
    print(sum(p.numel() for p in model.parameters()), "weights,", len(tokenizer.tokens), "tokens")
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps, pct_start=0.05)
    began, losses = time.monotonic(), []
    made = batches(tokenizer, random.Random(SEED))
    for step in range(steps):
        ids, learned = next(made)
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), learned[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            seconds = time.monotonic() - began
            print(f"{step + 1}: loss {np.mean(losses[-100:]):.3f}, {seconds:.0f} s", flush=True)
    return model


# GGUF, version 3.

_TYPES = {bool: 7, int: 4, float: 6, str: 8}


def _packed(value: object) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<?", value)
    if isinstance(value, int):
        return struct.pack("<I", value)
    if isinstance(value, float):
        return struct.pack("<f", value)
    assert isinstance(value, str)
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _pair(key: str, value: object) -> bytes:
    if isinstance(value, list):
        body = b"".join(map(_packed, value))
        head = struct.pack("<IIQ", 9, _TYPES[type(value[0])], len(value))
        return _packed(key) + head + body
    return _packed(key) + struct.pack("<I", _TYPES[type(value)]) + _packed(value)


def write_gguf(path: Path, model: Qwen3, tokenizer: Tokenizer) -> None:
    """The model in half precision, norms in full."""
    kinds = [1] * (len(tokenizer.tokens) - len(CONTROL) - len(THINKING))
    facts: dict[str, object] = {
        "general.architecture": "qwen3",
        "general.name": "a tiny Qwen3 that adds",
        "general.license": "apache-2.0",
        "qwen3.block_count": LAYERS,
        "qwen3.context_length": CONTEXT,
        "qwen3.embedding_length": WIDTH,
        "qwen3.feed_forward_length": INNER,
        "qwen3.attention.head_count": HEADS,
        "qwen3.attention.head_count_kv": KV_HEADS,
        "qwen3.attention.key_length": HEAD,
        "qwen3.attention.value_length": HEAD,
        "qwen3.attention.layer_norm_rms_epsilon": EPSILON,
        "qwen3.rope.freq_base": ROPE_BASE,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokenizer.tokens,
        # 1: ordinary, 3: control, 4: ordinary text that is never split.
        "tokenizer.ggml.token_type": [*kinds, *[3] * len(CONTROL), *[4] * len(THINKING)],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokenizer.merges],
        "tokenizer.ggml.eos_token_id": tokenizer.id_of["<|im_end|>"],
        "tokenizer.ggml.padding_token_id": tokenizer.id_of["<|endoftext|>"],
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }
    infos, content = b"", b""
    for name, shape in model.shapes.items():
        matrix = len(shape) > 1
        weights = model.weight(name).detach().numpy().astype("<f2" if matrix else "<f4")
        infos += _packed(f"{name}.weight") + struct.pack("<I", len(shape))
        infos += struct.pack(f"<{len(shape)}Q", *shape[::-1])
        infos += struct.pack("<IQ", 1 if matrix else 0, len(content))
        content += weights.tobytes()
        content += bytes(-len(content) % 32)
    pairs = b"".join(_pair(key, value) for key, value in facts.items())
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(model.shapes), len(facts)) + pairs + infos
    path.write_bytes(head + bytes(-len(head) % 32) + content)


def main() -> None:
    rng = random.Random(SEED)
    tokenizer = Tokenizer(["".join(sample(rng)) for _ in range(3000)])
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    model = train(tokenizer, steps)
    path = Path(__file__).with_name("model.gguf")
    write_gguf(path, model, tokenizer)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
