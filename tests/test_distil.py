"""A student that is smaller, starts from its teacher and ends closer to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_steps import distil
from ratchet.compress.distillation import encoder_of, student_of
from ratchet.errors import TrainingError
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.checkpoint import load_model
from ratchet.models.forward import logits_of
from ratchet.models.predictor import softmax
from tests.bundles import LABELS, torch_bundle
from tests.tiny import FIT, reviews

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_bundle(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def params(**changes: Any) -> distil.Params:
    values = {**FIT, "layers": [0, 2], "temperature": 2.0, "soft_weight": 0.7, "max_unlabeled": 100, **changes}
    return distil.Params.model_validate(values)


def test_a_student_is_the_named_layers_of_its_teacher(bundle: Path) -> None:
    teacher, _ = load_model(bundle)
    student = student_of(teacher, [0, 2])
    assert student.config.num_hidden_layers == len(encoder_of(student).layer) == 2
    assert len(encoder_of(teacher).layer) == 3
    for own, taught in zip(encoder_of(student).layer, (0, 2), strict=True):
        theirs = encoder_of(teacher).layer[taught].state_dict()
        assert all(np.array_equal(value, theirs[name]) for name, value in own.state_dict().items())


@pytest.mark.parametrize("layers", [[], [3], [-1, 0]])
def test_layers_the_teacher_does_not_have_are_refused(bundle: Path, layers: list[int]) -> None:
    teacher, _ = load_model(bundle)
    with pytest.raises(TrainingError, match="not layers of the teacher"):
        student_of(teacher, layers)


def test_distillation_moves_the_student_to_its_teacher_on_unseen_texts(bundle: Path) -> None:
    import torch

    teacher, manifest = load_model(bundle)
    torch.nn.init.normal_(teacher.classifier.weight, std=5.0)  # opinions that take more than a layer's absence to copy
    tokenizer = load_tokenizer(bundle, manifest.max_tokens)
    texts = reviews(400, 1)
    texts.loc[40:, "label"] = None  # most texts have no label: they teach through the teacher alone
    unseen = encode(tokenizer, reviews(100, 9)["text"].tolist())
    before = student_of(teacher, [0])
    student, fitted, temperature, soft = distil.run(
        teacher, tokenizer, texts, reviews(40, 2), LABELS, params(layers=[0], soft_weight=1.0, n_epochs=6)
    )

    def agreement(model: Any) -> float:
        """Correlation of the margins with the teacher's, which no temperature changes."""
        theirs, own = (np.diff(logits_of(one, unseen)).ravel() for one in (teacher, model))
        return float(np.corrcoef(theirs, own)[0, 1])

    assert agreement(student) > agreement(before) + 0.5  # 0.74 from -0.11 when it was written
    assert soft.shape == (400, 2)
    assert temperature > 0
    assert np.isfinite(fitted.history[-1]["train_loss"])


def test_logits_come_in_the_order_of_the_texts_whatever_the_batches(bundle: Path) -> None:
    teacher, manifest = load_model(bundle)
    tokens = encode(load_tokenizer(bundle, manifest.max_tokens), reviews(17, 3)["text"].tolist())
    together, alone = logits_of(teacher, tokens, batch_size=4), logits_of(teacher, tokens, batch_size=1)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_loss_is_hintons_formula() -> None:
    import torch

    from ratchet.models.classifier import Classifier

    module = Classifier(
        torch.nn.Linear(1, 1), n_steps=1, learning_rate=0.1, weight_decay=0.0, warmup_rate=0.0, temperature=2.0,
        soft_weight=0.7, micro_batch_tokens=0, seed=0,
    )  # fmt: skip
    logits, soft = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, -1.0], [0.5, 0.0]])
    loss = module.losses(logits, {"hard": torch.tensor([0, -1]), "soft": soft}).mean()
    # by hand, with numpy: T² KL(teacher ‖ student) at T = 2; the second text has no label, so its soft term is whole
    own, theirs = softmax(logits.numpy() / 2), softmax(soft.numpy() / 2)
    divergence = 4 * (theirs * np.log(theirs / own)).sum(axis=1)
    entropy = -np.log(softmax(logits.numpy())[0, 0])
    expected = (0.7 * divergence[0] + 0.3 * entropy + divergence[1]) / 2
    assert float(loss) == pytest.approx(expected, abs=1e-6)
