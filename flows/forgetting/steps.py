"""Forgetting: what is meant, where it lies, and its removal, step by step; each step may be repeated.

A journal holds what is being removed until all of it is done: killed midway, the same command carries on, although the
tables that said which texts an id stands for are gone already.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.forgetting import services
from flows.forgetting.history import find_in_history
from flows.forgetting.kinds import collect, erase, kind_of
from flows.forgetting.matching import Forgotten
from flows.forgetting.objects import delete, find_objects, without_entries
from flows.forgetting.places import JOURNAL, Layout, Place, files, find, read_layout
from flows.labelling import steps as labelling
from ratchet.data.cleaning import text_id
from ratchet.data.forgotten import TOMBSTONES, add_tombstones, read_tombstones
from ratchet.errors import PipelineError
from ratchet.files import read_json, replace_file, sha256_json
from ratchet.registry.audit_entry import Scalar

TRAINED_ON = ({"query_strategy", "round"},)
"""Columns by which a table of training texts is told."""
LOGIT = "logit_"


@dataclass
class Request:
    """What is to be forgotten, as the journal holds it."""

    ids: list[str]
    texts: list[str]
    bundles: list[str] = field(default_factory=list)
    """Bundles that learned from one of them."""
    key: str = ""
    """Name of this removal in the audit log."""
    objects: list[str] = field(default_factory=list)
    """Hashes of DVC's objects that it deletes."""

    @property
    def what(self) -> Forgotten:
        """The texts, for comparison."""
        return Forgotten({*self.ids}, {*self.texts})


def resolve(layout: Layout, ids: Sequence[str], pattern: str = "") -> Request:
    """The texts meant: by their ids, before or after masking, or by a regular expression; in all of their forms.

    Raises:
        PipelineError: nothing is known of an id, or the pattern is none.
    """
    try:
        wanted = re.compile(pattern) if pattern else None
    except re.error as error:
        raise PipelineError("The pattern is no regular expression.", where="--matching", got=error) from None
    found, texts, n_before = {*ids}, set[str](), -1
    while n_before < len(found) + len(texts):  # until no row adds a form of a known text
        n_before, what = len(found) + len(texts), Forgotten(found, texts)
        for row in _rows(layout):
            values = [row[name] for name in ("text", "raw") if name in row]
            names = {row[name] for name in ("id", "unmasked_id") if name in row}
            # what quotes a text whole is one of its forms
            named = names & found or any(map(what.in_value, values))
            if named or (wanted and any(wanted.search(value) for value in values)):
                texts |= {*values}
                found |= names | {*map(text_id, values)}
    known = {text_id(text) for text in texts}
    unknown = [name for name in ids if name not in known and not _is_known(layout, name)]
    if unknown or not found:
        raise PipelineError(
            "There is no such text.",
            got=", ".join(unknown[:10]) or pattern,
            expected="an id of 16 hexadecimal digits, before or after masking, or a pattern that some text matches",
            fix="look the id up in data/corpus.parquet",
        )
    return Request(sorted(found), sorted(texts), _bundles(layout, Forgotten(found, texts)), secrets.token_hex(8))


def unfinished(root: Path) -> Request | None:
    """The removal that was begun here and not ended."""
    path = root / JOURNAL
    return Request(**read_json(path)) if path.is_file() else None


def survey(layout: Layout, request: Request) -> list[Place]:
    """Every place that holds one of the texts, and what becomes of it."""
    what = request.what
    places = find(layout, what)
    for name, folder in _stores(layout).items():
        found = find_objects(layout.root, folder, what)
        if n := len(found.objects):
            places.append(Place(name, "objects of DVC", n, "delete"))
        if n := len(found.runs):
            places.append(Place(f"{name}, runs", "run cache", n, "delete"))
        if n := len(found.source):
            why = "take it out of the source, `dvc add` that, and `dvc gc --workspace`"
            places.append(Place(f"{name}, of the source", "objects of DVC", n, "report", why))
    for name, address in layout.remotes.items():
        if f"remote {name}" not in _stores(layout):
            why = f"it is not searched: dvc gc --cloud --remote {name} --workspace, after the next run and push"
            places.append(Place(f"remote {name}, {address}", "remote", 1, "report", why))
    return [*places, *services.find(layout, what), *find_in_history(layout.root, what)]


