"""Suites as files: what they say is what is judged, and a bad one is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratchet.data.rules.suite_files import read_suite_file, suite_json
from ratchet.data.rules.suites import KWARGS, read_suite, read_suites
from ratchet.errors import ParamsError

FOLDER = Path(__file__).parents[3] / "data" / "suites"
GOOD: dict[str, Any] = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "n_words", "min_value": 3},
    "meta": {"rule": "short", "severity": "quarantine", "reason": "too short"},
}


NAMED = {
    **GOOD,
    "type": "expect_column_values_to_be_in_set",
    "kwargs": {"column": "m", "value_set": {"$PARAMETER": "x"}},
}


def _file(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "suite.json"
    path.write_text(suite_json({"name": "test", "expectations": list(entries)}), encoding="utf-8")
    return path


def _changed(part: str, **changes: Any) -> dict[str, Any]:
    return {**GOOD, part: {**GOOD[part], **changes}}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_suite_of_the_repository_can_be_read(path: Path) -> None:
    suite = read_suite(path, {"labels": ["a", "b"]})
    assert suite.name == path.stem
    assert {rule.severity for rule in suite.rules} <= {"stop", "quarantine", "warn"}


def test_a_suite_is_what_the_file_says(tmp_path: Path) -> None:
    (rule,) = read_suite(_file(tmp_path, GOOD), {}).rules
    assert (rule.name, rule.severity, rule.reason) == ("short", "quarantine", "too short")
    assert rule.kwargs == {"column": "n_words", "min_value": 3}
    assert rule.expected == "n_words at least 3"


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ({**GOOD, "type": "expect_nothing"}, ["unknown type 'expect_nothing'", *KWARGS]),
        (_changed("kwargs", maximum=3), ["maximum", "Extra inputs"]),
        ({**GOOD, "kwargs": {"column": "n_words"}}, ["min_value or max_value is needed"]),
        (_changed("kwargs", max_value=2), ["min_value 3 is above max_value 2"]),
        (_changed("kwargs", min_value="three"), ["min_value", "valid number"]),
        (_changed("meta", severity="fatal"), ["severity", "stop"]),
        (_changed("meta", rule="Too Short"), ["rule"]),
        ({**GOOD, "meta": {"rule": "short"}}, ["severity", "reason"]),
        ({**GOOD, "note": 1}, ["note"]),
        ({**GOOD, "type": "expect_column_max_to_be_between"}, ["judges the whole table"]),
        (_changed("meta", languages=["German"]), ["languages", "pattern"]),
        (_changed("meta", languages=[]), ["languages", "at least 1"]),
        (
            {
                **GOOD,
                "type": "expect_column_max_to_be_between",
                "meta": {**GOOD["meta"], "severity": "warn", "languages": ["de"]},
            },
            ["the whole table, which has no language"],
        ),
        ({**GOOD, "severity": "critical"}, ["severity critical contradicts meta's quarantine"]),
        (_changed("kwargs", mostly=0.9), ["mostly", "Extra inputs"]),
        (NAMED, ["unknown parameter 'x'", "labels"]),
        ({**GOOD, "kwargs": {"column": "matches of (", "max_value": 0}}, ["regular expression of RE2"]),
    ],
)
def test_a_bad_suite_is_one_clear_error(entry: dict[str, Any], parts: list[str], tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as error:
        read_suite(_file(tmp_path, entry), {"labels": ["a"]})
    for part in ("suite.json", *parts, "what to do"):
        assert part in str(error.value)


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as error:
        read_suite(_file(tmp_path, _changed("kwargs", typo=1), GOOD, GOOD, {**GOOD, "type": "no"}), {})
    for part in ("expectation 1 (short)", "expectation 3 (short): the name is taken", "expectation 4"):
        assert part in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", '{"name": [', '{"name": "x"}', '{"name": "x", "name": "y"}', "\udcff"])
def test_a_file_that_is_no_suite_is_one_clear_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ParamsError, match=r"suite\.json"):
        read_suite(tmp_path / "suite.json", {})
    with pytest.raises(ParamsError, match="missing"):
        read_suite(tmp_path / "other.json", {})


def test_two_suites_of_a_table_have_no_rule_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [_file(tmp_path, GOOD), _file(tmp_path / "other", GOOD)]
    assert len(read_suites(paths[:1], {})) == 1
    with pytest.raises(ParamsError, match="Two suites have a rule 'short'"):
        read_suites(paths, {})


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_file_is_written_as_it_is_read(path: Path) -> None:
    assert suite_json(read_suite_file(path)) == path.read_text(encoding="utf-8")
