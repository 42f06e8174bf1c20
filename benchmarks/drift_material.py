"""The texts of the drift benchmark with their features: this domain, the same with typos, the other domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.shifts import Material, with_typos
from ratchet.engines.loading import load
from ratchet.files import read_json
from ratchet.models.examples import class_indices, class_names
from ratchet.models.predictor import Proba
from ratchet.monitoring.drift import Sample
from ratchet.monitoring.features import load_pieces, text_features
from ratchet.table_files import read_table
from ratchet.tables import CORPUS, SPLIT

SPLITS, CORPUS_PATH, DECISION = Path("data/splits"), Path("data/validated.parquet"), Path("reports/decision.json")
N_OTHER = 3000
N_TRAIN = 1500
N_REFERENCE = 2467
"""Held-out texts of the fresh setting's reference: as many as the repository's own validation and test texts."""
N_POOL = 1000
"""Texts that the deployed setting's windows are drawn from."""


class Texts(NamedTuple):
    """The texts of a material's samples."""

    clean: list[str]
    mistyped: list[str]
    other: list[str]


@dataclass(frozen=True)
class Setting:
    """One model, and texts it did not learn from."""

    bundle: Path
    material: Material
    texts: Texts
    learned: Sample | None
    """Texts of the domain that the model learned from; they are part of every reference."""

    def n_reference(self) -> int:
        """Held-out rows of a reference; the others are for windows."""
        n = len(self.material.clean)
        return n - N_POOL if n <= N_REFERENCE else N_REFERENCE


def deployed(seed: int) -> Setting:
    """The accepted bundle with its own validation and test texts."""
    bundle = Path("models") / read_json(DECISION)["chosen"]
    predictor = load(bundle, n_threads=1)
    held = pd.concat([_split(name) for name in ("validation", "test")], ignore_index=True)
    held = held.dropna(subset="label")
    labels = predictor.labels
    material, texts = _material(held, labels, bundle, predictor.predict_proba, seed)
    train = _split("train")["text"].tolist()
    learned = Sample(
        text_features(train, load_pieces(bundle)), np.zeros((len(train), len(labels))), np.zeros(len(train), dtype=bool)
    )
    return Setting(bundle, material, texts, learned)


def fresh(seed: int) -> Setting:
    """TF-IDF of random texts; all others of the domain are held out."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    everything = pd.concat([_split(name) for name in ("validation", "test", "train")], ignore_index=True)
    everything = everything.dropna(subset="label").sample(frac=1, random_state=seed)
    train, held = everything[:N_TRAIN], everything[N_TRAIN:]
    labels = class_names(held)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=4.0))
    model.fit(train["text"].tolist(), class_indices(train, labels))
    bundle = Path("models") / read_json(DECISION)["chosen"]
    material, texts = _material(held, labels, bundle, lambda chunk: model.predict_proba(list(chunk)), seed)
    return Setting(bundle, material, texts, None)


def _material(
    held: pd.DataFrame, labels: list[str], bundle: Path, predict: Callable[[list[str]], Proba], seed: int
) -> tuple[Material, Texts]:
    rng = np.random.default_rng(seed)
    pieces = load_pieces(bundle)
    corpus = read_table(CORPUS_PATH, CORPUS)
    other = corpus[~corpus["source"].isin(held["source"].unique())].dropna(subset="label")
    other = other.sample(min(N_OTHER, len(other)), random_state=seed)

    def observed(texts: list[str]) -> Sample:
        return Sample(text_features(texts, pieces), predict(texts), np.ones(len(texts), dtype=bool))

    texts, others = held["text"].tolist(), other["text"].tolist()
    mistyped = with_typos(texts, rng)
    y: NDArray[np.int64] = class_indices(held, labels)
    material = Material(
        observed(texts),
        observed(mistyped),
        observed(others),
        y,
        class_indices(other, labels),
    )
    return material, Texts(texts, mistyped, others)


def _split(name: str) -> pd.DataFrame:
    return read_table(SPLITS / f"{name}.parquet", SPLIT, ["id", "text", "label", "source"])
