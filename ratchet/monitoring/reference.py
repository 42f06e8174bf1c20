"""The reference profile of one model: what its held-out texts looked like, and the thresholds made from them.

One safetensors file a model version, with features, probabilities, true classes, and the counts of words that occur in
several texts; it holds no text. Equal inputs give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import BundleError
from ratchet.files import replace_file
from ratchet.monitoring.drift import LEAST_REFERENCE, STATISTICS, Null, Sample, calibrate
from ratchet.monitoring.features import TextFeatures
from ratchet.monitoring.moved import WordCounts

FORM = "ratchet-reference-1"


@dataclass(frozen=True)
class Reference:
    """Reference profile of one model, with which windows of its requests are compared."""

    version: str
    """The model, name@hash, as in the log's column model_version."""
    labels: list[str]
    """Class names, in the order of the probabilities."""
    sample: Sample
    """Features of n rows."""
    y_true: NDArray[np.int64]
    """Their classes, (n,); -1 where unknown or learned from."""
    groups: dict[str, NDArray[np.str_]]
    """Feature → the slice of each row, (n,)."""
    nulls: dict[int, Null]
    """Size of a window → its thresholds."""
    words: WordCounts = field(default_factory=WordCounts)
    """Texts in which each word occurs, of all rows."""

    @property
    def held(self) -> NDArray[np.bool_]:
        """Rows whose class is known and was not learned from, (n,)."""
        held: NDArray[np.bool_] = self.sample.held_out & (self.y_true >= 0)
        return held

    def null_of(self, size: int) -> Null:
        """The thresholds of windows of this size."""
        return self.nulls[size]


def make_reference(
    version: str,
    labels: Sequence[str],
    sample: Sample,
    y_true: NDArray[np.int64],
    groups: dict[str, NDArray[np.str_]],
    window_sizes: Sequence[int],
    n_splits: int,
    seed: int,
    words: WordCounts | None = None,
) -> Reference:
    """The profile with thresholds for each size of window that the held-out rows allow; the others are left out.

    Raises:
        TableError: they allow none, see `calibrate`.
    """
    most = int(sample.held_out.sum()) // LEAST_REFERENCE
    sizes = [size for size in window_sizes if size <= most] or [min(window_sizes)]
    nulls = {size: calibrate(sample, size, n_splits, np.random.default_rng([seed, size])) for size in sizes}
    return Reference(version, list(labels), sample, y_true, groups, nulls, words or WordCounts())


def write_reference(path: Path, reference: Reference) -> None:
    """Write the profile, whole or not at all."""
    from safetensors.numpy import save

    texts = reference.sample.texts
    arrays: dict[str, NDArray[Any]] = {
        "n_words": texts.n_words,
        "fertility": texts.fertility,
        "fourier": texts.fourier.astype(np.float16),
        "proba": reference.sample.proba,
        "held_out": reference.sample.held_out,
        "y_true": reference.y_true,
    }
    names = {}
    for feature, groups in reference.groups.items():
        found, codes = np.unique(groups, return_inverse=True)
        names[feature] = found.tolist()
        arrays[f"group.{feature}"] = codes.astype(np.int64)
    for size, null in reference.nulls.items():
        arrays |= {f"null.{size}.{name}": values for name, values in null.values.items()}
        arrays[f"null.{size}"] = null.smallest
    header_fields = {
        "form": FORM,
        "version": reference.version,
        "labels": reference.labels,
        "groups": names,
        "window_sizes": sorted(reference.nulls),
        "words": dict(reference.words.counts),
        "n_texts": reference.words.n_texts,
    }
    # one key: the order of several is not kept, and the bytes would differ
    header = {"ratchet": json.dumps(header_fields, sort_keys=True)}
    with replace_file(path) as partial:
        partial.write_bytes(save({name: np.ascontiguousarray(values) for name, values in arrays.items()}, header))


def read_reference(path: Path) -> Reference:
    """The profile at `path`.

    Raises:
        BundleError: there is none, or it is damaged or of another form.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header_fields = json.loads((file.metadata() or {}).get("ratchet", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _assembled(header_fields, arrays)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BundleError(
            "The reference profile cannot be read.",
            where=path,
            got=error,
            expected=f"one of the form {FORM}",
            fix="make it again: ratchet reference",
        ) from None


def _assembled(header_fields: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Reference:
    if header_fields.get("form") != FORM:
        raise KeyError(f"form {header_fields.get('form')}")
    texts = TextFeatures(arrays["n_words"], arrays["fertility"], arrays["fourier"].astype(np.float32))
    nulls = {
        size: Null(size, {name: arrays[f"null.{size}.{name}"] for name in STATISTICS}, arrays[f"null.{size}"])
        for size in header_fields["window_sizes"]
    }
    groups = {
        feature: np.array(names)[arrays[f"group.{feature}"]] for feature, names in header_fields["groups"].items()
    }
    sample = Sample(texts, arrays["proba"], arrays["held_out"])
    words = WordCounts(header_fields.get("n_texts", 0), header_fields.get("words", {}))  # older profiles have none
    return Reference(header_fields["version"], header_fields["labels"], sample, arrays["y_true"], groups, nulls, words)
