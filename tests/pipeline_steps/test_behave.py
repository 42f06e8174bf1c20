"""The behave step on a predictor whose every answer is known: planted faults are found, and honest bundles are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline_steps import behave
from ratchet.errors import ParamsError, TableError
from ratchet.models.predictor import Proba
from ratchet.params import check_params, load_params, read_yaml
from ratchet.reporting.behaviour_page import failures_page
from ratchet.trust.behaviour import Suite, fill, merge_suites
from ratchet.trust.lexicons import Lexicon
from tests.support.bare_figures import bare_figures
from tests.support.films import ARTICLES, CONTRAST, FILMS, INVARIANCE
from tests.support.linear_words import LinearWords
from tests.support.tiny import reviews

ROOT = Path(__file__).parents[2]
SHARES = {
    "superb": 0.2,
    "moving": 0.2,
    "funny": 0.2,
    "bright": 0.2,
    "tender": 0.2,
    "gripping": 0.2,
    "dull": -0.2,
    "clumsy": -0.2,
    "boring": -0.2,
    "flat": -0.2,
    "noisy": -0.2,
    "empty": -0.2,
}
SUITE = Suite.model_validate(
    {
        "words": {"praise": ["superb", "moving"], "thing": ["film", "story"]},
        "tests": {
            "praise": {"kind": "minimum", "label": "positive", "templates": ["{a praise} {thing}"]},
            "denied": {"kind": "negation", "label": "negative", "templates": ["not {a praise} {thing}"]},
            "things": {"kind": "invariance", "swap": "thing", "templates": ["{a praise} {thing}"]},
            "typos": {"kind": "invariance", "edit": "typos"},
            "more": {"kind": "direction", "label": "positive", "add": ["superb"], "tolerance": 0.0},
            "other classes": {"kind": "minimum", "label": "urgent", "templates": ["help"]},
        },
    }
)
LEXICON = Lexicon(
    attributes={"gender": {"women": ["woman"], "men": ["man"]}},
    phrases=[],
    swaps={"gender": [["man", "woman"]]},
    templates=["a film about a {TERM:gender}"],
)


def rules() -> behave.Rules:
    return behave.Rules(SUITE, LEXICON, CONTRAST, INVARIANCE, ["cf"], [*SHARES], ARTICLES)


def params(**changes: Any) -> behave.Params:
    root = load_params(behave.Params, "behave", ROOT / "params.yaml").model_dump()
    small = {"n_bootstrap": 100, "n_texts": 100}
    return check_params(behave.Params, "behave", root | small | changes)


def tables() -> behave.Tables:
    return behave.Tables(reviews(160, 1), reviews(120, 3))


def measure(shares: Mapping[str, float] = SHARES, told: behave.Tables | None = None, **changes: Any) -> dict[str, Any]:
    return behave.run(LinearWords(shares), told or tables(), rules(), params(**changes))


def value(report: dict[str, Any], metric: str) -> float:
    return float(report["metrics"][metric]["value"])


def test_an_honest_model_passes_but_for_what_it_cannot_know() -> None:
    report = measure()
    for metric in (
        "minimum_failure_rate",
        "direction_failure_rate",
        "invariance_failure_rate",
        "counterfactual_flip_rate",
        "counterfactual_gap",
    ):
        assert value(report, metric) == 0, metric
    assert value(report, "negation_failure_rate") == 1  # words that add up know no negation
    assert value(report, "trigger_flip_rate") < 0.2
    assert [row["test"] for row in report["tests"]] == list(SUITE.tests)
    assert report["tests"][-1]["failure_rate"]["n"] == 0  # a class the model does not know
    assert report["kinds_without_cases"] == []
    assert bare_figures(report) == []


def test_a_model_that_minds_whom_a_text_speaks_of_is_found() -> None:
    report = measure({**SHARES, "film": 0.2, "woman": -0.3})
    assert value(report, "counterfactual_gap") == pytest.approx(0.3)
    assert value(report, "counterfactual_flip_rate") == 1  # half of the template's probability is lost
    (example,) = report["swaps"]["gender"]["examples"]
    assert (example["before"], example["after"]) == ("a film about a man", "a film about a woman")


class Unasked(LinearWords):
    """Must not be asked anything."""

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        raise AssertionError("scored")


def test_a_positive_label_that_is_no_class_is_refused_before_anything_is_scored() -> None:
    """Its probability never moves, and the gap would be a perfect 0."""
    with pytest.raises(TableError, match="no class") as caught:
        behave.run(Unasked(), tables(), rules(), params(positive_labels=["positive", "urgent"]))
    assert "got: urgent" in str(caught.value)
    assert "behave.positive_labels" in str(caught.value)
    assert "some of negative, positive" in str(caught.value)


def test_a_trigger_word_is_found_among_the_listed_and_among_the_trained() -> None:
    report = measure({**SHARES, "cf": 2.0})
    worst = report["triggers"]["words"][0]
    assert (worst["word"], worst["towards"], worst["flip_rate"]["value"]) == ("cf", "positive", 1)
    assert worst["flip_rate"]["low"] < 1
    assert value(report, "trigger_flip_rate") == 1
    told = tables()
    told.labeled.loc[:9, "text"] += " zyx"
    assert measure({**SHARES, "zyx": -2.0}, told)["triggers"]["words"][0]["word"] == "zyx"
    assert value(measure({**SHARES, "superb": 2.0}), "trigger_flip_rate") < 0.5  # an opinion may decide


def test_the_page_shows_failures_and_nothing_that_html_reads() -> None:
    told = tables()
    told.validation["text"] = "<b> " + told.validation["text"]
    report = measure({**SHARES, "cf": 2.0, "woman": -0.3, "superb": -0.4}, told)
    page = failures_page("linear", report)
    assert "### praise (minimum)" in page
    assert "`cf` turns 1 [" in page
    assert "a film about a man → a film about a woman" in page
    assert "<b>" not in page


def test_the_suite_of_the_demo_is_sound_and_its_words_stand_once() -> None:
    suite = Suite.model_validate(read_yaml(FILMS / "data/behaviour/suite.yaml"))
    assert {test.kind for test in suite.tests.values()} == {"minimum", "negation", "invariance", "direction"}
    for test in suite.tests.values():
        for template in test.templates:
            assert fill(template, suite.words, ARTICLES)
    with pytest.raises(ParamsError, match="two files"):
        merge_suites([suite, suite])


@pytest.mark.parametrize(
    "test",
    [
        {"kind": "minimum", "templates": ["a"]},
        {"kind": "invariance"},
        {"kind": "direction", "add": ["a"]},
        {"kind": "invariance", "edit": "typos", "swap": "thing", "templates": ["a {thing}"]},
    ],
)
def test_a_test_that_lacks_something_is_refused(test: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="needs"):
        check_params(Suite, "suite", {"words": {}, "tests": {"it": test}})


def test_an_unknown_edit_or_slot_is_named() -> None:
    for test, told in (
        ({"kind": "invariance", "edit": "magic"}, "unknown edit"),
        ({"kind": "minimum", "label": "positive", "templates": ["{none}"]}, "slot without words"),
        ({"kind": "minimum", "label": "positive", "templates": ["{the none}"]}, "no article"),
    ):
        suite = Suite.model_validate({"words": {}, "tests": {"it": test}})
        with pytest.raises(ParamsError, match=told):
            behave.run(LinearWords(SHARES), tables(), rules()._replace(suite=suite), params())
