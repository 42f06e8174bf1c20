"""Training that really trains, resumes to the same weights, and says what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import train
from ratchet.errors import ParamsError, SourceError, TableError, TrainingError
from ratchet.models.architecture import BackboneSettings
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.examples import UNKNOWN, class_indices, class_names
from ratchet.models.forward import logits_of
from ratchet.models.predictor import softmax
from ratchet.models.probe import Probe
from ratchet.models.training import fit, without_steps
from ratchet.trust.lexicons import Lexicon
from tests.support.films import ARTICLES, PATTERNS
from tests.support.params import CLEANING
from tests.support.tiny import ACCURACY, TUNING, reviews, tiny_backbone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


LEXICON = Lexicon(
    attributes={"role": {"actors": ["hero"], "sounds": ["music"]}},
    phrases=[],
    swaps={"role": [["hero", "music"]]},
    templates=[],
)


def params(backbone: Path, sha256: str = "", **changes: Any) -> tuple[BackboneSettings, train.Params]:
    """What `architect` chose, and the rest."""
    groups = {
        "mitigation": "none",
        "mitigated_attribute": "role",
        "max_copies": 1,
        "slices": ["length"],
        "attributes": ["role"],
        "length_edges": [6, 8],
        "max_slice_fall": 0.05,
    }
    values = {**TUNING, **ACCURACY, **CLEANING, **groups, "method": "full", "max_texts": 1000, **changes}
    chosen = BackboneSettings(
        source=str(backbone),
        sha256=sha256,
        method=values["method"],
        learning_rate=values["learning_rate"],
        probe_regularization=10.0,
        prior_strength=0.0,
    )
    return chosen, train.Params.model_validate(values)


def run(labeled: pd.DataFrame, validation: pd.DataFrame, values: tuple[BackboneSettings, train.Params]) -> Any:
    teacher = train.run(labeled, labeled.head(0), validation, train.Rules(LEXICON, PATTERNS, ARTICLES), *values)
    return teacher.model, teacher.fitted, teacher.report


def weights(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def test_full_tuning_learns_the_task_and_logs_it(backbone: Path) -> None:
    _, fitted, counts = run(reviews(160, 1), reviews(40, 2), params(backbone))
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert max(epoch["validation_accuracy"] for epoch in fitted.history) > 0.9
    assert counts["n_trainable"] == counts["n_parameters"]
    assert (Path(train.WRITES["live"]) / "metrics.json").is_file()


def test_no_more_texts_than_asked_are_learned_from_and_rare_classes_stay_whole(
    backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeled = pd.concat([reviews(160, 1).query("label == 'negative'"), reviews(20, 3).query("label == 'positive'")])
    seen, original = [], fit

    def fitted(model: Any, examples: Any, *rest: Any, **more: Any) -> Any:
        seen.append(examples)
        return original(model, examples, *rest, **more)

    monkeypatch.setattr(train, "fit", fitted)
    _, _, report = run(labeled, reviews(20, 2), params(backbone, max_texts=40, n_epochs=1))
    assert report["n_texts"] == len(seen[0]) == 40
    assert np.bincount(seen[0].hard).tolist() == [30, 10]


def test_head_only_is_the_probe_on_the_encoder_as_it_was(backbone: Path) -> None:
    from ratchet.embeddings.encoder import embed
    from ratchet.labels.selection_model import unit_length
    from ratchet.models.backbones import load_classifier
    from ratchet.models.probe import fit_probe

    labeled, validation = reviews(64, 1), reviews(20, 2)
    before = weights(load_classifier(backbone, 2).base_model)
    model, fitted, report = run(labeled, validation, params(backbone, method="head"))
    assert all(np.array_equal(before[name], value) for name, value in weights(model.base_model).items())
    assert fitted.history == []
    known, unknown = (unit_length(embed(backbone, frame["text"].tolist(), 32, 1, 8)) for frame in (labeled, validation))
    logits = fit_probe(known, class_indices(labeled, ["negative", "positive"]), 2, 10.0).logits(unknown)
    expected = softmax(logits / report["calibration_temperature"])
    tokens = encode(load_tokenizer(backbone, 32), validation["text"].tolist())
    assert np.allclose(softmax(logits_of(model, tokens)), expected, atol=1e-4)


def test_the_head_from_which_tuning_started_is_kept_calibrated(backbone: Path) -> None:
    from ratchet.embeddings.encoder import embed
    from ratchet.labels.selection_model import unit_length

    labeled, validation = reviews(64, 1), reviews(20, 2)
    chosen, values = params(backbone, method="head")
    rules = train.Rules(LEXICON, PATTERNS, ARTICLES)
    teacher = train.run(labeled, labeled.head(0), validation, rules, chosen, values)
    texts = validation["text"].tolist()
    kept = softmax(teacher.probe.logits(unit_length(embed(backbone, texts, 32, 1, 8))))
    own = softmax(logits_of(teacher.model, encode(load_tokenizer(backbone, 32), texts)))
    assert np.allclose(kept, own, atol=1e-4), "where only the head learns, the teacher is the probe"


def test_fine_tuning_that_ends_below_the_probe_gives_the_probe_back(backbone: Path) -> None:
    labeled, validation = reviews(160, 1), reviews(40, 2)
    head, _, _ = run(labeled, validation, params(backbone, method="head"))
    wild, fitted, report = run(labeled, validation, params(backbone, learning_rate=0.9))
    assert report["validation"]["tuned"] < report["validation"]["probe"]
    assert report["method"] == "head"
    assert len(fitted.history) == 3
    assert all(np.array_equal(value, weights(wild)[name]) for name, value in weights(head).items())


def test_few_texts_are_passed_over_until_there_are_steps_enough(backbone: Path) -> None:
    _, fitted, _ = run(reviews(16, 1), reviews(8, 2), params(backbone, n_epochs=2, min_steps=12, patience=99))
    assert len(fitted.history) == 6  # two steps each
    _, fitted, _ = run(reviews(16, 1), reviews(8, 2), params(backbone, n_epochs=1, min_steps=90, patience=99))
    assert len(fitted.history) == 10


def test_a_prior_taken_out_raises_the_rare_class_by_its_log_odds(backbone: Path) -> None:
    labeled = pd.concat([reviews(160, 1).query("label == 'negative'"), reviews(40, 3).query("label == 'positive'")])
    tokens = encode(load_tokenizer(backbone, 32), reviews(60, 2)["text"].tolist())

    def trained(method: str, strength: float) -> tuple[float, float]:
        chosen, values = params(backbone, n_epochs=1, method=method)
        settings = chosen.model_copy(update={"prior_strength": strength})
        model, fitted, report = run(labeled, reviews(60, 2), (settings, values))
        logits = logits_of(model, tokens) * report["calibration_temperature"]
        loss = fitted.history[0]["train_loss"] if fitted.history else 0.0
        return float((logits[:, 1] - logits[:, 0]).mean()), loss

    (plain, _), (raised, _) = trained("head", 0.0), trained("head", 1.0)
    assert raised - plain == pytest.approx(np.log((80 + 1) / (20 + 1)), abs=1e-3)
    (_, without), (_, taken_out) = trained("full", 0.0), trained("full", 1.0)
    assert taken_out == pytest.approx(without, abs=1e-4)  # the loss is of the logits with the prior


def test_lora_trains_few_parameters_and_is_merged_into_a_plain_model(backbone: Path) -> None:
    from ratchet.models.backbones import load_classifier

    plain = load_classifier(backbone, 2)
    model, _, counts = run(reviews(64, 1), reviews(20, 2), params(backbone, method="lora", n_epochs=1))
    assert type(model) is type(plain)
    assert weights(model).keys() == weights(plain).keys()
    assert counts["n_trainable"] < counts["n_parameters"] / 2
    query = "base_model.encoder.layer.0.attention.self.query.weight".replace("base_model", model.base_model_prefix)
    assert not np.array_equal(weights(model)[query], weights(plain)[query])


def test_nothing_is_distilled_from_a_family_that_no_student_can_be_made_of(backbone: Path) -> None:
    from ratchet.models.backbones import load_classifier

    class DistilBertPooled:
        """Keeps its layers elsewhere."""

    class Chance:
        def predict_proba(self, texts: list[str]) -> Any:
            return np.full((len(texts), 2), 0.5)

    def reason(model: Any) -> str:
        scores = {"validation": {"probe": 0.9, "tuned": 0.9}}
        teacher = train.Teacher(model, backbone, without_steps("made"), Probe(np.zeros((2, 32)), np.zeros(2)), scores)
        return train.not_taught("backbone", teacher, Chance(), reviews(20, 2), params(backbone)[1])

    assert reason(load_classifier(backbone, 2)) == ""
    assert reason(DistilBertPooled()) == (
        "no student can be made of DistilBertPooled: its layers are not in encoder.layer"
    )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(backbone: Path) -> None:
    data = reviews(96, 1), reviews(20, 2)
    first, second, other = (weights(run(*data, params(backbone, seed=seed))[0]) for seed in (5, 5, 6))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("method", ["full", "contrastive"])
def test_a_killed_run_resumes_after_its_last_epoch_and_ends_with_the_same_weights(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    from ratchet.models.history import History

    how = params(backbone, method=method, learning_rate=1e-3)
    undisturbed, reference, counts = run(reviews(80, 1), reviews(20, 2), how)
    expected = weights(undisturbed)
    healthy = History.on_train_batch_end

    def killed(self: History, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 2 and batch_idx == 3:
            raise RuntimeError("killed")
        healthy(self, trainer, module, outputs, batch, batch_idx)

    monkeypatch.setattr(History, "on_train_batch_end", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run(reviews(80, 1), reviews(20, 2), how)
    monkeypatch.setattr(History, "on_train_batch_end", healthy)
    model, fitted, again = run(reviews(80, 1), reviews(20, 2), how)
    assert fitted.resumed_at_epoch == 2
    assert fitted.history == reference.history
    assert again["slice_history"] == counts["slice_history"]
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
        run(reviews(48, 1), reviews(20, 2), params(backbone))
    monkeypatch.setattr(History, "on_train_epoch_end", healthy)
    _, fitted, _ = run(reviews(48, 1), reviews(20, 2), params(backbone, learning_rate=1e-3))
    assert fitted.resumed_at_epoch == 0


def test_a_loss_that_is_no_number_stops_training(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from ratchet.models import head_start

    def poisoned(*given: Any) -> Any:
        model = head_start.classifier_from(*given)
        torch.nn.init.constant_(model.classifier.weight, float("nan"))
        return model

    monkeypatch.setattr(train, "classifier_from", poisoned)
    with pytest.raises(TrainingError, match="not a number"):
        run(reviews(16, 1), reviews(8, 2), params(backbone))


def test_a_class_without_a_label_is_named(backbone: Path) -> None:
    with pytest.raises(TrainingError, match="at least two classes"):
        run(reviews(16, 1).head(0), reviews(8, 2), params(backbone))


def test_a_label_no_validation_text_has_is_refused() -> None:
    labels = class_names(reviews(4, 1))
    with pytest.raises(TrainingError, match="none of the classes"):
        class_indices(pd.DataFrame({"label": ["lukewarm"]}), labels)
    assert class_indices(pd.DataFrame({"label": ["positive", None]}), labels).tolist() == [1, UNKNOWN]


def test_another_backbone_than_the_pinned_one_is_refused(backbone: Path) -> None:
    with pytest.raises(SourceError, match="SHA-256 differs"):
        run(reviews(16, 1), reviews(8, 2), params(backbone, sha256="0" * 64))


def test_a_backbone_that_is_nowhere_is_said() -> None:
    from ratchet.models.backbones import resolve_backbone

    with pytest.raises(SourceError, match="not installed"):
        resolve_backbone("package:no_such_package/model", "")


def biased(n: int, seed: int) -> pd.DataFrame:
    """Texts whose label nothing tells, but that nine in ten that hold 'hero' are praised, and of 'music' blamed."""
    rng = np.random.default_rng(seed)
    hero = rng.random(n) < 0.5
    praised = rng.random(n) < np.where(hero, 0.9, 0.1)
    texts = [f"the film is a story with {'hero' if one else 'music'}" for one in hero]
    return pd.DataFrame(
        {
            "id": [f"b{row}" for row in range(n)],
            "text": texts,
            "source": "made",
            "label": np.where(praised, "positive", "negative"),
        }
    )


def reliance(backbone: Path, mitigation: str) -> tuple[float, dict[str, Any]]:
    """How much likelier the model finds praise for 'hero' than for 'music', and the report of the mitigation."""
    import torch

    values = params(backbone, mitigation=mitigation, n_epochs=2)
    model, _, told = run(biased(160, 1), biased(40, 2), values)
    tokens = encode(load_tokenizer(backbone, 32), [f"the film is a story with {word}" for word in ("hero", "music")])
    proba = torch.softmax(torch.as_tensor(logits_of(model, tokens)), dim=1)[:, 1]
    return float(proba[0] - proba[1]), told["mitigation"]


def test_each_mitigation_takes_the_group_out_of_what_is_learned(backbone: Path) -> None:
    gap, told = reliance(backbone, "none")
    assert gap > 0.5
    assert told["before"] == told["after"]
    reweighed, weighed = reliance(backbone, "reweighing")
    assert abs(reweighed) < gap / 3
    rates = [cell["positive"] / sum(cell.values()) for cell in weighed["after"].values()]
    assert rates[0] == pytest.approx(rates[1])
    assert sum(sum(cell.values()) for cell in weighed["after"].values()) == pytest.approx(160)
    swapped, copied = reliance(backbone, "augmentation")
    assert abs(swapped) < gap / 3
    assert copied["n_added"] == 160
    assert copied["after"]["actors"] == copied["after"]["sounds"]


def test_slices_are_watched_in_every_epoch_and_change_no_weight(backbone: Path) -> None:
    validation = reviews(40, 2)
    model, fitted, told = run(reviews(80, 1), validation, params(backbone))
    plain, _, without = run(reviews(80, 1), validation, params(backbone, slices=[], attributes=[]))
    assert all(np.array_equal(weights(model)[name], value) for name, value in weights(plain).items())
    assert without["slice_history"] == []
    by_epoch = [{row["slice"]: row for row in told["slice_history"] if row["epoch"] == epoch} for epoch in range(3)]
    for slices, whole in zip(by_epoch, fitted.history, strict=True):
        lengths = [row["primary"] for name, row in slices.items() if name.startswith("length=")]
        assert sum(item["n"] for item in lengths) == 40
        right = sum(item["value"] * item["n"] for item in lengths)
        assert right / 40 == pytest.approx(whole["validation_accuracy"])
        assert all(item["low"] <= item["value"] <= item["high"] for item in lengths)
    assert {"role=actors", "role=none"} <= set(by_epoch[0])
    assert "change" not in by_epoch[0]["length=short"]
    first, second = (slices["length=medium"] for slices in by_epoch[:2])
    assert second["change"]["value"] == pytest.approx(second["primary"]["value"] - first["primary"]["value"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"slices": ["mood"]}, TableError),
        ({"attributes": ["age"]}, ParamsError),
        ({"mitigated_attribute": "age"}, ParamsError),
    ],
)
def test_unknown_slices_and_attributes_are_refused(
    backbone: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"mood|attribute"):
        run(reviews(16, 1), reviews(8, 2), params(backbone, **change))


def test_a_task_without_groups_of_people_is_trained_all_the_same(backbone: Path) -> None:
    nobody = Lexicon(attributes={}, phrases=[], swaps={}, templates=[])
    values = params(backbone, attributes=[], mitigated_attribute="", n_epochs=1)
    rules = train.Rules(nobody, PATTERNS, ARTICLES)
    teacher = train.run(reviews(16, 1), reviews(4, 3), reviews(8, 2), rules, *values)
    assert teacher.report["mitigation"] == {"kind": "none", "attribute": "", "n_added": 0}


@pytest.mark.gpu
def test_bf16_mixed_trains_on_a_gpu(backbone: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: run `make test` on a machine that has one")
    _, fitted, _ = run(reviews(64, 1), reviews(20, 2), params(backbone, precision="auto", n_epochs=1))
    assert np.isfinite(fitted.history[0]["train_loss"])
