"""Performance in production from a random sample that people labelled, with prediction-powered intervals.

A draw takes requests at random from the answered ones of a time, or of one slice of them, and keeps the moments of the
model's calibrated confidence over all of them. People's labels of what was drawn correct those moments: that gives
valid intervals of accuracy, of each class's rate and of each slice's accuracy, however wrong the model is. What people
correct by themselves is no sample, and is never judged here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.prediction_powered import PoweredMean, Predicted, labels_needed, powered_mean
from ratchet.models.predictor import softmax
from ratchet.monitoring.delayed_labels import LateLabels

if TYPE_CHECKING:
    import pyarrow

    from ratchet.monitoring.performance_estimation import Estimator

EVERYTHING = "all"
STRATEGY = "production_random"
"""Query strategy of texts that were drawn for judging: their labels judge, and are never trained on."""


@dataclass(frozen=True)
class Labelled:
    """The drawn requests whose class people have said, in the order in which they were drawn; n each."""

    y_true: NDArray[np.str_]
    predicted: NDArray[np.str_]
    confidence: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    """Calibrated probability that the answer is right."""
    draw: NDArray[np.int64]
    """Number of the draw."""
    groups: list[list[str]]
    """Slices of each."""

    @property
    def right(self) -> NDArray[np.float64]:
        """1 where the answer is right, (n,)."""
        right: NDArray[np.float64] = (self.y_true == self.predicted).astype(np.float64)
        return right


def draw_record(
    rows: pyarrow.Table,
    proba: NDArray[np.float64],
    groups: Mapping[str, NDArray[np.str_]],
    fitted: Estimator,
    labels: Sequence[str],
    chosen: NDArray[np.int64],
    slice_name: str,
) -> dict[str, Any]:
    """The record of a draw, JSON without any text: what was drawn, and the moments over what it was drawn from.

    Args:
        rows: the answered requests that could be drawn: of the slice, where one is named.
        proba: of each, (n_rows, n_classes).
        groups: feature → slice of each, (n_rows,).
        fitted: calibration of the model's confidence on its reference.
        labels: class names in the order of the probabilities.
        chosen: rows that were drawn.
        slice_name: `feature=slice`, or `EVERYTHING`.
    """
    from ratchet.data.cleaning import text_id

    calibrated = softmax(np.log(np.maximum(proba, 1e-12)) / fitted.temperature).max(axis=1)
    y = proba.argmax(axis=1)
    names = {f"{feature}={value}": values == value for feature, values in groups.items() for value in set(values)}
    parts = {EVERYTHING: np.ones(len(rows), dtype=bool), **names}
    rest = np.ones(len(rows), dtype=bool)
    rest[chosen] = False
    taken = rows.take(chosen.tolist())
    ids = [text_id(text) for text in taken.column("text").to_pylist()]
    inside = [[name for name, mask in names.items() if mask[row]] for row in chosen]
    return {
        "slice": slice_name,
        "n_frame": len(rows),
        "moments": {name: _moments(Predicted.of(calibrated[mask & rest])) for name, mask in sorted(parts.items())},
        "rates": {label: _moments(Predicted.of((y[rest] == i).astype(float))) for i, label in enumerate(labels)},
        "rows": [
            {"request_id": request, "text_id": name, "predicted": label, "confidence": sure, "right": p, "groups": own}
            for request, name, label, sure, p, own in zip(
                taken.column("request_id").to_pylist(),
                ids,
                taken.column("predicted").to_pylist(),
                taken.column("confidence").to_pylist(),
                calibrated[chosen].tolist(),
                inside,
                strict=True,
            )
        ],
    }


def labelled(draws: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> Labelled:
    """The drawn requests that people labelled.

    Args:
        draws: records of one model, the oldest first.
        known: text id → class, as people decided.
    """
    found = [(number, row) for number, draw in enumerate(draws) for row in draw["rows"] if row["text_id"] in known]
    return Labelled(
        np.array([known[row["text_id"]] for _, row in found], dtype=np.str_),
        np.array([row["predicted"] for _, row in found], dtype=np.str_),
        np.array([row["confidence"] for _, row in found], dtype=np.float64),
        np.array([row["right"] for _, row in found], dtype=np.float64),
        np.array([number for number, _ in found], dtype=np.int64),
        [row["groups"] for _, row in found],
    )


def late_labels(sample: Labelled, draws: Sequence[Mapping[str, Any]]) -> LateLabels:
    """What the cumulative sum watches: labels of draws from everything, none of a draw from one slice."""
    whole = np.array([draws[number]["slice"] == EVERYTHING for number in sample.draw], dtype=bool)
    return LateLabels(sample.right[whole] == 0, sample.confidence[whole])


def accuracy_of(sample: Labelled, draws: Sequence[Mapping[str, Any]], name: str = EVERYTHING) -> PoweredMean:
    """Accuracy over all traffic that was drawn from, or over one slice of it."""
    use = _usable(sample, draws, name)
    # a slice's moments from draws that looked at everything: a draw from the slice alone looked at the same requests
    rest = _joined(draw["moments"].get(name) for draw in draws if draw["slice"] == EVERYTHING)
    return powered_mean(sample.right[use], sample.calibrated[use], rest, _weights(sample.draw[use], draws, name))


def accuracy_since(draws: Sequence[Mapping[str, Any]], known: Mapping[str, str], since: str) -> PoweredMean:
    """Accuracy over the traffic that was drawn from since a moment, ISO 8601: by labels of that traffic alone."""
    recent = [draw for draw in draws if draw["frame"].partition("/")[0] >= since]
    return accuracy_of(labelled(recent, known), recent)


def rate_of(sample: Labelled, draws: Sequence[Mapping[str, Any]], label: str) -> PoweredMean:
    """Share of a class over all traffic that was drawn from."""
    use = _usable(sample, draws, EVERYTHING)
    rest = _joined(draw["rates"].get(label) for draw in draws if draw["slice"] == EVERYTHING)
    y, predicted = ((values[use] == label).astype(np.float64) for values in (sample.y_true, sample.predicted))
    return powered_mean(y, predicted, rest, _weights(sample.draw[use], draws, EVERYTHING))


def plan(
    sample: Labelled, draws: Sequence[Mapping[str, Any]], reference_accuracy: float, max_fall: float
) -> dict[str, dict[str, Any]]:
    """Slice → its accuracy, whether it is settled, and how many more labels settle it.

    Settled is a slice whose interval lies on one side of the bound, the reference's accuracy less `max_fall`, or is no
    wider than `max_fall` on either side: then nothing more is learned from asking.
    """
    bound = reference_accuracy - max_fall
    names = sorted({name for draw in draws for name in draw["moments"]}, key=lambda name: (name != EVERYTHING, name))
    report = {}
    for name in names:
        mean = accuracy_of(sample, draws, name)
        found = mean.estimate
        half = (found.high - found.low) / 2
        decided = found.low > bound or found.high < bound
        settled = not found.reason and (decided or half <= max_fall)
        report[name] = {
            "accuracy": found.to_json(),
            "n_labels": found.n,
            "bound": bound,
            "settled": settled,
            "n_more": 0 if settled else _more(mean, bound, max_fall, reference_accuracy),
        }
    return report


def _more(mean: PoweredMean, bound: float, max_fall: float, usual: float) -> int | None:
    n, value = mean.estimate.n, mean.estimate.value
    if mean.estimate.reason:  # before anything is known: as if it were as accurate as the reference
        guess = PoweredMean(mean.estimate, 0.0, max(usual * (1 - usual), 0.01), 0.0)
        needed = labels_needed(guess, max_fall)
    else:
        needed = labels_needed(mean, max(abs(value - bound), max_fall))
    return None if needed is None else max(1, needed - n)


def _usable(sample: Labelled, draws: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.bool_]:
    """Rows that are a random sample of a slice: of draws from everything, and of draws from this slice."""
    allowed = {number for number, draw in enumerate(draws) if draw["slice"] in (EVERYTHING, name)}
    inside = [name == EVERYTHING or name in groups for groups in sample.groups]
    use: NDArray[np.bool_] = np.isin(sample.draw, sorted(allowed)) & np.array(inside, dtype=bool)
    return use


def _weights(draw: NDArray[np.int64], draws: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64] | None:
    """Of each labelled row: requests of its time per label of that time; None where all are alike."""
    frames = [item.get("frame", number) for number, item in enumerate(draws)]
    sizes: dict[Any, float] = {}
    for number, item in enumerate(draws):
        if item["slice"] == EVERYTHING and (moments := item["moments"].get(name)):
            sizes[frames[number]] = float(moments["n"])
    own = [frames[number] for number in draw]
    counts = {frame: own.count(frame) for frame in set(own)}
    if len(counts) < 2:
        return None
    return np.array([sizes.get(frame, counts[frame]) / counts[frame] for frame in own])


def _joined(moments: Iterable[Mapping[str, float] | None]) -> Predicted:
    total = Predicted(0, float("nan"), float("nan"))
    for item in moments:
        if item and item["n"]:
            total = total.plus(Predicted(int(item["n"]), item["mean"], item["variance"]))
    return total


def _moments(found: Predicted) -> dict[str, float] | None:
    return {"n": found.n, "mean": found.mean, "variance": found.variance} if found.n else None
