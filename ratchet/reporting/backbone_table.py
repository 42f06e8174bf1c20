"""A row for each backbone at hand: what its files say, how its tokenizer knows the task's texts, a probe's score.

Nothing is trained: the score is cross-validated logistic regression on frozen embeddings of labelled texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import RatchetError
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.models.backbone_cards import KNOWN, read_card
from ratchet.models.backbone_files import Backbone, read_backbone_files
from ratchet.models.backbones import is_installed
from ratchet.models.coverage import measure_coverage
from ratchet.params import At
from ratchet.task import SelectionRegularization, TrainThreads

N_FOLDS = 3


@dataclass(frozen=True)
class Row:
    """What is known of one backbone; fields that nothing is known of are empty, 0 or None."""

    source: str
    place: int | None
    """In `task.backbones`, from 0; None: the task does not name it."""
    size_mb: float = 0.0
    n_layers: int = 0
    hidden: int = 0
    n_tokens: int = 0
    max_tokens: int = 0
    languages: tuple[str, ...] = ()
    licence: str = ""
    unknown_rate: float | None = None
    """Share of words that its tokenizer does not know, in [0, 1]."""
    pieces_per_word: float | None = None
    probe: float | None = None
    """Mean primary metric over the folds."""
    problem: str = ""
    """Why it cannot be used."""


class ProbeParams(PrimaryMetricParams):
    """How texts are embedded and the probe is fitted: values of other blocks."""

    max_tokens: Annotated[int, At("embed.max_tokens")]
    batch_size: Annotated[int, At("embed.batch_size")]
    inverse_regularization: SelectionRegularization
    n_threads: TrainThreads


@dataclass(frozen=True)
class Labelled:
    """Labelled texts for the probe; never those of the test."""

    texts: list[str]
    targets: NDArray[np.int64]
    """Indices of classes, (n_texts,)."""
    params: ProbeParams


def sources_at_hand(listed: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Backbones of the task, then known packages that are installed, then the folders that were named."""
    installed = [source for source in KNOWN if is_installed(source)]
    return list(dict.fromkeys([*listed, *installed, *folders]))


def describe(
    source: str, pinned: Mapping[str, str], texts: Sequence[str], labelled: Labelled | None, root: Path = Path()
) -> Row:
    """The row of a backbone; what is wrong with it stands in the row.

    Args:
        source: as `task.backbones` names it.
        pinned: source → SHA-256 of those in `task.backbones`, in their order.
        texts: of the task, for the tokenizer.
        labelled: for the probe; None: no score.
        root: where relative paths start.
    """
    place = [*pinned].index(source) if source in pinned else None
    try:
        backbone = read_backbone_files(source, root)
        if backbone is None:
            return Row(source, place, problem="not on this machine")
        row = _of_files(backbone, place, texts)
        score = None if labelled is None else probe_score(source, pinned.get(source, ""), labelled)
    except RatchetError as problem:
        return Row(source, place, problem=problem.what)
    return replace(row, probe=score)


def probe_score(source: str, sha256: str, labelled: Labelled) -> float | None:
    """The mean primary metric of cross-validated logistic regression on frozen embeddings; None: a class has too few
    texts for the folds.

    Raises:
        SourceError: the backbone is not the pinned one.
    """
    from sklearn.model_selection import StratifiedKFold

    from ratchet.embeddings.encoder import embed
    from ratchet.labels.selection_model import fit_selection_model, unit_length
    from ratchet.models.backbones import resolve_backbone

    y, params = labelled.targets, labelled.params
    sizes = np.bincount(y)
    if len(sizes) == 0 or sizes[sizes > 0].min() < N_FOLDS:
        return None
    folder, metric = resolve_backbone(source, sha256), params.metric_of(params.labels)
    vectors = unit_length(embed(folder, labelled.texts, params.max_tokens, params.n_threads, params.batch_size))
    proba = np.zeros((len(vectors), len(params.labels)))
    for train, held_out in StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(vectors, y):
        fitted = fit_selection_model(vectors[train], y[train], len(params.labels), params.inverse_regularization)
        proba[held_out] = fitted(vectors[held_out])
    return metric.value(y, proba)


def table(rows: Sequence[Row]) -> Any:
    """The rows as a table for a terminal, a column each: names are long, and backbones few."""
    from rich.table import Table

    found = Table(box=None, header_style="bold")
    for heading in ("", *(row.source for row in rows)):
        found.add_column(heading, overflow="fold")
    for name, cell in CELLS.items():
        found.add_row(name, *(cell(row) for row in rows))
    return found


def _of_files(backbone: Backbone, place: int | None, texts: Sequence[str]) -> Row:
    card = read_card(backbone.source, backbone.folder)
    coverage = _coverage(backbone, texts) if texts and backbone.tokenizer else None
    return Row(
        backbone.source,
        place,
        size_mb=backbone.size_mb,
        n_layers=backbone.n_layers,
        hidden=backbone.hidden,
        n_tokens=backbone.n_embedded,
        max_tokens=backbone.max_positions,
        languages=tuple(card.languages),
        licence=card.licence,
        unknown_rate=coverage.unknown_rate if coverage else None,
        pieces_per_word=coverage.pieces_per_word if coverage else None,
        problem="" if backbone.shapes and backbone.tokenizer and backbone.config else "its files are not complete",
    )


def _coverage(backbone: Backbone, texts: Sequence[str]) -> Any:
    try:
        return measure_coverage(backbone.text_tokenizer, texts)
    except Exception:  # tokenizers raises plain Exception; the check of the backbones reports damaged files
        return None


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


CELLS: dict[str, Callable[[Row], str]] = {
    "in the task": lambda row: "" if row.place is None else f"{row.place + 1}." if row.place else "1., embeds",
    "size, MB": lambda row: f"{row.size_mb:.0f}",
    "layers × width": lambda row: f"{row.n_layers} × {row.hidden}",
    "tokens": lambda row: f"{row.n_tokens:,}",
    "longest text": lambda row: f"{row.max_tokens:,} tokens" if row.max_tokens else "any",
    "languages": lambda row: ", ".join(row.languages) or "not said",
    "licence": lambda row: row.licence or "not said",
    "unknown words": lambda row: _figure(row.unknown_rate, ".1%"),
    "pieces a word": lambda row: _figure(row.pieces_per_word, ".2f"),
    "probe": lambda row: _figure(row.probe, ".3f"),
    "problem": lambda row: row.problem or "none",
}
"""Name of a row of the table → what it shows of a backbone."""
