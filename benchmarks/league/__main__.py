"""Run the league, or write its tables.

    python -m benchmarks.league short                        an hour; quick: some minutes; full: at most twelve hours
    python -m benchmarks.league short --data FOLDER          the same contestants on the data files of a folder
    python -m benchmarks.league tables --into docs/league.md README.md

A cell that is there and current is not run again, so that the same command carries on where a run stopped.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from benchmarks.league.cells import SET, packed, read_cell
from benchmarks.league.contestants import CONTESTANTS
from benchmarks.league.draws import Drawn, draw
from benchmarks.league.environments import environment
from benchmarks.league.forms import FORMS, Form, keys
from benchmarks.league.running import is_current, run_cell
from benchmarks.league.sets import Labelled, folder_sets, packaged
from benchmarks.material import REPORTS, SCRATCH
from ratchet.entry import entry
from ratchet.files import read_json, write_json

ROOT = REPORTS / "league"
OWN, QUICK = SCRATCH / "league" / "own", SCRATCH / "league" / "quick"
"""Where cells go that are no part of the repository: those of a folder's data, and of the quick form."""


def run(root: Path, form: Form, sets: dict[str, Callable[[], Labelled]], again: Sequence[str] = ()) -> int:
    """Run the cells that are lacking, until the form's hours are over; how many are then still lacking."""
    began, n_left = time.monotonic(), 0
    drawn_of = lru_cache(maxsize=4)(lambda data, n_labels, number: draw(sets[data](), n_labels, number))
    made_of = lru_cache(maxsize=None)(lambda name: environment(CONTESTANTS[name], root, again=name in again))
    for name in form.contestants:
        if made_of(name).reason:
            print(f"{name} cannot be installed: {made_of(name).reason}", flush=True)
    for data in sets:
        write_set(root, sets[data]())
    for key in keys(form, list(sets)):
        drawn: Drawn | None = drawn_of(key.data, key.n_labels, key.draw)
        if drawn is None or made_of(key.contestant).reason:
            continue
        known, contestant = read_cell(root, key), CONTESTANTS[key.contestant]
        if known and key.contestant not in again and is_current(known, contestant, drawn, made_of(key.contestant)):
            continue
        if time.monotonic() - began > form.hours * 3600:
            n_left += 1
            continue
        cell = run_cell(root, key, sets[key.data](), drawn, made_of(key.contestant))
        figures = cell.failed or f"{cell.report['value']:.3f}, {cell.report['cpu_s']:.0f} CPU-s"
        print(f"{key.data}, {key.n_labels} labels, draw {key.draw}, {key.contestant}: {figures}", flush=True)
    return n_left


def write_set(root: Path, data: Labelled) -> None:
    """What the tables need of a set, without its texts."""
    whole = draw(data, "all", 0)
    if whole is None:
        return
    path = root / data.name / SET
    found: dict[str, Any] = {
        "about": data.about,
        "classes": data.classes,
        "metric": data.metric,
        "n_pool": len(whole.texts),
        "n_test": len(whole.test_texts),
        "test_sha256": whole.test_sha256,
        "test_classes": packed(whole.test_targets),
    }
    if not path.is_file() or read_json(path) != found:
        write_json(path, found)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.league", description=__doc__.partition("\n")[0])
    parser.add_argument("form", choices=[*FORMS, "tables"], help="what is run; tables: nothing is")
    parser.add_argument("--data", type=Path, help="a folder whose data files take the place of the packaged sets")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, help="these alone")
    parser.add_argument("--again", nargs="+", default=[], choices=CONTESTANTS, help="run their cells once more")
    parser.add_argument("--hours", type=float, help="no cell is begun after so many hours")
    parser.add_argument("--reports", type=Path, help=f"where cells go; default: {ROOT}, or {OWN} with --data")
    parser.add_argument("--into", nargs="+", default=[], type=Path, help="Markdown files whose blocks get the tables")
    given = parser.parse_args(arguments)
    root = given.reports or (OWN if given.data else QUICK if given.form == "quick" else ROOT)
    if given.form != "tables":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the contestant is stopped too
        form = FORMS[given.form]
        form = Form(
            form.n_draws,
            form.sets,
            tuple(given.contestants or form.contestants),
            form.hours if given.hours is None else given.hours,
            form.without_all,
        )
        n_left = run(root, form, sets_of(form, given.data), given.again)
        print(f"{n_left} cells are left: the same command carries on" if n_left else "every cell is there")
    show(root, given.into)


def sets_of(form: Form, folder: Path | None) -> dict[str, Callable[[], Labelled]]:
    """Name → what gives the set: of the form, or of the folder, where files that cannot be used are named."""
    if folder is None:
        return {name: lru_cache(maxsize=1)(partial(packaged, name)) for name in form.sets}
    found: dict[str, Callable[[], Labelled]] = {}
    for item in folder_sets(folder):
        if isinstance(item, Labelled):
            found[item.name] = partial(_itself, item)
        else:
            print(f"{item[0]} is left out: {item[1]}", flush=True)
    return found


def _itself(data: Labelled) -> Labelled:
    return data


def show(root: Path, pages: Sequence[Path]) -> None:
    """Write the summary beside the cells, print the tables, or put them into pages."""
    from benchmarks.league.figures import summary
    from benchmarks.league.tables import details, overview
    from ratchet.reporting.marked_block import write_block

    found = summary(root)
    write_json(root / "league.json", {"command": "python -m benchmarks.league tables", **found})
    if not pages:
        print(overview(found))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        write_block(page, "league", overview(found))
        if "<!-- league-details:start -->" in text:
            write_block(page, "league-details", details(found))


if __name__ == "__main__":
    entry(main)