def carry_out(layout: Layout, request: Request) -> list[str]:
    """Remove the texts everywhere that Ratchet writes; returns what was done, a line each.

    The order: a journal and the tombstones first, so that nothing comes back; what people said; the prediction log,
    with the feedback on its rows, and the tasks of Label Studio; files; DVC's objects; and last the audit log.
    """
    from flows.runner.audit import record
    from ratchet.registry.audit_log import entries, log_path

    root, what, done = layout.root, request.what, []
    _write_journal(root, request)
    done.append(f"{add_tombstones(root / TOMBSTONES, request.ids)} hashes into {TOMBSTONES}")
    done += [*_erase_labels(root, what), *services.erase(layout, what)]
    n_files = 0
    for place in find(layout, what):
        if place.action != "report":
            if place.action == "delete":
                (root / place.where).unlink()
            else:
                erase(root / place.where, what)
            n_files += 1
    done.append(f"{n_files} files rewritten or deleted")
    found = [find_objects(root, folder, what) for folder in _stores(layout).values()]
    request.objects = sorted({*request.objects, *(name for part in found for name in part.objects)})
    _write_journal(root, request)
    for part in found:
        delete(part)
    stages = without_entries(root / "dvc.lock", {*request.objects})
    n_objects, n_runs = sum(len(part.objects) for part in found), sum(len(part.runs) for part in found)
    done.append(f"{n_objects} objects of DVC and {n_runs} entries of the run cache deleted")
    if stages:
        done.append(f"dvc.lock no longer says that these stages ran: {', '.join(stages)}")
    subject = f"texts@{request.key}"
    if not any(entry.action == "forget" and entry.subject == subject for entry in entries(log_path(root))):
        details: dict[str, Scalar] = {
            "n_texts": len(request.texts),
            "n_files": n_files,
            "n_objects": len(request.objects),
            "n_runs": n_runs,
            "n_bundles": len(request.bundles),
            "tombstones": sha256_json(request.ids),
        }
        record(root, "forget", subject, details)
    (root / JOURNAL).unlink()
    return done


def _rows(layout: Layout) -> Iterator[dict[str, str]]:
    """The rows of every table, queue and database that hold texts: of the workspace, the cache and folder remotes."""
    for path, _ in files(layout):
        with contextlib.suppress(FileNotFoundError):
            yield from collect(path)
    for folder in _stores(layout).values():
        for path in _objects(folder):
            if kind_of(path) == "parquet":
                yield from collect(path)
    for text in services.log_texts(layout):
        yield {"id": text_id(text), "text": text}


def _objects(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and "runs" not in path.parts)


def _stores(layout: Layout) -> dict[str, Path]:
    """The cache and the remotes that are folders of this machine."""
    found = {"cache": layout.cache}
    for name, url in layout.remotes.items():
        if "://" not in url and (folder := Path(url)).is_dir():
            found[f"remote {name}"] = folder
    return {name: folder for name, folder in found.items() if folder.is_dir()}


def _is_known(layout: Layout, name: str) -> bool:
    """Whether an id is one of a text that is known by its hash alone: it is forgotten already."""
    return name in read_tombstones(layout.root / TOMBSTONES)


def _bundles(layout: Layout, what: Forgotten) -> list[str]:
    """Bundles to train again: all that there are, where a table of training texts holds one of the texts."""
    from ratchet.models.discovery import CHAMPION, MARK, MODELS, discover

    paths = [path for path, _ in files(layout)]
    for folder in _stores(layout).values():
        paths += _objects(folder)
    if not any(_is_training_table(path) and _holds(path, what) for path in paths):
        return []
    folder = layout.root / MODELS
    released = [name for name in (CHAMPION, MARK) if (folder / name).is_dir()]
    return [*discover(folder), *released]


def _is_training_table(path: Path) -> bool:
    import pyarrow.parquet

    try:
        if kind_of(path) != "parquet":
            return False
        names = {*pyarrow.parquet.read_schema(path).names}
    except OSError:
        return False
    return any(columns <= names for columns in TRAINED_ON) or any(name.startswith(LOGIT) for name in names)


def _holds(path: Path, what: Forgotten) -> bool:
    from flows.forgetting.kinds import count

    return count(path, what) > 0


def _write_journal(root: Path, request: Request) -> None:
    """Write the journal, which holds the texts, for its owner alone."""
    path = root / JOURNAL
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as partial:
        partial.touch(0o600)
        partial.write_text(json.dumps(vars(request)), encoding="utf-8")


def _erase_labels(root: Path, what: Forgotten) -> list[str]:
    """Rewrite the label stores, that of training and that which judges, and have DVC track what is left."""
    from ratchet.labels.erasure import erase_rows

    def is_about(frame: Any) -> list[bool]:
        pairs = zip(frame["id"], frame["text"], strict=True)
        return [str(name) in what.ids or what.in_value(str(text)) for name, text in pairs]

    done = []
    for pointer, store in (labelling.TRAINING, labelling.JUDGING):
        if not (root / pointer).is_file() or not (root / store).is_dir():
            continue
        n_rows = erase_rows(root / pointer, root / store, is_about, what.in_value)
        if (root / f"{store}.dvc").is_file():
            labelling.track(root, store)
        done.append(f"{n_rows} rows out of the label store; commit {pointer} and {store}.dvc")
    return done


def open_layout(root: Path, scores: Sequence[Path] = ()) -> Layout:
    """The layout of the workspace, held until this process ends; `scores`: folders of `ratchet score` elsewhere.

    Raises:
        PipelineError: another run, or DVC, is at work in it.
    """
    from flows.runner import workspace

    workspace.claim(root)
    if others := workspace.dvc_processes(root):
        raise PipelineError("DVC is at work in this workspace.", got=f"process {others[0]}", fix="wait for it")
    return read_layout(root, scores)
