"""Significant changes of figures: paired by text where both revisions' predictions exist, else by their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, is_estimate
from ratchet.measure.machine_figures import drop
from ratchet.reporting.revisions import Revision

if TYPE_CHECKING:
    from ratchet.reporting.change import Sources

STRUCTURE = ("bundles", "metrics")
"""Levels of every report that its figures' names leave out."""
PAIRED = "accuracy, text by text"


def moved_rows(before: Revision, after: Revision, sources: Sources, work: Path) -> list[list[str]]:
    """Report, figure, before, after and difference, the surest first and exact ones last.

    What depends on the machine is left out.
    """
    rows = []
    for path in _reports(after, sources):
        old, new = (dict(estimates(drop(revision.json(path)))) for revision in (before, after))
        for name in old.keys() & new.keys():
            if (moved := difference(old[name], new[name])) is not None:
                sureness = abs(moved.value) / ((moved.high - moved.low) / 2 or math.inf)
                cells = [estimate_text(item) for item in (old[name], new[name], moved)]
                rows.append((-sureness, [Path(path).name, name, *cells]))
    paired = paired_rows(before, after, sources, work)
    if paired is not None:  # they replace the unpaired comparison of the same accuracies
        known = {f"{row[1]}.accuracy" for row in paired}
        rows = [row for row in rows if row[1][1] not in known]
    names = [[Path(sources.predictions).name, f"{row[1]}: {PAIRED}", *row[2:]] for row in paired or [] if row[0]]
    return [*names, *(row for _, row in sorted(rows, key=lambda item: (item[0], item[1])))]


def estimates(report: Any, path: str = "") -> Iterator[tuple[str, Estimate]]:
    """The estimates of a report by their path in it; those in lists, which may be ordered anew, are left out."""
    if is_estimate(report):
        yield path, Estimate.from_json(report)
    elif isinstance(report, Mapping):
        for key, item in report.items():
            known = key in STRUCTURE and not path.count(".") > 1
            yield from estimates(item, path if known else f"{path}.{key}".strip("."))


def difference(before: Estimate, after: Estimate) -> Estimate | None:
    """After minus before, of two independent figures, if its 95 % interval leaves out 0; else None.

    An exact figure has moved if it differs at all. The interval is MOVER's: it needs no more than both intervals.
    Source: Zou & Donner 2008, https://doi.org/10.1002/sim.3095.

    >>> difference(Estimate(0.80, 0.78, 0.82, 900), Estimate(0.81, 0.79, 0.83, 900)) is None
    True
    >>> round(difference(Estimate(0.80, 0.78, 0.82, 900), Estimate(0.85, 0.83, 0.87, 900)).low, 4)
    0.0217
    """
    value = after.value - before.value
    low = value - math.hypot(after.value - after.low, before.high - before.value)
    high = value + math.hypot(after.high - after.value, before.value - before.low)
    if math.isnan(value) or value == 0:
        return None
    if math.isnan(low) or math.isnan(high):
        return None
    return None if low <= 0 <= high else Estimate(value, low, high, min(before.n, after.n))


def paired_rows(before: Revision, after: Revision, sources: Sources, work: Path) -> list[list[Any]] | None:
    """For each bundle of both revisions: whether its accuracy moved, its name, both accuracies and their difference.

    On the test texts that both have; None where the predictions of one are not at hand, or are the same.
    """
    outputs = before.outputs(sources.lock), after.outputs(sources.lock)
    if any(sources.predictions not in item for item in outputs):
        return None
    if outputs[0][sources.predictions] == outputs[1][sources.predictions]:
        return None
    files = [revision.get(sources.predictions, work) for revision in (before, after)]
    if files[0] is None or files[1] is None:
        return None
    return compare_predictions(files[0], files[1])


def compare_predictions(before: Path, after: Path) -> list[list[Any]]:
    """The rows of `paired_rows`, of two tables of predictions."""
    import pandas as pd

    from ratchet.measure.significance import discordant, paired_difference

    keys = ["bundle", "id"]
    frames = [pd.read_parquet(path, columns=[*keys, "split", "label", "predicted"]) for path in (before, after)]
    right = [
        frame[frame["split"] == "validation"]
        .assign(right=frame["predicted"] == frame["label"])
        .set_index(keys)["right"]
        for frame in frames
    ]
    both = pd.concat(right, axis=1, join="inner", keys=["before", "after"]).sort_index()
    rows: list[list[Any]] = []
    for name, group in both.groupby(level="bundle", sort=True):
        old, new = group["before"].to_numpy(bool), group["after"].to_numpy(bool)
        moved = paired_difference(discordant(new, old))
        cells = [f"{old.mean():.3f}", f"{new.mean():.3f}", f"{estimate_text(moved)} of {len(group):,} texts"]
        rows.append([not moved.low <= 0 <= moved.high, str(name), *cells])
    return rows


def _reports(after: Revision, sources: Sources) -> list[str]:
    """The JSON reports that the lock names and Git has, but for the decision, which has its own section."""
    folder = str(Path(sources.evaluate).parent)
    paths = [path for path in after.outputs(sources.lock) if path.startswith(f"{folder}/") and path.endswith(".json")]
    return [path for path in sorted(paths) if path != sources.decision and not path.endswith("/metrics.json")]
