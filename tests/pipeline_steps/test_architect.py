"""The architecture is measured: what is best on held-out texts wins, whatever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import architect
from ratchet.errors import TrainingError
from ratchet.files import read_json
from ratchet.measure.candidates import Candidate, Judge
from ratchet.measure.primary import primary_metric
from ratchet.models.architecture import read_architecture
from ratchet.table_files import write_table
from ratchet.tables import LABELED, SPLIT
from tests.support.params import write_params
from tests.support.tiny import ACCURACY, TUNING, reviews, tiny_backbone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def arm(method: str, learning_rate: float, min_labels: int = 0, max_labels: int = 0) -> dict[str, Any]:
    return {
        "method": method,
        "learning_rate": learning_rate,
        "min_labels": min_labels,
        "max_labels": max_labels,
    }


def params(*backbones: Path, **changes: Any) -> architect.Params:
    values = {
        **TUNING,
        **ACCURACY,
        "backbones": [{"source": str(folder), "sha256": ""} for folder in backbones],
        "arms": [arm("full", 3e-3), arm("lora", 1e-3)],
        "n_steps": 40,
        "n_folds": 3,
        "max_compared": 1000,
        "max_ngram": 1,
        "tie": 0.0,
        "n_bootstrap": 100,
    }
    return architect.Params.model_validate({**values, **changes})


def only_order(n: int, seed: int) -> pd.DataFrame:
    """Texts of the same words, whose class is which of two comes first: nothing for TF-IDF of single words."""
    rng = np.random.default_rng(seed)
    frame = reviews(n, seed)
    texts = []
    for label in frame["label"]:
        pair = ["hero", "music"] if label == "positive" else ["music", "hero"]
        texts.append(" ".join([*pair, *rng.choice(["the", "film", "story"], rng.integers(1, 4))]))
    return frame.assign(text=texts)


def strange(n: int, seed: int) -> pd.DataFrame:
    """Texts whose class is a word that the backbone's tokenizer does not know."""
    frame = reviews(n, seed)
    words = np.where(frame["label"] == "positive", "alpha", "omega")
    return frame.assign(text=[f"the film {word} story" for word in words])


def test_tf_idf_wins_where_a_word_that_no_backbone_knows_decides(backbone: Path) -> None:
    found, judge = architect.run(strange(90, 1), strange(40, 2), params(backbone))
    assert found.winner.name == "tfidf"
    assert judge.estimate(found.winner).value == 1
    assert judge.estimate(found.neural).value < 0.7
    assert "TF-IDF" in found.reason


@pytest.mark.parametrize(
    ("n_lost", "method", "winner"), [(4, "full", "arm"), (4, "head", "tfidf"), (60, "full", "tfidf")]
)
def test_tf_idf_wins_over_an_arm_only_beyond_chance_and_over_a_probe_that_is_no_better(
    n_lost: int, method: str, winner: str
) -> None:
    """Of 200 texts TF-IDF gets 150, the probe and its arm `n_lost` fewer; an arm may still learn, a probe may not."""
    targets = np.zeros(200, dtype=np.int64)

    def candidate(name: str, n_right: int, method: str = "") -> Candidate:
        right = np.random.default_rng(n_right).permutation(200) < n_right
        proba = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        return Candidate(name, proba, {"method": method}, 1, 0.0)

    judge = Judge(primary_metric("accuracy", ("a", "b")), targets, 0.0, 500, 1)
    tfidf, probe = candidate("tfidf", 150), candidate("probe", 150 - n_lost, "head")
    arms = [probe, candidate("arm", 150 - n_lost, "full")] if method == "full" else []
    found = architect.choose(judge, tfidf, [probe], probe, arms)
    assert found.winner.name == winner
    assert found.neural.settings["method"] == method


def test_the_probe_wins_where_every_arm_destroys_what_was_pretrained(backbone: Path) -> None:
    wild = params(backbone, arms=[arm("full", 0.9)])
    found, judge = architect.run(only_order(150, 1), only_order(60, 2), wild)
    assert judge.estimate(found.neural).value > 0.75
    assert found.neural is found.winner
    assert found.winner.settings["method"] == "head"
    assert found.reason == "every arm is worse than the probe"


