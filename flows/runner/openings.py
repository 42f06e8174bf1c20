"""Openings of the sealed test: which test texts were looked at, with which bundles; a file in Git that no stage reads.

Each opening lets a little of the test texts into what people decide next. So they are counted: an opening is a pair of
test texts and judged bundles, and the same pair, judged again, is the same opening. The flow enters it before the stage
`judge` runs; after a plain `dvc repro` the next run or check does.

Source: Dwork et al. 2015, The reusable holdout, https://doi.org/10.1126/science.aaa9375.
"""

from __future__ import annotations

from pathlib import Path

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


def enter_opening(root: Path) -> int:
    """Enter the opening that the shortlist and the test texts at hand make, unless it is known; the openings of it.

    Counted are those of the same test texts. 0 where there is no shortlist yet.
    """
    if not all((root / path).is_file() for path in (TEST, SHORTLIST)):
        return 0
    test = sha256_file(root / TEST)
    manifests = {name: root / MODELS / name / "bundle.json" for name in read_json(root / SHORTLIST)["shortlist"]}
    judged = sha256_json({name: sha256_file(path) for name, path in manifests.items() if path.is_file()})
    known = openings(root)
    opening = {"test": test, "judged": judged}
    if opening not in known:
        known.append(opening)
        write_json(root / OPENINGS, {"openings": known})
    return sum(item["test"] == test for item in known)


def openings(root: Path) -> list[dict[str, str]]:
    """The openings so far, the first one first."""
    path = root / OPENINGS
    return list(read_json(path)["openings"]) if path.is_file() else []


def used_up(root: Path) -> str:
    """What to do when the test texts at hand were opened more often than `judge.max_openings`; else empty."""
    if not (root / JUDGEMENT).is_file() or not (root / TEST).is_file():
        return ""
    limit, test = read_json(root / JUDGEMENT)["max_openings"], sha256_file(root / TEST)
    n = sum(item["test"] == test for item in openings(root))
    return USED_UP.format(n=n, limit=limit) if n > limit else ""
