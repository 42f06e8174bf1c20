"""`ratchet score`: a table through the champion, or through a bundle that is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from ratchet.__main__ import app
from ratchet.commands.score import DETAILS, POINTER, Said, expected_rows, unsure_below
from ratchet.errors import BundleError
from ratchet.files import sha256_file, write_json
from ratchet.models.bundle import MANIFEST
from tests.support.bundles import torch_bundle
from tests.support.tiny import reviews

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The films' params, a bundle, no champion, and a Parquet file of twelve texts."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples/films/params.yaml", tmp_path)
    torch_bundle(tmp_path / "models", "teacher")
    write_json(tmp_path / POINTER, {"bundle": None})
    reviews(12, 1)[["text"]].to_parquet("texts.parquet")
    return tmp_path


def ran(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["score", *arguments], catch_exceptions=True)


def test_a_table_goes_through_a_named_bundle_and_through_the_champion(workspace: Path) -> None:
    refused = ran("texts.parquet", "--out", "scores")
    assert isinstance(refused.exception, BundleError)
    assert "--bundle" in str(refused.exception)
    assert not Path("scores").exists()
    done = ran("texts.parquet", "--out", "scores", "--bundle", "models/teacher", "--shard-rows", "5")
    assert done.exit_code == 0, done.output
    assert "5 of 12 rows" in done.output
    assert "12 rows in scores; 12 scored now" in done.output
    assert "no flag for other domains" in done.output
    again = ran("texts.parquet", "--out", "scores", "--bundle", "models/teacher", "--shard-rows", "5")
    assert "12 of 12 rows were scored before" in again.output
    pin = sha256_file(Path("models/teacher") / MANIFEST)
    write_json(POINTER, {"bundle": "models/teacher", "manifest_sha256": pin, "version": "v1"})
    assert ran("texts.parquet", "--out", "by-champion", "--no-languages").exit_code == 0
    found = pd.read_parquet("by-champion/part-000000.parquet")
    assert set(found["bundle"]) == {pin}


def test_the_flag_of_other_domains_is_one_that_was_measured_and_is_worth_it(workspace: Path) -> None:
    bundle = Path("models/teacher")
    flag = {"threshold": 0.4, "detection_rate": {"value": 0.5, "low": 0.4, "high": 0.6}}

    def said(high: float) -> float:
        confidence = {"other_domain": {**flag, "false_alarm_rate": {"value": 0.05, "low": 0.04, "high": high}}}
        write_json(DETAILS, {"bundles": {"teacher": {"confidence": confidence}}})
        return unsure_below(bundle)

    assert unsure_below(bundle) == 0.0  # nothing was audited
    assert said(0.06) == pytest.approx(0.6)
    assert said(0.4) == 0.0  # it finds hardly more than it raises
    shutil.copytree(bundle, "elsewhere/teacher")
    Path("models/teacher/config.json").write_text("{}", encoding="utf-8")
    write_json(bundle / MANIFEST, {"other": "bytes"})
    assert unsure_below(Path("elsewhere/teacher")) == 0.0  # what was audited has other bytes


def test_parquet_says_how_many_rows_it_has(workspace: Path) -> None:
    (workspace / "parts/day=1").mkdir(parents=True)
    for name in ("a", "b"):
        shutil.copy("texts.parquet", workspace / f"parts/day=1/{name}.parquet")
    block: dict[str, Any] = {"kind": "files", "path": "parts", "dialect": {"format": "parquet"}}
    assert expected_rows(block) == 24
    assert expected_rows({**block, "path": "texts.parquet"}) == 12
    assert expected_rows({**block, "path": "s3://bucket/parts"}) is None
    assert expected_rows({"kind": "sql"}) is None


def test_progress_tells_rate_cost_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    said = Said(10_000, 0.36, 2)
    said(1000, 0, 0.5)
    said(2000, 1000, 10.0)
    before, after = capsys.readouterr().out.splitlines()
    assert before == "1,000 of 10,000 rows were scored before"
    assert after == "2,000 of 10,000 rows, 100 rows/s, 0.0020 USD (2.00 a million), 1 minutes left"
