"""report: the page and the card tell what was measured, escape what they are given, and say what is missing."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline_steps import promote, report
from ratchet.errors import PipelineError
from ratchet.files import write_json
from ratchet.gates.gates import Gate
from ratchet.gates.measured_reports import with_judgement
from ratchet.ladder import NOT_ASKED
from ratchet.measure.estimate import Estimate
from ratchet.measure.report_files import write_report
from ratchet.params import load_params
from ratchet.reporting.report_page import Material
from tests.support.release_reports import (
    Json,
    audit_report,
    behave_report,
    estimate,
    evaluate_report,
    explain_report,
    gate_at,
    judge_report,
    people_report,
    shortlist_report,
    step_reports,
)

ROOT = Path(__file__).parents[2]
PARAMS = load_params(report.Params, "report", ROOT / "params.yaml")
GATES = load_params(promote.Params, "promote", ROOT / "params.yaml")
CURVE = {
    "random": [(50.0, Estimate(0.60, 0.58, 0.62, 3)), (500.0, Estimate(0.71, math.nan, math.nan, 3))],
    "hybrid": [(50.0, Estimate(0.60, 0.58, 0.62, 3)), (500.0, Estimate(0.73, 0.70, 0.75, 3))],
}


def measured(params: promote.Params = GATES) -> dict[str, Json]:
    reports = {
        "evaluate": with_judgement(evaluate_report(), judge_report()),
        "judge": judge_report(),
        "audit": audit_report(),
        "behave": behave_report(),
        "explain": explain_report(),
    }
    ranked = {**reports, "shortlist": shortlist_report(reports["evaluate"])}
    return {**step_reports(), **reports, "decision": promote.run(ranked, params)}


def material() -> Material:
    return Material(measured(), CURVE, ["explain/small-int8.html"])


def rejecting() -> promote.Params:
    return GATES.model_copy(update={"gates": [Gate.model_validate(gate_at(0.99)), *GATES.gates]})


class Tags(HTMLParser):
    """The tags of a page with their attributes, and whether every one that opens closes."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_complete_in_itself_and_well_formed() -> None:
    page = report.run(material(), PARAMS).page
    tags = Tags(page)
    assert tags.open == []
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in tags.seen)
    assert not any("src" in attributes for _, attributes in tags.seen)
    links = [attributes["href"] or "" for tag, attributes in tags.seen if tag == "a"]
    assert all(link.startswith("#") or link == "explain/small-int8.html" for link in links)
    anchors = {f"#{attributes['id']}" for _, attributes in tags.seen if "id" in attributes}
    assert {link for link in links if link.startswith("#")} <= anchors
    assert "url(" not in page
    assert "@import" not in page


def test_the_verdict_comes_first_and_every_bundle_gate_and_command_is_told() -> None:
    reports = measured()
    page = report.run(material(), PARAMS).page
    assert page.index("Accepted: small-int8") < page.index('id="results"')
    for name in reports["evaluate"]["bundles"]:
        assert f'<th scope="row">{name}</th>' in page
    for verdicts in reports["decision"]["bundles"].values():
        for gate in verdicts["gates"]:
            assert gate["reason"].replace("'", "&#39;") in page
    for name, item in reports.items():
        assert item["command"] in page, name
    assert "Imaginary 9000" in page
    assert "12.5× smaller than the teacher" in page
    assert "1.0 points below the teacher [−2.0, 0.0]" in page
    assert page.count("<svg") == 8


def test_what_was_not_built_stands_below_the_results_with_its_reason() -> None:
    reports = measured()
    left_out = {"pruned": "<b> is better", "static": "<b> is better", "int4": NOT_ASKED}
    page = report.run(Material({**reports, "evaluate": {**reports["evaluate"], "left_out": left_out}}), PARAMS).page
    assert "<li>pruned, static: &lt;b&gt; is better</li>" in page
    assert NOT_ASKED not in page
    assert "not built" not in report.run(Material(reports), PARAMS).page


def test_every_block_names_the_command_that_made_it() -> None:
    page = report.run(material(), PARAMS).page
    blocks = dict(re.findall(r'<h2 id="(\w+)">(.*?)(?=<h2|</main>)', page, re.DOTALL))
    makers = {
        "results": "evaluate",
        "gates": "promote",
        "challenge": "evaluate",
        "slices": "audit",
        "behaviour": "behave",
        "confidence": "audit",
        "explanations": "explain",
        "labels": "sample",
        "data": "split",
        "training": "train",
        "machine": "evaluate",
    }
    for block, step in makers.items():
        assert f"Made by <code>python -m pipeline_steps.{step}</code>" in blocks[block], block
    assert set(blocks) - set(makers) == {"architecture", "cost"}  # whose own tests say so


