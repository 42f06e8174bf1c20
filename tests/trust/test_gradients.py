"""Integrated gradients go from a text of padding, whatever id the tokenizer gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratchet.engines.loading import load
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.trust.gradients import integrated_gradients
from tests.support.bundles import torch_bundle

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("padding", "expected"), [("[PAD]", 3), ("<pad>", 3), ("nothing", 0)])
def test_the_baseline_is_of_the_tokenizers_own_padding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padding: str, expected: int
) -> None:
    from captum.attr import LayerIntegratedGradients
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["film", "superb", "[UNK]", padding, "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 4), ("[SEP]", 5)]
    )
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    predictor = load(torch_bundle(tmp_path), 1)
    assert isinstance(predictor, TorchPredictor)
    monkeypatch.setattr(type(predictor), "tokenizer", tokenizer)
    seen: list[Any] = []
    attribute = LayerIntegratedGradients.attribute

    def watched(self: Any, inputs: Any, **given: Any) -> Any:
        seen.append(given["baselines"])
        return attribute(self, inputs, **given)

    monkeypatch.setattr(LayerIntegratedGradients, "attribute", watched)
    (found,) = integrated_gradients(predictor, ["superb film"], [0], 4)
    assert seen[0].tolist() == [[4, expected, expected, 5]]
    assert len(found.values) == 2
