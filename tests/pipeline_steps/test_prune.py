"""Pruning that cuts what matters least, for real, and gives an ordinary model back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_steps import prune
from ratchet.compress.compilers import Compilation
from ratchet.compress.distillation import encoder_of
from ratchet.compress.fake_quantization import is_rounded, round_embeddings, round_matrices
from ratchet.compress.fused_graph import build_graph
from ratchet.compress.graph_session import run_graph
from ratchet.compress.graph_writer import Plan
from ratchet.compress.pruning import importance_on, magnitude_masks, prune_channels, prune_heads
from ratchet.compress.quantization import quantize
from ratchet.engines.compiling import export
from ratchet.engines.loading import load
from ratchet.errors import TrainingError
from ratchet.models.batching import Tokens, encode, load_tokenizer
from ratchet.models.bundle import size_mb
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.examples import Examples, class_indices
from ratchet.models.forward import logits_of
from ratchet.table_files import write_table
from ratchet.tables import SOFT_LABELS, SPLIT
from tests.support.bundles import LABELS, manifest, torch_bundle
from tests.support.params import write_params
from tests.support.tiny import ACCURACY, FIT, reviews, word_pieces

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
    importance = importance_on(model, examples(bundle, model, 20), n_texts=20, batch_size=8).channels
    assert np.all(importance.numpy()[:, idle] == 0)
    assert prune_channels(model, importance, keep_rate=0.5) == 32
    np.testing.assert_allclose(logits_of(model, tokens), before, atol=1e-5)


def test_importance_ranks_channels_as_removing_them_one_by_one_does(bundle: Path) -> None:
    import torch
    from scipy.stats import spearmanr

    model, _ = load_model(bundle)
    data = examples(bundle, model, 16)
    importance = importance_on(model, data, n_texts=16, batch_size=1).channels[1].numpy()
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


BLOCK = {
    **FIT,
    **ACCURACY,
    "n_epochs": 1,
    "n_tokens": 0,
    "keep_rate": 0.5,
    "keep_heads_rate": 0.5,
    "sparsity": 0.0,
    "embedding_bits": 32,
    "max_int8_loss": 1.0,
    "n_importance": 16,
    "n_recovery": 48,
    "temperature": 2.0,
    "soft_weight": 1.0,
    "rungs": ["pruned"],
}


def run(bundle: Path, **changes: Any) -> prune.Pruned:
    model, parent = load_model(bundle)
    soft = reviews(64, 5).assign(logit_negative=1.0, logit_positive=-1.0)
    params = prune.Params.model_validate({**BLOCK, **changes})
    tokenizer = load_tokenizer(bundle, parent.max_tokens)
    return prune.run(model, tokenizer, soft, reviews(16, 6), LABELS, params)


def test_a_pruned_model_is_smaller_on_disk_and_every_loader_takes_it(bundle: Path, tmp_path: Path) -> None:
    done = run(bundle)
    assert (done.report["n_channels_kept"], done.report["n_heads_kept"]) == (32, 2)
    assert (done.model.config.intermediate_size, len(done.fitted.history)) == (32, 1)
    target = tmp_path / "pruned"
    save_model(done.model, bundle, target, manifest("pruned"))
    assert size_mb(target) < size_mb(bundle)
    texts, tokens = reviews(5, 4)["text"].tolist(), tokens_of(bundle, 5)
    expected = logits_of(done.model, tokens)

    def margins(path: Path) -> Any:
        proba = load(path, 1).predict_proba(texts)
        return np.log(proba[:, 0] / proba[:, 1])

    np.testing.assert_allclose(margins(target), expected[:, 0] - expected[:, 1], atol=1e-4)
    for engine in ("onnx-fp32", "openvino-fp32"):
        export(target, tmp_path / engine, engine, Compilation(tokens), "0" * 64)
        np.testing.assert_allclose(margins(tmp_path / engine), margins(target), atol=1e-3)
    quantize(target, tmp_path / "nf4", "bnb-nf4", "0" * 64)
    assert np.isfinite(margins(tmp_path / "nf4")).all()


def test_heads_that_do_nothing_go_first_and_nothing_changes(bundle: Path) -> None:
    import torch

    model, _ = load_model(bundle)
    with torch.no_grad():
        for layer in encoder_of(model).layer:
            for head in (0, 2):
                layer.attention.output.dense.weight[:, head * 8 : (head + 1) * 8] = 0.0
    tokens = tokens_of(bundle, 20)
    before, n_before = logits_of(model, tokens), model.num_parameters()
    importance = importance_on(model, examples(bundle, model, 20), n_texts=20, batch_size=8).heads
    assert np.all(importance.numpy()[:, [0, 2]] == 0)
    assert prune_heads(model, importance, keep_rate=0.5) == 2
    np.testing.assert_allclose(logits_of(model, tokens), before, atol=1e-5)
    per_head = 4 * 8 * 32 + 3 * 8  # rows of three matrices, columns of the fourth, three biases
    assert n_before - model.num_parameters() == 2 * 2 * per_head


def test_recovery_ends_at_the_sparsity_that_was_asked_for(bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, sparsity=0.6, keep_rate=1.0, keep_heads_rate=1.0)
    assert done.report["sparsity"] == pytest.approx(0.6, abs=0.01)
    save_model(done.model, bundle, tmp_path / "sparse", manifest("sparse"))
    model, _ = load_model(tmp_path / "sparse")
    weights = [part.weight for name, part in encoder_of(model).named_modules() if hasattr(part, "in_features")]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert zeros == pytest.approx(0.6, abs=0.01)


def test_the_smallest_weights_of_all_matrices_together_are_masked(bundle: Path) -> None:
    model, _ = load_model(bundle)
    parts = dict(encoder_of(model).named_modules())
    masks = magnitude_masks(model, 0.3)
    kept = np.concatenate([parts[name].weight[mask].detach().abs().numpy() for name, mask in masks.items()])
    gone = np.concatenate([parts[name].weight[~mask].detach().abs().numpy() for name, mask in masks.items()])
    assert len(gone) / (len(gone) + len(kept)) == pytest.approx(0.3, abs=1e-3)
    assert gone.max() <= kept.min()
    assert len({float(mask.float().mean()) for mask in masks.values()}) > 1  # global, not a share of each


def test_training_for_integers_leaves_weights_that_int8_does_not_move(bundle: Path) -> None:
    plain, aware = run(bundle), run(bundle, max_int8_loss=-1.0)
    assert (plain.report["quantization_aware"], aware.report["quantization_aware"]) == (False, True)
    moved = []
    for done in (plain, aware):
        before = [part.weight.detach().clone() for part in _linears(done.model)]
        round_matrices(done.model)
        after = [part.weight.detach() for part in _linears(done.model)]
        moved.append(max(float((a - b).abs().max()) for a, b in zip(before, after, strict=True)))
    assert moved[0] > 1e-3
    assert moved[1] < 1e-5
    assert aware.report["int8_loss_after"] == 0.0


def test_rounded_embeddings_are_what_the_graph_stores(bundle: Path) -> None:
    model, _ = load_model(bundle)
    tokens = tokens_of(bundle, 20)
    plan = Plan("fp32", 4)
    before = np.abs(run_graph(build_graph(model, plan), tokens, 1) - logits_of(model, tokens)).max()
    round_embeddings(model, 4)
    after = np.abs(run_graph(build_graph(model, plan), tokens, 1) - logits_of(model, tokens)).max()
    table = model.get_input_embeddings().weight.detach().numpy()
    assert max(len(np.unique(row)) for row in table) <= 16
    assert after < 0.1 * before  # what is left are positions in 16 bits


def _linears(model: Any) -> list[Any]:
    return [part for _, part in encoder_of(model).named_modules() if hasattr(part, "in_features")]


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
    block = {**BLOCK, "n_tokens": 81, "embedding_bits": 4}
    write_params(prune.Params, "prune", block, tmp_path)
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


def test_embeddings_that_were_rounded_are_told_from_others(bundle: Path) -> None:
    model, _ = load_model(bundle)
    assert not is_rounded(model, 4)
    round_embeddings(model, 4)
    assert is_rounded(model, 4)
