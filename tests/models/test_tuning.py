"""Each tuning method trains what it says, begins as nothing, and ends as a model that can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.engines.loading import load
from ratchet.errors import BundleError, TrainingError
from ratchet.models import tuning
from ratchet.models.backbones import load_classifier
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.forward import logits_of
from ratchet.models.predictor import softmax
from tests.support.bundles import manifest
from tests.support.tiny import reviews, tiny_backbone

WIDTH, CHANNELS, LAYERS, RANK, SIZE = 32, 64, 3, 4, 5
HEAD = WIDTH * 2 + 2
LINEARS = [(WIDTH, WIDTH)] * 4 + [(WIDTH, CHANNELS), (CHANNELS, WIDTH)]  # query, key, value, output; up, down
LOW_RANK = sum(RANK * (n + m) for n, m in LINEARS) * LAYERS
EXPECTED = {
    "head": HEAD,
    # a bias for each output, and those of two layer norms; the embeddings' layer norm has one too
    "bitfit": HEAD + LAYERS * (sum(m for _, m in LINEARS) + 2 * WIDTH) + WIDTH,
    # a factor for keys, values, and the inputs of both layers named output.dense
    "ia3": HEAD + LAYERS * (WIDTH + WIDTH + WIDTH + CHANNELS),
    "lora": HEAD + LOW_RANK,
    "dora": HEAD + LOW_RANK + LAYERS * sum(m for _, m in LINEARS),
    "adapter": HEAD + LAYERS * (2 * WIDTH * SIZE + SIZE + WIDTH),
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


def prepared(backbone: Path, method: tuning.Method, **changes: Any) -> Any:
    import torch

    torch.manual_seed(0)
    options: dict[str, Any] = {
        "lora_rank": RANK,
        "lora_targets": ["all-linear"],
        "rank_stabilized": False,
        "adapter_size": SIZE,
    }
    return tuning.prepare(load_classifier(backbone, 2), method, **{**options, **changes})


def logits(model: Any, backbone: Path) -> np.ndarray[Any, Any]:
    return logits_of(model, encode(load_tokenizer(backbone, 32), reviews(12, 1)["text"].tolist()))


def trained_a_little(model: Any, backbone: Path) -> Any:
    """Three steps on what learns; enough to move every trainable parameter."""
    import torch

    tokenizer = load_tokenizer(backbone, 32)
    ids = torch.tensor([item[:5] for item in encode(tokenizer, reviews(8, 3)["text"].tolist())])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        torch.nn.functional.cross_entropy(output, torch.arange(8) % 2).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("method", EXPECTED)
def test_the_method_trains_the_parameters_it_says(backbone: Path, method: tuning.Method) -> None:
    assert tuning.count_parameters(prepared(backbone, method))["n_trainable"] == EXPECTED[method]


@pytest.mark.parametrize("method", ["ia3", "lora", "dora", "adapter"])
def test_what_is_added_begins_as_nothing(backbone: Path, method: tuning.Method) -> None:
    np.testing.assert_allclose(
        logits(prepared(backbone, method), backbone), logits(prepared(backbone, "full"), backbone), atol=1e-5
    )


@pytest.mark.parametrize("method", EXPECTED)
def test_learning_moves_the_logits_and_merging_does_not(backbone: Path, method: tuning.Method) -> None:
    untrained = logits(prepared(backbone, method), backbone)
    model = trained_a_little(prepared(backbone, method), backbone)
    before = logits(model, backbone)
    merged = tuning.merge(model)
    assert np.abs(before - untrained).max() > 1e-2
    np.testing.assert_allclose(logits(merged, backbone), before, atol=2e-5)
    assert all(parameter.requires_grad for parameter in merged.parameters())


@pytest.mark.parametrize("method", ["bitfit", "ia3", "lora", "dora"])
def test_a_merged_model_is_plain_and_its_bundle_loads(backbone: Path, method: tuning.Method, tmp_path: Path) -> None:
    plain = load_classifier(backbone, 2)
    merged = tuning.merge(trained_a_little(prepared(backbone, method), backbone))
    assert type(merged) is type(plain)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    save_model(merged, backbone, tmp_path / "teacher", manifest("teacher"))
    np.testing.assert_allclose(logits(load_model(tmp_path / "teacher")[0], backbone), logits(merged, backbone))


def test_adapters_stay_in_the_bundle_and_keep_it_from_being_compressed(backbone: Path, tmp_path: Path) -> None:
    model = tuning.merge(trained_a_little(prepared(backbone, "adapter"), backbone))
    expected = logits(model, backbone)
    save_model(model, backbone, tmp_path / "teacher", manifest("teacher"))
    proba = load(tmp_path / "teacher", n_threads=1).predict_proba(reviews(12, 1)["text"].tolist())
    np.testing.assert_allclose(proba, softmax(expected), atol=1e-5)
    np.testing.assert_allclose(logits(model, backbone), expected, atol=1e-5)  # the model itself was left whole
    with pytest.raises(BundleError, match="cannot be merged"):
        load_model(tmp_path / "teacher")


def test_targets_and_scaling_are_what_was_asked(backbone: Path) -> None:
    narrow = prepared(backbone, "lora", lora_targets=["query"])
    assert tuning.count_parameters(narrow)["n_trainable"] == HEAD + LAYERS * RANK * 2 * WIDTH
    by_rank = {
        stabilized: next(
            part.scaling["default"]
            for part in prepared(backbone, "lora", rank_stabilized=stabilized).modules()
            if hasattr(part, "lora_A")
        )
        for stabilized in (False, True)
    }
    assert by_rank == {False: 2.0, True: pytest.approx(2 * RANK / RANK**0.5)}


def test_frozen_embeddings_are_not_counted_as_learning(backbone: Path) -> None:
    model = prepared(backbone, "full")
    counts = tuning.count_parameters(model, train_embeddings=False)
    assert counts["n_parameters"] - counts["n_trainable"] == model.get_input_embeddings().weight.numel()


def test_a_target_that_no_layer_has_is_said(backbone: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be applied"):
        prepared(backbone, "lora", lora_targets=["no_such_layer"])
