"""The parts of page and card: figures, outlines of any report, the curve, and the results table with its block."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.commands.reports import results
from ratchet.errors import PipelineError, TableError
from ratchet.files import write_json
from ratchet.gates.measured_reports import with_judgement
from ratchet.measure.estimate import Estimate, exact, undefined
from ratchet.measure.machine_figures import drop
from ratchet.measure.report_files import write_parts
from ratchet.reporting import results_table as table
from ratchet.reporting.cells import Table
from ratchet.reporting.curve import read_curve
from ratchet.reporting.figures import Point, curves, forest, front, scatter
from ratchet.reporting.label_worth import label_worth
from ratchet.reporting.outline import MAX_ROWS, outline
from ratchet.reporting.templates import FOLDER
from ratchet.reporting.words_chart import waterfall_chart, words_chart
from ratchet.trust.attributions import Attribution
from tests.support.release_reports import evaluate_report, judge_report, people_report

SVG = "{http://www.w3.org/2000/svg}"
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


def decision(chosen: str | None) -> dict[str, object]:
    passed = {"passed": True, "gates": [{"passed": True}]}
    failed = {"passed": False, "gates": [{"passed": False}, {"passed": True}]}
    return {
        "chosen": chosen,
        "ranking": ["small-int8", "baseline"],
        "reasons": ["Because.", "And so on."],
        "bundles": {"small-int8": passed if chosen else failed, "baseline": failed},
    }


def test_the_front_is_what_nothing_beats_in_both() -> None:
    places = {"slow": (9, 0.8), "fast": (1, 0.7), "beaten": (5, 0.69), "middle": (3, 0.75), "twin": (3, 0.75)}
    points = [Point(name, x, exact(y)) for name, (x, y) in places.items()]
    assert front(points) == ["fast", "middle", "slow"]


def marked(drawn: ET.Element, kind: str) -> dict[str, ET.Element]:
    """The groups of a chart whose class begins with a word, by class."""
    groups = {group.get("class", ""): group for group in drawn.iter(f"{SVG}g")}
    return {name: group for name, group in groups.items() if name.split(" ")[0] == kind}


def test_the_scatter_places_points_by_their_values() -> None:
    points = [Point("a<b", 1.0, Estimate(0.7, 0.6, 0.8, 9)), Point("c", 10.0, Estimate(0.8, 0.75, 0.85, 9))]
    drawn = ET.fromstring(scatter([*points, Point("nothing", math.nan, exact(0.5))], "c", "ms", "accuracy"))
    marks = marked(drawn, "mark")
    assert list(marks) == ["mark best", "mark chosen"]
    first, second = (next(mark.iter(f"{SVG}use")) for mark in marks.values())
    assert float(first.attrib["x"]) < float(second.attrib["x"])
    assert float(first.attrib["y"]) > float(second.attrib["y"])
    assert ["".join(key.itertext()) for key in marked(drawn, "key").values()] == ["a<b", "c"]
    assert drawn.findtext(f"{SVG}title") == "accuracy against ms: a<b 0.700 at 1, c 0.800 at 10"


def test_labels_of_a_figure_do_not_cover_each_other() -> None:
    points = [Point(f"bundle-{index}", 5.0 + index / 100, exact(0.8)) for index in range(8)]
    drawn = ET.fromstring(scatter([*points, Point("far", 100.0, exact(0.7))], None, "ms", "accuracy"))
    labels = [group for group in drawn.iter(f"{SVG}g") if group.get("class", "").startswith("label")]
    heights = sorted(float(next(label.iter(f"{SVG}text")).attrib["y"]) for label in labels)
    assert len(heights) == 9
    assert all(after - before >= 12 for before, after in pairwise(heights))


def test_a_long_key_makes_the_chart_taller() -> None:
    points = [Point(f"bundle-{index}", 1.0 + index, exact(0.8)) for index in range(40)]
    drawn = ET.fromstring(scatter(points, None, "ms", "accuracy"))
    height = float(drawn.attrib["viewBox"].split()[3])
    assert all(0 < float(text.attrib["y"]) < height for text in drawn.iter(f"{SVG}text"))


def test_a_chart_follows_the_page_and_stands_alone_in_it() -> None:
    lines = {"random": [(50.0, Estimate(0.6, 0.5, 0.7, 3)), (90.0, exact(0.7))], "hybrid": [(50.0, exact(0.6))]}
    charts = [curves(lines, "labels", "accuracy", 0.65), curves(lines, "labels", "share", 0.65)]
    assert charts[0] == curves(lines, "labels", "accuracy", 0.65)
    style = (FOLDER / "_style.css").read_text(encoding="utf-8")
    for chart in charts:
        assert not re.search(r"#[0-9a-fA-F]{6}\b|url\(|<style|font-family", chart)
        variables = set(re.findall(r"var\((--\w+)\)", chart))
        assert {"--s0", "--s1", "--soft", "--line"} <= variables
        assert all(f"{name}:" in style for name in variables)
    first, second = (set(re.findall(r'\bid="(\w+)"', chart)) for chart in charts)
    assert first.isdisjoint(second)  # ids of a page are told apart
    assert set(re.findall(r'href="#(\w+)"', charts[0])) == first


def test_an_undefined_value_is_a_gap_in_its_line() -> None:
    points = [(1.0, exact(0.5)), (2.0, exact(0.6)), (3.0, undefined("none")), (4.0, exact(0.6)), (5.0, exact(0.7))]
    line = marked(ET.fromstring(curves({"a": points}, "window", "accuracy")), "line")["line"]
    (path,) = (path for path in line.findall(f"{SVG}path"))
    assert path.attrib["d"].count("M") == 2


@pytest.mark.parametrize(
    "name", ["a<script>", "$x_1$ ^ \\frac", "电影 ραψ", "a\u202eb", "nul\x00 bell\x07", "\ud800", "two\nlines"]
)
def test_no_name_breaks_a_chart(name: str) -> None:
    charts = (
        scatter([Point(name, 1.0, exact(0.5))], name, name, name),
        curves({name: [(50.0, exact(0.5))]}, name, name),
        forest({name: exact(0.5)}, exact(0.5), name),
        words_chart([{"word": name, "mean_abs_shap": exact(0.5).to_json(), "n_texts": 1, "towards": name}], [name]),
        waterfall_chart(
            Attribution(name, [(0, len(name))], np.array([[0.2]]), np.array([0.5]), np.array([0.7])), [name]
        ),
    )
    for chart in charts:
        ET.fromstring(chart)
        assert "<script" not in chart
        assert "\u202e" not in chart


def test_figures_of_nothing_are_empty() -> None:
    assert scatter([Point("a", 1.0, undefined("none"))], None, "x", "y") == ""
    assert scatter([Point("a", 0.0, exact(0.5))], None, "x", "y") == ""
    assert curves({"random": [(50.0, undefined("none"))]}, "x", "y") == ""
    assert forest({"a": undefined("none")}, exact(0.5), "x") == ""


def test_a_single_point_can_be_drawn() -> None:
    for drawn in (
        scatter([Point("a", 1.0, exact(0.5))], None, "x", "y"),
        curves({"random": [(50.0, exact(0.5))]}, "x", "y"),
        forest({"a": Estimate(0.5, math.nan, math.nan, 1)}, undefined("none"), "x"),
    ):
        ET.fromstring(drawn)
        assert "nan" not in drawn


@given(anything)
def test_no_report_breaks_the_outline(value: object) -> None:
    assert outline(value)["kind"] in ("text", "pairs", "table")


def texts(table: Table) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a table, the names of the rows first."""
    rows = [[*([row.name] if row.name is not None else []), *(cell.text for cell in row.cells)] for row in table.rows]
    return [cell.text for cell in table.head], rows


