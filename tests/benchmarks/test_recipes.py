"""The comparison of recipes: its arithmetic on cells of known figures, its techniques on a miniature."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.league.cells import packed
from benchmarks.league.sets import Labelled
from benchmarks.recipes import __main__ as recipes
from benchmarks.recipes import techniques
from benchmarks.recipes.figures import cell_path, markdown, summary
from benchmarks.recipes.forms import FORMS, Form
from benchmarks.recipes.material import Material
from benchmarks.recipes.techniques import NOISE, PLAIN, TECHNIQUES, WHOLE, Techniques, flipped, run
from pipeline_steps import train as train_step
from ratchet.files import write_json
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.examples import Examples, class_indices
from ratchet.models.tuning import Method
from tests.support.params import CLEANING
from tests.support.tiny import ACCURACY, TUNING, reviews, tiny_backbone

CLASSES = ["negative", "positive"]
ALONE = [field.name for field in fields(Techniques) if field.default is True]


def test_every_technique_is_removed_from_the_whole_and_added_to_the_plain_recipe() -> None:
    rows = list(TECHNIQUES.values())
    for name in ALONE:
        without: dict[str, Any] = {name: False}
        alone: dict[str, Any] = {name: True}
        assert replace(WHOLE, **without) in rows
        assert replace(PLAIN, **alone) in rows
    methods: list[Method] = ["lora", "last_layers", "contrastive"]
    for method in methods:
        assert replace(WHOLE, method=method) in rows
        assert replace(PLAIN, method=method) in rows
    for name in (field.name for field in fields(Techniques) if field.default is False):
        assert any(asdict(row)[name] for row in rows)


def write_cell(root: Path, recipe: str, draw: int, right: list[int], cpu_s: float) -> None:
    true = np.array([0, 1] * 50)
    predicted = true.copy()
    predicted[right[0] :] = 1 - predicted[right[0] :]
    report = {"data": "made", "about": "made up", "classes": CLASSES, "metric": "accuracy", "n_labels": 50}
    report |= {"draw": draw, "recipe": recipe, "cpu_s": cpu_s, "predicted": packed(predicted), "true": packed(true)}
    write_json(cell_path(root, "made", 50, draw, recipe), report)


def test_differences_are_those_of_the_draws_that_both_have(tmp_path: Path) -> None:
    form = Form({"a": lambda _: np.zeros((1, 2)), "b": lambda _: np.zeros((1, 2))}, (50,), 3, "a")
    for draw, (a, b) in enumerate([(60, 70), (50, 80), (40, 0)]):
        write_cell(tmp_path, "a", draw, [a], 1.0)
        if draw < 2:
            write_cell(tmp_path, "b", draw, [b], 10.0 * (draw + 1))
    report = summary(form, "made", tmp_path)
    rows = report["blocks"][0]["recipes"]
    assert rows["a"]["accuracy"]["value"] == pytest.approx(0.5)
    assert rows["b"]["difference"]["value"] == pytest.approx(0.2)  # of the first two draws
    assert rows["b"]["difference"]["low"] < 0.2 < rows["b"]["difference"]["high"]
    assert rows["b"]["cpu_s"] == 15
    assert "| b | 0.750 (+20.0 [" in markdown(form, report)


def test_a_row_may_be_compared_with_another_one_than_the_rest(tmp_path: Path) -> None:
    for recipe, right in (("a", 60), ("b", 70), ("c", 90)):
        write_cell(tmp_path, recipe, 0, [right], 1.0)
    recipes_of = dict.fromkeys("abc", lambda _: np.zeros((1, 2)))
    form = Form(recipes_of, (50,), 1, "a", {"c": "b"}, {"c": "a stage"})
    report = summary(form, "made", tmp_path)
    rows = report["blocks"][0]["recipes"]
    assert {name: row["difference"]["value"] for name, row in rows.items() if "difference" in row} == {
        "b": pytest.approx(0.1),
        "c": pytest.approx(0.2),
    }
    assert report["against"] == {"a": "a", "b": "a", "c": "b"}
    assert markdown(form, report).splitlines()[-1].endswith("| a stage |")
    assert all(name in FORMS["techniques"].recipes for name in FORMS["techniques"].owned)


def test_a_cell_that_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[int, int]] = []

    def cell(drawn: tuple[int, int], *_: object) -> dict[str, int]:
        ran.append(drawn)
        return {"x": 1}

    monkeypatch.setattr(recipes, "material", lambda data, n_labels, number: (n_labels, number))
    monkeypatch.setattr(recipes, "cell", cell)
    form = Form({"a": lambda _: np.zeros((1, 2))}, (50, 100), 2, "a")
    data = [Labelled("made", [], [], [], [], CLASSES, "accuracy", "made up")]
    first = recipes.run_cells(tmp_path, form, data, form.sizes, 2)
    next(first), next(first)  # killed after two of four
    assert len(list(recipes.run_cells(tmp_path, form, data, form.sizes, 2))) == 2
    assert ran == [(50, 0), (100, 0), (50, 1), (100, 1)]
    assert list(recipes.run_cells(tmp_path, form, data, form.sizes, 2)) == []


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    backbone = tiny_backbone(tmp_path_factory.mktemp("backbone"))
    tokenizer = load_tokenizer(backbone, 32)
    groups = {"mitigation": "none", "mitigated_attribute": "", "max_copies": 1, "slices": [], "attributes": []}
    values = {**TUNING, **ACCURACY, **CLEANING, **groups, "length_edges": [6, 8], "max_slice_fall": 0.05}
    params = train_step.Params.model_validate({**values, "method": "full", "max_texts": 1000, "n_epochs": 1})
    frames = [reviews(n, seed) for n, seed in ((40, 1), (20, 2), (30, 3), (60, 4))]
    train, validation, test = (
        Examples(encode(tokenizer, frame["text"].tolist()), class_indices(frame, CLASSES)) for frame in frames[:3]
    )
    texts = [frame["text"].tolist() for frame in frames]
    data = Labelled("made", [], [], [], [], CLASSES, "accuracy", "made up")
    return Material(data, params, backbone, texts[0], train, validation, texts[2], test, texts[3])


def answers(material: Material, has: Techniques, folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(techniques, "N_STEPS", 8)
        patch.setattr(techniques, "SIMCSE_STEPS", 4)
        patch.setattr(techniques, "RATES", dict.fromkeys(techniques.RATES, 1e-3))
        return run(material, has)


@pytest.fixture(scope="module")
def whole(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return answers(material, WHOLE, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TECHNIQUES))
def test_every_recipe_answers_and_differs_from_the_whole(
    name: str, material: Material, whole: Any, tmp_path: Path
) -> None:
    proba = answers(material, TECHNIQUES[name], tmp_path)
    assert proba.shape == (30, 2)
    assert np.allclose(proba.sum(axis=1), 1)
    without_effect = {"whole", "− logit adjustment"}  # accuracy asks for no adjustment
    assert np.array_equal(proba, whole) == (name in without_effect)


def test_a_fifth_of_the_labels_is_flipped_to_another_class() -> None:
    given = Examples([[1]] * 50, np.arange(50) % 5)
    made = flipped(given, 5, seed=1)
    assert (made.hard != given.hard).sum() == round(NOISE * 50)
    assert set(made.hard.tolist()) <= set(range(5))


def test_the_robust_loss_is_that_of_the_paper() -> None:
    import torch

    settings: dict[str, Any] = {name: TUNING[name] for name in ("learning_rate", "head_rate", "weight_decay")}
    rest: dict[str, Any] = {
        "n_steps": 1,
        "warmup_rate": 0.1,
        "temperature": 1.0,
        "soft_weight": 0.0,
        "prior_offset": (),
    }
    module = techniques.RobustClassifier(None, **settings, **rest, micro_batch_tokens=0, seed=1)
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    p = np.array([1 / (1 + np.exp(-2.0)), 0.5])
    expected = (1 - p**0.7) / 0.7  # Zhang & Sabuncu 2018, equation 6
    found = module.losses(logits, {"hard": torch.tensor([0, 1])})
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_the_forms_compare_with_a_recipe_they_have() -> None:
    assert all(form.against in form.recipes for form in FORMS.values())
