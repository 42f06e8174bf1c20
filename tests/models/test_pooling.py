"""The pooled classifier of every family: what it computes, what padding does to it, and that it is read back."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.errors import BundleError
from ratchet.models.backbones import load_classifier
from ratchet.models.pooling import FEATURE_NORM, load_pooled, pooling_of
from tests.support.families import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # transformers' DeBERTa asks it


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a random backbone of a family, by its model type."""
    import torch
    from transformers import AutoConfig, AutoModel

    def made(family: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / family
        if not folder.is_dir():
            torch.manual_seed(0)
            AutoModel.from_config(AutoConfig.for_model(family, **FAMILIES[family])).save_pretrained(folder)
        return folder

    return made


def classifier(folder: Path) -> Any:
    """A classifier of three classes with opinions."""
    import torch

    model = load_classifier(folder, 3).eval()
    torch.manual_seed(1)
    torch.nn.init.normal_(model.classifier.weight)
    torch.nn.init.normal_(model.classifier.bias)
    return model


def padded() -> tuple[Any, Any]:
    """Ids and mask of texts of nine, four and no tokens."""
    import torch

    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [0] * 9])
    return torch.where(mask == 1, ids, 0), mask


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_normalised_mean_and_do_not_see_padding(
    backbone: Callable[[str], Path], family: str
) -> None:
    import torch

    model, (ids, mask) = classifier(backbone(family)), padded()
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits.numpy()
        features = model.features(input_ids=ids, attention_mask=mask).numpy()
        alone = model(input_ids=ids[1:2, :4], attention_mask=mask[1:2, :4]).logits.numpy()
        hidden = model.base_model(input_ids=ids[1:2, :4]).last_hidden_state[0].numpy()
        embedded = model(inputs_embeds=model.get_input_embeddings()(ids[:1]), attention_mask=mask[:1]).logits.numpy()
    np.testing.assert_allclose(alone[0], logits[1], atol=1e-5)
    np.testing.assert_allclose(embedded[0], logits[0], atol=1e-5)
    mean = hidden.mean(axis=0)
    np.testing.assert_allclose(features[1], FEATURE_NORM * mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(logits[2], model.classifier.bias.detach().numpy())  # a text without a token
    assert not [name for name, _ in model.named_parameters() if "pooler" in name]


@pytest.mark.parametrize("family", FAMILIES)
def test_where_no_student_can_be_made_the_files_of_the_backbone_say_so(
    backbone: Callable[[str], Path], family: str
) -> None:
    from ratchet.compress.distillation import LAYERS, no_student, student_of
    from ratchet.models.backbone_files import read_backbone_files

    folder = backbone(family)
    files, model = read_backbone_files(str(folder), folder.parent), load_classifier(folder, 3)
    assert files is not None
    reason = no_student(model)
    assert bool(reason) == (family in ("distilbert", "modernbert"))
    assert bool(reason) != any(f"{LAYERS}.0." in name for name in files.shapes)
    if not reason:
        assert student_of(model, [1]).config.num_hidden_layers == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_classifier_is_read_back_as_it_was_saved(
    backbone: Callable[[str], Path], family: str, tmp_path: Path
) -> None:
    import torch

    fresh = load_classifier(backbone(family), 3)
    assert all(not parameter.any() for parameter in fresh.classifier.parameters())
    assert all(part.p == 0 for part in fresh.modules() if isinstance(part, torch.nn.Dropout))
    model, (ids, mask) = classifier(backbone(family)), padded()
    model.save_pretrained(tmp_path)
    expected = model(input_ids=ids, attention_mask=mask).logits
    for other in (load_pooled(tmp_path).eval(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is type(model)
        assert other is not model
        assert torch.equal(other(input_ids=ids, attention_mask=mask).logits, expected)


def test_labels_give_a_loss_and_hidden_states_come_where_they_are_asked_for(backbone: Callable[[str], Path]) -> None:
    import torch

    model, (ids, mask) = classifier(backbone("bert")), padded()
    labels = torch.tensor([0, 2, 1])
    shown = {"output_hidden_states": True, "output_attentions": True}
    model.set_attn_implementation("eager")
    output = model(input_ids=ids, attention_mask=mask, labels=labels, **shown)
    assert output.loss.item() == pytest.approx(torch.nn.functional.cross_entropy(output.logits, labels).item())
    assert (len(output.hidden_states), len(output.attentions)) == (3, 2)
    plain = model(input_ids=ids, attention_mask=mask)
    assert plain.loss is plain.hidden_states is plain.attentions is None


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        (None, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode": "cls"}, "first"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "max"}, "mean"),
    ],
)
def test_a_backbone_is_pooled_as_it_was_pretrained(
    backbone: Callable[[str], Path], tmp_path: Path, said: dict[str, Any] | None, pooling: str
) -> None:
    import shutil

    import torch

    folder = shutil.copytree(backbone("bert"), tmp_path / "backbone")
    if said is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling/config.json").write_text(json.dumps(said))
    assert pooling_of(folder) == pooling
    model, (ids, mask) = classifier(folder), padded()
    model.save_pretrained(tmp_path / "bundle")
    with torch.no_grad():
        features = load_pooled(tmp_path / "bundle").eval().features(input_ids=ids, attention_mask=mask)
        hidden = model.base_model(input_ids=ids[:1]).last_hidden_state[0]
    expected = hidden[0] if pooling == "first" else hidden.mean(dim=0)
    np.testing.assert_allclose(features[0], FEATURE_NORM * expected / expected.norm(), atol=1e-5)


def test_features_are_in_32_bit_whatever_the_encoder_computes_in(backbone: Callable[[str], Path]) -> None:
    import torch

    model, (ids, mask) = classifier(backbone("bert")), padded()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        features = model.features(input_ids=ids, attention_mask=mask)
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features[:2].norm(dim=1), FEATURE_NORM, rtol=1e-6)
    far = torch.full((1, 9, 32), 6e4, dtype=torch.float16)  # whose sum 16 bits cannot hold
    np.testing.assert_allclose(model.pool(far, mask[:1]).norm(), FEATURE_NORM, rtol=1e-6)
    lost = torch.full((1, 9, 32), torch.nan)
    lost[0, :4] = 1.0
    assert model.pool(lost, mask[1:2]).isfinite().all()  # what padding holds is not looked at


def test_a_classifier_that_does_not_say_how_it_pools_is_refused(
    backbone: Callable[[str], Path], tmp_path: Path
) -> None:
    classifier(backbone("bert")).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["pooling"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BundleError, match="does not say how it pools"):
        load_pooled(tmp_path)
