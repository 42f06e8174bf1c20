"""What `architect` would have chosen, for tests of the steps after it."""

from __future__ import annotations

from pathlib import Path

from pipeline_steps import baseline
from ratchet.models.architecture import Architecture, BackboneSettings, TfidfSettings, write_architecture
from ratchet.models.tuning import Method
from ratchet.params import check_params
from tests.support.params import CLEANING
from tests.support.tiny import ACCURACY

TFIDF = TfidfSettings(max_characters=0, inverse_regularization=4.0, prior_strength=0.0)
"""TF-IDF of words."""


BASELINE = check_params(baseline.Params, "baseline", {"max_ngram": 2, **ACCURACY, **CLEANING})
"""Params of `baseline`."""


def write_choice(source: str = "nowhere", method: Method = "head") -> None:
    """Write a choice of `TFIDF`, beside a backbone."""
    path = Path("reports/architecture.json")
    backbone = BackboneSettings(
        source=source, sha256="", method=method, learning_rate=3e-3, probe_regularization=1.0, prior_strength=0.0
    )
    write_architecture(path, Architecture(command="made", kind="tfidf", tfidf=TFIDF, backbone=backbone))
