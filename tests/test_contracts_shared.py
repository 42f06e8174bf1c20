"""The small contracts everyone shares: params, files, tables, errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import Field

from ratchet.errors import ParamsError, RatchetError, TableError
from ratchet.files import read_json, replace_file, replace_folder, sha256_json, write_json
from ratchet.params import Params, load_params
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED


class Oven(Params):
    """A block of params."""

    heat: float = Field(gt=0, le=300)
    """Degrees."""
    mode: str
    """Name."""


def block(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_block_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    assert load_params(Oven, "oven", block(tmp_path, "oven: {heat: 1e-4, mode: fan}")).heat == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("oven: {heat: 400, mode: fan}", "oven.heat = 400"),
        ("oven: {heat: hot, mode: fan}", "oven.heat = 'hot'"),
        ("oven: {heat: 20, mode: fan, colour: red}", "oven.colour: unknown key"),
        ("oven: {heat: 20}", "oven.mode: is missing"),
        ("stove: {heat: 20}", "block 'oven' is missing"),
        ("oven: {heat: .nan, mode: fan}", "oven.heat"),
        ("oven: [", "not valid YAML"),
        ("- oven", "not a mapping"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ParamsError) as error:
        load_params(Oven, "oven", block(tmp_path, text))
    assert said in str(error.value)


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as error:
        load_params(Oven, "oven", block(tmp_path, "oven: {heat: -1, lid: open}"))
    assert all(part in str(error.value) for part in ("oven.heat", "oven.mode", "oven.lid"))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="restore the file with git"):
        load_params(Oven, "oven", tmp_path / "params.yaml")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(FileNotFoundError), replace_file(path) as partial:
        partial.write_text((tmp_path / "nowhere").read_text())
    assert read_json(path) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with replace_folder(path) as folder:
        (folder / "old").touch()
    with pytest.raises(FileNotFoundError), replace_folder(path) as folder:
        (folder / "new").write_text((tmp_path / "nowhere").read_text())
    assert [item.name for item in path.iterdir()] == ["old"]
    with replace_folder(path) as folder:
        (folder / "new").touch()
    assert [item.name for item in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_does_not_stop_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / ".folder.partial"
    leftover.mkdir()
    (leftover / "half").touch()
    with replace_folder(tmp_path / "folder") as folder:
        (folder / "whole").touch()
    assert [item.name for item in (tmp_path / "folder").iterdir()] == ["whole"]


def test_json_takes_numpy_and_writes_nan_as_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"v": np.array([1.5, np.nan]), "n": np.int64(3), "p": Path("a") / "b"})
    assert read_json(tmp_path / "a.json") == {"v": [1.5, None], "n": 3, "p": "a/b"}
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1}) != sha256_json({"a": 2, "b": 1})


GOOD = pd.DataFrame(
    {"id": ["a"], "text": ["t"], "label": ["x"], "source": ["s"], "round": [0], "query_strategy": ["m"]}
)


def test_equal_tables_are_equal_bytes_and_come_back(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_table(tmp_path / name, GOOD, LABELED)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    pd.testing.assert_frame_equal(read_table(tmp_path / "one", LABELED), GOOD)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (GOOD.drop(columns="label"), "lacks the column 'label'"),
        (GOOD.assign(round=0.5), "has another type"),
        (GOOD.assign(text=None), "'text'"),
    ],
)
def test_a_table_that_breaks_its_declaration_is_not_written(tmp_path: Path, frame: pd.DataFrame, said: str) -> None:
    with pytest.raises(TableError, match=said):
        write_table(tmp_path / "t", frame, LABELED)
    assert not (tmp_path / "t").exists()


def test_a_missing_or_foreign_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is missing"):
        read_table(tmp_path / "t", LABELED)
    (tmp_path / "t").write_text("id,text")
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path / "t", LABELED)


def test_a_known_fault_ends_a_step_with_one_message_and_exit_code_1(tmp_path: Path) -> None:
    code = "from ratchet.entry import entry\nfrom ratchet.params import *\nclass P(Params): pass\n"
    code += "entry(lambda: print(load_params(P, 'x')))"
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(root)},
    )
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: The file is missing.")
    assert "Traceback" not in done.stderr


def test_an_error_leaves_out_what_it_does_not_know() -> None:
    assert str(RatchetError("It broke.", got=0, fix="mend it")) == "It broke.\n  got: 0\n  what to do: mend it"