def test_outline_makes_tables_of_records_and_cuts_long_ones() -> None:
    long = outline([{"epoch": index, "loss": 0.5} for index in range(MAX_ROWS + 3)])
    assert (texts(long["table"])[0], len(long["table"].rows), long["left_out"]) == (["epoch", "loss"], MAX_ROWS, 3)
    uneven = outline({"a": {"x": 1}, "b": {"y": exact(2.0).to_json()}})
    assert texts(uneven["table"]) == (["", "x", "y"], [["a", "1", "–"], ["b", "–", "2"]])
    assert outline({"a": {"x": {"deep": 1}}, "b": {"x": 1}})["kind"] == "pairs"
    assert outline(list(range(20)))["text"].endswith("11 … (20 in all)")
    assert outline([])["text"] == outline(None)["text"] == "–"


def test_the_curve_is_sorted_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    assert read_curve(path) == {}
    path.write_text("strategy,n_labels,score,low,high\nr,100,0.7,0.6,0.8\nr,20,0.5,,\n", encoding="utf-8")
    (first, second) = read_curve(path)["r"]
    assert (first[0], second) == (20.0, (100.0, Estimate(0.7, 0.6, 0.8, 1)))
    assert math.isnan(first[1].low)
    for text in ("strategy,score\nr,0.7\n", "strategy,n_labels,score,low,high\nr,many,0.7,,\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(TableError, match="curve"):
            read_curve(path)


def test_the_table_ranks_marks_and_counts() -> None:
    lines = table.results_table(with_judgement(evaluate_report(), judge_report()), decision("small-int8")).splitlines()
    assert lines[0] == "Accepted: **small-int8**. Because."
    assert [line.split(" | ")[0] for line in lines[4:]] == [
        "| **small-int8**",
        "| baseline",
        "| small-nf4",
        "| teacher",
    ]
    assert [line.split(" | ")[-1] for line in lines[4:]] == ["passed |", "1 of 2 failed |", "– |", "– |"]
    assert lines[4].startswith("| **small-int8** | 0.790 [0.770, 0.810] | 0.790 [0.770, 0.810] | 2 | 8 | 0.100 |")
    assert lines[6].startswith("| small-nf4 | 0.770 [0.750, 0.790] | – |"), "it was not judged"
    assert {line.count("|") for line in lines[2:]} == {8}


def test_the_described_bundle_is_the_chosen_or_the_one_that_failed_least() -> None:
    assert table.described_bundle(decision("small-int8")) == "small-int8"
    assert table.described_bundle(decision(None)) == "small-int8"
    assert table.described_bundle({"chosen": None, "ranking": [], "bundles": {}}) is None


def test_the_command_prints_the_table_or_fills_the_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    evaluate = tmp_path / "reports" / "evaluate.json", tmp_path / "measurements" / "evaluate.json"
    write_parts(*evaluate, evaluate_report(), drop(evaluate_report()))
    write_json(tmp_path / "reports" / "judge.json", judge_report())
    write_json(tmp_path / "reports" / "decision.json", decision("small-int8"))
    results(None, tmp_path)
    printed = capsys.readouterr().out.strip()
    assert printed == table.results_table(with_judgement(evaluate_report(), judge_report()), decision("small-int8"))
    readme.write_text("before\n<!-- results:start -->\nold\n<!-- results:end -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        results(readme, tmp_path)
        block = f"<!-- results:start -->\n{printed}\n<!-- results:end -->"
        assert readme.read_text(encoding="utf-8") == f"before\n{block}\nafter\n"
    readme.write_text("no block\n", encoding="utf-8")
    with pytest.raises(PipelineError, match="no block"):
        results(readme, tmp_path)
    assert readme.read_text(encoding="utf-8") == "no block\n"


@pytest.mark.parametrize("text", ["not json", "[1]", ""])
def test_a_damaged_report_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "evaluate.json").write_text(text, encoding="utf-8")
    write_json(tmp_path / "measurements" / "evaluate.json", {})
    with pytest.raises(PipelineError, match="damaged"):
        results(None, tmp_path)


def test_the_price_of_a_point_is_that_of_the_labels_it_takes() -> None:
    worth = label_worth(people_report(0.02))
    assert worth["price of improving accuracy by 0.01, USD"] == "25"  # a hundred labels, 50 USD, bring two points
    assert worth["agreement of people, Krippendorff’s alpha"] == "0.600 [0.500, 0.700]"
    gains_nothing = label_worth(people_report(-0.01))
    assert gains_nothing["price of improving accuracy by 0.01, USD"] == "unknown: a hundred more labels gain nothing"
    assert label_worth({"n_labeled": 3}) == label_worth(None) == {}
