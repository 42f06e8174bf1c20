"""`ratchet init`: what it proposes for a source, what it writes, what it refuses, and that nothing is half written."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.checks import checklist
from flows.checks.project import RECORD
from flows.init import task_state, writing
from flows.init.flow import example_files
from ratchet.__main__ import app
from ratchet.errors import ParamsError, PipelineError, RatchetError, SourceError
from ratchet.params import read_yaml
from tests.support.http_site import served

ROOT = Path(__file__).parents[2]
LINKED = (
    "ratchet",
    "pipeline_steps",
    "flows",
    "dvc.yaml",
    "constraints.txt",
    "data/forgotten.json",
    "reports/bench",
    "examples",
)
TOPICS = {
    "billing": "please refund the invoice that was charged twice to account number",
    "delivery": "the parcel with the order has not arrived at the door since day",
    "login": "i cannot sign in because the password link is not valid for user",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose task is the demo, as a fresh clone has it; the working directory."""
    root = tmp_path / "clone"
    for name in LINKED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(ROOT / name)
    for path, content in example_files(ROOT, "films").items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for item in task_state.STATE:
        if item.becomes:
            (root / item.path).parent.mkdir(parents=True, exist_ok=True)
            (root / item.path).write_text(item.becomes)
    (root / "dvc.lock").write_text("schema: '2.0'\n")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    monkeypatch.chdir(root)
    return root


def rows(n: int = 40) -> list[dict[str, str]]:
    """Tickets of three classes, each text once."""
    return [
        {
            "body": f"{text} {place}",
            "topic": topic,
            "channel": ("mail", "phone")[place % 2],
            "ticket": f"T{place}{topic}",
        }
        for place in range(n)
        for topic, text in TOPICS.items()
    ]


def write_csv(path: Path, table: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "tickets.csv", rows())