def test_behaviour_people_and_confidence_are_told_of_the_described_bundle() -> None:
    page = report.run(Material(measured()), PARAMS).page
    behaviour = page.partition('id="behaviour"')[2].partition('id="confidence"')[0]
    for told in ("plain praise", "a &lt;b&gt;bright&lt;/b&gt; film", "P(positive) = 0.4"):
        assert told in behaviour
    slices = page.partition('id="slices"')[2].partition('id="behaviour"')[0]
    for told in ("gender = women", "she 40", "…&lt;i&gt;she&lt;/i&gt;…"):
        assert told in slices
    confidence = page.partition('id="confidence"')[2].partition("<h2")[0]
    assert confidence.count("<svg") == 2
    assert '0.120<span class="ci">[0.100, 0.140]' in confidence
    without = report.run(Material({**measured(), "audit": {}, "behave": {}}), PARAMS).page
    for told in ("No behaviour was tested.", "Confidence was not measured"):
        assert told in without


def test_the_challenge_stands_beside_the_test_set_with_its_failures() -> None:
    reports = measured()
    page = report.run(Material(reports), PARAMS).page
    section = page.partition('id="challenge"')[2].partition('id="slices"')[0]
    for name in reports["evaluate"]["bundles"]:
        assert f'<th scope="row">{name}</th>' in section
    shown = ["contrast consistency", "0.600", "violations", "a dull &lt;b&gt; film", "4 of 4", "word=but"]
    for text in shown:
        assert text in section


def test_a_rejection_is_told_in_page_and_card() -> None:
    rendered = report.run(Material(measured(rejecting())), PARAMS)
    assert "Rejected: nothing is promoted" in rendered.page
    assert "are those of small-int8" in rendered.page
    assert "Not promoted; described because it failed the fewest gates" in rendered.card
    assert "Rejected. None of the 2 candidates" in rendered.card


def test_texts_are_escaped() -> None:
    reports = measured()
    reports["ingest"] |= {"source": "<script>alert(1)</script>", "<i>key</i>": 1}
    reports["decision"]["reasons"].append("<img src=x>")
    bundles = reports["evaluate"]["bundles"]
    reports["ingest"]["quoted"] = "\"' onload=x \u202ereversed"
    bundles["<svg onload=x>"] = bundles["teacher"]
    bundles["small-int8"]["slices"]["region=<script>|x"] = {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}}
    spoiled = Material(reports, {"<script>": CURVE["random"]}, ['x"><script>.html'])
    rendered = report.run(spoiled, PARAMS)
    for text in ("<script", "<img src=x", "<i>key", "<svg onload", "<b>bright"):
        assert text not in rendered.page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rendered.page
    assert "&#34;&#39; onload=x [U+202E]reversed" in rendered.page
    assert "\u202e" not in rendered.page
    assert "<script" not in rendered.card
    assert "| region = &lt;script>\\|x | 0.500" in rendered.card
    assert "<svg" not in rendered.card


def test_what_is_missing_is_said() -> None:
    reports = {name: item for name, item in measured().items() if name in ("evaluate", "decision")}
    del reports["evaluate"]["n_challenge"]
    for bundle in reports["evaluate"]["bundles"].values():
        del bundle["slices"]
        bundle["metrics"] = {}
    rendered = report.run(Material(reports), PARAMS)
    said = ["No challenge set", "No slices were measured", "The audit is not", "The explanations are not", "No label-"]
    for text in said:
        assert text in rendered.page
    assert rendered.page.count("The report of this step is not available.") == 13
    assert "the report of sample is not available." in rendered.card
    assert "nan" not in rendered.page.lower().replace("finance", "")


def test_the_card_has_every_section_and_only_measured_figures() -> None:
    reports = measured()
    card = report.run(Material(reports), PARAMS).card
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    assert "made from: small-int8 ← teacher" in card
    assert "| length = short | 0.810 [0.780, 0.840] | 400 |" in card
    assert "| **small-int8** | 0.790 [0.770, 0.810] |" in card
    assert PARAMS.intended_use in card
    reports["evaluate"]["bundles"]["small-int8"]["slices"]["length=short"]["accuracy"]["value"] = 0.123
    assert "0.123" in report.run(Material(reports), PARAMS).card


