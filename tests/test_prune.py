"""Pruning that cuts what matters least, for real, and gives an ordinary model back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_steps import prune
from ratchet.compress.distillation import encoder_of
from ratchet.compress.pruning import importance_on, prune_channels
from ratchet.errors import TrainingError
from ratchet.models.batching import Tokens, encode, load_tokenizer
from ratchet.models.bundle import size_mb
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.examples import Examples, class_indices
from ratchet.models.forward import logits_of
from ratchet.models.predictor import load
from ratchet.tables import SOFT_LABELS, SPLIT, write_table
from tests.bundles import LABELS, manifest, torch_bundle
from tests.tiny import FIT, reviews, word_pieces

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_bundle(tmp_path_factory.mktemp("student"), "student", n_layers=2)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tokens_of(bundle: Path, n: int) -> list[Tokens]:
    return encode(load_tokenizer(bundle, 32), reviews(n, 4)["text"].tolist())


def examples(bundle: Path, model: Any, n: int) -> Examples:
    tokens = tokens_of(bundle, n)
    return Examples(tokens, class_indices(reviews(n, 4), LABELS), logits_of(model, tokens))


def test_channels_that_do_nothing_go_first_and_nothing_changes(bundle: Path) -> None:
    import torch

    model, _ = load_model(bundle)
    idle = np.random.default_rng(0).choice(64, 32, replace=False)
    with torch.no_grad():
        for layer in encoder_of(model).layer:
            layer.output.dense.weight[:, idle] = 0.0
    tokens = tokens_of(bundle, 20)
    before = logits_of(model, tokens)
    importance = importance_on(model, examples(bundle, model, 20), n_texts=20, batch_size=8)
    assert np.all(importance.numpy()[:, idle] == 0)
    assert prune_channels(model, importance, keep_rate=0.5) == 32
    np.testing.assert_allclose(logits_of(model, tokens), before, atol=1e-5)


def test_importance_ranks_channels_as_removing_them_one_by_one_does(bundle: Path) -> None:
    import torch
    from scipy.stats import spearmanr

    model, _ = load_model(bundle)
    data = examples(bundle, model, 16)
    importance = importance_on(model, data, n_texts=16, batch_size=1)[1].numpy()
    weight = encoder_of(model).layer[1].output.dense.weight
    moved = np.zeros(64)
    for channel in range(64):
        column = weight[:, channel].detach().clone()
        with torch.no_grad():
            weight[:, channel] = 0.0
        assert data.soft is not None
        moved[channel] = np.abs(logits_of(model, data.tokens) - data.soft).mean()
        with torch.no_grad():
            weight[:, channel] = column
    assert spearmanr(importance, moved).statistic > 0.5


def test_a_pruned_model_is_smaller_on_disk_and_loads_as_any_other(bundle: Path, tmp_path: Path) -> None:
    model, parent = load_model(bundle)
    soft = reviews(64, 5).assign(logit_negative=1.0, logit_positive=-1.0)
    params = prune.Params.model_validate(
        {**FIT, "n_epochs": 1, "n_tokens": 0, "keep_rate": 0.5, "n_importance": 16, "n_recovery": 48,
         "temperature": 2.0, "soft_weight": 1.0}
    )  # fmt: skip
    tokenizer = load_tokenizer(bundle, parent.max_tokens)
    pruned, fitted, _, n_kept = prune.run(model, tokenizer, soft, reviews(16, 6), LABELS, params)
    assert (n_kept, pruned.config.intermediate_size, len(fitted.history)) == (32, 32, 1)
    save_model(pruned, bundle, tmp_path / "pruned", manifest("pruned"))
    assert size_mb(tmp_path / "pruned") < size_mb(bundle)
    tokens = tokens_of(bundle, 5)
    expected = logits_of(pruned, tokens)
    proba = load(tmp_path / "pruned").predict_proba(reviews(5, 4)["text"].tolist())
    np.testing.assert_allclose(np.log(proba[:, 0] / proba[:, 1]), expected[:, 0] - expected[:, 1], atol=1e-4)


def test_an_importance_of_another_model_is_refused(bundle: Path) -> None:
    import torch

    model, _ = load_model(bundle)
    with pytest.raises(TrainingError, match="does not fit"):
        prune_channels(model, torch.zeros(2, 48), keep_rate=0.5)


def test_the_step_writes_a_bundle_whose_tokenizer_fits_its_embeddings(tmp_path: Path) -> None:
    source = torch_bundle(tmp_path / "models", "student", n_layers=2, backbone=word_pieces)
    texts = reviews(48, 5).assign(logit_negative=1.0, logit_positive=-1.0)
    write_table(tmp_path / "data/soft_labels.parquet", texts, SOFT_LABELS)
    write_table(tmp_path / "data/splits/validation.parquet", reviews(16, 6), SPLIT)
    block = {**FIT, "n_epochs": 1, "n_tokens": 81, "keep_rate": 0.5, "n_importance": 16, "n_recovery": 32,
             "temperature": 2.0, "soft_weight": 1.0}  # fmt: skip
    (tmp_path / "params.yaml").write_text(json.dumps({"prune": block}))
    prune.main()
    report = json.loads((tmp_path / "reports/prune.json").read_text())
    assert report["n_tokens_kept"] == 81
    assert report["n_parameters"] < report["n_parameters_before"]
    predictor = load(tmp_path / "models/pruned")
    proba = predictor.predict_proba(["superb", "words nobody chose: zyzzyva ☃", ""])
    assert np.isfinite(proba).all()
    model, _ = load_model(tmp_path / "models/pruned")
    tokenizer = load_tokenizer(tmp_path / "models/pruned", 32)
    assert model.config.vocab_size == tokenizer.get_vocab_size() == 81
    assert size_mb(tmp_path / "models/pruned") < size_mb(source)
