"""promote: every gate can fail, what was not measured fails, and the first in the ranking that passes is chosen."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline_steps import promote, shortlist
from pipeline_steps.audit import summary_and_details
from ratchet.errors import ParamsError, PipelineError
from ratchet.files import write_json
from ratchet.gates.gates import Gate
from ratchet.measure.machine_figures import MACHINE_METRICS, merge
from ratchet.measure.report_files import write_report
from ratchet.params import check_params, load_params, read_yaml
from tests.support.release_reports import (
    SHORTLIST,
    Json,
    audit_report,
    behave_report,
    estimate,
    evaluate_report,
    explain_report,
    gate_at,
    judge_report,
    shortlist_report,
)

ROOT = Path(__file__).parents[2]
DEFAULT = load_params(promote.Params, "promote", ROOT / "params.yaml")
LOOSE = Gate.model_validate(gate_at(0.0))


def decide(
    evaluate: Json | None = None,
    audit: Json | None = None,
    explain: Json | None = None,
    behave: Json | None = None,
    *,
    params: promote.Params = DEFAULT,
    shortlist: Json | None = None,
) -> Json:
    reports = {
        "shortlist": shortlist or shortlist_report(evaluate or evaluate_report()),
        "evaluate": evaluate or evaluate_report(),
        "audit": audit or audit_report(),
        "explain": explain or explain_report(),
        "behave": behave or behave_report(),
    }
    return promote.run(reports, params)


def with_gates(*gates: Gate) -> promote.Params:
    return promote.Params(gates=list(gates), max_total_loss=0.03)


def failed(decision: Json, name: str = "small-int8") -> list[tuple[str, str]]:
    gates = decision["bundles"][name]["gates"]
    return [(gate["metric"], gate["against"]) for gate in gates if not gate["passed"]]


def test_the_first_ranked_bundle_that_passes_is_chosen() -> None:
    decision = decide()
    assert decision["ranking"] == ["small-int8", "teacher"], "the shortlist: the cheapest near the best, and the best"
    assert (decision["verdict"], decision["chosen"]) == ("accepted", "small-int8")
    assert (
        decision["reasons"][0]
        == f"small-int8 is the first bundle in the ranking that passes all {len(DEFAULT.all_gates)} gates."
    )
    assert decision["reasons"][1].startswith("Not judged, because the gates waive what is not known: ")
    assert decision["reasons"][2].startswith(
        "Not shown either way: primary minus the best's is −0.010 [−0.015, −0.005]"
    )
    assert decision["passing"] == ["small-int8", "teacher"]


def test_the_sealed_test_has_the_last_word() -> None:
    """What looked good on the texts by which it was chosen and is worse than TF-IDF on the sealed ones is refused."""
    judge = judge_report()
    judge["bundles"]["small-int8"]["against"]["baseline"]["primary"] = estimate(-0.05, 0.02)
    reports = {
        "evaluate": evaluate_report(),
        "audit": audit_report(),
        "explain": explain_report(),
        "behave": behave_report(),
        "judge": judge,
        "shortlist": shortlist_report(evaluate_report()),
    }
    decision = promote.run(reports, DEFAULT)
    assert failed(decision) == [("primary", "baseline")]
    assert decision["chosen"] == "teacher"


def test_where_the_first_does_harm_the_next_is_released_and_the_decision_says_what_the_first_lacked() -> None:
    behave = behave_report()
    harmful = copy.deepcopy(behave["bundles"]["small-int8"])
    harmful["metrics"]["negation_failure_rate"] = estimate(0.95, 0.04, 80)
    behave["bundles"] = {**behave["bundles"], "small-int8": harmful}
    decision = decide(behave=behave)
    assert (decision["verdict"], decision["chosen"]) == ("accepted", "teacher")
    told = f"small-int8 fails 1 of {len(DEFAULT.all_gates)} gates: negation_failure_rate is 0.950 [0.910, 0.990], "
    assert any(reason.startswith(told) for reason in decision["reasons"])


def test_what_the_task_has_no_cases_for_is_not_asked_and_the_decision_says_so() -> None:
    behave = behave_report()
    for bundle in behave["bundles"].values():
        bundle["metrics"].pop("negation_failure_rate", None)
    assert decide(behave=behave)["verdict"] == "rejected"  # nobody says why it is missing
    decision = decide(behave={**behave, "without_cases": {"negation_failure_rate": "no test of kind negation"}})
    assert (decision["verdict"], decision["chosen"]) == ("accepted", "small-int8")
    assert decision["not_asked"] == {"negation_failure_rate": "no test of kind negation"}
    told = "Not asked, because the task has no cases: negation_failure_rate (no test of kind negation)."
    assert told in decision["reasons"]
    assert told in promote.committed(decision)["reasons"]


def test_others_that_pass_are_listed() -> None:
    decision = decide(params=with_gates(LOOSE))
    assert decision["chosen"] == "small-int8"
    assert decision["passing"] == decision["ranking"]
    assert "Also passing, but not tested, since the one before was not refused: teacher." in decision["reasons"]


PLACES = {
    **dict.fromkeys(("accuracy", "primary", "ece"), "evaluate"),
    **dict.fromkeys(("worst_slice_accuracy", "selection_rate_difference", "calibration_gap"), "audit"),
    **dict.fromkeys(("sensitive_equalized_odds_difference", "demographic_parity_ratio"), "audit"),
    **dict.fromkeys(("n_explained", "shap_difference", "faithfulness_gain", "attribution_agreement"), "explain"),
}
"""Metric → the report that measures it; of those that are not named here `behave` does."""


def place(gate: Gate) -> tuple[str, tuple[str, ...]]:
    """The report of a gate's figure, and the keys that lead to it in the bundle."""
    if gate.scope == "every_slice":
        groups = ("slices",) if gate.against == "absolute" else ("slices_against", gate.against)
        return "audit", (*groups, "gender=women", gate.metric)
    groups = ("metrics",) if gate.against == "absolute" else ("against", gate.against)
    return PLACES.get(gate.metric, "behave"), (*groups, gate.metric)