def init(*arguments: object) -> str:
    """What the command prints.

    Raises:
        RatchetError: as the command does.
    """
    result = CliRunner().invoke(app, ["init", *map(str, arguments)])
    if isinstance(result.exception, RatchetError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def tree(root: Path) -> dict[str, bytes]:
    """Path → content of every file but Git's and what is linked."""
    folders = [path for path in root.iterdir() if not path.is_symlink() and path.name != ".git"]
    paths = [path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*"))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def test_a_file_becomes_a_task_that_holds(root: Path, tickets: Path) -> None:
    said = init(tickets, "--yes")
    task = read_yaml(root / "params.yaml")["task"]
    assert [item["name"] for item in task["classes"]] == sorted(TOPICS)
    assert (task["text_column"], task["label_column"], task["languages"]) == ("body", "topic", ["en"])
    assert (task["source_column"], task["id_column"], task["selected"]) == ("channel", "", [])
    assert "'ticket' tells the label by its letters" in said
    assert (root / "data/source/tickets.csv").read_bytes() == tickets.read_bytes()
    assert [item for item in checklist.find(root) if item.severity == "error"] == []


def test_check_expects_the_minutes_that_init_planned_with(root: Path, tickets: Path) -> None:
    said = init(tickets, "--yes")
    planned = re.search(r"A run takes about (\d+) minutes", said)
    assert planned is not None
    (expected,) = (item.what for item in checklist.find(root) if item.severity == "info")
    assert expected.startswith(f"About {planned[1]} minutes for a run of all stages")
    record = json.loads((root / RECORD).read_text())
    assert (record["corpus"]["n_labeled"], record["corpus"]["n_unlabeled"]) == (120, 0)
    record["corpus"]["n_labeled"] = 50_000
    (root / RECORD).write_text(json.dumps(record))
    (more,) = (item.what for item in checklist.find(root) if item.severity == "info")
    assert more != expected  # it is the record that decides


def test_a_url_becomes_a_task_that_holds(root: Path, tickets: Path) -> None:
    with served(tickets.parent) as url:
        init(f"{url}/{tickets.name}", "--yes")
        params = read_yaml(root / "params.yaml")
        assert params["ingest"]["source"]["path"] == f"{url}/{tickets.name}"
        assert (root / params["ingest"]["watch"]).is_file()
        assert [str(item) for item in checklist.find(root) if item.severity == "error"] == []


@pytest.mark.parametrize("inside", [True, False])
def test_what_is_not_copied_becomes_a_task_that_holds(root: Path, tmp_path: Path, inside: bool) -> None:
    folder = root if inside else tmp_path
    with sqlite3.connect(folder / "tickets.db") as connection:
        pd.DataFrame(rows()).to_sql("tickets", connection, index_label="n")
    database = "tickets.db" if inside else "../tickets.db"
    init(f"sqlite:///{database}", "--yes", "--query", "SELECT body, topic FROM tickets ORDER BY n")
    assert read_yaml(root / "params.yaml")["ingest"]["watch"] == database
    if not inside:
        init(write_csv(tmp_path / "own.csv", rows()), "--yes", "--no-copy")
        assert read_yaml(root / "params.yaml")["ingest"]["watch"] == "../own.csv"
    assert [str(item) for item in checklist.find(root) if item.severity == "error"] == []


@pytest.mark.parametrize("inside", [True, False])
def test_a_saved_data_set_becomes_a_task_that_holds(root: Path, tmp_path: Path, inside: bool) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install -e '.[datasets]'")
    saved = (root if inside else tmp_path) / "saved"
    datasets.Dataset.from_list(rows()).save_to_disk(saved)
    init(saved, "--yes")
    assert read_yaml(root / "params.yaml")["ingest"]["source"]["kind"] == "dataset"
    assert [str(item) for item in checklist.find(root) if item.severity == "error"] == []


def test_classes_that_a_split_by_time_would_leave_out_are_named(root: Path, tmp_path: Path) -> None:
    table = [{**row, "made": f"2026-{1 + n // 28:02}-{1 + n % 28:02}"} for n, row in enumerate(rows())]
    late = [{**row, "topic": "outage", "body": f"{row['body']} is down", "made": "2026-11-01"} for row in table[:30]]
    said = init(write_csv(tmp_path / "dated.csv", [*table, *late]), "--yes", "--show")
    assert "the newest texts by 'made' test" in said
    assert "set aside: outage 30." in said


def test_only_a_corpus_of_several_languages_is_sliced_by_them(root: Path, tickets: Path) -> None:
    def slices() -> list[list[str]]:
        params, live = read_yaml(root / "params.yaml"), read_yaml(root / "live.yaml")
        return [params["evaluate"]["slices"], params["train"]["slices"], live["monitor"]["slices"]]

    init(tickets, "--yes")
    assert not any("language" in names for names in slices())
    init(tickets, "--yes", "--languages", "en,de")
    assert all("language" in names for names in slices())
    assert read_yaml(root / "params.yaml")["validate"]["regions"] == ["US", "DE"]
    assert [item for item in checklist.find(root) if item.severity == "error"] == []


def test_no_gate_asks_for_cases_that_nobody_has_written(root: Path, tickets: Path) -> None:
    init(tickets, "--yes")
    gated = {gate["metric"] for gate in read_yaml(root / "params.yaml")["promote"]["gates"]}
    assert not gated & {"minimum_failure_rate", "negation_failure_rate", "direction_failure_rate", "contrast_accuracy"}
    assert {"primary", "accuracy", "invariance_failure_rate"} <= gated


def test_what_belongs_to_the_task_before_is_reset_and_named(root: Path, tickets: Path) -> None:
    (root / "models/champion.json").write_text('{"bundle": "models/champion"}')
    (root / "reports/evaluate.json").write_text("{}")
    said = init(tickets, "--yes")
    assert json.loads((root / "models/champion.json").read_text()) == {"bundle": None}
    assert not (root / "reports/evaluate.json").exists()
    assert not (root / "dvc.lock").exists()
    for path in ("models/champion.json", "reports/evaluate.json", "dvc.lock"):
        assert path in said


def test_the_example_is_given_back_exactly(root: Path, tickets: Path) -> None:
    before = tree(root)
    init(tickets, "--yes")
    init("--example", "films")
    after = tree(root)
    left = {path for path in after if path not in before}
    assert left == {RECORD, "data/source/tickets.csv"}
    assert {path: content for path, content in after.items() if path in before} == {
        path: content for path, content in before.items() if path != "dvc.lock"
    }


def test_several_labels_a_row_are_refused_in_one_message(root: Path, tmp_path: Path) -> None:
    table = [{"text": row["body"], "labels": f"['{row['topic']}', 'urgent']"} for row in rows()]
    before = tree(root)
    with pytest.raises(SourceError, match="several labels") as refused:
        init(write_csv(tmp_path / "several.csv", table), "--yes")
    assert "make a task of each class" in str(refused.value)
    assert tree(root) == before


def test_labels_by_people_are_not_reset_without_force(root: Path, tickets: Path) -> None:
    batch = {"table": "human_labels", "file": f"human_labels-{'0' * 16}.parquet", "sha256": "0" * 64, "n_rows": 7}
    (root / "data/labels.json").write_text(json.dumps({"batches": [batch]}))
    before = tree(root)
    with pytest.raises(PipelineError, match="7 labels by people"):
        init(tickets, "--yes")
    assert tree(root) == before
    init(tickets, "--yes", "--force")
    assert json.loads((root / "data/labels.json").read_text()) == {"batches": []}


def test_again_with_more_rows_keeps_what_somebody_edited(root: Path, tickets: Path) -> None:
    init(tickets, "--yes")
    edited = (root / "data/behaviour/triggers.yaml").read_text() + "# ours\n"
    (root / "data/behaviour/triggers.yaml").write_text(edited)
    (root / "reports/evaluate.json").write_text("{}")
    write_csv(tickets, [*rows(), *({**row, "topic": "praise", "body": row["body"] + " thanks"} for row in rows())])
    said = init(tickets, "--yes")
    assert "Kept, since somebody edited them: data/behaviour/triggers.yaml" in said
    assert (root / "data/behaviour/triggers.yaml").read_text() == edited
    assert len(read_yaml(root / "params.yaml")["task"]["classes"]) == 4
    assert (root / "reports/evaluate.json").exists(), "it is the same task: its state stays"


def test_a_task_that_git_took_back_is_configured_anew(root: Path, tickets: Path) -> None:
    before = tree(root)
    init(tickets, "--yes")
    configured = tree(root)
    for path, content in before.items():
        (root / path).write_bytes(content)  # as `git checkout .` does; the record of init is no part of the repository
    said = init(tickets, "--yes")
    assert "Kept" not in said
    assert "dvc.lock" in said, "what belongs to the task that stood there is reset"
    assert tree(root) == configured


def test_an_edited_task_is_not_replaced_by_another_one(root: Path, tickets: Path) -> None:
    (root / "data/suites/labels.json").write_text("{}")
    with pytest.raises(PipelineError, match=r"edited: data/suites/labels\.json"):
        init(tickets, "--yes")


def test_show_writes_nothing(root: Path, tickets: Path) -> None:
    before = tree(root)
    assert "Nothing was written" in init(tickets, "--yes", "--show")
    assert tree(root) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--text", "nowhere"), "no column 'nowhere'"),
        (("--label", "nowhere"), "no column 'nowhere'"),
        (("--group", "nowhere"), "no such column"),
        (("--drop", "nowhere"), "no such class"),
        (("--drop", "billing,login"), "Fewer than two classes"),
        (("--merge", "money=nowhere"), "no such class"),
    ],
)
def test_a_wrong_answer_is_named(root: Path, tickets: Path, arguments: tuple[str, ...], message: str) -> None:
    before = tree(root)
    with pytest.raises((ParamsError, SourceError), match=message):
        init(tickets, "--yes", *arguments)
    assert tree(root) == before


