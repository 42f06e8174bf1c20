"""Mutants are other programs, the same ones each time, and what no test notices is told."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import mutants
from ratchet.errors import PipelineError

MODULE = '''"""A module."""


def is_more(a: int | None, b: int) -> bool:
    """Whether a is more: 1 > 0."""
    return (a or 0) > b


def unseen(a: int) -> int:
    return a + 7
'''
TESTS = """
from shop.module import is_more


def test_it():
    assert [is_more(a, 2) for a in (None, 1, 2, 3)] == [False, False, False, True]
    assert [is_more(None, b) for b in (-1, 0)] == [True, False]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "AREAS", {"shop/module.py": ("sums", ("tests/test_module.py",))})
    for path, text in {"shop/__init__.py": "", "shop/module.py": MODULE, "tests/test_module.py": TESTS}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "add", "."], check=True)
    return tmp_path


def test_a_mutant_is_another_program_that_parses_and_the_order_is_always_the_same() -> None:
    found = list(mutants.mutants("shop/module.py", MODULE))
    assert [mutant.name for mutant in found] == [mutant.name for mutant in mutants.mutants("shop/module.py", MODULE)]
    for mutant in found:
        assert "| None" in mutant.code, "an annotation was changed"
        assert '"""Whether a is more: 1 > 0."""' in mutant.code, "a docstring was changed"
        compile(mutant.code, "module.py", "exec")
    names = [mutant.name for mutant in found]
    assert "shop/module.py is_more: return (a or 0) > b → return (a or 0) >= b" in names
    assert "shop/module.py is_more: return (a or 0) > b → return (a and 0) > b" in names


def test_what_no_test_notices_is_told_and_what_was_tried_is_not_tried_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = mutants.try_all(["shop/module.py"], 5)
    assert len(rows) == 5
    for row in rows:
        assert row["is_noticed"] == ("is_more" in row["name"]), row["name"]
    assert (root / "shop/module.py").read_text() == MODULE

    def tried_again(*_: Any) -> bool:
        raise AssertionError

    monkeypatch.setattr(mutants, "notices", tried_again)
    assert mutants.try_all(["shop/module.py"], 5) == rows
    unseen = [row["name"] for row in rows if not row["is_noticed"]]
    assert unseen
    monkeypatch.setattr(mutants, "EQUIVALENT", {unseen[0]: "7 is a lucky number"})
    report = mutants.summed_up(rows)
    assert report["not_noticed"] == unseen[1:]
    assert report["areas"] == {"sums": {"tried": 5, "noticed": 5 - len(unseen), "equivalent": 1}}
    assert report["share_noticed"]["n"] == 4


def test_tests_that_fail_by_themselves_are_no_judge(root: Path) -> None:
    (root / "tests/test_module.py").write_text("def test_it():\n    assert False\n")
    with pytest.raises(PipelineError, match="without any mutant"):
        mutants.try_all(["shop/module.py"], 1)
