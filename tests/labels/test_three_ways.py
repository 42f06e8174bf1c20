"""Two people who label through a sheet, Label Studio and `--answers` at once: nothing lost, nobody counted twice."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pandas as pd
import pytest

from flows.labelling import collecting
from flows.labelling import steps as labelling
from pipeline_steps import baseline
from ratchet.data.cleaning import text_id
from ratchet.files import write_json
from ratchet.labels.annotations import Item
from ratchet.labels.label_studio import LabelStudioQueue
from ratchet.labels.queues import FileQueue, JoinedQueue
from ratchet.labels.store import read_store
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from tests.labels.test_label_studio import TOKEN, Server
from tests.support.params import CLEANING, params_tree
from tests.support.tiny import ACCURACY

TEXTS = [f"This is the text of number {n}." for n in range(6)]
IDS = [text_id(text) for text in TEXTS]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(labelling.KEY, "a key for tests")
    monkeypatch.setattr(labelling, "track", lambda root, store=labelling.STORE: None)
    frame = pd.DataFrame({"row": range(6), "id": IDS, "text": TEXTS, "source": "s", "group": IDS})
    frame["label"] = pd.Series(["negative", "positive"] * 3, dtype="str")
    for name in ("train", "validation"):
        write_table(Path(f"data/splits/{name}.parquet"), frame, SPLIT)
    Path("params.yaml").write_text(json.dumps(params_tree(baseline.Params, "baseline", {**ACCURACY, **CLEANING})))
    write_json(Path(labelling.POINTER), {"batches": []})
    return tmp_path


def _annotate(server: Server, key: str, who: str, label: str, minute: int) -> None:
    """An annotation on the server, as its export has it."""
    (task,) = [task for task in server.tasks if task["data"]["id"] == key]
    choice = {"from_name": "label", "value": {"choices": [label]}}
    annotation = {"id": minute, "completed_by": {"id": 1, "email": who}, "result": [choice], "lead_time": 4.0}
    task["annotations"].append({**annotation, "was_cancelled": False, "updated_at": f"2026-01-01T12:{minute:02}:00Z"})


def _sheet(path: Path, rows: list[tuple[str, str, str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["id", "label", "annotator", "annotated_at"])
    frame.to_csv(path, index=False, sep=";", encoding="utf-16")


def test_nothing_is_lost_and_nobody_counts_twice(root: Path) -> None:
    server = Server()
    studio = LabelStudioQueue("http://a", TOKEN, "Ratchet", ["negative", "positive"], 2, httpx.MockTransport(server))
    folder = FileQueue(root / labelling.QUEUE)
    folder.send([Item(IDS[0], TEXTS[0], "s"), Item(IDS[1], TEXTS[1], "s")])
    queue, conflicts = JoinedQueue(studio, folder), FileQueue(root / labelling.CONFLICTS)
    queue.send([Item(key, text, "s") for key, text in zip(IDS[2:5], TEXTS[2:5], strict=True)])
    anna, ben = "anna@example.org", "ben@example.org"
    sheet = [
        (IDS[0], "positive", anna, ""),
        (IDS[1], "negative", " ANNA@example.org ", ""),
        (IDS[1], "negative", ben, ""),
    ]
    _sheet(root / labelling.QUEUE / "filled.csv", sheet)
    _sheet(root / labelling.QUEUE / "filled (1).csv", sheet)  # saved twice
    _annotate(server, IDS[2], anna, "positive", 1)
    _annotate(server, IDS[2], ben, "negative", 2)
    _annotate(server, IDS[3], anna, "negative", 3)
    answers = [(IDS[0], "positive", ben, ""), (IDS[3], "negative", ben, ""), (IDS[5], "positive", anna, "")]
    answers += [(IDS[2], "negative", "Anna@Example.org", "2026-01-01T12:30:00Z")]  # anna changed her mind elsewhere
    _sheet(root / "mine.csv", answers)
    for _ in range(2):  # pulled twice is once
        fetched = collecting.fetch(root, queue, conflicts, str(root / "mine.csv"))
        collecting.add_to_store(root, queue, fetched, 2, 0.6)
    store = read_store(root / labelling.POINTER, root / labelling.STORE)
    held = store.decisions.drop_duplicates("id", keep="last").set_index("id")
    assert held["label"].to_dict() == {IDS[0]: "positive", IDS[1]: "negative", IDS[2]: "negative", IDS[3]: "negative"}
    assert (held["n_annotators"] == 2).all()
    assert (held["rule"] == "unanimous").all()
    assert store.annotations["annotator"].nunique() == 2
    assert {*store.annotations["id"]} == {*IDS[:4], IDS[5]}
