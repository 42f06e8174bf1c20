"""How a model is fitted changes memory, speed and place; it must not change what is learned."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.errors import TrainingError
from ratchet.measure.primary import primary_metric
from ratchet.models import precision
from ratchet.models.backbones import load_classifier
from ratchet.models.batching import encode, load_tokenizer, pad
from ratchet.models.examples import Examples, class_indices
from ratchet.models.fit_params import FitParams
from ratchet.models.forward import logits_of
from ratchet.models.loading import Collate, loader, share_of
from ratchet.models.training import Fit, fit
from tests.support.tiny import FIT, reviews, tiny_backbone

pytestmark = pytest.mark.slow

CLASSES = ["negative", "positive"]
ACCURACY, MACRO_F1 = primary_metric("accuracy", CLASSES), primary_metric("macro_f1", CLASSES)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


def examples(backbone: Path, n: int, seed: int) -> Examples:
    frame = reviews(n, seed)
    tokens = encode(load_tokenizer(backbone, 32), frame["text"].tolist())
    return Examples(tokens, class_indices(frame, CLASSES))


def classifier(backbone: Path) -> Any:
    import torch

    model = load_classifier(backbone, 2)
    torch.manual_seed(1)
    # through a head of zeros nothing would reach the encoder in the first step
    torch.nn.init.normal_(model.classifier.weight, std=0.02)
    return model


def fitted(
    backbone: Path, scratch: Path, n: int = 45, callbacks: Sequence[Any] = (), metric: Any = ACCURACY, **changes: Any
) -> tuple[Any, Fit]:
    """A model after two epochs on `n` texts, and what fitting did."""
    model = classifier(backbone)
    params = FitParams.model_validate({**FIT, "n_epochs": 2, **changes})
    train, validation = examples(backbone, n, 1), examples(backbone, 20, 2)
    return model, fit(model, train, validation, params, scratch, metric=metric, callbacks=callbacks)


def watch(backbone: Path, metric: Any = ACCURACY) -> Any:
    """Two slices of the 20 validation texts."""
    from ratchet.measure.slice_history import SliceHistory

    masks = {"first": np.arange(20) < 7, "rest": np.arange(20) >= 7}
    return SliceHistory(masks, 0.05, metric, examples(backbone, 20, 2).hard, seed=0)


def weights(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    """Whether two models' weights agree to the last bit."""
    a, b = weights(one), weights(other)
    return all(np.array_equal(a[name], b[name]) for name in a)


def assert_near(one: Any, other: Any, backbone: Path, tolerance: float) -> None:
    """Two models say nearly the same. Their weights may differ more: where a gradient is nothing but rounding, as of
    a key's bias, Adam takes whole steps along it."""
    tokens = examples(backbone, 20, 9).tokens
    np.testing.assert_allclose(logits_of(one, tokens), logits_of(other, tokens), atol=tolerance)


def losses(fit_: Fit) -> list[float]:
    return [epoch["train_loss"] for epoch in fit_.history]


# Accumulation by tokens


