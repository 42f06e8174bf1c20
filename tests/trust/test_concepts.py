"""TCAV finds a planted concept, and not a random one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ratchet.engines.loading import load
from ratchet.errors import TableError
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.trust.concepts import activations, concept_scores, gradients, read_concepts
from tests.support.bundles import torch_bundle

WIDTH = 12


def planted(seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Examples along the first axis, against it, and along none that matters; gradients along the first axis."""
    rng = np.random.default_rng(seed)
    axis = np.eye(WIDTH)[0]
    concepts = {
        "for": rng.normal(size=(20, WIDTH)) + 3 * axis,
        "against": rng.normal(size=(20, WIDTH)) - 3 * axis,
        "random": rng.normal(size=(20, WIDTH)),
    }
    return concepts, rng.normal(size=(120, WIDTH)), axis + 0.3 * rng.normal(size=(50, WIDTH))


def test_the_planted_concepts_are_found_with_their_signs() -> None:
    concepts, pool, grads = planted(0)
    every = concept_scores(concepts, pool, {"first": grads, "second": -grads}, 12, 0.05, 1)
    found = every["first"]
    assert found["for"]["significant"]
    assert found["for"]["score"]["value"] > 0.9
    assert found["against"]["significant"]
    assert found["against"]["score"]["value"] < 0.1
    assert every["second"]["for"]["score"]["value"] < 0.1  # what speaks for one class speaks against the other
    assert concept_scores(concepts, pool, {"first": grads, "second": -grads}, 12, 0.05, 1) == every
    (alone,) = concept_scores({"for": concepts["for"]}, pool, {"first": grads}, 12, 0.05, 1).values()
    assert found["for"]["p_value"] == pytest.approx(6 * alone["for"]["p_value"])  # three concepts, two classes


def test_concepts_of_random_texts_are_rarely_significant() -> None:
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        concepts = {"random": rng.normal(size=(20, WIDTH))}
        _, pool, grads = planted(seed)
        hits += concept_scores(concepts, pool, {"it": grads}, 6, 0.001, seed)["it"]["random"]["significant"]
    assert hits <= 5


def test_gradients_are_those_of_the_logit_when_the_layer_moves(tmp_path: Path) -> None:
    import torch

    predictor = load(torch_bundle(tmp_path), 1)
    assert isinstance(predictor, TorchPredictor)
    texts, last = ["the film is superb", "a dull story"], 3
    grads = gradients(predictor, texts, last, 1)
    assert activations(predictor, texts, last).shape == grads.shape == (2, 32)
    direction, step = np.random.default_rng(0).normal(size=32), 1e-3
    model = predictor.model
    for text, row in zip(texts, grads, strict=True):
        ids = torch.tensor([predictor.encode([text])[0]])
        with torch.no_grad():
            hidden = model(input_ids=ids, output_hidden_states=True).hidden_states[last]
            moved = [
                model.classifier(model.pool(hidden + sign * step * torch.tensor(direction).float(), None))[0, 1].item()
                for sign in (1, -1)
            ]
        assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(row @ direction, rel=0.05, abs=5e-3)


def test_concepts_are_files_or_folders_of_texts(tmp_path: Path) -> None:
    (tmp_path / "praise.txt").write_text("\n".join(f"text {i}" for i in range(8)) + "\n\n")
    (tmp_path / "blame").mkdir()
    for index in range(9):
        (tmp_path / "blame" / f"{index}.txt").write_text(f"text\n{index}\n")
    (tmp_path / "notes.md").write_text("not a concept")
    found = read_concepts(tmp_path)
    assert {name: len(texts) for name, texts in found.items()} == {"praise": 8, "blame": 9}
    assert found["blame"][0] == "text 0"
    (tmp_path / "few.txt").write_text("one\n")
    with pytest.raises(TableError, match="too few examples"):
        read_concepts(tmp_path)