@pytest.mark.parametrize("gate", DEFAULT.gates, ids=lambda gate: f"{gate.metric}-{gate.scope}-{gate.against}")
def test_each_default_gate_can_fail_alone(gate: Gate) -> None:
    reports = {
        "evaluate": evaluate_report(True),
        "audit": audit_report(),
        "explain": explain_report(),
        "behave": behave_report(),
    }
    expected = (gate.metric, gate.against)
    unknown = [] if gate.when_undefined == "waive" else [expected]
    report, path = place(gate)
    assert failed(decide(*reports.values())) == []
    shortlist = shortlist_report(reports["evaluate"])
    for fault in ("value", "missing"):
        broken = copy.deepcopy(reports)
        *parents, last = ("bundles", "small-int8", *path)
        at: Any = broken[report]
        for key in parents:
            at = at[key]
        half = at[last]["value"] - at[last]["low"]
        beyond = -1 if gate.comparison == "at_least" else 1
        if fault == "missing":
            at[last] |= {"value": None, "low": None, "high": None}
        else:  # so far beyond the bound that the interval, widened for many slices, lies beyond it too
            at[last] = estimate(gate.bound + beyond * (2 * half + 0.001), half)
        decision = decide(*broken.values(), shortlist=shortlist)
        assert failed(decision) == ([expected] if fault == "value" else unknown), fault
        del at[last]
        assert failed(decide(*broken.values(), shortlist=shortlist)) == unknown, "a metric that no report holds"


def test_a_rejection_names_every_fault_nearest_candidate_first() -> None:
    impossible = Gate.model_validate(gate_at(0.99))
    decision = decide(params=with_gates(impossible, Gate.model_validate(gate_at(0.75))))
    assert (decision["verdict"], decision["chosen"], decision["passing"]) == ("rejected", None, [])
    assert decision["reasons"][0] == "None of the 2 candidates passes every gate."
    assert decision["reasons"][1].startswith("small-int8 fails 1 of 3 gates: accuracy is 0.790 [0.770, 0.810], not at")
    assert len(decision["reasons"]) == 1 + 2 + 1


def test_candidates_are_deployable_bundles_and_never_the_champion() -> None:
    evaluate = evaluate_report(with_champion=True)
    evaluate["bundles"]["small-int8"]["deployable"] = False
    decision = decide(evaluate)
    assert decision["ranking"] == ["teacher", "small-nf4"], "the best, and the most accurate of the others"
    assert decision["champion"]["kind"] == "onnx"


