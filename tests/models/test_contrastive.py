"""Contrastive tuning brings texts of one class together, also texts that it did not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.measure.primary import primary_metric
from ratchet.models.backbones import load_classifier
from ratchet.models.batching import encode, load_tokenizer, paired_batches
from ratchet.models.examples import UNKNOWN, Examples, class_indices
from ratchet.models.fit_params import FitParams
from ratchet.models.forward import features_of
from ratchet.models.head_start import finished, learner_of
from ratchet.models.training import Fit, fit
from tests.support.tiny import FIT, reviews, tiny_backbone

CLASSES = ["negative", "positive"]
NO_OFFSET = np.zeros(2)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


def examples(backbone: Path, n: int, seed: int) -> Examples:
    frame = reviews(n, seed)
    return Examples(encode(load_tokenizer(backbone, 32), frame["text"].tolist()), class_indices(frame, CLASSES))


def tuned(backbone: Path, scratch: Path, **changes: Any) -> tuple[Any, Fit]:
    model = load_classifier(backbone, 2)
    params = FitParams.model_validate({**FIT, "n_epochs": 16, "learning_rate": 1e-3, "patience": 99, **changes})
    train, validation = examples(backbone, 120, 1), examples(backbone, 20, 2)
    metric = primary_metric("accuracy", CLASSES)
    return model, fit(model, train, validation, params, scratch, metric=metric, learner=learner_of("contrastive"))


def margin(model: Any, held_out: Examples) -> float:
    """Mean cosine of two texts of one class, less that of two classes."""
    unit = features_of(model, held_out.tokens)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines, same = unit @ unit.T, held_out.hard[:, None] == held_out.hard
    apart = ~np.eye(len(unit), dtype=bool)
    return float(cosines[same & apart].mean() - cosines[~same].mean())


@pytest.mark.slow
def test_texts_of_one_class_come_together_whether_seen_or_not(backbone: Path, tmp_path: Path) -> None:
    unseen = examples(backbone, 60, 3)
    before = margin(load_classifier(backbone, 2), unseen)
    model, _ = tuned(backbone, tmp_path / "fit")
    assert margin(model, unseen) > before + 0.1


@pytest.mark.slow
def test_the_head_is_a_probe_of_the_tuned_features_less_the_prior(backbone: Path, tmp_path: Path) -> None:
    from ratchet.models.forward import logits_of
    from ratchet.models.probe import choose_regularization, fit_probe, stratified_folds

    learned, unseen, offset = examples(backbone, 120, 1), examples(backbone, 60, 3), np.array([0.5, -0.5])
    model, _ = tuned(backbone, tmp_path / "fit")
    model = finished(model, "contrastive", learned, offset, seed=4)
    known, unknown = (features_of(model, part.tokens) / model.config.feature_norm for part in (learned, unseen))
    chosen, _ = choose_regularization(known, learned.hard, 2, stratified_folds(learned.hard, 3, 4))
    expected = fit_probe(known, learned.hard, 2, chosen).logits(unknown) - offset
    np.testing.assert_allclose(logits_of(model, unseen.tokens), expected, atol=1e-4)
    assert (expected.argmax(axis=1) == unseen.hard).mean() > 0.75


def test_every_text_is_in_a_batch_beside_one_of_its_class() -> None:
    targets = np.array([0] * 7 + [1] * 4 + [2])
    for seed in range(20):
        batches = paired_batches(targets.tolist(), 4, np.random.default_rng(seed))
        assert set(np.concatenate(batches).tolist()) == set(range(len(targets)))
        for batch in batches:
            assert len(batch) <= 4
            for row in batch:
                assert targets[row] == 2 or (targets[batch] == targets[row]).sum() > 1
    first, other = (paired_batches(targets.tolist(), 4, np.random.default_rng(seed)) for seed in (1, 2))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_loss_is_the_squared_error_of_every_pair() -> None:
    import torch

    from ratchet.models.contrastive import contrastive_losses

    rng, hard = np.random.default_rng(0), np.array([0, 0, 1, 1, 1, 2, UNKNOWN])
    vectors = rng.normal(size=(7, 5))
    found = contrastive_losses(torch.from_numpy(vectors), torch.from_numpy(hard)).numpy()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for i in range(6):
        alike = [(unit[i] @ unit[j] - 1) ** 2 for j in range(6) if j != i and hard[j] == hard[i]]
        others = [(unit[i] @ unit[j]) ** 2 for j in range(6) if hard[j] != hard[i]]
        assert found[i] == pytest.approx((np.mean(alike) if alike else 0.0) + np.mean(others), rel=1e-5)
    assert found[6] == 0  # nobody has labelled it


def test_the_loss_reaches_the_encoder_and_the_labels_reach_the_head_alone(backbone: Path) -> None:
    import torch

    from ratchet.models.contrastive import ContrastiveClassifier
    from ratchet.models.loading import Collate

    model = load_classifier(backbone, 2)
    settings: dict[str, Any] = {
        name: FIT[name] for name in ("learning_rate", "head_rate", "weight_decay", "warmup_rate", "seed")
    }
    rest: dict[str, Any] = {
        "n_steps": 1,
        "temperature": 1.0,
        "soft_weight": 0.0,
        "prior_offset": (),
        "micro_batch_tokens": 0,
    }
    module = ContrastiveClassifier(model, **settings, **rest).train()
    batch = Collate(examples(backbone, 8, 1))(np.arange(8))
    output = module.outputs(batch)
    module.losses(output.logits, batch).sum().backward(retain_graph=True)
    encoder = [p for p in model.base_model.parameters() if p.requires_grad]
    assert all(p.grad is None for p in encoder)
    assert model.classifier.weight.grad.abs().sum() > 0
    output.teaching_losses.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder)
    assert torch.isfinite(output.teaching_losses).all()
