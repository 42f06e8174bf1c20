"""Answers on their way from the queues into the label stores: fetched, masked, stored, decided."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flows.labelling import steps
from flows.labelling.steps import JUDGING, KEY, POINTER, SPLITS, TRAINING, Place, present_labels
from flows.runner.audit import record
from ratchet.files import write_json

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.labels.annotations import Answer, Item, Role
    from ratchet.labels.queues import Queue


class Fetched(NamedTuple):
    """What the queues and files hold."""

    annotations: pd.DataFrame
    """All answers as rows of `ANNOTATIONS`, also those that are stored already."""
    origins: set[str]
    """The places that were read."""
    notes: list[str]
    """What people should know of what was read."""


def fetch(root: Path, queue: Queue, conflicts: Queue, answers: str) -> Fetched:
    """The latest answer of each person in both queues and in the file.

    A text that somebody wrote into a sheet, or into the server, is masked as the corpus is. An answer that names no
    class is set aside with a note, and stored once it names one.

    Raises:
        TableError: the pseudonym key is not the store's, or no answer at all names a class.
    """
    import pandas as pd

    from ratchet.data.cleaning_params import CleaningParams
    from ratchet.data.forgotten import TOMBSTONES, read_tombstones
    from ratchet.labels.annotations import annotation_table, as_classes, latest_given, masked
    from ratchet.labels.annotators import key_fingerprint
    from ratchet.labels.queues import origin_of, read_answers
    from ratchet.labels.store import check_key, read_changes
    from ratchet.params import load_params

    key, changes = os.environ.get(KEY, ""), read_changes(root / POINTER)
    labels = present_labels(root)
    check_key(root / POINTER, key_fingerprint(key))
    if not key:
        print(f"{KEY} is not set: annotators' pseudonyms can be found by trying names", flush=True)
    votes, origins = queue.answers(), queue.origins() | conflicts.origins()
    known = {**_pool_items(root), **queue.items()}
    if answers:
        votes += read_answers(Path(answers), known)
        origins.add(origin_of(Path(answers)))
    gone = read_tombstones(root / TOMBSTONES)
    votes, settled = _without(votes, gone), _without(conflicts.answers(), gone)
    cleaning = load_params(CleaningParams, "", root / "params.yaml").cleaning
    votes = [masked(answer, cleaning, known) for answer in votes]
    tables, unknown = [], []
    roles: list[tuple[Role, list[Answer]]] = [("annotator", votes), ("adjudicator", settled)]
    for role, given in roles:
        found = as_classes(given, labels, changes)
        unknown += found.unknown
        tables.append(annotation_table(latest_given(found.answers), role, key, labels))
    if unknown and not any(map(len, tables)):
        annotation_table(unknown, "annotator", key, labels)  # raises
    annotations = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    filled = {*annotations["origin"], *(answer.origin for answer in unknown)}
    unfilled = sorted(name for name in origins - filled if not name.startswith(("file:queue-", "label-studio:")))
    notes = [*_unknown_classes(unknown, labels), *(f"no row of {name} has a label" for name in unfilled)]
    return Fetched(annotations, origins, notes)


def _without(answers: Sequence[Answer], tombstones: frozenset[str]) -> list[Answer]:
    """The answers about texts that were not forgotten."""
    from ratchet.data.cleaning import text_id

    if not tombstones:
        return list(answers)
    return [answer for answer in answers if not {answer.item.id, text_id(answer.item.text)} & tombstones]


def _unknown_classes(unknown: Sequence[Answer], labels: Sequence[str]) -> list[str]:
    """A note on the answers that name no class."""
    if not unknown:
        return []
    first = unknown[0]
    named = ", ".join(repr(name) for name in sorted({answer.label for answer in unknown})[:5])
    return [
        f"{len(unknown)} answers are set aside, for they name no class: {named} (the first: {first.origin}, text "
        f"{first.item.id}); the classes: {', '.join(labels[:10])}{', ...' if len(labels) > 10 else ''}"
    ]


def add_to_stores(root: Path, queue: Queue, fetched: Fetched, n_annotators: int, min_agreement: float) -> str:
    """Add the answers to the random sample of production to the store that judges, all others to that of training."""
    from ratchet.monitoring.labelled_sample import STRATEGY

    judging = fetched.annotations["query_strategy"].eq(STRATEGY).fillna(False).to_numpy(dtype=bool)
    parts = [fetched._replace(annotations=fetched.annotations[mask]) for mask in (~judging, judging)]
    summary = add_to_store(root, queue, parts[0], n_annotators, min_agreement)
    if not judging.any():
        return summary
    if not (root / JUDGING.pointer).is_file():
        write_json(root / JUDGING.pointer, {"batches": []})
    return f"{summary}; to judge by: {add_to_store(root, queue, parts[1], n_annotators, min_agreement, JUDGING)}"


def add_to_store(
    root: Path, queue: Queue, fetched: Fetched, n_annotators: int, min_agreement: float, place: Place = TRAINING
) -> str:
    """Add the answers and decisions that the store lacks; returns a summary of what was added and is still open.

    Batches are written and given to DVC first, and named by the pointer last: killed in between, the store is as it
    was, and the next pull does the same again.
    """
    import pandas as pd

    from ratchet.labels.annotations import gone_answers, new_answers, same_people
    from ratchet.labels.annotators import key_fingerprint
    from ratchet.labels.remarks import ANNOTATIONS
    from ratchet.labels.resolution import current_decisions, new_decisions, resolve
    from ratchet.labels.store import append, read_store, write_batch
    from ratchet.tables import HUMAN_LABELS

    store = read_store(root / place.pointer, root / place.store)
    annotations = same_people(fetched.annotations, store.annotations)
    fresh = new_answers(annotations, store.annotations)
    everything = pd.concat([part for part in (store.annotations, fresh) if len(part)] or [fresh], ignore_index=True)
    decisions = new_decisions(resolve(everything, n_annotators, min_agreement), store.decisions)
    written = [
        write_batch(root / place.store, fresh, ANNOTATIONS),
        write_batch(root / place.store, decisions, HUMAN_LABELS),
    ]
    batches = [batch for batch in written if batch is not None]
    if batches:
        steps.track(root, place.store)
        for batch in batches:
            details = {"direction": "pull", "table": batch.table, "n_rows": batch.n_rows, "sha256": batch.sha256}
            record(root, "label_batch", batch.file, details)
    append(root / place.pointer, batches, key_fingerprint(os.environ.get(KEY, "")))
    held = current_decisions(pd.concat([part for part in (store.decisions, decisions) if len(part)] or [decisions]))
    gone = gone_answers(annotations, store.annotations, fetched.origins)
    notes = [*fetched.notes, *(f"{n} answers are gone from {place} and still count" for place, n in gone.items())]
    added = f"{len(fresh)} new answers, {len(decisions)} new decisions"
    return "; ".join([f"{added}; {_standing(root, queue, everything, held)}", *notes])


def _standing(root: Path, queue: Queue, annotations: pd.DataFrame, held: pd.DataFrame) -> str:
    """How many labels there are, what people still have to answer, and how much they agree."""
    from ratchet.labels.agreement import agreement
    from ratchet.labels.resolution import missing_answers

    states = held["state"].value_counts()
    labels = list(dict.fromkeys([*steps.class_labels(root), *annotations["label"].dropna()]))
    alpha = agreement(annotations, labels, 0)["krippendorff_alpha"] if len(annotations) else None
    kappa = "" if alpha is None or alpha["value"] != alpha["value"] else f", Krippendorff's alpha {alpha['value']:.2f}"
    unusable = f", {states['unusable']} closed as unusable" if "unusable" in states else ""
    missing = missing_answers(queue.items(), annotations, held)
    return f"in all {states.get('resolved', 0)} labels{unusable}, {missing}{kappa}"


def _pool_items(root: Path) -> dict[str, Item]:
    """Items of the training split by id: texts that an answer may name by id alone."""
    from ratchet.labels.annotations import Item
    from ratchet.table_files import read_table
    from ratchet.tables import SPLIT

    train = read_table(root / SPLITS / "train.parquet", SPLIT, ["id", "text", "source"])
    items = (Item(str(row.id), str(row.text), str(row.source)) for row in train.itertuples(index=False))
    return {item.id: item for item in items}
