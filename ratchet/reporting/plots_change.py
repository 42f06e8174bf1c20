"""Plots that differ between two revisions, drawn over each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ratchet.reporting.revisions import Revision

STYLES = {"before": "--", "after": "-"}


def declared_plots(pipeline: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """File → columns of x and y, of the plots that `dvc.yaml` declares as tables."""
    found = {}
    for stage in pipeline.get("stages", {}).values():
        for item in stage.get("plots", []):
            if isinstance(item, dict):
                for path, options in item.items():
                    if path.endswith(".csv") and options and "x" in options and "y" in options:
                        found[path] = (str(options["x"]), str(options["y"]))
    return found


def draw_change(name: str, frames: dict[str, pd.DataFrame], x: str, y: str, path: Path) -> None:
    """Draw `y` over `x` of both tables, a line for each text in the other columns, means where there are several."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(title=name, xlabel=x, ylabel=y)
    colors: dict[str, str] = {}
    for when, frame in frames.items():
        names = [str(column) for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column])]
        groups = frame.groupby(names, sort=True) if names else [(("",), frame)]
        for key, rows in groups:
            label = " ".join(str(part) for part in key).strip()
            means = rows.groupby(x)[y].mean()
            color = colors.setdefault(label, f"C{len(colors)}")
            axes.plot(means.index, means.to_numpy(), STYLES[when], color=color, label=f"{label} {when}".strip())
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def draw_all(before: Revision, after: Revision, lock: str, pipeline: str, work: Path, into: Path) -> list[str]:
    """Draw the plots whose hashes differ; what was drawn, or why not, a line each."""
    found = []
    outputs = before.outputs(lock), after.outputs(lock)
    for path, (x, y) in declared_plots(after.yaml(pipeline)).items():
        if outputs[0].get(path) == outputs[1].get(path):
            continue
        got = {when: revision.get(path, work) for when, revision in (("before", before), ("after", after))}
        frames = {when: pd.read_csv(file) for when, file in got.items() if file is not None}
        if not frames or any(column not in frame for frame in frames.values() for column in (x, y)):
            found.append(f"`{path}` differs; it is not at hand to be drawn")
            continue
        picture = into / f"{Path(path).stem}.png"
        draw_change(Path(path).stem, frames, x, y, picture)
        found.append(f"`{path}` differs: {picture.name}, {' and '.join(frames)}")
    return found