def test_the_same_reports_give_the_same_bytes_and_stay_as_they_were() -> None:
    reports = measured()
    assert report.run(Material(reports), PARAMS) == report.run(Material(reports), PARAMS)
    assert reports == measured()


def test_main_reads_and_writes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(PipelineError, match=r"reports/evaluate\.json"):
        report.main()
    for name, item in measured().items():
        write_json(Path(report.READS[name]), item)
    curve = "strategy,n_labels,score,low,high\nrandom,50,0.6,0.5,0.7\nrandom,500,0.7,,\n"
    Path(report.READS["curve"]).write_text(curve, encoding="utf-8")
    folder = Path(report.READS["explanations"]) / "small-int8"
    folder.mkdir(parents=True)
    (folder / "local_plots.html").write_text("<p>words</p>", encoding="utf-8")
    report.main()
    page = Path(report.WRITES["page"]).read_text(encoding="utf-8")
    assert 'href="explain/small-int8/local_plots.html">local plots</a>' in page
    assert "Most important words of small-int8" in page
    assert "random ends at 0.700" in page
    assert Path(report.WRITES["card"]).read_text(encoding="utf-8").startswith("# Model card: Sentiment")


def test_the_page_shows_what_architectures_were_compared() -> None:
    found: Json = {
        "command": "python -m pipeline_steps.architect",
        "candidates": [{"name": "tfidf", "accuracy": estimate(0.65, 0.02), "n_parameters": 9000}],
        "winner": "full at 1e-04, 30 steps",
        "reason": "the best arm of the backbone with the best probe",
    }
    page = report.run(Material({**measured(), "architect": found}), PARAMS).page
    section = page[page.index('<h2 id="architecture">') : page.index('<h2 id="training">')]
    assert "tfidf" in section
    assert "0.650" in section
    assert "full at 1e-04, 30 steps" in section
    assert "python -m pipeline_steps.architect" in section


def test_main_tells_what_a_month_costs_and_each_optimization_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "live.yaml"):
        Path(name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    reports = measured()
    reports["sample"] |= people_report(0.02)
    reports |= {stage: {**reports.get(stage, {}), "seconds": 900.0} for stage in ("train", "distil", "prune")}
    for name, item in reports.items():
        beside = report.MEASUREMENTS.get(name)
        write_report(Path(report.READS[name]), item, Path(beside) if beside else None)
    Path(report.READS["curve"]).write_text("strategy,n_labels,score,low,high\n", encoding="utf-8")
    report.main()
    page = Path(report.WRITES["page"]).read_text(encoding="utf-8")
    section = page[page.index('<h2 id="cost">') : page.index('<h2 id="machine">')]
    assert "100,000,000 texts a month, the busiest hour 3 times the average; 400 labels by people." in section
    assert "assumption" not in section  # people were timed
    assert '<td class="n">200<span class="ci">[160, 240]</span></td>' in section  # 400 labels × 90 s × 20 USD an hour
    chosen = reports["decision"]["chosen"]
    assert section.index("<td>teacher</td>") < section.index(f"<td>{chosen}</td>")
    assert "ratchet cost" in section
    assert (
        "No cost is reported: it takes a chosen bundle and the load in live.yaml."
        in report.run(material(), PARAMS).page
    )


def test_a_stage_that_left_its_bundle_out_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where TF-IDF is as good as the teacher nothing is distilled or pruned, and the page comes all the same."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "live.yaml"):
        Path(name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    reports = measured()
    reports["sample"] |= people_report(0.02)
    reports |= {stage: {"command": stage, "left_out": "TF-IDF is as good"} for stage in ("distil", "prune")}
    reports["train"] = {**reports.get("train", {}), "seconds": 900.0}
    for name, item in reports.items():
        beside = report.MEASUREMENTS.get(name)
        write_report(Path(report.READS[name]), item, Path(beside) if beside else None)
    Path(report.READS["curve"]).write_text("strategy,n_labels,score,low,high\n", encoding="utf-8")
    report.main()
    page = Path(report.WRITES["page"]).read_text(encoding="utf-8")
    assert '<h2 id="cost">' in page
    assert "100,000,000 texts a month" in page


def test_the_page_shows_what_a_label_costs_and_brings() -> None:
    reports = measured()
    assert "What a label costs" not in report.run(Material(reports), PARAMS).page
    reports["sample"] |= people_report(0.02)
    page = report.run(Material(reports), PARAMS).page
    assert "What a label costs and brings" in page
    assert "<dt>price of a hundred labels, USD</dt><dd>50 [40, 60]</dd>" in page