def test_no_deployable_bundle_is_a_rejection() -> None:
    evaluate = evaluate_report()
    for bundle in evaluate["bundles"].values():
        bundle["deployable"] = False
    decision = decide(evaluate)
    assert decision["verdict"] == "rejected"
    assert decision["reasons"][0] == "There is no bundle on the shortlist to choose from."


def test_gates_against_a_champion_wait_for_one() -> None:
    without, with_one = decide(), decide(evaluate_report(with_champion=True))
    for decision, applies in ((without, False), (with_one, True)):
        gates = [gate for gate in decision["bundles"]["small-int8"]["gates"] if gate["against"] == "champion"]
        assert {gate["applies"] for gate in gates} == {applies}
        assert len(gates) == 2
        assert (any(reason.startswith("There is no champion") for reason in decision["reasons"])) is not applies
    assert without["champion"] is None


def test_noise_below_the_latency_tie_does_not_move_the_choice() -> None:
    evaluate = evaluate_report()
    twin = copy.deepcopy(evaluate["bundles"]["small-int8"])
    twin["metrics"]["size_mb"] = estimate(7.8)
    evaluate["bundles"]["also-int8"] = twin
    explain, audit, behave = explain_report(), audit_report(), behave_report()
    for report in (explain, audit, behave):
        report["bundles"]["also-int8"] = report["bundles"]["small-int8"]
    chosen = set()
    for noise in (0.9, 1.0, 1.1):
        twin["metrics"]["latency_p95_ms"] = estimate(2.0 * noise)
        chosen.add(decide(evaluate, audit, explain, behave)["chosen"])
    assert chosen == {"also-int8"}


def test_the_inputs_stay_as_they_were() -> None:
    reports = {
        "evaluate": evaluate_report(True),
        "audit": audit_report(),
        "explain": explain_report(),
        "behave": behave_report(),
    }
    reports["shortlist"] = shortlist_report(reports["evaluate"])
    before = copy.deepcopy(reports)
    promote.run(reports, DEFAULT)
    assert reports == before


def test_an_evaluation_without_bundles_is_an_error() -> None:
    with pytest.raises(PipelineError, match="names no bundle"):
        decide({"bundles": {}})


@pytest.mark.parametrize(
    ("change", "told"),
    [({"gates": []}, "gates"), ({"extra": 1}, "unknown key")],
)
def test_params_are_strict(change: Json, told: str) -> None:
    values = read_yaml(ROOT / "params.yaml")["promote"] | change
    with pytest.raises(ParamsError, match=told):
        check_params(promote.Params, "promote", values)


@pytest.mark.parametrize("change", [{"rule": "guess"}, {"bound": math.nan}, {"against": "nobody"}, {"metric": ""}])
def test_a_gate_that_makes_no_sense_is_refused(change: Json) -> None:
    values = read_yaml(ROOT / "params.yaml")["promote"]
    values["gates"][0] |= change
    with pytest.raises(ParamsError, match=next(iter(change))):
        check_params(promote.Params, "promote", values)


def test_main_writes_the_decision_and_a_rejection_exits_normally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    evaluate = evaluate_report()
    judge = judge_report()
    for name in ("small-int8", "teacher"):
        judge["bundles"][name]["metrics"]["ece"] |= {"value": None, "low": None, "high": None}
    for name, report in (
        ("evaluate", evaluate),
        ("shortlist", shortlist_report(evaluate)),
        *zip(("audit", "audit_details"), summary_and_details(audit_report()), strict=True),
        ("explain", explain_report()),
        ("behave", behave_report()),
        ("judge", judge),
        ("split", {"splits": {"train": {"labels": {"positive": 400, "negative": 30, "neutral": 500}}}}),
        ("validate", {"rules": {"conflicting_labels": {"observed": 7.0}}}),
        ("vet", {"n_flagged": 0, "n_labels": 930}),
        ("sample", {"n_unlabeled": 0}),
    ):
        write_json(Path(promote.READS[name]), report)
    write_report(Path(promote.READS["evaluate"]), evaluate, Path(promote.READS["measurements"]))
    promote.main()
    decision = json.loads(Path(promote.WRITES["decision"]).read_text(encoding="utf-8"))
    assert decision["verdict"] == "rejected"
    assert "promote: rejected" in capsys.readouterr().out
    assert [step.split(":")[0] for step in decision["next_steps"]] == [
        "7 rows have texts with several labels, and nothing learns from them",
        "Label about 370 more of negative",
        "Every text has its label",
    ]
    ece = next(gate for gate in decision["bundles"]["small-int8"]["gates"] if gate["metric"] == "ece")
    assert (ece["value"], ece["passed"]) == (None, False)
    slices = next(gate for gate in decision["bundles"]["small-int8"]["gates"] if gate["scope"] == "every_slice")
    assert slices["see"] == "reports/audit_details.json"


