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
from ratchet.files import sha256_file, sha256_json

if TYPE_CHECKING:
    from ratchet.labels.class_changes import Change
    from ratchet.labels.guidelines import Guidelines
    from ratchet.labels.queues import Queue

POINTER, STORE = Path("data/labels.json"), Path("data/labels")
JUDGING_POINTER, JUDGING_STORE = Path("data/judging_labels.json"), Path("data/judging_labels")
QUEUE, CONFLICTS = Path("data/label_queue"), Path("data/label_queue/conflicts")
SUSPECTS = Path("data/suspects.parquet")
GUIDELINES = Path("data/guidelines.md")
"""What people keep to, where somebody wrote it down."""
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

    guidelines = present_guidelines(root)
    files = FileQueue(root / (CONFLICTS if conflicts else QUEUE), guidelines)
    if not (url := os.environ.get(URL, "")):
        return files
    if not (token := os.environ.get(TOKEN, "")):
        raise PipelineError("There is no access token for Label Studio.", where=url, fix=f"export {TOKEN}=...")
    title = CONFLICT_PROJECT if conflicts else PROJECT
    server = LabelStudioQueue(url, token, title, present_labels(root), n_annotators, guidelines=guidelines)
    return JoinedQueue(server, files) if (root / (CONFLICTS if conflicts else QUEUE)).is_dir() else server


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


def present_guidelines(root: Path) -> Guidelines:
    """The guidelines; empty ones where nobody wrote any. Only they need the classes, which a run has to have split."""
    from ratchet.labels.guidelines import NONE, read_guidelines

    path = root / GUIDELINES
    return read_guidelines(path, present_labels(root)) if path.is_file() else NONE


def guidelines_note(root: Path) -> str:
    """Which classes the guidelines have no section on; empty where none is missing, or nobody wrote any."""
    guidelines = present_guidelines(root)
    missing = guidelines.without_section(present_labels(root)) if guidelines.text else []
    named = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    return f"; {GUIDELINES} has no section on {named}" if missing else ""


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
