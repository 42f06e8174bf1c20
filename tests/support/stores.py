"""Ratchet's stores as the fault-injecting layer takes them: what lies there, a piece of work, what is read back."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from flows.forgetting.objects import without_entries
from flows.monitoring.steps import replace_text
from flows.retraining import steps as retraining
from flows.runner import openings
from ratchet.data.forgotten import add_tombstones, read_tombstones
from ratchet.experiments.assignment import Experiment, read_experiment, write_experiment
from ratchet.files import read_json, replace_folder, write_json
from ratchet.labels import store
from ratchet.labels.annotations import Item
from ratchet.labels.class_changes import ClassChange
from ratchet.labels.erasure import erase_rows
from ratchet.labels.queues import FileQueue, read_items, write_items
from ratchet.measure.report_files import write_report
from ratchet.models.bundle import read_manifest, write_bundle
from ratchet.prediction_log.compaction import compact_database
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.tables import PREDICTIONS, read_log
from ratchet.registry import audit_log
from ratchet.reporting.marked_block import write_block
from ratchet.serving import auth
from ratchet.table_files import TableWriter, read_table
from ratchet.tables import ANNOTATIONS, CORPUS
from tests.support.answers import stored_answers
from tests.support.bundles import manifest
from tests.support.faults import FAULTS, Fault, Tally, Writer, inject
from tests.support.live_rows import prediction

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POINTER, FOLDER = "data/labels.json", "data/labels"
ANNA = stored_answers([("t", "anna", "yes")])["annotator"][0]
ITEMS = [Item(f"{n:016x}", f"text {n}\u2028", "s", "why", query_strategy="margin") for n in range(3)]


def _label_store(root: Path) -> None:
    write_json(root / POINTER, {"batches": []})
    _answers(root, "t")


def _answers(root: Path, name: str) -> None:
    batch = store.write_batch(root / FOLDER, stored_answers([(name, "anna", "yes"), (name, "ben", "no")]), ANNOTATIONS)
    store.append(root / POINTER, [batch] if batch else [], "0" * 16)


def _read_labels(root: Path) -> Any:
    held = store.read_store(root / POINTER, root / FOLDER)
    return held.annotations.to_json(), [change.model_dump() for change in store.read_changes(root / POINTER)]


def _rename(root: Path) -> None:
    if not store.read_changes(root / POINTER):
        store.add_change(root / POINTER, ClassChange(change="rename", old=["yes"], new=["good"], n_batches=1))


def _erase(root: Path) -> None:
    def is_about(frame: pd.DataFrame) -> list[bool]:
        return [name == ANNA for name in frame["annotator"]]

    erase_rows(root / POINTER, root / FOLDER, is_about, lambda remark: False)


def _table(root: Path, n: int) -> None:
    columns = {"row": range(n), "id": [f"{at:016x}" for at in range(n)], "text": ["t"] * n, "label": ["a"] * n}
    with TableWriter(root / "data/corpus.parquet", CORPUS) as writer:
        for start in (0, n // 2):
            frame = pd.DataFrame({**columns, "source": ["s"] * n})[start : start + n // 2]
            writer.write(frame.astype({"row": "int64"}))


def _shard_folder(root: Path, content: str) -> None:
    with replace_folder(root / "models/challenger") as partial:
        for name in ("a", "b"):
            (partial / name).write_text(content)


def _read_folder(root: Path) -> Any:
    return {path.name: path.read_text() for path in sorted((root / "models/challenger").iterdir())}


def _bundle(root: Path, content: bytes) -> None:
    def save(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(content)

    write_bundle(root / "models/student", manifest("student"), save, ["numpy"])


def _opening_inputs(root: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "text": ["t"]})
    (root / "data/splits").mkdir(parents=True)
    frame.to_parquet(root / openings.TEST)
    write_json(root / openings.SHORTLIST, {"shortlist": []})
    write_json(root / openings.OPENINGS, {"openings": [{"test": "0", "judged": "0", "sketch": []}]})


def _request(root: Path) -> None:
    write_json(root / retraining.REQUEST, {"key": "k", "model_version": "v", "asked_at": NOW.isoformat(), "ids": ["a"]})


def _close(root: Path) -> None:
    if request := retraining.read_request(root):
        retraining.close_request(root, request, NOW)


def _read_request(root: Path) -> Any:
    """Open, closed, or both while it is being closed: then the next call closes it."""
    closed = root / retraining.CLOSED
    return retraining.read_request(root) is None and closed.is_file() and read_json(closed)["key"]


def _experiment(share: float) -> Experiment:
    kept = {"name": "e", "step": "small", "mode": "split", "salt": "x" * 8, "bundle": "b", "manifest_sha256": "0" * 64}
    return Experiment.model_validate({**kept, "share": share})


def _keys(root: Path) -> None:
    auth.add_key(root / "keys.json", "web", ["predict"], 30, 60, NOW)


def _revoke(root: Path) -> None:
    path = root / "keys.json"
    auth.revoke_key(path, auth.read_keys(path)[0].id)


def _log(root: Path) -> None:
    """Two answers of an hour that is past."""
    engine = open_database(f"sqlite:///{root}/log.db")
    with engine.begin() as connection:
        connection.execute(PREDICTIONS.insert(), [prediction(f"r{n}", NOW) for n in range(2)])
    engine.dispose()


def _compact(root: Path) -> None:
    compact_database(f"sqlite:///{root}/log.db", root / "log", NOW + timedelta(days=1), 90)


def _read_predictions(root: Path) -> Any:
    """Every answer once, wherever it lies; and whether the database has been relieved of them."""
    rows = read_log([f"sqlite:///{root}/log.db", root / "log"])["request_id"].to_pylist()
    return sorted(rows), read_log(f"sqlite:///{root}/log.db").num_rows == 0


def _lock(root: Path) -> None:
    md5 = "0" * 32
    stage = "  {}:\n    cmd: x\n    outs:\n    - path: {}\n      hash: md5\n      md5: {}\n      size: 1\n"
    entries = stage.format("a", "a", md5) + stage.format("b", "b", "1" * 32)
    (root / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n{entries}")


def _logged(root: Path, subject: str) -> None:
    audit_log.append(audit_log.log_path(root), who="ann", action="run", subject=subject)


def _read_log(root: Path) -> Any:
    """The subjects, each once, without a torn end: the next writer moves it aside and says so."""
    path = audit_log.log_path(root)
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        whole, _, torn = content.rpartition(b"\n")
        assert torn
        shutil.copy(path, path.with_suffix(".read"))
        copy = path.with_suffix(".read")
        copy.write_bytes(whole + b"\n")
        found = audit_log.entries(copy)
        copy.unlink()
    else:
        found = audit_log.entries(path)
    return list(dict.fromkeys(entry.subject for entry in found if entry.action != "repair"))


def _json_store(name: str, path: str) -> Writer:
    return Writer(
        name,
        lambda root: write_json(root / path, {"a": 1}),
        lambda root: write_json(root / path, {"a": 2, "b": ["x"] * 50}),
        lambda root: read_json(root / path),
    )


def _queue_read(root: Path) -> Any:
    """What was sent; a sheet stands beside each file that says so."""
    folder = root / "data/label_queue"
    assert all(path.with_suffix(".csv").is_file() for path in folder.glob("*.jsonl"))
    assert FileQueue(folder).answers() == []
    return sorted(FileQueue(folder).items())


def _send(root: Path, items: Sequence[Item]) -> None:
    FileQueue(root / "data/label_queue").send(items)


WRITERS: Sequence[Writer] = (
    Writer("label store: answers", _label_store, lambda root: _answers(root, "u"), _read_labels),
    Writer("label store: a class renamed", _label_store, _rename, _read_labels),
    Writer("label store: texts erased", _label_store, _erase, _read_labels),
    Writer("queue of files", lambda root: _send(root, ITEMS[:1]), lambda root: _send(root, ITEMS), _queue_read),
    Writer(
        "outbox",
        lambda root: write_items(root / "outbox.jsonl", ITEMS[:1]),
        lambda root: write_items(root / "outbox.jsonl", ITEMS),
        lambda root: [item.id for item in read_items(root / "outbox.jsonl")],
    ),
    Writer(
        "table (Parquet)",
        lambda root: _table(root, 4),
        lambda root: _table(root, 400),
        lambda root: len(read_table(root / "data/corpus.parquet", CORPUS)),
    ),
    Writer(
        "report",
        lambda root: write_report(root / "reports/a.json", {"a": 1.0}),
        lambda root: write_report(root / "reports/a.json", {"a": 2.0, "measured": {"x": 1}}),
        lambda root: read_json(root / "reports/a.json"),
    ),
    Writer("audit log", lambda root: _logged(root, "one"), lambda root: _logged(root, "two"), _read_log),
    Writer(
        "bundle (folder)",
        lambda root: _bundle(root, b"old"),
        lambda root: _bundle(root, b"new"),
        lambda root: read_manifest(root / "models/student").files,
    ),
    Writer(
        "folder of a release",
        lambda root: _shard_folder(root, "old"),
        lambda root: _shard_folder(root, "new"),
        _read_folder,
    ),
    _json_store("pointer to the champion", "models/champion.json"),
    _json_store("pointer to the high-water mark", "models/high_water_mark.json"),
    _json_store("accepted profile of the data", "data/accepted_profile.json"),
    Writer(
        "experiment of a rollout",
        lambda root: write_experiment(root / "experiment.json", _experiment(0.05)),
        lambda root: write_experiment(root / "experiment.json", _experiment(0.5)),
        lambda root: read_experiment(root / "experiment.json").share,
    ),
    Writer("keys of the server", _keys, _revoke, lambda root: auth.read_keys(root / "keys.json")[0].revoked),
    Writer("prediction log, compacted", _log, _compact, _read_predictions),
    _json_store("state of a rollout", ".scratch/live/rollout.json"),
    _json_store("alerts that were sent", "reports/monitor/sent.json"),
    Writer("request for labels, closed", _request, _close, _read_request),
    Writer(
        "openings of the sealed test",
        _opening_inputs,
        openings.enter_opening,
        lambda root: [item["test"] for item in openings.openings(root)],
    ),
    Writer(
        "tombstones",
        lambda root: add_tombstones(root / "forgotten.json", ["0" * 16]),
        lambda root: add_tombstones(root / "forgotten.json", ["1" * 16]),
        lambda root: sorted(read_tombstones(root / "forgotten.json")),
    ),
    Writer(
        "metrics for Prometheus",
        lambda root: replace_text(root / "metrics.prom", "a 1\n"),
        lambda root: replace_text(root / "metrics.prom", "a 2\n"),
        lambda root: (root / "metrics.prom").read_text(),
    ),
    Writer(
        "dvc.lock, entries taken out",
        _lock,
        lambda root: without_entries(root / "dvc.lock", {"0" * 32}),
        lambda root: (root / "dvc.lock").read_text(),
    ),
)
"""Every store that Ratchet writes, each by a piece of work that can be done again."""


def row(name: str, of: Mapping[Fault, Tally]) -> str:
    """A store's line of the report: faults injected, and the states that were found."""
    found = [sum(tally.old for tally in of.values()), sum(tally.new for tally in of.values())]
    counts = [*(of[fault].injected for fault in FAULTS), *found, sum(len(tally.damaged) for tally in of.values())]
    return f"| {name} | {' | '.join(map(str, counts))} |"


