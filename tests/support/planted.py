"""A workspace in which one person's text lies everywhere it can go, and a search that knows nothing of `forget`."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow.parquet

from flows.labelling import steps as labelling
from pipeline_steps import ingest
from ratchet.data.cleaning import text_id
from ratchet.files import write_json
from ratchet.labels.annotations import Answer, Item, annotation_table
from ratchet.labels.queues import FileQueue, write_items
from ratchet.labels.store import append, write_batch
from ratchet.prediction_log.compaction import compact
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.writer import LogWriter
from ratchet.scoring.shards import RECORD, write_shard
from ratchet.table_files import write_table
from ratchet.tables import ANNOTATIONS, LABELED, empty_table
from tests.pipeline_steps.test_ingest import VALUES
from tests.support.live_rows import prediction, thumb
from tests.support.miniature import environment
from tests.support.params import params_tree

RAW = 'Zyxomma Quillfeather said: "it&#39;s 5 &amp; dreadful",<br />and she lives in Upper Kettle Lane.'
CLEAN = 'Zyxomma Quillfeather said: "it\'s 5 & dreadful", and she lives in Upper Kettle Lane.'
OTHERS = [
    f"Number {n} is an honest film about {word}." for n, word in enumerate(["ants", "bees", "cats", "dogs", "eels"])
]
MARKS = ("Quillfeather", "UpperKettle")
KEY = text_id(CLEAN)
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
STAGE = """
import html, json, sys
from pathlib import Path
import pandas as pd
texts = pd.read_parquet("data/corpus.parquet")["text"]
words = ["".join(f"<span>{html.escape(word)}</span> " for word in text.split()) for text in texts]
Path("reports/page.html").write_text("<p>" + "</p><p>".join(words))
Path("reports/page.json").write_text(json.dumps({"shown": [text[:40] + "…" for text in texts]}))
"""
PIPELINE = """stages:
  ingest:
    cmd: python -m pipeline_steps.ingest
    params: [ingest]
    deps: [own, data/forgotten.json]
    outs: [data/corpus.parquet, data/raw.parquet, data/bad_rows.parquet]
    plots: [reports/ingest.json: {cache: false}]
  page:
    cmd: python page.py
    deps: [data/corpus.parquet]
    outs: [reports/page.html]
    plots: [reports/page.json: {cache: false}]
