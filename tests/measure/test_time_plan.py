"""Sizes that fit into the minutes: what is cut, what never is, and what more minutes bring."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from pipeline_steps import (
    architect,
    behave,
    counterfactuals,
    distil,
    embed,
    evaluate,
    explain,
    export,
    prune,
    split,
    teach,
    train,
    vet,
)
from ratchet.ladder import Ladder
from ratchet.measure.stage_costs import FIXED_S, OPERATIONS_PER_CORE_S, Corpus, Encoder, Sizes, sizes_of, stage_seconds
from ratchet.measure.time_plan import plan, within
from tests.contract import ORDER

MINILM = Encoder(10_650_000, 6)
STEPS = (architect, behave, counterfactuals, distil, embed, evaluate, explain, export, prune, split, teach, train, vet)
SPEED = 2 * OPERATIONS_PER_CORE_S
SMALL = Corpus(3000, 0, 2, [20] * 9)
MANY_CLASSES = Corpus(13_000, 0, 77, [15] * 9)
LARGE = Corpus(45_000, 5000, 28, [18] * 9)


@pytest.mark.parametrize("corpus", [SMALL, MANY_CLASSES, Corpus(8500, 0, 2, [45])])
def test_the_run_ends_within_its_minutes(corpus: Corpus) -> None:
    found = plan(corpus, MINILM, minutes=25, n_threads=2)
    assert found.minutes <= 25.5
    assert found.minutes == pytest.approx(
        sum(stage_seconds(corpus, MINILM, found.sizes, 2 * OPERATIONS_PER_CORE_S).values()) / 60
    )


@pytest.mark.parametrize("corpus", [SMALL, MANY_CLASSES, LARGE])
def test_what_the_plan_writes_is_read_back_as_its_sizes(corpus: Corpus) -> None:
    found = plan(corpus, MINILM, minutes=25, n_threads=2)
    assert sizes_of(found.params.get) == found.sizes


def test_every_stage_has_its_cost() -> None:
    assert [*FIXED_S] == ORDER


def test_a_corpus_that_fits_is_used_whole() -> None:
    found = plan(SMALL, MINILM, minutes=25, n_threads=2)
    assert found.doubled is None
    assert found.params["train.max_texts"] >= 3000
    assert "learns from all 2,100 labels" in found.sentences()[-1]


def test_fine_tuning_is_cut_and_the_plan_says_what_more_minutes_bring() -> None:
    found = plan(LARGE, MINILM, minutes=30, n_threads=2)
    assert found.doubled is not None
    assert found.sizes.n_train < found.doubled.n_train <= 45_000
    words = " ".join(found.sentences())
    assert f"{found.sizes.n_train:,}" in words
    assert f"{found.minutes_for_all:.0f} minutes use everything" in words
    longer = plan(LARGE, MINILM, minutes=found.minutes_for_all + 0.1, n_threads=2)
    assert longer.doubled is None
    assert longer.sizes.n_train >= 37_000


def test_more_minutes_or_threads_never_train_on_fewer_texts() -> None:
    plans = [plan(LARGE, MINILM, minutes, 2).sizes for minutes in (5, 25, 40, 60, 90, 200)]
    by_minutes = [sizes.n_train if sizes.n_search_steps else 0 for sizes in plans]
    assert by_minutes == sorted(by_minutes)
    assert plan(LARGE, MINILM, 25, 8).sizes.n_train > plan(LARGE, MINILM, 25, 2).sizes.n_train


def test_what_is_missed_least_is_left_out_first_and_tf_idf_and_the_probe_never() -> None:
    whole, corpus = Sizes(n_train=1500, n_distil=6000, n_recovery=6000), Corpus(8600, 0, 2, [28] * 9)
    left = [within(corpus, MINILM, whole, 60 * minutes, SPEED) for minutes in (60, 20, 14, 11, 1)]
    assert left[0] == whole
    bundles = [sizes.n_bundles for sizes in left]
    assert bundles == sorted(bundles, reverse=True)
    assert left[1].quantize == ()
    assert left[1].distil == ("student",)
    assert left[-1].export == ("teacher-onnx-int8",)
    assert left[-1].n_search_steps == 0
    assert left[-1].n_distil == 100, "nothing learns from the teacher"
    assert left[-1].n_explained > 0, "the checks get smaller, but none is dropped"
    for sizes, minutes in zip(left[:-1], (60, 20, 14, 11), strict=True):
        assert sum(stage_seconds(corpus, MINILM, sizes, SPEED).values()) <= 60 * minutes


def test_no_more_is_learnt_from_than_was_asked_for() -> None:
    whole = Sizes(n_train=1500, n_distil=3000, n_recovery=3000)
    for minutes in range(1, 30):
        found = within(Corpus(20_000, 0, 2, [28] * 9), MINILM, whole, 60 * minutes, SPEED)
        assert (found.n_train, found.n_distil) <= (1500, 3000)


def test_too_few_minutes_leave_the_probe_and_say_how_long_it_takes() -> None:
    found = plan(LARGE, MINILM, minutes=1, n_threads=2)
    assert found.sizes.n_search_steps == 0
    assert "nothing is fine-tuned" in found.sentences()[-1]
    assert found.minutes > 1
    assert f"about {found.minutes:.0f} minutes" in found.sentences()[0]


def test_held_out_texts_are_as_many_as_measuring_needs() -> None:
    assert plan(SMALL, MINILM, 25, 2).params["split.test_rate"] == 0.2
    assert plan(LARGE, MINILM, 25, 2).params["split.test_rate"] * 45_000 == pytest.approx(4000, rel=0.01)


def test_every_key_of_the_plan_is_a_key_of_params_with_a_value_in_range() -> None:
    models = {step.__name__.rpartition(".")[2]: step.Params for step in STEPS} | {"ladder": Ladder}
    for key, value in plan(MANY_CLASSES, MINILM, 25, 2).params.items():
        block, name = key.split(".")
        model = models[block]
        assert name in model.model_fields, key
        field = model.model_fields[name]
        TypeAdapter(field.rebuild_annotation()).validate_python(value, strict=True)
