"""Tensors of a weights file with a NaN or an infinity, found without loading a deep-learning library."""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

from ratchet.models.packed_weights import is_packed, read_packed

EXPONENTS = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80), "F64": ("<u8", 0x7FF << 52)}
"""Number format of a safetensors file → the integer of its size, and its exponent's bits: all set in NaN and infinity.
Source: IEEE 754-2019, section 3.4."""


def not_finite(path: Path) -> list[str]:
    """The names of tensors that hold a number that is none, sorted; of a packed file, of its scales and vectors.

    Args:
        path: a safetensors or packed file that can be read.

    Raises:
        SourceError: the packed file is damaged.
    """
    state = path.stat()
    return list(_not_finite(path, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=16)
def _not_finite(path: Path, size: int, _time: int) -> tuple[str, ...]:
    if is_packed(path):
        packed = read_packed(path)
        return tuple(sorted(name for name in packed.shapes if not packed.is_finite(name)))
    with path.open("rb") as file:
        (n_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(n_bytes))
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + n_bytes) if size > 8 + n_bytes else None
    found = []
    for name, item in header.items():
        kind, exponent = EXPONENTS.get(item.get("dtype", ""), ("", 0))
        if name == "__metadata__" or not kind or data is None:
            continue
        start, end = item["data_offsets"]
        bits = data[start:end].view(kind)
        if (bits & exponent == exponent).any():
            found.append(name)
    return tuple(sorted(found))
