"""Labels of one draw as every recipe gets them: tokens to learn from, to judge epochs by, and to test on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.league.draws import Drawn, draw
from benchmarks.league.environments import ROOT
from benchmarks.league.sets import Labelled
from pipeline_steps import train as train_step
from ratchet.data.sampling import smallest_hashes
from ratchet.embeddings.encoder import embed
from ratchet.labels.selection_model import unit_length
from ratchet.measure.primary import PrimaryMetric, primary_metric
from ratchet.models.backbones import resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.examples import Examples
from ratchet.models.probe import Probe, choose_regularization, fit_probe, stratified_folds
from ratchet.params import params_of, read_yaml

JUDGED = 0.15
"""Validation texts, as a share of the labels that are learned from: they come on top, as the pipeline's do."""
MAX_TEST, N_FOLDS = 500, 3


@dataclass(frozen=True)
class Material:
    """One draw of one set."""

    data: Labelled
    params: train_step.Params
    backbone: Path
    texts: list[str]
    """Labelled texts that are learned from."""
    train: Examples
    validation: Examples
    test_texts: list[str]
    test: Examples
    pool: list[str]
    """Texts without a label: those of the set that neither learn nor test."""

    @property
    def n_classes(self) -> int:
        """Classes of the set."""
        return len(self.data.classes)

    @property
    def metric(self) -> PrimaryMetric:
        """What `ratchet init` proposes for the set."""
        return primary_metric(self.data.metric, self.data.classes)

    @property
    def folds(self) -> NDArray[np.int64]:
        """Of the cross-validated probe, (n_texts,)."""
        return stratified_folds(self.train.hard, N_FOLDS, self.params.seed)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Frozen embeddings of unit length of the texts to learn from, (n_texts, hidden)."""
        return self.embedded(self.texts)

    @cached_property
    def probe(self) -> Probe:
        """The probe from which tuning starts."""
        chosen, _ = choose_regularization(self.vectors, self.train.hard, self.n_classes, self.folds)
        return fit_probe(self.vectors, self.train.hard, self.n_classes, chosen)

    def embedded(self, texts: list[str]) -> NDArray[np.float32]:
        """Frozen embeddings of unit length, (n_texts, hidden)."""
        p = self.params
        return unit_length(embed(self.backbone, texts, p.max_tokens, p.n_threads, p.batch_size))


def material(data: Labelled, n_labels: int, number: int) -> Material | None:
    """So many labels of a set to learn from, and 15 % more to judge epochs by; None where it has too few."""
    drawn = draw(data, str(round(n_labels * (1 + JUDGED))), number)
    if drawn is None:
        return None
    params = params_for(data, number)
    spec = read_yaml(ROOT / "examples" / "films" / "params.yaml")["task"]["backbones"][0]
    backbone = resolve_backbone(spec["source"], spec["sha256"])
    tokenizer = load_tokenizer(backbone, params.max_tokens)
    learned, held = _halves(drawn, n_labels, number)

    def examples(texts: list[str], targets: Any) -> Examples:
        return Examples(encode(tokenizer, texts), np.asarray(targets, dtype=np.int64))

    def of(rows: list[int]) -> tuple[list[str], list[int]]:
        return [drawn.texts[row] for row in rows], [drawn.targets[row] for row in rows]

    names = [str(target) for target in drawn.test_targets]
    tested = smallest_hashes([str(row) for row in range(len(names))], names, "tested", MAX_TEST)
    taken = {*drawn.texts, *drawn.test_texts}
    return Material(
        data,
        params,
        backbone,
        of(learned)[0],
        examples(*of(learned)),
        examples(*of(held)),
        [drawn.test_texts[row] for row in tested],
        examples([drawn.test_texts[row] for row in tested], drawn.test_targets[tested]),
        [text for text in data.texts if text not in taken],
    )


def params_for(data: Labelled, seed: int) -> train_step.Params:
    """The `train` block of the demo's params for the classes and the metric of a set."""
    tree: dict[str, Any] = read_yaml(ROOT / "examples" / "films" / "params.yaml")
    tree["task"] |= {
        "classes": [{"name": name, "values": [name]} for name in data.classes],
        "selected": [],
        "primary_metric": data.metric,
        "seed": seed,
    }
    tree["train"] |= {"slices": [], "attributes": [], "mitigated_attribute": "", "precision": "32-true"}
    return params_of(train_step.Params, "train", tree, length_edges=[12, 25])


def _halves(drawn: Drawn, n_labels: int, number: int) -> tuple[list[int], list[int]]:
    """Rows to learn from and rows to judge by, both by class."""
    ids = [str(row) for row in range(len(drawn.texts))]
    labels = [str(target) for target in drawn.targets]
    learned = smallest_hashes(ids, labels, f"learned {number}", n_labels, 1)
    return learned, sorted(set(range(len(ids))) - set(learned))
