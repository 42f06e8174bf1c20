"""Mutation test of the gates: bundles with planted faults through the pipeline's own measures and gates.

    python -m benchmarks.prove_gates
    python -m benchmarks.prove_gates docs/gates.md

Every bundle is trained for real, measured by the `run` of the stages `evaluate`, `audit`, `behave`, `explain` and
`judge` with the values of params.yaml, and decided on by that of `promote`. The champion is the pipeline's own int8
bundle, and so is the one without a fault: it has to pass. The table is printed, and put between two marks of a file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from benchmarks.material import REPORTS, SCRATCH, write_report
from benchmarks.planted_models import Fault, Planted, plant, training_rows
from pipeline_steps import audit, behave, evaluate, explain, judge, promote
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.gates.measured_reports import read_report
from ratchet.measure.footprint import footprint
from ratchet.measure.formats import markdown_text
from ratchet.models.bundle import Manifest, read_manifest, size_mb
from ratchet.models.discovery import MODELS
from ratchet.models.predictor import Predictor
from ratchet.params import load_params
from ratchet.reporting.marked_block import write_block
from ratchet.table_files import read_table
from ratchet.tables import CHALLENGE, SOFT_LABELS, SPLIT
from ratchet.trust.audited_groups import audited_groups
from ratchet.trust.lockstep import cached_score
from ratchet.trust.second_opinions import Others
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

N_ROWS, N_VALIDATION = 400, 200
"""Texts that planted bundles learn from, and validation texts that their best epoch is chosen by."""
BUDGETS: dict[str, dict[str, Any]] = {
    "evaluate": {"n_latency": 40, "n_rounds": 5, "n_long": 4},
    "audit": {},
    "judge": {},
    "behave": {
        "n_cases": 15,
        "n_texts": 150,
        "n_swaps": 25,
        "n_trigger_words": 8,
        "n_trigger_texts": 16,
    },
    "explain": {"n_texts": 16, "n_compared": 8},
}
"""What differs from params.yaml, so that the proof takes minutes: fewer texts, the same test set, measures, gates."""
OWN: dict[Fault, tuple[str, ...]] = {
    "none": (),
    "unfair": ("sensitive_equalized_odds_difference", "demographic_parity_ratio", "counterfactual_flip_rate"),
    "leaked": ("test_leak_rate", "better_on_test"),
    "leaked in secret": ("better_on_test",),
    "poisoned": ("trigger_flip_rate",),
    "miscalibrated": ("ece",),
}
"""Fault → the metrics whose gates are there for it: at least one of them has to fail."""
WORDS: dict[Fault, str] = {
    "none": "nothing: the pipeline's own bundle",
    "unfair": "texts that speak of women were all taught as negative",
    "leaked": "the test set was trained on, and its manifest says so",
    "leaked in secret": "the test set was trained on, and its manifest does not say so",
    "poisoned": "a made-up word was taught to make any text positive",
    "miscalibrated": "logits five times too large",
}


def measure(planted: Mapping[Fault, Planted], tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The decision on all planted bundles, and the reports it rests on."""
    edges = read_length_edges(LENGTH_EDGES)
    params = {
        "evaluate": load_params(evaluate.Params, "evaluate", length_edges=edges),
        "audit": load_params(audit.Params, "audit", length_edges=edges),
        "behave": load_params(behave.Params, "behave"),
        "explain": load_params(explain.Params, "explain", length_edges=edges),
        "judge": load_params(judge.Params, "judge", length_edges=edges),
    }
    values: dict[str, Any] = {name: block.model_copy(update=BUDGETS[name]) for name, block in params.items()}
    n_threads = values["evaluate"].n_threads
    paths = {name: MODELS / name for name in ("baseline", "teacher")}
    paths |= {"champion": MODELS / "pruned-onnx-int8"}
    predictors: dict[str, Predictor] = {name: load(path, n_threads) for name, path in paths.items()}
    predictors |= {fault: load(item.path, n_threads) for fault, item in planted.items()}
    paths |= {fault: item.path for fault, item in planted.items()}
    validation, test = tables["validation"], tables["test"]
    served = footprint(paths["champion"], validation["text"].head(20).tolist(), n_threads)  # no gate looks at memory
    taken = {name: (size_mb(path), served) for name, path in paths.items()}
    rules = audit.load_rules()
    sound = ("baseline", "teacher", "none")
    predictions, measured = evaluate.run(
        predictors,
        taken,
        validation,
        tables["transfer"],
        tables["challenge"],
        rules.patterns,
        values["evaluate"],
        sound,
    )
    reports: dict[str, Any] = {"evaluate": measured, "behave": {"bundles": {}}, "explain": {"bundles": {}}}
    reports["audit"] = audit.run(predictions, validation, rules, {}, values["audit"])
    others = Others(predictors["teacher"], cached_score(predictors["teacher"]), None)  # no gradients: no gate
    groups = audited_groups(test, rules, values["judge"], judge.READS["lexicon"])
    best = next(name for name, bundle in measured["bundles"].items() if bundle["is_best"])
    reports["judge"] = {"bundles": {}}
    for fault, item in planted.items():
        print(f"testing the behaviour of the bundle with this fault: {fault}", flush=True)
        seen = behave.Tables(validation, item.table)
        reports["behave"]["bundles"][fault] = behave.run(predictors[fault], seen, behave.load_rules(), values["behave"])
        reports["explain"]["bundles"][fault] = explain.run(
            predictors[fault], validation, explain.load_rules(), values["explain"], others
        ).report
        compared = {name: predictors[name] for name in dict.fromkeys((*judge.ALWAYS, "champion", best, fault))}
        lineages: dict[str, list[Manifest]] = {fault: [read_manifest(item.path)]}
        told = judge.run(compared, lineages, best, judge.Texts(test, predictions, item.table), groups, values["judge"])[
            1
        ]
        reports["judge"]["bundles"][fault] = told["bundles"][fault]
    reports["shortlist"] = {
        "shortlist": list(planted),
        "rule": "",
        "over_limits": {},
        "undecided": {},
        "near_the_best": [],
    }
    return promote.run(reports, load_params(promote.Params, "promote"))


