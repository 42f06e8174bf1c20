"""The validation texts of a run with every bundle's predictions: a population of which all is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline_steps import judge, promote, shortlist
from ratchet.files import sha256_file, sha256_json
from ratchet.gates.gates import Gate
from ratchet.gates.measured_reports import merge_bundles, read_known, read_report, without_cases
from ratchet.measure.comparison import best_of
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table
from ratchet.tables import PREDICTIONS, SPLIT
from ratchet.trust.audited_groups import AuditedGroups, Rules, audited_groups
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.slices import PatternFeatures, read_length_edges

if TYPE_CHECKING:
    import pandas as pd

Proba = NDArray[np.float64]
N_DRAWS = 100
"""Draws of the bootstrap in each decision: fewer than a run's, so that the proof takes an hour."""


@dataclass(frozen=True)
class World:
    """A run: its bundles' predictions of the same texts, and what else the decision reads."""

    name: str
    labels: list[str]
    texts: pd.DataFrame
    proba: Mapping[str, Proba]
    """Deployable bundle → probabilities, (n, n_classes)."""
    groups: AuditedGroups
    evaluated: Mapping[str, Any]
    reports: Sequence[Mapping[str, Any]]
    n_test: int
    shortlist: shortlist.Params
    judge: judge.Params
    gates: list[Gate]
    n_left_out: int
    """Gates of metrics that the run has no figure of."""
    key: str
    """Hash of all this."""

    @cached_property
    def y_true(self) -> NDArray[np.int64]:
        """The true classes' indices, (n,)."""
        places = {label: index for index, label in enumerate(self.labels)}
        return np.array([places[label] for label in self.texts["label"]])

    @cached_property
    def gates_asked_first(self) -> list[Gate]:
        """Those that need no figure of fairness."""
        audited = {metric for item in self.reports[0]["bundles"].values() for metric in item["metrics"]}
        return [
            gate
            for gate in self.gates
            if gate.against != "absolute" or not (gate.scope == "every_slice" or gate.metric in audited)
        ]

    @cached_property
    def best(self) -> str:
        """The truly best bundle."""
        return best_of(self.proba, self.y_true, self.judge.metric_of(self.labels))

    def loss(self, name: str) -> float:
        """What a bundle truly loses against the best one."""
        primary, y_true = self.judge.metric_of(self.labels), self.y_true
        found = primary.value(y_true, self.proba[self.best]) - primary.value(y_true, self.proba[name])
        return found if primary.greater_is_better else -found


def read_world(name: str, root: Path) -> World:
    """The run of a clone.

    Raises:
        PipelineError: a report is missing.
    """
    edges = read_length_edges(root / judge.READS["length_edges"])
    judged = load_params(judge.Params, "judge", root / "params.yaml", length_edges=edges)
    judged = judged.model_copy(update={"n_bootstrap": N_DRAWS})
    evaluated = read_known(root / promote.READS["evaluate"], root / promote.READS["measurements"])
    predictions = read_table(root / judge.READS["predictions"], PREDICTIONS)
    predictions = predictions[predictions["split"] == "validation"]
    texts = read_table(root / judge.READS["splits"] / "validation.parquet", SPLIT).dropna(subset="label")
    texts = texts.drop_duplicates("id").reset_index(drop=True)
    labels = list(evaluated["labels"])
    proba = {
        str(bundle): rows.set_index("id").loc[texts["id"], [f"proba_{label}" for label in labels]].to_numpy(np.float64)
        for bundle, rows in predictions.groupby("bundle")
        if evaluated["bundles"].get(bundle, {}).get("deployable")
    }
    rules = Rules(
        read_params(Lexicon, root / judge.READS["lexicon"]),
        read_params(PatternFeatures, root / judge.READS["features"]).patterns,
    )
    reports = [read_report(root / promote.REPORTS[part]) for part in ("audit", "behave", "explain", "judge")]
    declared = load_params(promote.Params, "promote", root / "params.yaml").all_gates
    figures = merge_bundles(evaluated, *reports)
    known = {metric for item in figures.values() for metric in item["metrics"]} | set(without_cases(*reports))
    gates = [gate for gate in declared if gate.scope == "every_slice" or gate.metric in known]
    return World(
        name,
        labels,
        texts,
        proba,
        audited_groups(texts, rules, judged, judge.READS["lexicon"]),
        evaluated,
        reports,
        int(reports[-1]["n_test"]),
        load_params(shortlist.Params, "shortlist", root / "params.yaml"),
        judged,
        gates,
        len(declared) - len(gates),
        sha256_json(
            {
                "gates": [gate.model_dump() for gate in gates],
                "predictions": sha256_file(root / judge.READS["predictions"]),
                "shortlist": load_params(shortlist.Params, "shortlist", root / "params.yaml").model_dump(),
            }
        ),
    )
