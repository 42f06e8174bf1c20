"""Challenge-set metrics: weak slices, contrast edits that change the label, invariance edits that do not.

Cases are resampled by the validation text they come from, with the weights of the validation set: several edits of one
text count as one observation, and every figure is paired with the accuracy on the validation set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TableError
from ratchet.measure.bootstrap import Weights, mean_estimate
from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
KINDS = ("weak", "contrast", "invariance")
"""The kinds of case; a task may have none of some."""
CHALLENGE_METRICS = {
    "weak": ("weak_slice_accuracy",),
    "contrast": ("contrast_accuracy", "contrast_consistency"),
    "invariance": ("invariance_violation_rate",),
}
"""Kind → the figures that rest on its cases."""


@dataclass(frozen=True)
class Cases:
    """A challenge set beside the texts it was made from, n_cases each."""

    frame: pd.DataFrame
    """Rows of the table `challenge`."""
    y_true: NDArray[np.int64]
    """The class of each case."""
    original: NDArray[np.int64]
    """The row of the evaluated texts that each case comes from."""

    @property
    def edited(self) -> Mask:
        """The cases whose text is none of these, and has to be classified."""
        return (self.frame["kind"] != "weak").to_numpy(dtype=bool)

    def of(self, kind: str, name: str | None = None) -> Mask:
        """The cases of a kind, or of one name of it."""
        mask = (self.frame["kind"] == kind).to_numpy(dtype=bool)
        return mask if name is None else mask & (self.frame["name"] == name).to_numpy(dtype=bool)

    def names(self, kind: str) -> list[str]:
        """The slices or edits of a kind, in alphabetical order."""
        return sorted(set(self.frame["name"][self.of(kind)]))


def match_cases(frame: pd.DataFrame, y_true: NDArray[np.int64], ids: list[str]) -> Cases:
    """The cases with the rows of the texts they come from.

    Raises:
        TableError: a case comes from a text that was not evaluated.
    """
    places = {key: row for row, key in enumerate(ids)}
    if strangers := sorted(set(frame["id"]) - set(places)):
        raise TableError(
            "A challenge case comes from no evaluated text.",
            where="data/challenge.parquet",
            got=f"{len(strangers)} ids, {strangers[0]} first",
            expected="ids of data/splits/validation.parquet",
            fix="make the set again: dvc repro challenge",
        )
    return Cases(frame, y_true, np.array([places[key] for key in frame["id"]], dtype=np.int64))


def predict_cases(predictor: Predictor, cases: Cases, pred_texts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The predicted class of each case, (n_cases,); that of an unedited text is known, (n_texts,)."""
    predicted = pred_texts[cases.original]
    predicted[cases.edited] = predictor.predict_proba(cases.frame["text"][cases.edited].tolist()).argmax(axis=1)
    return predicted


def challenge_metrics(
    cases: Cases, y_texts: NDArray[np.int64], pred_texts: NDArray[np.int64], pred_cases: NDArray[np.int64], w: Weights
) -> dict[str, Estimate]:
    """The figures of a bundle, each in [0, 1]; those of a kind without cases are absent.

    - `weak_slice_accuracy`: accuracy on the texts that lie in any weak slice.
    - `contrast_accuracy`: accuracy on the edited texts, by the label that the edit gives them.
    - `contrast_consistency`: share of these of which both the text and the edited text are classified rightly.
    - `invariance_violation_rate`: share of edits that must not matter and changed the predicted class; 0 is best.

    Args:
        cases: the challenge set.
        y_texts: classes of the texts, (n_texts,).
        pred_texts: predictions of the texts, (n_texts,).
        pred_cases: predictions of the cases, (n_cases,).
        w: resampling weights of the texts, (n_draws, n_texts).

    Source: Gardner et al. 2020, https://arxiv.org/abs/2004.02709 (contrast consistency); Ribeiro et al. 2020,
    https://arxiv.org/abs/2005.04118 (failure rate of invariance tests).
    """
    weak = np.unique(cases.original[cases.of("weak")])
    right, both, changed = _outcomes(cases, y_texts, pred_texts, pred_cases)
    found: dict[str, Estimate] = {}
    if len(weak):
        found["weak_slice_accuracy"] = mean_estimate((pred_texts == y_texts)[weak], w[:, weak])
    if (contrast := cases.of("contrast")).any():
        found["contrast_accuracy"] = _mean(right, contrast, cases, w)
        found["contrast_consistency"] = _mean(both, contrast, cases, w)
    if (invariance := cases.of("invariance")).any():
        found["invariance_violation_rate"] = _mean(changed, invariance, cases, w)
    return found


