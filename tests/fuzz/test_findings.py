"""What fuzzing found, each as the input that showed it: a result or a clear error now; and the tool itself works."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.mutation import mutate_tree
from tests.fuzz.targets import TARGETS, made_seeds

CORPUS = Path(__file__).parent / "corpus"
FINDINGS = [
    ("Label Studio's answers", b"\x01[1]"),  # AttributeError: an export that is no list of objects
    ("params.yaml", b"task: {ki+d: single_labeltask,&alasses: [{na}]}\n"),  # TypeError: a mapping as a key
    ("queue file", b'{"id": "a", "text": "t", "source": "s", "confidence": 1' + b"0" * 400 + b"}\n"),  # OverflowError
    ("queue file", b'{"text": "\\ud83d", "label": "x"}\n'),  # UnicodeEncodeError: half of a surrogate pair
    ("queue file", b'{"id": ["x"], "text": "t", "source": "s"}\n'),  # TypeError: an id that is a list
    ("queue file", b"[" * 100_000),  # RecursionError
    # UnicodeDecodeError: a column whose name is no UTF-8
    ("source: Parquet", made_seeds("source: Parquet")[0].replace(b"label", b"\x94abel")),
]
"""Loader and input, and what came of it."""


@pytest.mark.parametrize(("name", "data"), FINDINGS)
def test_a_finding_is_a_result_or_a_clear_error(name: str, data: bytes, tmp_path: Path) -> None:
    load, allowed = TARGETS[name].prepare(tmp_path)
    with contextlib.suppress(*allowed):
        load(data)


@pytest.mark.parametrize("name", TARGETS)
def test_every_loader_takes_its_seeds_and_the_kept_inputs(name: str, tmp_path: Path) -> None:
    load, allowed = TARGETS[name].prepare(tmp_path)
    kept = [path.read_bytes() for path in CORPUS.glob(f"{_slug(name)}/*")]
    for data in (*TARGETS[name].seeds, *made_seeds(name), *kept, b"", b"\xff" * 9):
        with contextlib.suppress(*allowed):
            load(data)


def test_a_tree_stays_a_tree_and_every_seed_gives_another() -> None:
    made = [mutate_tree(b'\x05{"a": [1, {"b": "c"}], "d": null}', seed) for seed in range(60)]
    assert all(item is not None and item[:1] == b"\x05" for item in made)
    assert [json.loads(item[1:]) for item in made if item] != []
    assert len({*made}) > 40
    assert mutate_tree(b"no json", 1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="atheris has wheels for Linux only")
def test_a_loader_that_fails_is_found(tmp_path: Path) -> None:
    """The child of a target whose loader raises what it does not declare writes input and traceback."""
    pytest.importorskip("atheris", reason="pip install atheris, on x86-64")
    script = (
        "import sys; from pathlib import Path; from tests.fuzz import child, targets\n"
        "def broken(folder): return (lambda data: {}[len(data)]), (ValueError,)\n"
        "targets.TARGETS['broken'] = targets.Target(broken)\n"
        "child.main('broken', Path(sys.argv[1]), 50, 0, 1)\n"
    )
    for part in ("corpus", "seeds"):
        (tmp_path / part).mkdir()
    command = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(CORPUS.parents[2])}, capture_output=True, check=False)
    (account,) = (tmp_path / "findings").glob("*.txt")
    assert account.read_text().startswith("broken: KeyError")


def _slug(name: str) -> str:
    from tests.fuzz.__main__ import slug

    return slug(name)
