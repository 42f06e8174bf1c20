"""A small packed 4-bit encoder (`E5S1`), written from the description of the format, and the weights that it means."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HIDDEN, LAYERS, HEADS, CHANNELS, POSITIONS = 32, 2, 4, 64, 40
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁que", "ry", ":", "▁", "▁film", "▁dull", "d", "u", "l", "f", "i", "m", "字"]
SCORES = [0.0] * 4 + [-5.0, -5.5, -4.0, -3.0, -6.0, -6.5] + [-7.25] * 7
NORMALIZATION = {0x01: [], 0x09: [0x20], 0xFB01: [0x66, 0x69]}
"""Code point → what it becomes: a control character goes, a tab is a space, a ligature is two letters."""


def packed_encoder(path: Path, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Write the file; name in the file → the tensor that it means."""
    rng = np.random.default_rng(seed)
    n_tokens = len(PIECES) + 3  # rows that no piece uses
    matrices = {"emb.word": (n_tokens, HIDDEN)}
    floats = {"emb.pos": (POSITIONS, HIDDEN), "emb.type": (2, HIDDEN), "emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for layer in range(LAYERS):
        for part in ("q", "k", "v", "ao"):
            matrices[f"l{layer}.{part}.w"], floats[f"l{layer}.{part}.b"] = (HIDDEN, HIDDEN), (HIDDEN,)
        matrices[f"l{layer}.fi.w"], floats[f"l{layer}.fi.b"] = (CHANNELS, HIDDEN), (CHANNELS,)
        matrices[f"l{layer}.fo.w"], floats[f"l{layer}.fo.b"] = (HIDDEN, CHANNELS), (HIDDEN,)
        for part in ("aln", "oln"):
            floats |= {f"l{layer}.{part}.w": (HIDDEN,), f"l{layer}.{part}.b": (HIDDEN,)}
    meant, kinds, data = {}, {}, {}
    for name, shape in matrices.items():
        meant[name], data[name] = _int4(rng, shape)
        kinds[name] = 1
    for name, width in floats.items():
        meant[name] = rng.normal(1.0 if name.endswith("ln.w") else 0.0, 0.1, width).astype(np.float32)
        kinds[name], data[name] = 0, meant[name].tobytes()
    path.write_bytes(_head(n_tokens) + _directory(meant, kinds, data, len(_head(n_tokens))))
    return meant


def _int4(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray[np.float32], bytes]:
    """Random 4-bit weights, one block of 32 at a time, and their bytes."""
    weights, written = [], b""
    for _ in range(shape[0] * shape[1] // 32):
        scale = np.float16(rng.uniform(0.01, 0.05))
        levels = rng.integers(0, 16, 32)
        written += scale.tobytes() + bytes(int(levels[i]) | int(levels[i + 16]) << 4 for i in range(16))
        weights += [float(scale) * (int(level) - 8) for level in levels]
    return np.array(weights, dtype=np.float32).reshape(shape), written


def _head(n_tokens: int) -> bytes:
    """All in front of the directory of tensors: sizes, vocabulary, normalization."""
    sizes = struct.pack("<4sI7ifi", b"E5S1", 1, HIDDEN, LAYERS, HEADS, CHANNELS, n_tokens, POSITIONS, 2, 1e-12, 32)
    letters = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, letters)]).astype("<u4").tobytes()
    vocabulary = struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(b"".join(letters)))
    scores = np.array(SCORES, dtype="<f4").tobytes()
    rules = b"".join(
        struct.pack(f"<IB{len(becomes)}I", code, len(becomes), *becomes) for code, becomes in NORMALIZATION.items()
    )
    table = struct.pack("<iI", len(NORMALIZATION), len(rules)) + rules
    return sizes + vocabulary + ends + scores + b"".join(letters) + table


def _directory(
    meant: dict[str, NDArray[np.float32]], kinds: dict[str, int], data: dict[str, bytes], start: int
) -> bytes:
    """The directory, whose length is known from its names, and the tensors behind it."""
    n_bytes = 4 + sum(2 + len(name) + 1 + 4 + 8 + 8 for name in data)
    entries, tensors, offset = struct.pack("<i", len(data)), b"", start + n_bytes
    for name, content in data.items():
        entries += struct.pack(f"<H{len(name)}s", len(name), name.encode())
        entries += struct.pack("<BIQQ", kinds[name], meant[name].size, offset + len(tensors), len(content))
        tensors += content
    return entries + tensors
