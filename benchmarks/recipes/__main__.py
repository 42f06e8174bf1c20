"""Run recipes of training on draws of labels, and write what they reach.

    python -m benchmarks.recipes few-labels --data FOLDER    which recipe is best with how many labels
    python -m benchmarks.recipes techniques --data FOLDER    each training technique alone and removed
    python -m benchmarks.recipes few-labels --quick          some minutes: the smallest size, one draw, nothing written
    python -m benchmarks.recipes few-labels --report         the report of the cells that are there; nothing is run
    python -m benchmarks.recipes few-labels --into PAGE      the report's table into a page; nothing is run

The films come from their package, other sets are the data files of a folder. A cell that is there is not run again, so
that the same command carries on where a run stopped. The report is written after every cell.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.league.cells import packed
from benchmarks.league.sets import Labelled, folder_sets, packaged
from benchmarks.material import REPORTS, SCRATCH
from benchmarks.recipes.contenders import Recipe
from benchmarks.recipes.figures import cell_path, markdown, summary
from benchmarks.recipes.forms import FORMS, Form
from benchmarks.recipes.material import Material, material
from ratchet.entry import entry
from ratchet.files import read_json, write_json
from ratchet.reporting.marked_block import write_block

CELLS, QUICK = SCRATCH / "recipes" / "cells", SCRATCH / "recipes" / "quick"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__.partition("\n")[0])
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("--data", type=Path, help="a folder whose data files are sets beside the films")
    parser.add_argument("--sets", nargs="+", default=[], help="these sets alone")
    parser.add_argument("--sizes", nargs="+", type=int, help="these numbers of labels alone")
    parser.add_argument("--draws", type=int, help="so many draws in place of the form's")
    parser.add_argument("--quick", action="store_true", help="one draw of the films at the smallest size")
    parser.add_argument("--report", action="store_true", help="run nothing: write the report of what is there")
    parser.add_argument("--into", type=Path, help="a Markdown file whose block gets the table")
    given = parser.parse_args(arguments)
    form = FORMS[given.form]
    if given.into:
        write_block(given.into, given.form, markdown(form, read_json(report_path(given.form))))
        return
    found = [] if given.report else [packaged("films")]
    found += [item for item in folder_sets(given.data) if isinstance(item, Labelled)] if given.data else []
    sets = [data for data in found if not given.sets or data.name in given.sets]
    root = QUICK if given.quick else CELLS / given.form
    n_draws = 1 if given.quick else given.draws or form.n_draws
    sizes = form.sizes[:1] if given.quick else given.sizes or form.sizes
    for _ in run_cells(root, form, sets[:1] if given.quick else sets, sizes, n_draws):
        pass
    report = summary(form, given.form, root)
    if not given.quick:
        write_json(report_path(given.form), report)
    print(markdown(form, report))


def report_path(form: str) -> Path:
    """The report of a form."""
    return REPORTS / f"{form.replace('-', '_')}.json"


def run_cells(root: Path, form: Form, sets: Sequence[Labelled], sizes: Sequence[int], n_draws: int) -> Iterator[Path]:
    """Run the cells that are lacking, and give their files; first draws first, so that what is there is about even."""
    for number, n_labels in product(range(n_draws), sizes):
        drawn_of = cache(lambda at, n_labels=n_labels, number=number: material(sets[at], n_labels, number))
        for name, (at, data) in product(form.recipes, enumerate(sets)):
            path = cell_path(root, data.name, n_labels, number, name)
            if path.is_file() or (drawn := drawn_of(at)) is None:
                continue
            write_json(path, cell(drawn, form.recipes[name], n_labels, number, name))
            yield path


def cell(drawn: Material, recipe: Recipe, n_labels: int, number: int, name: str) -> dict[str, Any]:
    """What a recipe predicts of the test texts of one draw, and what it cost."""
    used = time.process_time()
    proba = recipe(drawn)
    used = time.process_time() - used
    value = drawn.metric.value(drawn.test.hard, proba)
    print(f"{drawn.data.name}, {n_labels} labels, draw {number}, {name}: {value:.3f}, {used:.0f} CPU-s", flush=True)
    return {
        "data": drawn.data.name,
        "about": drawn.data.about,
        "classes": drawn.data.classes,
        "metric": drawn.data.metric,
        "n_labels": n_labels,
        "draw": number,
        "recipe": name,
        "cpu_s": used,
        "predicted": packed(proba.argmax(axis=1)),
        "true": packed(drawn.test.hard),
    }


if __name__ == "__main__":
    entry(main)
