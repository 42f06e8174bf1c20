"""The architecture that was chosen for a task: how its TF-IDF model and its neural model are made."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ratchet.files import write_json
from ratchet.models.tuning import Method
from ratchet.params import Params, read_params


class Arm(Params):
    """A way to fine-tune."""

    method: Method
    """As `train.method`."""
    learning_rate: float = Field(gt=0, lt=1)
    """AdamW's step size at its highest."""
    min_labels: int = Field(ge=0)
    """Labelled texts from which it is tried."""
    max_labels: int = Field(ge=0)
    """Labelled texts up to which it is tried; 0: however many there are."""

    def suits(self, n_labels: int) -> bool:
        """Whether it is tried with so many labelled texts."""
        return self.min_labels <= n_labels and (not self.max_labels or n_labels <= self.max_labels)


class TfidfSettings(Params):
    """Of TF-IDF with logistic regression."""

    max_characters: int = Field(ge=0)
    """Longest run of characters within a word that is a term too; 0: words alone."""
    inverse_regularization: float = Field(gt=0)
    """Of the logistic regression; larger fits closer."""
    prior_strength: float = Field(ge=0, le=1)
    """Share of the log prior that is taken out of the logits, see `ratchet.measure.prior`."""


class BackboneSettings(Params):
    """Of a backbone and its fine-tuning."""

    source: str
    """As in `task.backbones`."""
    sha256: str
    """As in `task.backbones`."""
    method: Method
    """How it is tuned; head: the probe is the model."""
    learning_rate: float = Field(gt=0, lt=1)
    """AdamW's step size at its highest."""
    probe_regularization: float = Field(gt=0)
    """Inverse regularization of the probe from which tuning starts."""
    prior_strength: float = Field(ge=0, le=1)
    """As of TF-IDF."""


class Architecture(Params):
    """What `architect` chose."""

    command: str
    """What wrote it."""
    kind: Literal["tfidf", "backbone"]
    """What won: tfidf is then the model, and nothing is distilled from the other."""
    tfidf: TfidfSettings
    backbone: BackboneSettings


def read_architecture(path: Path) -> Architecture:
    """The choice that was written.

    Raises:
        ParamsError: it is damaged.
    """
    return read_params(Architecture, path)


def write_architecture(path: Path, architecture: Architecture) -> None:
    """Write the choice as JSON, for `read_architecture`."""
    write_json(path, architecture.model_dump())