def test_classes_are_merged_and_dropped(root: Path, tickets: Path) -> None:
    init(tickets, "--yes", "--merge", "service=billing,delivery")
    classes = read_yaml(root / "params.yaml")["task"]["classes"]
    assert {item["name"]: item["values"] for item in classes} == {
        "login": ["login"],
        "service": ["billing", "delivery"],
    }


def test_a_class_too_rare_for_three_splits_loses_its_label_by_name(root: Path, tmp_path: Path) -> None:
    few = [
        {"body": f"thanks for the lamp {n}", "topic": "praise", "channel": "mail", "ticket": f"P{n}"} for n in range(2)
    ]
    said = init(write_csv(tmp_path / "rare.csv", [*rows(), *few]), "--yes")
    params = read_yaml(root / "params.yaml")
    assert (params["task"]["ignored_labels"], len(params["task"]["classes"])) == (["praise"], 3)
    assert "praise 2" in said
    assert [str(item) for item in checklist.find(root) if "Labels mean no class" in item.what] == []


def test_a_full_disk_leaves_everything_as_it_was(root: Path, tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(root)

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PipelineError, match="No space left"):
        init(tickets, "--yes")
    assert tree(root) == before


@pytest.mark.parametrize("n_moves", [0, 1, 5, 20])
def test_an_interrupted_write_is_undone(
    root: Path, tickets: Path, monkeypatch: pytest.MonkeyPatch, n_moves: int
) -> None:
    """Killed between two renames: the next call puts back what was moved."""
    before, move = tree(root), writing._move
    done: list[Path] = []

    def killed(old: Path, new: Path) -> None:
        if len(done) == n_moves:
            raise SystemExit(9)
        done.append(old)
        move(old, new)

    monkeypatch.setattr(writing, "_move", killed)
    monkeypatch.setattr(writing, "undo_unfinished", lambda _: None)
    CliRunner().invoke(app, ["init", str(tickets), "--yes"])
    monkeypatch.undo()
    writing.undo_unfinished(root)
    assert tree(root) == before


def test_ctrl_c_amid_the_questions_writes_nothing(root: Path, tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    before = tree(root)
    asked = []

    def interrupted(question: str, **_: Any) -> str:
        asked.append(question)
        if len(asked) == 3:
            raise typer.Abort
        return str(_.get("default", ""))

    monkeypatch.setattr("ratchet.commands.init.stdin_asks", lambda: True)
    monkeypatch.setattr(typer, "prompt", interrupted)
    assert CliRunner().invoke(app, ["init", str(tickets)]).exit_code == 1
    assert len(asked) == 3
    assert tree(root) == before