def test_a_cut_batch_gives_the_gradients_of_the_whole_one(backbone: Path) -> None:
    import torch

    from ratchet.models.classifier import Classifier, cut

    model = classifier(backbone).eval()
    module = Classifier(
        model,
        n_steps=1,
        learning_rate=1e-3,
        head_rate=1,
        weight_decay=0.0,
        warmup_rate=0.0,
        temperature=1.0,
        soft_weight=0.0,
        prior_offset=[],
        micro_batch_tokens=0,
        seed=0,
    )
    batch = Collate(examples(backbone, 13, 3))(np.arange(13))
    module.losses(module.logits(batch), batch).mean().backward()  # type: ignore[no-untyped-call]
    whole = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    parts = cut(batch, 40)
    assert len(parts) > 3
    assert all(part["ids"].numel() <= 40 for part in parts)
    assert sorted(int(row) for part in parts for row in part["mask"].sum(1)) == sorted(batch["mask"].sum(1).tolist())
    for part in parts:
        (module.losses(module.logits(part), part).sum() / part["n_step"]).backward()
    summed = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(whole) == len(summed)
    for one, other in zip(whole, summed, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_a_text_longer_than_the_limit_is_a_part_of_its_own() -> None:
    import torch

    from ratchet.models.classifier import cut

    ids, mask = (torch.from_numpy(array) for array in pad([[1] * 9, [1] * 2, [1] * 2]))
    parts = cut({"ids": ids, "mask": mask, "hard": torch.zeros(3), "n_step": 3}, 4)
    assert [tuple(part["ids"].shape) for part in parts] == [(2, 2), (1, 9)]


def test_training_in_parts_learns_the_same(backbone: Path, tmp_path: Path) -> None:
    whole, reference = fitted(backbone, tmp_path / "a")
    parts, other = fitted(backbone, tmp_path / "b", micro_batch_tokens=30)
    assert_near(whole, parts, backbone, 2e-3)
    np.testing.assert_allclose(losses(other), losses(reference), atol=1e-4)


# Precision


def overflowing(backbone: Path) -> Any:
    """A classifier whose last feed-forward channels do not fit into 16 bits, but well into 32."""
    import torch

    model = classifier(backbone)
    with torch.no_grad():
        last = model.base_model.encoder.layer[-1]
        last.intermediate.dense.weight.mul_(3e5)
        last.output.dense.weight.div_(3e5)
    return model


def test_a_loss_that_overflows_in_16_bits_falls_back_to_32(
    backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = examples(backbone, 24, 1), examples(backbone, 20, 2)
    kept = {}
    for name in ("16-mixed", "32-true"):
        model = overflowing(backbone)
        fit_ = fit(
            model,
            *data,
            FitParams.model_validate({**FIT, "precision": name, "n_epochs": 1}),
            tmp_path / name,
            metric=ACCURACY,
        )
        kept[name] = model, fit_
    assert kept["16-mixed"][1].precision == "32-true"
    assert "fell back: in 16-mixed" in kept["16-mixed"][1].precision_reason
    assert "fell back" in capsys.readouterr().out
    assert same(kept["16-mixed"][0], kept["32-true"][0])


@pytest.mark.parametrize("name", ["bf16-mixed", "16-mixed"])
def test_a_mixed_precision_trains_near_32_bit(backbone: Path, tmp_path: Path, name: str) -> None:
    model, fit_ = fitted(backbone, tmp_path / "a", n=24, precision=name)
    _, reference = fitted(backbone, tmp_path / "b", n=24)
    assert fit_.precision == name
    assert losses(fit_) != losses(reference)
    np.testing.assert_allclose(losses(fit_), losses(reference), rtol=0.1)
    assert all(value.dtype == np.float32 for value in weights(model).values() if value.dtype.kind == "f")


def test_auto_measures_and_leaves_no_trace_in_the_weights(backbone: Path, tmp_path: Path) -> None:
    measured, fit_ = fitted(backbone, tmp_path / "a", precision="auto", n=24)
    asked, _ = fitted(backbone, tmp_path / "b", precision=fit_.precision, n=24)
    assert [trial.precision for trial in fit_.choice.trials] == list(precision.CANDIDATES)
    assert same(measured, asked)
    assert precision.Choice.from_json({"precision": "32-true", "reason": "", "trials": []}).trials == []


def trials(
    bf16_s: float, bf16_loss: float, n: int = precision.N_FIRST, n_bf16: int = precision.N_FIRST, slow_after: int = 99
) -> precision.Choice:
    """A choice among steps that take and lose what is said; 32-bit, and bf16 when it slows down, takes 4 ms."""
    import time

    counts = dict.fromkeys(precision.CANDIDATES, 0)

    def make(name: str) -> precision.Step:
        def step(batch: Any) -> float:
            counts[name] += 1
            seconds = {"32-true": 0.004, "bf16-mixed": bf16_s if counts[name] <= slow_after else 0.004, "16-mixed": 0.1}
            end = time.process_time() + seconds[name]
            while time.process_time() < end:
                pass
            return bf16_loss if name == "bf16-mixed" else 1.0

        return step

    products = {"32-true": 1.0, "bf16-mixed": 1.5, "16-mixed": 40.0}
    choice = precision.measured_choice(make, [None] * n, "cpu", products)
    assert counts == {"32-true": n_bf16, "bf16-mixed": n_bf16, "16-mixed": 0}
    return choice


def test_the_fastest_that_agrees_is_chosen_and_the_hopeless_is_given_up() -> None:
    choice = trials(0.001, 1.01)
    assert choice.precision == "bf16-mixed"
    by_name = {trial.precision: trial for trial in choice.trials}
    assert by_name["16-mixed"].n_steps == 0
    assert "hopelessly slower" in by_name["16-mixed"].verdict
    assert by_name["16-mixed"].speedup == pytest.approx(1 / 40)
    assert by_name["bf16-mixed"].loss_difference == pytest.approx(0.01)
    assert choice.to_json()["rule"]["min_speedup"] > 1


def test_what_disagrees_or_gains_too_little_is_not_chosen() -> None:
    assert "too far" in {t.precision: t.verdict for t in trials(0.001, 1.2).trials}["bf16-mixed"]
    assert "not a number" in {t.precision: t.verdict for t in trials(0.001, float("nan")).trials}["bf16-mixed"]
    for choice in (trials(0.001, 1.2), trials(0.001, float("nan")), trials(0.004, 1.0)):
        assert choice.precision == "32-true"


def test_what_gains_nothing_is_given_up_after_a_few_steps_and_what_gains_is_tried_to_the_end() -> None:
    few = precision.N_FIRST
    given_up = trials(0.004, 1.0, n=12, n_bf16=few)
    assert {t.precision: t.n_steps for t in given_up.trials} == {"32-true": few, "bf16-mixed": few, "16-mixed": 0}
    assert given_up.precision == "32-true"
    assert trials(0.002, 1.0, n=12, n_bf16=2 * few, slow_after=2).precision == "32-true"
    assert trials(0.001, 1.0, n=12, n_bf16=12).precision == "bf16-mixed"


# Work done once


def test_the_head_learns_at_a_rate_of_its_own(backbone: Path, tmp_path: Path) -> None:
    def moved(head_rate: float, learning_rate: float) -> tuple[float, float]:
        model = classifier(backbone)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        rates = {"head_rate": head_rate, "learning_rate": learning_rate, "weight_decay": 0.0, "n_epochs": 1}
        params = FitParams.model_validate({**FIT, **rates})
        fit(model, examples(backbone, 40, 1), examples(backbone, 20, 2), params, tmp_path, metric=ACCURACY)
        far = {name: float((value - before[name]).abs().max()) for name, value in model.state_dict().items()}
        head = max(value for name, value in far.items() if name.startswith("classifier."))
        return head, max(value for name, value in far.items() if not name.startswith("classifier."))

    slow, fast = moved(1.0, 1e-4), moved(10.0, 1e-4)
    assert fast[0] == pytest.approx(10 * slow[0], rel=0.3)  # AdamW's steps are about the rate
    assert fast[1] == pytest.approx(slow[1], rel=0.3)


def test_compiling_is_for_the_fit_alone(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    asked: list[dict[str, Any]] = []
    compile_ = torch.nn.Module.compile

    def traced_only(self: Any, **options: Any) -> None:  # the C++ compiler takes half a minute
        asked.append(options)
        compile_(self, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", traced_only)
    compiled, fit_ = fitted(backbone, tmp_path / "a", n=16, compile_model=True)
    plain, reference = fitted(backbone, tmp_path / "b", n=16)
    assert asked == [{"dynamic": True}]
    assert compiled._compiled_call_impl is None
    assert_near(compiled, plain, backbone, 2e-3)
    np.testing.assert_allclose(losses(fit_), losses(reference), atol=1e-4)


# What the best epoch is


def scripted(monkeypatch: pytest.MonkeyPatch, hits: Sequence[tuple[int, int]]) -> None:
    """Let the model find, in each epoch, so many of the 4 positive validation texts and be wrong on so many others."""
    import torch

    from ratchet.models.classifier import Classifier

    def logits(self: Any, batch: dict[str, Any]) -> Any:
        n_found, n_false = hits[self.current_epoch]
        row = batch["row"]
        positive = torch.where(row < 4, row < n_found, row < 4 + n_false)
        return torch.stack([~positive, positive], dim=1).float() * 3

    monkeypatch.setattr(Classifier, "logits", logits)


COSTS = primary_metric("expected_cost", CLASSES, cost_matrix=[[0, 1], [30, 0]])
RARE = primary_metric("average_precision", CLASSES, "positive")


@pytest.mark.parametrize(
    ("metric", "best", "n_epochs"), [(ACCURACY, 0, 2), (MACRO_F1, 1, 3), (RARE, 1, 3), (COSTS, 2, 4)]
)
def test_epochs_are_judged_and_stopped_by_the_primary_metric(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: Any, best: int, n_epochs: int
) -> None:
    scripted(monkeypatch, [(0, 0), (3, 4), (4, 12), (2, 20), (0, 30)])
    validation = replace(examples(backbone, 40, 2), hard=(np.arange(40) < 4).astype(np.int64))
    params = FitParams.model_validate({**FIT, "n_epochs": 5, "patience": 1})
    model = classifier(backbone)
    fit_ = fit(model, examples(backbone, 16, 1), validation, params, tmp_path / "scratch", metric=metric)
    assert (fit_.best_epoch, len(fit_.history)) == (best, n_epochs)
    assert fit_.history[0]["validation_accuracy"] == pytest.approx(0.9)
    measured = [epoch[f"validation_{metric.name}"] for epoch in fit_.history]
    assert measured[best] == (max(measured) if metric.greater_is_better else min(measured))


def test_a_metric_in_the_history_is_that_of_the_model_s_own_predictions(backbone: Path, tmp_path: Path) -> None:
    from sklearn.metrics import f1_score

    model, fit_ = fitted(backbone, tmp_path, metric=MACRO_F1)
    validation = examples(backbone, 20, 2)
    expected = f1_score(validation.hard, logits_of(model, validation.tokens).argmax(axis=1), average="macro")
    assert fit_.history[fit_.best_epoch]["validation_macro_f1"] == pytest.approx(expected)


def test_a_metric_that_validation_texts_cannot_define_is_refused_before_training(
    backbone: Path, tmp_path: Path
) -> None:
    validation = replace(examples(backbone, 8, 2), hard=np.zeros(8, dtype=np.int64))
    with pytest.raises(TrainingError, match=r"average_precision.*undefined"):
        fit(
            classifier(backbone),
            examples(backbone, 8, 1),
            validation,
            FitParams.model_validate(FIT),
            tmp_path,
            metric=RARE,
        )


# Several processes


def test_shares_of_a_batch_hold_every_text_once() -> None:
    for n in range(1, 9):
        shares = [share_of(np.arange(n), rank, 3) for rank in range(3)]
        counted = [i for indices, w in shares if w is not None for i, c in zip(indices, w, strict=True) if c]
        assert sorted(counted) == list(range(n))


@pytest.fixture
def meeting_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processes of a fit meet. Lightning takes a port from the range that connections are given theirs from,
    and the processes listen on it only when all of torch is imported: meanwhile another test may have got it."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):  # nobody listens there
                monkeypatch.setenv("MASTER_PORT", str(port))
                return
    raise AssertionError("no port is free")


@pytest.mark.deep
@pytest.mark.usefixtures("meeting_port")
def test_two_processes_learn_what_one_does(backbone: Path, tmp_path: Path) -> None:
    alone, shared = watch(backbone, MACRO_F1), watch(backbone, MACRO_F1)
    one, reference = fitted(backbone, tmp_path / "a", n=41, callbacks=[alone], metric=MACRO_F1)
    two, fit_ = fitted(backbone, tmp_path / "b", n=41, callbacks=[shared], metric=MACRO_F1, strategy="ddp", n_devices=2)
    assert shared.rows == alone.rows
    assert sum(row["primary"]["n"] for row in shared.rows if row["epoch"] == 1) == 20
    assert [epoch["epoch"] for epoch in fit_.history] == [0, 1]
    np.testing.assert_allclose(losses(fit_), losses(reference), atol=1e-4)
    for name in ("validation_accuracy", "validation_macro_f1"):
        np.testing.assert_allclose(fit_.history[-1][name], reference.history[-1][name])
    assert_near(one, two, backbone, 2e-3)


def test_a_weight_counts_like_copies_and_a_text_of_weight_0_not_at_all(backbone: Path) -> None:
    import torch

    from ratchet.models.classifier import Classifier

    texts = examples(backbone, 8, 1)
    weight = np.array([2, 0, 1, 1, 1, 1, 1, 1], dtype=np.float32)
    model = classifier(backbone).eval()
    module = Classifier(
        model,
        n_steps=1,
        learning_rate=1e-3,
        head_rate=1,
        weight_decay=0,
        warmup_rate=0,
        temperature=1,
        soft_weight=0,
        prior_offset=[],
        micro_batch_tokens=0,
        seed=0,
    )

    def loss(which: Examples, rows: list[int]) -> float:
        batch = Collate(which)(np.array(rows))
        with torch.no_grad():
            return float(module.losses(module.logits(batch), batch).sum())

    weighed = loss(replace(texts, weight=weight), list(range(8)))
    assert weighed == pytest.approx(loss(texts, [0, 0, *range(2, 8)]), rel=1e-5)
    assert weighed != pytest.approx(loss(texts, list(range(8))), rel=1e-3)


def test_sharding_without_a_gpu_is_said(backbone: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, on which sharding runs: test_sharded_training_on_a_gpu")
    with pytest.raises(TrainingError, match="needs GPUs"):
        fitted(backbone, tmp_path, strategy="fsdp")


@pytest.mark.gpu
def test_sharded_training_on_a_gpu(backbone: Path, tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: run `make test` on a machine that has one")
    whole, reference = fitted(backbone, tmp_path / "a")
    sharded, fit_ = fitted(backbone, tmp_path / "b", strategy="fsdp")
    np.testing.assert_allclose(losses(fit_), losses(reference), atol=1e-3)
    assert_near(whole.cpu(), sharded.cpu(), backbone, 1e-2)


def test_a_batch_sampler_repeats_an_epoch_and_not_the_next(backbone: Path) -> None:
    batches = loader(examples(backbone, 40, 1), 8, 3).batch_sampler
    first = [batch.tolist() for batch in batches]
    assert first == [batch.tolist() for batch in batches]
    batches.set_epoch(1)
    assert first != [batch.tolist() for batch in batches]
