"""A few texts of every class, and that the compressed bundles are compared with their source on such."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from pipeline_steps import export, quantize
from ratchet.data.class_sample import classes_in_turn
from ratchet.files import write_json
from ratchet.params import read_yaml
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from tests.support.tiny import reviews

ROOT = Path(__file__).parents[2]


def by_class(n: int) -> pd.DataFrame:
    """Texts that stand class by class, as files often have them; the last class has two."""
    frame = reviews(n, 3)
    frame.loc[frame.index[:2], "label"] = "unsure"
    return frame.sort_values("label", kind="stable", ignore_index=True)


def test_the_first_rows_hold_every_class_whatever_the_order_and_what_is_added() -> None:
    frame = by_class(60)
    first = classes_in_turn(frame, "x").head(12)
    assert first["label"].value_counts().to_dict() == {"negative": 5, "positive": 5, "unsure": 2}
    assert classes_in_turn(frame.iloc[::-1], "x").head(12)["id"].tolist() == first["id"].tolist()
    assert classes_in_turn(frame, "y").head(12)["id"].tolist() != first["id"].tolist()
    unlabelled = reviews(5, 9).assign(label=None)
    more = pd.concat([frame, reviews(2, 8), unlabelled], ignore_index=True)
    assert len(set(classes_in_turn(more, "x").head(12)["id"]) & set(first["id"])) >= 10


@pytest.mark.parametrize(("step", "kind"), [(quantize, "bnb-int8"), (export, "onnx-int8")])
def test_agreement_is_judged_on_all_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: ModuleType, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    values = read_yaml(ROOT / "params.yaml")
    write_json(Path("params.yaml"), values)
    frame = by_class(600)
    for side in ("train", "validation"):
        write_table(Path(f"data/splits/{side}.parquet"), frame, SPLIT)
    seen: list[Any] = []

    def run(*given: Any) -> dict[str, object]:
        seen.extend(given)
        return {}

    monkeypatch.setattr(step, "run", run)
    monkeypatch.setattr(export, "with_task_vocabulary", lambda source, *_: source)
    monkeypatch.setattr(sys, "argv", ["step", "pruned", kind])
    step.main()
    texts = next(given for given in reversed(seen) if isinstance(given, pd.Series))
    labels = frame.set_index("text")["label"]
    assert len(texts) == 200
    assert set(labels[labels.index.isin(texts)]) == {"negative", "positive", "unsure"}
