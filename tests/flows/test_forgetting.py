"""`ratchet forget`: one person's text, planted everywhere it can go, and every file searched afterwards."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest
import sqlalchemy

from flows.forgetting import services, steps
from flows.forgetting.matching import Forgotten
from flows.forgetting.places import read_layout
from flows.labelling import collecting
from flows.labelling import steps as labelling
from ratchet.commands.forget import forget as command
from ratchet.data.cleaning import text_id
from ratchet.data.forgotten import read_tombstones
from ratchet.errors import PipelineError, TableError
from ratchet.files import read_json
from ratchet.labels.annotations import Answer, Item
from ratchet.labels.queues import FileQueue
from ratchet.labels.store import read_store
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.tables import FEEDBACK, PREDICTIONS, read_log
from ratchet.registry.audit_log import entries, log_path
from ratchet.scoring.shards import KEY as KEY_OF_SHARD
from tests.support import postgres
from tests.support.live_rows import prediction, thumb
from tests.support.miniature import environment
from tests.support.planted import CLEAN, KEY, NOW, OTHERS, RAW, found_in, plant


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a planted workspace and its remote, to be copied."""
    base = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        plant(base)
    return base


@pytest.fixture
def root(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working directory."""
    shutil.copytree(planted, tmp_path / "copy", symlinks=True)
    root = tmp_path / "copy/work"
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace(str(planted / "remote"), str(root.parent / "remote")))
    monkeypatch.chdir(root)
    return root


def forget(*ids: str, yes: bool = True, scores: list[Path] | None = None) -> None:
    """The command, in this process."""
    command(list(ids), "", None, scores, yes)


def test_nothing_of_a_planted_text_is_left_in_any_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remote = root.parent / "remote"
    before = found_in(root, remote)
    assert {"data/corpus.parquet", "reports/page.html", "reports/page.json", ".prefect/prefect.db"} <= before
    assert {"data/label_queue/ann.csv", "data/label_queue/bob.xlsx", ".scratch/live/log.db"} <= before
    forget(KEY, yes=False)
    assert "Nothing was removed" in capsys.readouterr().out
    assert found_in(root, remote) == before
    forget(KEY)
    told = capsys.readouterr().out
    assert found_in(root, remote) == set()
    assert "report   own/a.csv (source, 1)" in told
    assert "git: notes.md (Git history, 1)" in told
    assert "to train again, for they learned from them: teacher" in told
    (entry,) = [entry for entry in entries(log_path(root)) if entry.action == "forget"]
    assert entry.details["n_bundles"] == 1
    assert CLEAN not in entry.line().decode()


def test_what_is_of_others_stays(root: Path) -> None:
    forget(KEY)
    annotations = read_store(root / labelling.POINTER, root / labelling.STORE).annotations
    assert annotations["text"].unique().tolist() == [OTHERS[0]]
    assert len(annotations) == 2
    answered = {answer.item.text: answer.label for answer in FileQueue(root / labelling.QUEUE).answers()}
    assert answered == {OTHERS[0]: "good"}
    assert (
        read_log([f"sqlite:///{root}/.scratch/live/log.db", ".scratch/live/log"])["text"].to_pylist() == [OTHERS[0]] * 2
    )
    assert (root / ".scratch/logs/page.log").read_text() == "12:00 started\n12:02 ended\n"
    assert read_json(root / "reports/monitor/retraining.json") == {"key": "w1", "ids": ["0" * 16], "texts": ["x"]}
    assert pd.read_parquet(root / "data/corpus.parquet")["text"].tolist() == OTHERS


def test_the_feedback_on_a_forgotten_prediction_goes_with_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forget(KEY)
    assert "2 rows, 2 of feedback and 0 dead letters out of the prediction log" in capsys.readouterr().out
    log = [f"sqlite:///{root}/.scratch/live/log.db", ".scratch/live/log"]
    assert sorted(read_log(log, table="feedback")["request_id"].to_pylist()) == ["s12", "s9"]


def test_scores_elsewhere_are_searched_where_they_are_named(root: Path) -> None:
    elsewhere = root.parent / "scores"
    inside = root / ".scratch/scores"
    forget(KEY, scores=[elsewhere])
    for folder in (inside, elsewhere):
        left = pd.read_parquet(folder / "scores-000000.parquet")
        assert (left["row"].tolist(), left["id"].tolist()) == ([1], [text_id(OTHERS[0])])
        assert pd.read_parquet(folder / "words-000000.parquet")["word"].tolist() == ["ants"]
        assert KEY_OF_SHARD in pyarrow.parquet.read_schema(folder / "scores-000000.parquet").metadata
    with pytest.raises(PipelineError, match="holds no scores"):
        forget(KEY, scores=[root / "data"])


@pytest.mark.service
def test_a_log_in_postgresql_is_searched_and_written_anew(root: Path) -> None:
    with postgres.server() as url:
        engine = open_database(url)
        rows = [
            prediction(f"r{n}", NOW, text=text) for n, text in enumerate([CLEAN, f"{CLEAN} She said so.", OTHERS[0]])
        ]
        with engine.begin() as connection:
            connection.execute(sqlalchemy.insert(PREDICTIONS), rows)
            connection.execute(sqlalchemy.insert(FEEDBACK), [thumb(row["request_id"], NOW) for row in rows])
        (root / "live.yaml").write_text(json.dumps({"log": {"url": url, "folder": ".scratch/live/log"}}))
        layout = read_layout(root)
        what = steps.resolve(layout, [KEY]).what
        assert [(place.where, place.n) for place in services.find(layout, what)] == [("prediction log", 2)]
        assert services.erase(layout, what) == ["3 rows, 3 of feedback and 0 dead letters out of the prediction log"]
        assert services.find(layout, what) == []
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.select(PREDICTIONS.c.text)).scalars().all() == [OTHERS[0]]
            assert connection.execute(sqlalchemy.select(FEEDBACK.c.request_id)).scalars().all() == ["r2"]
        engine.dispose()


def test_the_next_run_leaves_it_out_though_the_source_still_has_it(root: Path) -> None:
    forget(KEY)
    assert RAW.split("&")[0] in (root / "own/a.csv").read_text().replace('""', '"')
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--quiet"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_json(root / "reports/ingest.json")["n_forgotten"] == 1
    assert pd.read_parquet(root / "data/corpus.parquet")["text"].tolist() == OTHERS
    assert found_in(root, root.parent / "remote") == set()


@pytest.mark.parametrize("at", ["labels", "fifth file", "remote", "lock", "journal"])
def test_killed_midway_the_same_command_carries_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    kill = _Kill({"fifth file": 5, "remote": 2}.get(at, 1))
    module, name = {
        "labels": (labelling, "track"),
        "fifth file": (steps, "erase"),
        "remote": (steps, "delete"),
        "lock": (steps, "without_entries"),
        "journal": (Path, "unlink"),
    }[at]
    layout = steps.open_layout(root)
    request = steps.resolve(layout, [KEY])
    with monkeypatch.context() as patch:
        patch.setattr(module, name, kill.before(getattr(module, name), at))
        with pytest.raises(KeyboardInterrupt):
            steps.carry_out(layout, request)
    assert steps.unfinished(root) is not None
    forget(KEY)
    assert found_in(root, root.parent / "remote") == set()
    assert steps.unfinished(root) is None
    assert sum(entry.action == "forget" for entry in entries(log_path(root))) == 1
    assert "learned from them: teacher" in capsys.readouterr().out


class _Kill:
    """Ends the process at the n-th call."""

    def __init__(self, n: int) -> None:
        self.n = n

    def before(self, work: Any, at: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if at != "journal" or arguments[0].name == "forgetting.json":
                self.n -= 1
                if self.n == 0:
                    raise KeyboardInterrupt
            return work(*arguments, **options)

        return call


def test_a_pattern_finds_every_text_about_a_person_and_an_unknown_id_is_refused(root: Path) -> None:
    layout = read_layout(root)
    by_pattern, by_id = steps.resolve(layout, [], "quill(?i:FEATHER)|Quillfeather"), steps.resolve(layout, [KEY])
    assert by_pattern.ids == by_id.ids
    assert {text_id(RAW), KEY} <= {*by_id.ids}
    assert steps.resolve(layout, [text_id(RAW)]).texts == by_id.texts
    with pytest.raises(PipelineError, match="no such text"):
        steps.resolve(layout, ["0" * 15 + "1"])
    with pytest.raises(PipelineError, match="no regular expression"):
        steps.resolve(layout, [], "(")


def test_a_short_text_takes_nothing_else_with_it() -> None:
    """`good` is a text here, and a class there."""
    what = Forgotten(set(), {"good"})
    assert what.in_value("Good ")
    assert not what.in_value("good", is_text=False)
    assert not what.in_value("a good film that everybody liked")
    assert not what.in_text("a good film that everybody liked")


@pytest.mark.parametrize(
    "quote",
    [
        "<p>Zyxomma <b>Quillfeather</b> said:&nbsp;&#34;it&#x27;s 5 &amp; dreadful&#34;, and</p>",
        '{"text": "Zyxomma Quillfeather said: \\"it\\u0027s 5 \\u0026 dreadful\\", and she"}',
        'Zyxomma Quillfeather said: ""it\'s 5 & dreadful"", and she',
        "ZYXOMMA\\n  quillfeather said: it's 5 & dread…",
        f"see {KEY}",
    ],
)
def test_a_quote_is_recognised_however_it_is_escaped_or_cut(quote: str) -> None:
    what = Forgotten({KEY}, {CLEAN})
    assert what.in_text(quote)
    assert not what.in_text(quote.replace("uillfeather", "").replace("UILLFEATHER", "").replace(KEY, ""))


def test_answers_about_a_forgotten_text_do_not_come_back(tmp_path: Path) -> None:
    kept, gone = (Answer(Item(text_id(text), text, "s"), "bad", "ann") for text in (OTHERS[0], CLEAN))
    assert collecting._without([kept, gone], frozenset({KEY})) == [kept]
    assert collecting._without([replace(gone, item=replace(gone.item, id="0" * 16))], frozenset({KEY})) == []


def test_a_damaged_list_of_tombstones_stops_ingest(tmp_path: Path) -> None:
    """Read as empty it would let forgotten texts back in."""
    (tmp_path / "forgotten.json").write_text('{"texts": ["x"]}')
    with pytest.raises(TableError, match="damaged"):
        read_tombstones(tmp_path / "forgotten.json")
