"""Which bundle, if any, is promoted: the first on the shortlist that passes every gate.

Quality, slices and fairness are those on the sealed test (`judge`), where a bundle was judged.

A rejected promotion is a result, with its reasons, and no failure of the pipeline. What is written here is a decision;
acting on it (registry, champion) is a flow's business, because DVC's run cache replays outputs and skips side effects.

Source: gates as declared data follow the model validation of Baylor et al., TFX (KDD 2017), section 3.5.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from ratchet.entry import entry
from ratchet.gates.gates import CHAMPION, MARK, RELEASED, TEACHER, Gate, check_gates, mark_gate, without_figures
from ratchet.gates.measured_reports import Report, merge_bundles, read_report, without_cases
from ratchet.gates.next_steps import next_steps
from ratchet.measure.machine_figures import drop, merge
from ratchet.measure.report_files import write_parts
from ratchet.params import Params as StrictParams
from ratchet.params import load_params

REPORTS = {
    "shortlist": "reports/shortlist.json",
    "evaluate": "reports/evaluate.json",
    "audit": "reports/audit.json",
    "audit_details": "reports/audit_details.json",
    "behave": "reports/behave.json",
    "explain": "reports/explain.json",
    "judge": "reports/judge.json",
}
ABOUT_DATA = ("split", "validate", "vet", "sample")
"""The reports that say what to do about the data where no bundle may be released."""
READS = {
    **REPORTS,
    **{name: f"reports/{name}.json" for name in ABOUT_DATA},
    "measurements": "measurements/evaluate.json",
}
WRITES = {"decision": "reports/decision.json", "measurements": "measurements/decision.json"}
COMMAND = "python -m pipeline_steps.promote"


class Params(StrictParams):
    """What the chosen bundle must measure."""

    gates: list[Gate] = Field(min_length=1)
    """All of these must pass."""
    max_total_loss: float = Field(ge=0)
    """What may be lost of the primary metric against the best bundle ever released, over all releases together."""

    @property
    def all_gates(self) -> list[Gate]:
        """The gates, and that against the high-water mark."""
        return [*self.gates, mark_gate(self.max_total_loss)]


def run(reports: Mapping[str, Report], params: Params) -> dict[str, Any]:
    """The decision: verdict, chosen bundle, ranking, every gate of every candidate, reasons in words.

    Candidates are the bundles on the shortlist, in its order.

    Args:
        reports: what was measured, by the names of `REPORTS`; those of `evaluate` and `shortlist` are needed.
        params: see `Params`.
    """
    measured = {name: report for name, report in reports.items() if name != "shortlist"}
    names = sorted(measured, key=list(REPORTS).index)  # evaluate names the candidates, and judge has the last word
    bundles = merge_bundles(*(reports[name] for name in names), paths=[REPORTS[name] for name in names])
    evaluated, shortlisted = reports["evaluate"]["bundles"], reports["shortlist"]
    ranking = list(shortlisted["shortlist"])
    there = {CHAMPION, TEACHER} & set(evaluated) | {MARK} & set(reports.get("judge", {}).get("bundles", {}))
    released = there - {TEACHER}
    verdicts = {name: check_gates(params.all_gates, name, bundles[name], there=there) for name in ranking}
    passing = [name for name in ranking if verdicts[name]["passed"]]
    not_asked = without_cases(*(reports[name] for name in names))
    undecided = {name: n for name, n in shortlisted["undecided"].items() if name not in ranking}
    return {
        "command": COMMAND,
        "verdict": "accepted" if passing else "rejected",
        "chosen": passing[0] if passing else None,
        "ranking": ranking,
        "rule": shortlisted["rule"],
        "over_limits": shortlisted["over_limits"],
        "near_the_best": shortlisted["near_the_best"],
        "undecided": undecided,
        "champion": evaluated.get(CHAMPION),
        "released": sorted(released),
        "passing": passing,
        "bundles": verdicts,
        "not_asked": not_asked,
        "reasons": [
            *_reasons(ranking, passing, verdicts, not_asked, released, undecided),
            *(f"{name} is beyond a limit: {'; '.join(broken)}." for name, broken in shortlisted["over_limits"].items()),
        ],
    }


def _reasons(
    ranking: list[str],
    passing: list[str],
    verdicts: Mapping[str, Mapping[str, Any]],
    not_asked: Mapping[str, str],
    released: Collection[str],
    undecided: Mapping[str, int],
) -> list[str]:
    """Why this bundle, and why not those before it; or why none."""
    if passing:
        chosen = passing[0]
        n_gates = len(verdicts[chosen]["gates"])
        gates = "the one gate" if n_gates == 1 else f"all {n_gates} gates"
        reasons = [f"{chosen} is the first bundle in the ranking that passes {gates}."]
        if waived := [gate["reason"] for gate in verdicts[chosen]["gates"] if gate["waived"]]:
            reasons.append(f"Not judged, because the gates waive what is not known: {'; '.join(waived)}.")
        open_ = [gate for gate in verdicts[chosen]["gates"] if (gate["rule"], gate.get("shown")) == ("harm", "open")]
        if open_:
            reasons.append(f"Not shown either way: {'; '.join(gate['reason'] for gate in open_)}.")
        reasons += [_failure(name, verdicts[name]) for name in ranking[: ranking.index(chosen)]]
        if passing[1:]:
            reasons.append(
                f"Also passing, but not tested, since the one before was not refused: {', '.join(passing[1:])}."
            )
    elif ranking:
        reasons = [f"None of the {len(ranking)} candidates passes every gate."]
        reasons += [_failure(name, verdicts[name]) for name in sorted(ranking, key=lambda n: len(_failed(verdicts[n])))]
    else:
        reasons = ["There is no bundle on the shortlist to choose from."]
    if undecided:
        listed = ", ".join(f"{name} (about {n:,})" for name, n in sorted(undecided.items(), key=lambda item: item[1]))
        reasons.append(f"Passed over, for too few validation texts show that they lose little: {listed}.")
    if not_asked:
        listed = "; ".join(f"{metric} ({why})" for metric, why in sorted(not_asked.items()))
        reasons.append(f"Not asked, because the task has no cases: {listed}.")
    if missing := [words for name, words in RELEASED.items() if name not in released]:
        them = "it" if len(missing) == 1 else "them"
        reasons.append(f"There is no {' and no '.join(missing)} yet: gates against {them} do not apply.")
    return reasons


def _failed(verdict: Mapping[str, Any]) -> list[str]:
    return [gate["reason"] for gate in verdict["gates"] if not gate["passed"]]


def _failure(name: str, verdict: Mapping[str, Any]) -> str:
    failed = _failed(verdict)
    return f"{name} fails {len(failed)} of {len(verdict['gates'])} gates: {'; '.join(failed)}."


def committed(decision: Mapping[str, Any]) -> dict[str, Any]:
    """The decision as Git keeps it: the verdict on every gate, without the figures that depend on the machine."""
    bundles = {
        name: {**item, "gates": [without_figures(gate) for gate in item["gates"]]}
        for name, item in decision["bundles"].items()
    }
    ranking, passing, not_asked, undecided = (decision[key] for key in ("ranking", "passing", "not_asked", "undecided"))
    reasons = _reasons(ranking, passing, bundles, not_asked, decision["released"], undecided)
    return {**decision, "champion": drop(decision["champion"]), "bundles": bundles, "reasons": reasons}


def main() -> None:
    """Load the measured reports, decide, save."""
    params = load_params(Params, "promote")
    reports = {name: read_report(Path(path)) for name, path in REPORTS.items()}
    reports["evaluate"] = merge(reports["evaluate"], read_report(Path(READS["measurements"])))
    decision = run(reports, params)
    rejected = decision["chosen"] is None
    decision["next_steps"] = next_steps(*(read_report(Path(READS[name])) for name in ABOUT_DATA)) if rejected else []
    write_parts(Path(WRITES["decision"]), Path(WRITES["measurements"]), decision, committed(decision))
    print(f"promote: {decision['verdict']}: {decision['reasons'][0]}")


if __name__ == "__main__":
    entry(main)
