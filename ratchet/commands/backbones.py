"""`ratchet backbones`: the pretrained encoders at hand, side by side on the task's texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ratchet.reporting.backbone_table import Labelled

CORPUS, LABELED = Path("data/corpus.parquet"), Path("data/labeled.parquet")


def backbones(
    folders: Annotated[
        list[str] | None,
        typer.Argument(help="Further folders, packed files or package:NAME/FOLDER.", show_default=False),
    ] = None,
    n_texts: Annotated[
        int, typer.Option(min=30, help="Labelled texts of the probe, at most; some seconds a thousand.")
    ] = 500,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Read files alone; embed nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, a backbone an object.")] = False,
) -> None:
    """List the backbones at hand: size, languages, licence, how they fit the task's texts, a probe's score.

    Those of task.backbones, known packages that are installed, and the folders you name. The probe is cross-validated
    logistic regression on frozen embeddings of the labelled texts (data/labeled.parquet), by the primary metric;
    nothing is trained. Unknown words and pieces a word are those of each tokenizer on the first texts of the corpus."""
    from dataclasses import asdict

    from ratchet.models.coverage import first_texts
    from ratchet.params import check_params, read_yaml
    from ratchet.reporting import backbone_table
    from ratchet.task import Task

    task = check_params(Task, "task", read_yaml(Path("params.yaml")).get("task"))
    pinned = {item.source: item.sha256 for item in task.backbones}
    labelled = None if no_probe else _labelled(n_texts)
    texts = first_texts(CORPUS)
    sources = backbone_table.sources_at_hand([*pinned], folders or [])
    rows = [backbone_table.describe(source, pinned, texts, labelled) for source in sources]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    from rich.console import Console

    Console().print(backbone_table.table(rows))
    if not no_probe:
        said = f"{len(labelled.texts):,} labelled texts" if labelled else f"none: no labelled texts in {LABELED}"
        print(f"\nprobe: {task.primary_metric}, {backbone_table.N_FOLDS} folds, {said}")


def _labelled(n_texts: int) -> Labelled | None:
    """Labelled texts of the training side; None: there are none yet."""
    if not LABELED.is_file():
        return None
    from ratchet.data.sampling import sample_by_class
    from ratchet.models.examples import class_indices
    from ratchet.params import load_params
    from ratchet.reporting.backbone_table import Labelled, ProbeParams
    from ratchet.table_files import read_table
    from ratchet.tables import LABELED as COLUMNS

    params = load_params(ProbeParams, "")
    frame = sample_by_class(read_table(LABELED, COLUMNS), n_texts)
    return Labelled(frame["text"].tolist(), class_indices(frame, params.labels), params)