def test_an_arm_wins_where_its_steps_do_no_harm_and_the_backbone_is_the_better_one(
    backbone: Path, tmp_path: Path
) -> None:
    shallow = tiny_backbone(tmp_path / "shallow", n_layers=1)
    found, judge = architect.run(only_order(150, 1), only_order(60, 2), params(shallow, backbone))
    probes = [c for c in found.candidates if c.name.startswith("probe of")]
    assert len(probes) == 2
    assert found.winner.settings["source"] == max(probes, key=lambda c: judge.estimate(c).value).settings["source"]
    assert found.winner.settings["method"] in ("full", "lora")
    names = [c.name for c in found.candidates]
    assert names[0] == "tfidf"
    assert names[-2:] == ["full at 3e-03, 20 steps", "lora at 1e-03, 20 steps"]
    arm, start = found.candidates[-1], found.candidates[-3]
    assert np.array_equal(np.isnan(arm.proba), np.isnan(start.proba))
    assert judge.estimate(arm).n == 50 + 60  # a third of the labels, and the validation texts


def test_no_candidate_is_judged_on_a_text_it_learned_from(backbone: Path) -> None:
    labeled, validation = reviews(60, 1), reviews(30, 2)
    noise = labeled.assign(label=np.random.default_rng(3).permutation(labeled["label"]))
    found, judge = architect.run(noise, validation, params(backbone, arms=[]))
    for candidate in found.candidates:
        labels_alone = np.nanmean(candidate.proba[:60].argmax(axis=1) == judge.targets[:60])
        assert labels_alone < 0.7  # a model that had seen these labels would know them by heart


def test_arms_are_tried_with_the_labels_they_ask_for_and_share_the_steps(backbone: Path) -> None:
    arms = [arm("contrastive", 1e-3, max_labels=89), arm("full", 3e-3, min_labels=90), arm("lora", 1e-3)]
    few, _ = architect.run(only_order(89, 1), only_order(20, 2), params(backbone, arms=arms, n_steps=8))
    many, _ = architect.run(only_order(90, 1), only_order(20, 2), params(backbone, arms=arms, n_steps=8))
    assert [c.name for c in few.candidates[-2:]] == ["contrastive at 1e-03, 4 steps", "lora at 1e-03, 4 steps"]
    assert [c.name for c in many.candidates[-2:]] == ["full at 3e-03, 4 steps", "lora at 1e-03, 4 steps"]
    none, _ = architect.run(only_order(90, 1), only_order(20, 2), params(backbone, arms=arms[:1]))
    assert none.neural.settings["method"] == "head"


def test_fewer_labels_are_compared_than_there_are_where_so_asked(backbone: Path) -> None:
    found, _ = architect.run(reviews(160, 1), reviews(20, 2), params(backbone, arms=[], max_compared=80))
    assert len(found.candidates[0].proba) == 80 + 20


def test_a_class_without_a_training_text_is_named(backbone: Path) -> None:
    labeled = reviews(40, 1).query("label == 'negative'")
    with pytest.raises(TrainingError, match="positive: 0"):
        architect.run(labeled, reviews(20, 2), params(backbone))


def test_main_writes_the_choice_and_the_same_one_again(backbone: Path) -> None:
    write_params(architect.Params, "architect", params(backbone, n_steps=8).model_dump())
    labeled = reviews(60, 1)[["id", "text", "label", "source"]]
    rounds = labeled.assign(round=np.zeros(60, dtype=np.int64), query_strategy="random")
    write_table(Path("data/labeled.parquet"), rounds, LABELED)
    write_table(Path("data/splits/validation.parquet"), reviews(30, 2), SPLIT)
    architect.main()
    chosen, report = read_architecture(Path("reports/architecture.json")), read_json(Path("reports/architect.json"))
    assert chosen.backbone.source == str(backbone)
    assert {"name", "accuracy", "against_tfidf", "log_loss", "n_parameters"} <= set(report["candidates"][0])
    assert "cpu_s" not in report["candidates"][0]
    files = [Path(architect.WRITES[name]).read_bytes() for name in ("report", "architecture")]
    architect.main()
    assert files == [Path(architect.WRITES[name]).read_bytes() for name in ("report", "architecture")]
