"""The code says nothing of one task, one language or two classes but what tests/patterns.yaml allows, with reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ratchet.params import Params, read_params

ROOT = Path(__file__).parents[1]
CODE = ("ratchet", "pipeline_steps", "flows")
KINDS = (".py", ".html", ".j2", ".css", ".js", ".mako")
FILES = ("dvc.yaml",)


class Pattern(Params):
    """What the code must not hold."""

    pattern: str
    """A regular expression, of a part of one line."""
    instead: str
    """What is written, or where it is put, instead."""


class Allowed(Params):
    """An exception."""

    path: str
    pattern: str
    """The pattern's name."""
    line: str
    """A part of the line."""
    reason: str


class Rules(Params):
    """tests/patterns.yaml."""

    patterns: dict[str, Pattern]
    allowed: list[Allowed]


class Hit(NamedTuple):
    """A line that a pattern occurs in."""

    path: str
    number: int
    pattern: str
    line: str


RULES = read_params(Rules, ROOT / "tests/patterns.yaml")


def scanned() -> Iterator[Path]:
    """The files of the code."""
    yield from (ROOT / name for name in FILES)
    for folder in CODE:
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in KINDS)


def hits() -> list[Hit]:
    """Every line of the code that a pattern occurs in."""
    compiled = {name: re.compile(rule.pattern) for name, rule in RULES.patterns.items()}
    return [
        Hit(path.relative_to(ROOT).as_posix(), number, name, line.strip())
        for path in scanned()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for name, pattern in compiled.items()
        if pattern.search(line)
    ]


def covers(allowed: Allowed, hit: Hit) -> bool:
    return (allowed.path, allowed.pattern) == (hit.path, hit.pattern) and allowed.line in hit.line


def test_the_code_is_of_no_task_no_language_and_any_number_of_classes() -> None:
    found = hits()
    violations = [
        f"{hit.path}:{hit.number}: {hit.pattern}: {hit.line}\n  instead: {RULES.patterns[hit.pattern].instead}"
        for hit in found
        if not any(covers(allowed, hit) for allowed in RULES.allowed)
    ]
    assert violations == [], "\n".join(violations)
    stale = [f"{item.path}: {item.line}" for item in RULES.allowed if not any(covers(item, hit) for hit in found)]
    assert stale == [], "these exceptions match no line any more: remove them"


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("films", '_WARM_UP = ["a quiet film"]'),
        ("films", "like sentiment@v1.2.0"),
        ("class name", 'np.where(right, "positive", "negative")'),
        ("class name", 'rows["proba_positive"]'),
        ("rating", r"RATING = r'(?:/|out of)\s*(?:4|5|10)'"),
        ("English words", 'CONNECTORS = ("and", "or", "but")'),
        ("English words", r"r'\b(?:not|no|never)\b'"),
        ("English letters", 'article = "an" if word[0] in "aeiou" else "a"'),
        ("English letters", "re.findall('[A-Za-z]+', text)"),
        ("English tools", 'stemmer("english")'),
        ("English tools", 'TfidfVectorizer(stop_words="x")'),
        ("words of its own", r"WORD = re.compile(r'\w+')"),
        ("words of its own", r"WORD = re.compile(r'[^\W_]+(?:-[^\W_]+)*')"),
        ("words of its own", "n = len(text.split())"),
        ("two columns", "predictor.predict_proba(texts)[:, 1]"),
        ("two columns", "margin = proba[:, 0] - proba[:, 1]"),
        ("one of two labels", "predictor.labels[1]"),
        ("one of two labels", "target = labels[-1]"),
        ("counted to two", "if len(self.labels) == 2:"),
        ("counted to two", "if proba.shape[1] == 2:"),
        ("half is the border", "selected = proba >= 0.5"),
        ("the complement", "np.stack([1 - positive, positive])"),
        ("the other class", "edits that give the other label"),
        ("the other class", "Whether it is of the positive class"),
    ],
)
def test_each_pattern_finds_what_once_stood_there(pattern: str, line: str) -> None:
    assert re.search(RULES.patterns[pattern].pattern, line)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("films", "from ratchet.registry.audit_log import actor, append"),
        ("films", "with factors of the critical path"),
        ("English words", 'SIDES = ("left", "right")'),
        ("English words", "that is, the classes"),
        ("English letters", "[A-Za-z0-9._:-]{1,64}"),
        ("words of its own", r"TERM = re.compile(r'\{TERM:(\w+)\}')"),
        ("the complement", "accuracy * (1 - accuracy)"),
        ("half is the border", "right > 0.5"),
        ("the other class", "sure texts of the other classes"),
    ],
)
def test_no_pattern_cries_wolf(pattern: str, line: str) -> None:
    assert not re.search(RULES.patterns[pattern].pattern, line)