def test_another_machine_changes_its_own_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines of one instruction set: other latencies, costs and memory, the same decision in Git."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    kept, measured = [], []
    for factor in (1.0, 1.07):
        evaluate = evaluate_report(with_champion=True)
        for bundle in evaluate["bundles"].values():
            for metrics in (bundle["metrics"], *bundle["against"].values()):
                for name in MACHINE_METRICS & metrics.keys():
                    metrics[name] |= {end: metrics[name][end] * factor for end in ("value", "low", "high")}
        write_report(Path(promote.READS["evaluate"]), evaluate, Path(promote.READS["measurements"]))
        reports = {"audit": audit_report(), "audit_details": {}, "explain": explain_report(), "behave": behave_report()}
        reports |= {"shortlist": shortlist_report(evaluate), "judge": judge_report()}
        for name, report in reports.items():
            write_report(Path(promote.READS[name]), report)
        promote.main()
        kept.append([path.read_bytes() for path in sorted(Path("reports").iterdir())])
        measured.append([path.read_bytes() for path in sorted(Path("measurements").iterdir())])
    assert kept[0] == kept[1]
    assert all(one != other for one, other in zip(*measured, strict=True))
    decision, rest = (json.loads(Path(promote.WRITES[name]).read_text(encoding="utf-8")) for name in promote.WRITES)
    whole = merge(decision, rest)
    for bundle, told in decision["bundles"].items():
        for gate, full in zip(told["gates"], whole["bundles"][bundle]["gates"], strict=True):
            timed = gate["metric"] in MACHINE_METRICS
            assert ("value" in gate) is not timed
            assert {"value", "low", "high"} <= full.keys()
            assert (gate["reason"] == full["reason"]) is not timed


def test_main_names_a_missing_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(PipelineError, match=r"reports/shortlist\.json"):
        promote.main()


def test_limits_that_no_bundle_meets_are_told_with_each_bundles_figure() -> None:
    evaluate = evaluate_report()
    listed = shortlist.run(evaluate, SHORTLIST.model_copy(update={"max_size_mb": 1.0}))
    assert (listed["shortlist"], listed["best"]) == ([], None)
    decision = decide(evaluate, shortlist=listed)
    assert (decision["verdict"], decision["chosen"]) == ("rejected", None)
    assert decision["reasons"][0] == "There is no bundle on the shortlist to choose from."
    for name, size in (("baseline", 2), ("teacher", 100), ("small-int8", 8), ("small-nf4", 24)):
        assert f"{name} is beyond a limit: size_mb {size}, limit 1." in decision["reasons"]


def test_what_was_passed_over_is_told_with_the_texts_it_needs_the_fewest_first() -> None:
    listed = shortlist_report(evaluate_report()) | {"undecided": {"a": 2_900, "b": 300}}
    assert any("b (about 300), a (about 2,900)." in reason for reason in decide(shortlist=listed)["reasons"])


def test_what_was_never_released_is_named_and_the_teacher_is_no_release() -> None:
    none = decide()
    assert none["released"] == []
    assert any(reason.endswith("gates against them do not apply.") for reason in none["reasons"])
    one = decide(evaluate_report(with_champion=True))
    assert one["released"] == ["champion"]
    assert any(reason.endswith("gates against it do not apply.") for reason in one["reasons"])
    without_teacher = evaluate_report()
    without_teacher["bundles"]["teacher"]["deployable"] = False
    listed = shortlist_report(without_teacher)
    del without_teacher["bundles"]["teacher"]
    assert decide(without_teacher, shortlist=listed)["released"] == []