def challenge_parts(
    cases: Cases, y_texts: NDArray[np.int64], pred_texts: NDArray[np.int64], pred_cases: NDArray[np.int64], w: Weights
) -> dict[str, dict[str, Estimate]]:
    """The same part by part: kind → slice or edit → accuracy, consistency, violation rate."""
    right, both, changed = _outcomes(cases, y_texts, pred_texts, pred_cases)
    outcome = {"weak": right, "contrast": both, "invariance": changed}
    return {
        kind: {name: _mean(values, cases.of(kind, name), cases, w) for name in cases.names(kind)}
        for kind, values in outcome.items()
    }


def failures(
    cases: Cases, originals: list[str], labels: list[str], predicted: Mapping[str, tuple[Any, Any]], most: int
) -> list[dict[str, Any]]:
    """The edited texts on which most bundles fail, at most `most`, contrast and invariance in turn.

    Args:
        cases: the challenge set.
        originals: the texts, in their order.
        labels: class names by index.
        predicted: bundle → predictions of the texts (n_texts,), and of the cases (n_cases,).
        most: how many are listed.
    """
    failed: dict[str, Mask] = {}
    for name, (pred_texts, pred_cases) in predicted.items():
        wrong = cases.of("contrast") & (pred_cases != cases.y_true)
        failed[name] = wrong | (cases.of("invariance") & (pred_cases != pred_texts[cases.original]))
    n_failed = np.sum(list(failed.values()), axis=0) if failed else np.zeros(len(cases.original), dtype=int)
    kinds = [
        [row for row in np.argsort(-n_failed, kind="stable") if cases.of(kind)[row] and n_failed[row]]
        for kind in ("contrast", "invariance")
    ]
    half = most // 2
    spare = max(half, most - len(kinds[1]))
    chosen = [*kinds[0][:spare], *kinds[1][: most - min(spare, len(kinds[0]))]]
    return [
        {
            "kind": cases.frame["kind"].iloc[row],
            "edit": cases.frame["name"].iloc[row],
            "text": originals[cases.original[row]],
            "edited": cases.frame["text"].iloc[row],
            "expected": _expected(cases, row, labels),
            "n_failed": f"{n_failed[row]} of {len(failed)}",
        }
        for row in chosen
    ]


def _expected(cases: Cases, row: int, labels: list[str]) -> str:
    return labels[cases.y_true[row]] if cases.frame["kind"].iloc[row] == "contrast" else "as before"


def _outcomes(
    cases: Cases, y_texts: NDArray[np.int64], pred_texts: NDArray[np.int64], pred_cases: NDArray[np.int64]
) -> tuple[Mask, Mask, Mask]:
    """Whether each case is right, whether its original is too, and whether the prediction changed; (n_cases,) each."""
    right: Mask = pred_cases == cases.y_true
    both: Mask = right & (pred_texts == y_texts)[cases.original]
    changed: Mask = pred_cases != pred_texts[cases.original]
    return right, both, changed


def _mean(values: Mask, mask: Mask, cases: Cases, w: Weights) -> Estimate:
    return mean_estimate(values[mask], w[:, cases.original[mask]])
