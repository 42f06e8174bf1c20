"""Structured mutation: a JSON document is changed as a tree, so that it stays JSON where bytes flipped would not."""

from __future__ import annotations

import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e308, 1.5, float("nan"), float("inf")),
    *("", " ", "x", "0", "\u2028", "\x00", "\ud83d", "é", "\u202e", "a" * 300, "2026-01-01T00:00:00Z"),
    *([], {}, [[]], {"": None}, ["x", 1, None]),
)
"""What loaders have stumbled over elsewhere."""


def mutate_tree(data: bytes, seed: int) -> bytes | None:
    """The document with one to four of its values replaced, removed, repeated, moved or nested; None if it is no JSON.

    A first byte that is no JSON is kept: some loaders take their variant from it. Of JSON lines one line is changed.
    """
    chance = random.Random(seed)
    for head, body in ((b"", data), (data[:1], data[1:])):
        lines = body.split(b"\n")
        places = [at for at, line in enumerate(lines) if line.strip()]
        whole = _parse(body)
        if whole is not _NONE:
            return head + _dump(_change(whole, chance))
        if len(places) > 1 or (places and len(lines) > 1):
            at = chance.choice(places)
            value = _parse(lines[at])
            if value is not _NONE:
                lines[at] = _dump(_change(value, chance))
                return head + b"\n".join(lines)
    return None


_NONE = object()


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _NONE


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _change(value: Any, chance: random.Random) -> Any:
    for _ in range(chance.randint(1, 4)):
        value = _at_random(value, chance, 0)
    return value


def _at_random(value: Any, chance: random.Random, depth: int) -> Any:
    """The value with one place in it changed: the deeper, the less likely to stop."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or chance.random() < 0.2:
        return _replaced(value, chance)
    key = chance.choice(keys)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if chance.random() < 0.15:
        del copy[key]
    elif chance.random() < 0.1 and isinstance(copy, dict):
        copy[chance.choice([*map(str, keys), "x", ""])] = copy.pop(key)
    elif chance.random() < 0.1 and isinstance(copy, list):
        copy.insert(chance.randint(0, len(copy)), copy[key])
    else:
        copy[key] = _at_random(copy[key], chance, depth + 1)
    return copy


def _replaced(value: Any, chance: random.Random) -> Any:
    if isinstance(value, str) and chance.random() < 0.5:
        at = chance.randint(0, len(value))
        return (
            value[:at]
            + chance.choice(["", "\x00", "\u2028", '"', "\\", "=", "9", " "])
            + value[at + chance.randint(0, 2) :]
        )
    if isinstance(value, int | float) and not isinstance(value, bool) and chance.random() < 0.5:
        return chance.choice([-value, value + 1, value * 1000, str(value), float(value) if abs(value) < 1e300 else 0.5])
    if chance.random() < 0.02:
        return json.loads("[" * 500 + "]" * 500)
    return chance.choice([*VALUES, [value], {"x": value}])