"""
IGNORED = "/.scratch/\n/.prefect/\n/.ratchet/\n/reports/monitor/\n/data/label_queue/\n/data/labels\n/data/*.parquet\n"


def plant(base: Path) -> Path:
    """The workspace, in `base`/work, which must be the working directory; its remote is `base`/remote."""
    root = base / "work"
    for folder in ("own", "data", "reports", ".scratch/logs", ".prefect"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _task(root)
    _run(root, "git", "init", "--quiet")
    (base / "remote").mkdir()
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {base}/remote\n")
    (root / ".dvc/.gitignore").write_text("/cache\n/tmp\n")
    _write_source(root, [RAW, *OTHERS[:3]])
    _dvc(root, "repro", "--quiet")
    _write_source(root, [RAW, *OTHERS])
    _dvc(root, "repro", "--quiet")
    _labels(root)
    _dvc(root, "push", "--quiet", "--run-cache")
    _files(root)
    _production(root)
    for scores in (root / ".scratch/scores", base / "scores"):
        _scores(scores)
    (root / "notes.md").write_text(f"> {CLEAN}\n")
    _run(root, "git", "add", ".")
    _run(root, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
    (root / "notes.md").write_text("nothing\n")
    return root


def found_in(*folders: Path) -> set[str]:
    """Paths below the folders, Git and the source aside, that hold a mark of the text in any form."""
    hits = set()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and not name.startswith((".git/", "own/")) and _has_mark(path):
                hits.add(name)
    return hits


def _has_mark(path: Path) -> bool:
    return any(
        mark in "".join(content.split()) for content in _contents(path) for mark in (m.replace(" ", "") for m in MARKS)
    )


def _contents(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    for code in ("utf-8", "utf-16-le", "utf-16-be"):
        text = data.decode(code, "ignore")
        yield text
        yield text.replace("</span>", "").replace("<span>", "")
    if data.startswith(b"PAR1"):
        yield str(pyarrow.parquet.read_table(path).to_pylist())
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name).decode("utf-8", "ignore") for name in archive.namelist())
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data).decode("utf-8", "ignore")


def _task(root: Path) -> None:
    (root / "page.py").write_text(STAGE)
    (root / "dvc.yaml").write_text(PIPELINE)
    values = {**VALUES, "metadata_columns": []}
    (root / "params.yaml").write_text(json.dumps(params_tree(ingest.Params, "ingest", values)))
    write_json(root / "data/forgotten.json", {"texts": []})
    live = {"log": {"url": "sqlite:///.scratch/live/log.db", "folder": ".scratch/live/log"}}
    (root / "live.yaml").write_text(json.dumps(live))
    (root / ".gitignore").write_text(IGNORED)


def _write_source(root: Path, texts: list[str]) -> None:
    frame = pd.DataFrame({"review": texts, "stars": (["1", "5"] * 3)[: len(texts)]})
    frame.to_csv(root / "own/a.csv", index=False)


def _item() -> Item:
    return Item(KEY, CLEAN, "shop", "margin 0.03", query_strategy="margin")


def _labels(root: Path) -> None:
    """Answers in the store, a queue with filled sheets, an outbox, and a table that a model learned from."""
    other = Item(text_id(OTHERS[0]), OTHERS[0], "shop")
    answers = [Answer(item, "bad", name, NOW.isoformat()) for item in (_item(), other) for name in ("ann", "bob")]
    tables = [
        annotation_table(answers, "annotator", "k", ["bad", "good"]),
        annotation_table(answers[:1], "adjudicator", "k", ["bad", "good"]),
    ]
    batches = [write_batch(root / labelling.STORE, table, ANNOTATIONS) for table in tables]
    write_json(root / labelling.POINTER, {"batches": []})
    append(root / labelling.POINTER, [batch for batch in batches if batch], "0" * 16)
    _dvc(root, "add", "--quiet", labelling.STORE.as_posix())
    FileQueue(root / labelling.QUEUE).send([_item(), other])
    FileQueue(root / labelling.CONFLICTS).send([_item()])
    write_items(root / labelling.OUTBOX, [_item()])
    sheet = next((root / labelling.QUEUE).glob("*.csv"))
    (sheet.parent / "ann.csv").write_bytes(sheet.read_text(encoding="utf-8-sig").replace(",", ";").encode("utf-16"))
    book = openpyxl.Workbook()
    for row in (["id", "text", "label"], [KEY, CLEAN, "bad"], [other.id, other.text, "good"]):
        book.active.append(row)
    book.save(sheet.parent / "bob.xlsx")
    labeled = (
        empty_table(LABELED)
        .reindex([0])
        .assign(id=KEY, text=CLEAN, label="bad", source="shop", round=0, query_strategy="given")
    )
    write_table(root / labelling.LABELED, labeled.astype({"round": "int64"}), LABELED)
    (root / "models/teacher").mkdir(parents=True)
    write_json(root / "models/teacher/bundle.json", {"name": "teacher"})


def _files(root: Path) -> None:
    """Logs, a request for labels, a database of logs like Prefect's."""
    (root / ".scratch/logs/page.log").write_text(f"12:00 started\n12:01 bad row: {json.dumps(CLEAN)}\n12:02 ended\n")
    (root / ".scratch/logs/old.log.gz").write_bytes(gzip.compress(RAW.encode()))
    (root / "reports/monitor").mkdir()
    write_json(root / "reports/monitor/retraining.json", {"key": "w1", "ids": [KEY, "0" * 16], "texts": [CLEAN, "x"]})
    with sqlite3.connect(root / ".prefect/prefect.db") as database:
        database.execute("CREATE TABLE log (id TEXT, message TEXT)")
        database.executemany("INSERT INTO log VALUES (?, ?)", [("a", f"Task failed: {CLEAN!r}"), ("b", "Task ended")])
    database.close()


def _production(root: Path) -> None:
    """The prediction log: rows of an hour that is past, compacted, and of one that is not."""
    engine = open_database(f"sqlite:///{root}/.scratch/live/log.db")
    for moment in (NOW.replace(hour=9), NOW):
        writer = LogWriter(engine, 100, 20, 1000)
        rows = [
            prediction(f"r{moment.hour}", moment, text=CLEAN),
            prediction(f"s{moment.hour}", moment, text=OTHERS[0]),
        ]
        writer.add("predictions", rows)
        writer.add("feedback", [thumb(row["request_id"], moment) for row in rows])
        writer.close(30)
        if moment != NOW:
            compact(engine, root / ".scratch/live/log", NOW.replace(hour=11), 90)
    engine.dispose()


def _scores(folder: Path) -> None:
    """What `ratchet score` leaves: a shard, and the words behind a text; its id is in both, no text."""
    ids = [KEY, text_id(OTHERS[0])]
    write_json(folder / RECORD, {"is_complete": True})
    write_shard(
        folder / "scores-000000.parquet", pd.DataFrame({"row": [0, 1], "id": ids, "label": "bad"}), {"first": 0}
    )
    words = pd.DataFrame({"id": [KEY, KEY, ids[1]], "word": ["Quillfeather", "dreadful", "ants"]})
    write_shard(folder / "words-000000.parquet", words, {"first": 0})


def _dvc(root: Path, *arguments: str) -> None:
    _run(root, sys.executable, "-m", "dvc", *arguments)


def _run(root: Path, *command: str) -> Any:
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done
