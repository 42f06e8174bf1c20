"""Training that really trains, resumes to the same weights, and says what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import train
from ratchet.errors import SourceError, TrainingError
from ratchet.models.examples import UNKNOWN, class_indices, class_names
from tests.tiny import FIT, reviews, tiny_backbone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def params(backbone: Path, **changes: Any) -> train.Params:
    values = {**FIT, "method": "full", "backbone": str(backbone), "backbone_sha256": "", "max_tokens": 32}
    tuning = {"lora_rank": 4, "lora_targets": ["all-linear"], "rank_stabilized": False, "adapter_size": 4}
    return train.Params.model_validate({**values, **tuning, **changes})


def weights(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def test_full_tuning_learns_the_task_and_logs_it(backbone: Path) -> None:
    _, fitted, counts = train.run(reviews(160, 1), reviews(40, 2), params(backbone))
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert max(epoch["validation_accuracy"] for epoch in fitted.history) > 0.9
    assert counts["n_trainable"] == counts["n_parameters"]
    assert (Path(train.WRITES["live"]) / "metrics.json").is_file()


def test_head_only_leaves_the_encoder_as_it_was(backbone: Path) -> None:
    from ratchet.models.backbones import load_classifier

    before = weights(load_classifier(backbone, 2).base_model.encoder)
    model, fitted, counts = train.run(reviews(64, 1), reviews(20, 2), params(backbone, method="head", n_epochs=1))
    after = weights(model.base_model.encoder)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert counts["n_trainable"] == 2 * 32 + 2
    assert len(fitted.history) == 1


def test_lora_trains_few_parameters_and_is_merged_into_a_plain_model(backbone: Path) -> None:
    from ratchet.models.backbones import load_classifier

    plain = load_classifier(backbone, 2)
    model, _, counts = train.run(reviews(64, 1), reviews(20, 2), params(backbone, method="lora", n_epochs=1))
    assert type(model) is type(plain)
    assert weights(model).keys() == weights(plain).keys()
    assert counts["n_trainable"] < counts["n_parameters"] / 2
    query = "base_model.encoder.layer.0.attention.self.query.weight".replace("base_model", model.base_model_prefix)
    assert not np.array_equal(weights(model)[query], weights(plain)[query])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(backbone: Path) -> None:
    first, second, other = (
        weights(train.run(reviews(48, 1), reviews(20, 2), params(backbone, n_epochs=1, seed=seed))[0])
        for seed in (5, 5, 6)
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_a_killed_run_resumes_after_its_last_epoch_and_ends_with_the_same_weights(
    backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ratchet.models.history import History

    undisturbed, reference, _ = train.run(reviews(80, 1), reviews(20, 2), params(backbone))
    expected = weights(undisturbed)
    healthy = History.on_train_batch_end

    def killed(self: History, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 2 and batch_idx == 3:
            raise RuntimeError("killed")
        healthy(self, trainer, module, outputs, batch, batch_idx)

    monkeypatch.setattr(History, "on_train_batch_end", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train.run(reviews(80, 1), reviews(20, 2), params(backbone))
    monkeypatch.setattr(History, "on_train_batch_end", healthy)
    model, fitted, _ = train.run(reviews(80, 1), reviews(20, 2), params(backbone))
    assert fitted.resumed_at_epoch == 2
    assert fitted.history == reference.history
    assert all(np.array_equal(expected[name], value) for name, value in weights(model).items())
    assert not train.SCRATCH.exists()


def test_a_checkpoint_of_other_params_is_not_resumed(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ratchet.models.history import History

    healthy = History.on_train_epoch_end

    def killed(self: History, trainer: Any, module: Any) -> None:
        healthy(self, trainer, module)
        if trainer.current_epoch == 1:
            raise RuntimeError("killed")

    monkeypatch.setattr(History, "on_train_epoch_end", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train.run(reviews(48, 1), reviews(20, 2), params(backbone))
    monkeypatch.setattr(History, "on_train_epoch_end", healthy)
    _, fitted, _ = train.run(reviews(48, 1), reviews(20, 2), params(backbone, learning_rate=1e-3))
    assert fitted.resumed_at_epoch == 0


def test_a_loss_that_is_no_number_stops_training(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from ratchet.models import backbones

    def poisoned(folder: Path, n_classes: int) -> Any:
        model = backbones.load_classifier(folder, n_classes)
        torch.nn.init.constant_(model.classifier.weight, float("nan"))
        return model

    monkeypatch.setattr(train, "load_classifier", poisoned)
    with pytest.raises(TrainingError, match="not a number"):
        train.run(reviews(16, 1), reviews(8, 2), params(backbone))


def test_nothing_to_learn_from_is_said(backbone: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to learn from"):
        train.run(reviews(16, 1).head(0), reviews(8, 2), params(backbone))


def test_a_label_no_validation_text_has_is_refused() -> None:
    labels = class_names(reviews(4, 1))
    with pytest.raises(TrainingError, match="none of the classes"):
        class_indices(pd.DataFrame({"label": ["lukewarm"]}), labels)
    assert class_indices(pd.DataFrame({"label": ["positive", None]}), labels).tolist() == [1, UNKNOWN]


def test_another_backbone_than_the_pinned_one_is_refused(backbone: Path) -> None:
    with pytest.raises(SourceError, match="SHA-256 differs"):
        train.run(reviews(16, 1), reviews(8, 2), params(backbone, backbone_sha256="0" * 64))


def test_a_backbone_that_is_nowhere_is_said() -> None:
    from ratchet.models.backbones import resolve_backbone

    with pytest.raises(SourceError, match="not installed"):
        resolve_backbone("package:no_such_package/model", "")


@pytest.mark.gpu
def test_bf16_mixed_trains_on_a_gpu(backbone: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: run `make test` on a machine that has one")
    _, fitted, _ = train.run(reviews(64, 1), reviews(20, 2), params(backbone, precision="auto", n_epochs=1))
    assert np.isfinite(fitted.history[0]["train_loss"])
