"""Embeddings are means over real tokens: padding, order and batch size do not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ratchet.embeddings.encoder import embed
from ratchet.models.batching import encode, load_tokenizer
from tests.support.tiny import tiny_backbone

pytestmark = pytest.mark.slow
TEXTS = ["the film is superb", "dull", "a story of its hero with scenes and music", "the film is superb", ""]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


def test_shape_type_and_equal_texts(backbone: Path) -> None:
    rows = embed(backbone, TEXTS, 32, 1, 2)
    assert rows.shape == (5, 32)
    assert rows.dtype == np.float32
    assert rows[0] == pytest.approx(rows[3], abs=1e-5)
    assert not np.allclose(rows[0], rows[1], atol=1e-2)
    assert embed(backbone, [], 32, 1, 2).shape == (0, 32)


def test_batches_and_order_do_not_matter(backbone: Path) -> None:
    alone = np.concatenate([embed(backbone, [text], 32, 1, 1) for text in TEXTS])
    assert embed(backbone, TEXTS, 32, 1, 5) == pytest.approx(alone, abs=1e-5)
    assert embed(backbone, TEXTS[::-1], 32, 1, 2)[::-1] == pytest.approx(alone, abs=1e-5)


def test_it_is_the_mean_of_the_last_hidden_states(backbone: Path) -> None:
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(backbone).eval()
    ids = torch.tensor([[2, 5, 6, 7, 3]])  # [CLS] the film is [SEP]
    with torch.inference_mode():
        expected = model(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy()
    assert embed(backbone, ["the film is"], 32, 1, 1)[0] == pytest.approx(expected, abs=1e-5)
    assert embed(backbone, ["the film is a story"], 5, 1, 1)[0] == pytest.approx(expected, abs=1e-5), "cut to 5 tokens"


def test_without_a_graph_pytorch_gives_the_same(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fused = embed(backbone, TEXTS, 32, 1, 2)
    monkeypatch.setattr("ratchet.embeddings.encoder.is_supported", lambda model: False)
    eager = embed(backbone, TEXTS, 32, 1, 2)
    assert eager == pytest.approx(fused, abs=1e-5)
    assert not np.array_equal(eager, fused), "one of them is the other"


def test_a_backbone_pretrained_by_its_first_token_is_embedded_by_it(backbone: Path, tmp_path: Path) -> None:
    import shutil

    import torch
    from transformers import AutoModel

    folder = shutil.copytree(backbone, tmp_path / "first")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    texts = ["a superb film", "dull"]
    tokenizer = load_tokenizer(folder, 32)
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = [model(torch.tensor([ids])).last_hidden_state[0, 0].numpy() for ids in encode(tokenizer, texts)]
    np.testing.assert_allclose(embed(folder, texts, 32, 1, 8), expected, atol=1e-5)
