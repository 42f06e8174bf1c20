"""Openings of the sealed test: which test texts were looked at, with which bundles; a file in Git that no stage reads.

Each opening lets a little of the test texts into what people decide next. So they are counted: an opening is a pair of
test texts and judged bundles, and the same pair, judged again, is the same opening. The flow enters it before the stage
`judge` runs; after a plain `dvc repro` the next run or check does. A test set whose file has another hash may still be
made of texts that were opened before: a sketch, the smallest of their ids, tells, and such openings count too.

Source: Broder 1997, On the resemblance and containment of documents, https://doi.org/10.1109/SEQUEN.1997.666900;
Dwork et al. 2015, The reusable holdout, https://doi.org/10.1126/science.aaa9375.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratchet.files import read_json, sha256_file, sha256_json, write_json

OPENINGS = Path("reports/openings.json")
JUDGE = "judge"
"""The stage that reads the labels of the test texts."""
TEST, SHORTLIST, JUDGEMENT = (
    Path("data/splits/test.parquet"),
    Path("reports/shortlist.json"),
    Path("reports/judge.json"),
)
MODELS = Path("models")
USED_UP = (
    "The test texts were opened {n} times, {limit} are allowed: their figures are no longer news to those who decide. "
    "Draw others by another split.salt in params.yaml, and run again."
)


OPENED_BEFORE = (
    "{share:.0%} of the texts of a test set that was opened before under another hash are among these ({n} of the "
    "openings): they count too, since the texts are known. For others put another split.salt into params.yaml."
)
SKETCH_SIZE = 64
"""Ids of the sketch: the share of texts in common is then known to within twelve points."""
SAME_TEXTS = 0.5
"""Share of an opened test set's texts that are in the one at hand, from which its openings count."""


def enter_opening(root: Path) -> int:
    """Enter the opening that the shortlist and the test texts at hand make, unless it is known; the openings of it.

    Counted are those of the same test texts, or of a test set that had most of them. 0 where there is no shortlist yet.
    """
    if not all((root / path).is_file() for path in (TEST, SHORTLIST)):
        return 0
    test = sha256_file(root / TEST)
    manifests = {name: root / MODELS / name / "bundle.json" for name in read_json(root / SHORTLIST)["shortlist"]}
    judged = sha256_json({name: sha256_file(path) for name, path in manifests.items() if path.is_file()})
    known = openings(root)
    if not any((item["test"], item["judged"]) == (test, judged) for item in known):
        known.append({"test": test, "judged": judged, "sketch": sorted(_ids(root))[:SKETCH_SIZE]})
        write_json(root / OPENINGS, {"openings": known})
    return sum(share >= SAME_TEXTS for share in _shares(root, known, test))


def openings(root: Path) -> list[dict[str, Any]]:
    """The openings so far, the first one first."""
    path = root / OPENINGS
    return list(read_json(path)["openings"]) if path.is_file() else []


def used_up(root: Path) -> str:
    """What to do when the test texts at hand were opened under another hash, or more often than allowed; else empty."""
    if not (root / JUDGEMENT).is_file() or not (root / TEST).is_file():
        return ""
    limit, test = read_json(root / JUDGEMENT)["max_openings"], sha256_file(root / TEST)
    known = openings(root)
    shares = [share for share in _shares(root, known, test) if share >= SAME_TEXTS]
    elsewhere = _shares(root, [item for item in known if item["test"] != test], test)
    before = [share for share in elsewhere if share >= SAME_TEXTS]
    told = [OPENED_BEFORE.format(share=max(before), n=len(before))] if before else []
    return " ".join([*told, *([USED_UP.format(n=len(shares), limit=limit)] if len(shares) > limit else [])])


def _shares(root: Path, known: list[dict[str, Any]], test: str) -> list[float]:
    """Of each opening the share of its test texts that are in the test set at hand, of the hash `test`; 1: the same."""
    others = any(item["test"] != test and item.get("sketch") for item in known)
    ids = _ids(root) if others else set()
    return [
        1.0
        if item["test"] == test
        else sum(key in ids for key in item.get("sketch", [])) / max(len(item.get("sketch", [])), 1)
        for item in known
    ]


def _ids(root: Path) -> set[str]:
    """The ids of the test texts at hand."""
    import pyarrow.parquet

    return set(pyarrow.parquet.read_table(root / TEST, columns=["id"])["id"].to_pylist())
