"""The steps of the labelling loop on the repository's files. Each may be repeated, or killed before the next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flows.runner.audit import record
from flows.runner.environment import stage_environment
from ratchet.errors import PipelineError
from ratchet.files import sha256_file, sha256_json, write_json

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.labels.annotations import Answer, Item, Role
    from ratchet.labels.class_changes import Change
    from ratchet.labels.queues import Queue

POINTER, STORE = Path("data/labels.json"), Path("data/labels")
JUDGING_POINTER, JUDGING_STORE = Path("data/judging_labels.json"), Path("data/judging_labels")
QUEUE, CONFLICTS = Path("data/label_queue"), Path("data/label_queue/conflicts")
SUSPECTS = Path("data/suspects.parquet")
OUTBOX = Path(".scratch/labels/outbox.jsonl")
SPLITS, LABELED = Path("data/splits"), Path("data/labeled.parquet")
EMBEDDINGS = Path("data/embeddings.parquet")
PROJECT, CONFLICT_PROJECT = "Ratchet", "Ratchet: conflicts"
URL, TOKEN, KEY = "LABEL_STUDIO_URL", "LABEL_STUDIO_TOKEN", "RATCHET_PSEUDONYM_KEY"


class Place(NamedTuple):
    """A label store: its pointer, and the folder of its batches."""

    pointer: Path
    store: Path


TRAINING = Place(POINTER, STORE)
"""Labels that may be trained on."""
JUDGING = Place(JUDGING_POINTER, JUDGING_STORE)
"""Labels of the random sample of production: they judge, and no stage reads them to train."""


def open_queue(root: Path, n_annotators: int, conflicts: bool = False) -> Queue:
    """The annotators' queue, or the adjudicator's queue of conflicts: on the server, if one is named.

    Sheets in the folder are read then, too.

    Raises:
        PipelineError: a server is named, but no token.
    """
    from ratchet.labels.label_studio import LabelStudioQueue
    from ratchet.labels.queues import FileQueue, JoinedQueue

    if not (url := os.environ.get(URL, "")):
        return FileQueue(root / (CONFLICTS if conflicts else QUEUE))
    if not (token := os.environ.get(TOKEN, "")):
        raise PipelineError("There is no access token for Label Studio.", where=url, fix=f"export {TOKEN}=...")
    title = CONFLICT_PROJECT if conflicts else PROJECT
    server = LabelStudioQueue(url, token, title, present_labels(root), n_annotators)
    folder = root / (CONFLICTS if conflicts else QUEUE)
    return JoinedQueue(server, FileQueue(folder)) if folder.is_dir() else server


def class_labels(root: Path) -> list[str]:
    """The class names, from the validation split."""
    from ratchet.models.examples import class_names
    from ratchet.table_files import read_table
    from ratchet.tables import SPLIT

    return class_names(read_table(root / SPLITS / "validation.parquet", SPLIT, ["label"]))


def present_labels(root: Path) -> list[str]:
    """The classes that answers may name: those of the data and of the changes, without those that are no more."""
    from ratchet.labels.store import read_changes

    there = dict.fromkeys(class_labels(root))
    for change in read_changes(root / POINTER):
        there = {name: None for name in there if name not in change.old} | dict.fromkeys(change.new)
    return list(there)


def change_classes(root: Path, change: Change, old: Sequence[str], new: Sequence[str]) -> str:
    """Rename, merge, split or drop classes of people's labels; returns what it changed.

    The change is logged, then added to the pointer; the texts of a split class go into the outbox, for the next push.

    Raises:
        TableError: the change cannot be meant.
        PipelineError: texts that were chosen before have not been sent.
    """
    from ratchet.labels.annotations import Item
    from ratchet.labels.class_changes import checked_change
    from ratchet.labels.queues import AGAIN, write_items
    from ratchet.labels.store import add_change, read_pointer, read_store

    store = read_store(root / POINTER, root / STORE)
    said = {str(name) for table in store for name in table["label"].dropna()}
    known = {*present_labels(root), *said}
    made = checked_change(change, old, new, known, len(read_pointer(root / POINTER)))
    if change == "split" and (root / OUTBOX).is_file():
        raise PipelineError("Chosen texts have not been sent.", where=OUTBOX, fix="ratchet labels push, then again")
    hit = store.annotations[store.annotations["label"].isin(old)].drop_duplicates("id")
    n_decisions = int(store.decisions.drop_duplicates("id", keep="last")["label"].isin(old).sum())
    counts = {"direction": change, "n_texts": len(hit), "n_decisions": n_decisions, "n_batches": made.n_batches}
    record(root, "label_batch", sha256_json([change, *old, *new])[:16], counts, f"{', '.join(old)} to {', '.join(new)}")
    if change == "split":
        reason = f"labelled {old[0]}, which is now {' or '.join(new)}"
        rows = hit.itertuples(index=False)
        again = [
            Item(str(row.id), str(row.text), str(row.source), reason, query_strategy=f"{AGAIN}{old[0]}") for row in rows
        ]
        write_items(root / OUTBOX, again)
    add_change(root / POINTER, made)
    return f"{change}: {len(hit)} texts with answers, {n_decisions} labels"


def send_outbox(root: Path, queue: Queue) -> int:
    """Send the outbox: texts chosen and not yet confirmed as sent; returns how many were new to the queue."""
    from ratchet.labels.queues import is_sent, read_items

    path = root / OUTBOX
    if not path.is_file():
        return 0
    items = read_items(path)
    before = queue.items()
    queue.send(items)
    n_new = sum(not is_sent(item, before) for item in items)
    if items:
        counts = {"n_texts": len(items), "n_new": n_new}
        chosen_by = {"direction": "push", "query_strategy": items[0].query_strategy, "bundle": items[0].bundle}
        # before the outbox goes: killed in between, the batch is logged twice rather than not at all
        record(root, "label_batch", f"{path.stem}@{sha256_file(path)}", {**counts, **chosen_by})
    path.unlink()
    return n_new


def count_open(root: Path, queue: Queue, n_annotators: int) -> int:
    """Number of open texts in the queue: undecided, answered or skipped by fewer than `n_annotators` people."""
    from ratchet.labels.annotations import as_classes
    from ratchet.labels.annotators import canonical_name
    from ratchet.labels.store import read_changes, read_store

    people: dict[str, set[str]] = defaultdict(set)
    changes = read_changes(root / POINTER)
    for answer in as_classes(queue.answers(), present_labels(root), changes).answers:
        people[answer.item.id].add(canonical_name(answer.annotator))
    decided = set(read_store(root / POINTER, root / STORE).decisions["id"])
    return sum(name not in decided and len(people[name]) < n_annotators for name in queue.items())


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
    from ratchet.labels.resolution import current_decisions, new_decisions, resolve
    from ratchet.labels.store import append, read_store, write_batch
    from ratchet.tables import ANNOTATIONS, HUMAN_LABELS

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
        track(root, place.store)
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
    labels = list(dict.fromkeys([*class_labels(root), *annotations["label"].dropna()]))
    alpha = agreement(annotations, labels, 0)["krippendorff_alpha"] if len(annotations) else None
    kappa = "" if alpha is None or alpha["value"] != alpha["value"] else f", Krippendorff's alpha {alpha['value']:.2f}"
    unusable = f", {states['unusable']} closed as unusable" if "unusable" in states else ""
    missing = missing_answers(queue.items(), annotations, held)
    return f"in all {states.get('resolved', 0)} labels{unusable}, {missing}{kappa}"


def track(root: Path, store: Path = STORE) -> None:
    """Have DVC track a store's folder, so that `dvc push` and `dvc checkout` know its batches.

    Raises:
        PipelineError: DVC refuses.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "add", "--quiet", store.as_posix()]
    done = subprocess.run(command, cwd=root, env=stage_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(
            "DVC cannot track the label store.",
            where=root / store,
            got=done.stderr.strip()[-500:],
            fix="nothing was lost: pull again when this is corrected",
        )


def escalate(root: Path, conflicts: Queue) -> int:
    """Send every open conflict to the adjudicator's queue; returns their number."""
    from ratchet.labels import resolution
    from ratchet.labels.store import read_store

    store = read_store(root / POINTER, root / STORE)
    items = resolution.conflicts(store.decisions, store.annotations)
    conflicts.send(items)
    return len(items)


def _pool_items(root: Path) -> dict[str, Item]:
    """Items of the training split by id: texts that an answer may name by id alone."""
    from ratchet.labels.annotations import Item
    from ratchet.table_files import read_table
    from ratchet.tables import SPLIT

    train = read_table(root / SPLITS / "train.parquet", SPLIT, ["id", "text", "source"])
    items = (Item(str(row.id), str(row.text), str(row.source)) for row in train.itertuples(index=False))
    return {item.id: item for item in items}