def report(rows: Sequence[str]) -> str:
    """The report on all stores."""
    n = sum(int(cell) for line in rows for cell in line.split("|")[2 : 2 + len(FAULTS)])
    names = ["store", *FAULTS, "old state", "new state", "damaged"]
    head = f"{n} faults, each at another point. `python -m tests.support.stores --into docs/durability.md`."
    return "\n".join([head, "", f"| {' | '.join(names)} |", "|---|" + "---:|" * (len(FAULTS) + 3), *rows])


def main() -> None:
    """Inject every fault into every store, or into those that are named, and write the report into a page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--into", type=Path, required=True, help="the page")
    parser.add_argument("--store", action="append", help="only this one: its line is replaced; repeat")
    given = parser.parse_args()
    before = given.into.read_text(encoding="utf-8").splitlines()
    rows = []
    for writer in WRITERS:
        known = [line for line in before if line.startswith(f"| {writer.name} |")]
        if given.store and writer.name not in given.store:
            rows += known
            continue
        with tempfile.TemporaryDirectory() as folder:
            tallies = inject(writer, Path(folder))
        rows.append(row(writer.name, tallies))
        print(rows[-1], *(line for tally in tallies.values() for line in tally.damaged), sep="\n", flush=True)
    write_block(given.into, "faults", report(rows))


if __name__ == "__main__":
    main()