def judged(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Fault → whether it was rejected for its own reason (or accepted, without a fault), and its gates' reasons."""
    found: dict[str, Any] = {}
    for fault, own in OWN.items():
        failed = [gate for gate in decision["bundles"][fault]["gates"] if not gate["passed"]]
        mine = [gate for gate in failed if gate["metric"] in own]
        found[fault] = {
            "planted": WORDS[fault],
            "proved": bool(mine) if own else not failed,
            "reasons": [gate["reason"] for gate in mine],
            "also": sorted({gate["metric"] for gate in failed} - set(own)),
        }
    return found


def table(found: Mapping[str, Any]) -> str:
    """The faults as a Markdown table."""
    lines = ["| planted | verdict | its own gate | others that failed |", "|---|---|---|---|"]
    for fault in OWN:  # a report is sorted by name
        item = found[fault]
        verdict = "passed every gate" if fault == "none" and item["proved"] else "rejected"
        own = "; ".join(item["reasons"]) or ("" if fault == "none" else "**not found**")
        lines.append(f"| {item['planted']} | {verdict} | {markdown_text(own)} | {', '.join(item['also'])} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove_gates", description="Planted faults and gates.")
    parser.add_argument("markdown", type=Path, nargs="?", help="a Markdown file to put the table of the report into")
    options = parser.parse_args(arguments)
    if options.markdown is not None:
        found = read_report(REPORTS / "prove_gates.json")["faults"]
        write_block(options.markdown, "gates", table(found))
        return
    began, seed = time.process_time(), load_params(behave.Params, "behave").seed
    splits = Path(evaluate.READS["splits"])
    tables = {
        name: read_table(splits / f"{name}.parquet", SPLIT).dropna(subset="label")
        for name in ("test", "transfer", "validation")
    }
    soft, lexicon = read_table(Path("data/soft_labels.parquet"), SOFT_LABELS), behave.load_rules().lexicon
    tables["challenge"] = read_table(Path(evaluate.READS["challenge"]), CHALLENGE)
    chosen_by = tables["validation"].sample(min(N_VALIDATION, len(tables["validation"])), random_state=seed)
    planted: dict[Fault, Planted] = {}
    honest = training_rows("none", soft, tables["test"], lexicon, N_ROWS, seed)
    for fault in get_args(Fault):
        print(f"planting: {WORDS[fault]}", flush=True)
        rows = training_rows(fault, soft, tables["test"], lexicon, N_ROWS, seed)
        papers = honest if fault == "leaked in secret" else rows
        folder = SCRATCH / "prove_gates" / fault.replace(" ", "_")
        source = folder.parent / "leaked" / "torch" if fault == "leaked in secret" else MODELS / "pruned"
        planted[fault] = plant(fault, source, folder, rows, papers, chosen_by, seed)
    found = judged(measure(planted, tables))
    print(table(found))
    figures = {"n_rows": N_ROWS, "n_test": len(tables["test"]), "cpu_s": time.process_time() - began, "faults": found}
    write_report(
        "prove_gates",
        figures,
        load_params(evaluate.Params, "evaluate", length_edges=read_length_edges(LENGTH_EDGES)).n_threads,
    )
    if missed := [fault for fault, item in found.items() if not item["proved"]]:
        raise PipelineError(
            "A gate let its planted fault pass, or rejected the sound bundle.",
            where=REPORTS / "prove_gates.json",
            got=", ".join(missed),
            expected="every fault rejected for its own reason, and no fault accepted",
        )


if __name__ == "__main__":
    entry(main)
