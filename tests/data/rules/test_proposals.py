"""Suites with learnt bounds: what is common in the data is not refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ratchet.data.rules.proposals import propose_suites
from ratchet.data.rules.sample_profile import QUANTILES, Lengths, SampleProfile, profile_sample

NAMES = [f"class {number}" for number in range(4)]


def _sample(texts: list[str], labels: Sequence[str | None] | None = None) -> pd.DataFrame:
    chosen: Sequence[str | None] = labels or [NAMES[at % 3] for at in range(len(texts))]
    return pd.DataFrame({"text": texts, "label": pd.Series([*chosen], dtype="str"), "source": "mail"})


def _profile(sample: pd.DataFrame) -> SampleProfile:
    return profile_sample(sample, NAMES, near_duplicate_threshold=0.8, regions=["US"])


def _rules(profile: SampleProfile, **changes: Any) -> dict[str, dict[str, Any]]:
    suites = propose_suites(profile, NAMES, ["en"], **changes)
    return {
        entry["meta"]["rule"]: {**entry["kwargs"], **entry["meta"]}
        for name in ("labels", "corpus")
        for entry in suites[name]["expectations"]
    }


def _texts(n: int, n_words: int = 9) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(f"w{word}" for word in rng.integers(0, 10_000, n_words)) for _ in range(n)]


@pytest.mark.parametrize(
    ("n_words", "severity", "bound"), [(9, "quarantine", 3), (2, "quarantine", 2), (1, "quarantine", 1), (0, "warn", 1)]
)
def test_short_texts_are_refused_only_where_they_are_rare(n_words: int, severity: str, bound: int) -> None:
    texts = [*_texts(90), *([" ".join(["ab"] * n_words) or "?!"] * 10)]
    rule = _rules(_profile(_sample(texts)))["too_few_words"]
    assert (rule["severity"], rule["min_value"]) == (severity, bound)
    assert "100 sampled rows" in rule["learnt_from"]


def test_a_language_has_bounds_of_its_own_and_none_is_refused_for_being_few() -> None:
    german = ["Der Zug nach Hamburg hat heute leider wieder einmal eine halbe Stunde Verspätung gehabt."] * 4000
    english = ["The train to the city was late again today, and nobody told us why that was so."] * 300
    long_english = [" ".join(english[:20])] * 20
    several = ["The train was late.", *english, *long_english]
    profile = _profile(_sample([*german, *several]))
    assert {*profile.by_language} == {"de", "en"}
    suites = propose_suites(profile, NAMES, ["de", "en"])
    rules = {entry["meta"]["rule"]: {**entry["kwargs"], **entry["meta"]} for entry in suites["corpus"]["expectations"]}
    longest = profile.by_language["en"].n_words["p99_9"]
    assert rules["very_long_text"]["max_value"] >= 0.95 * longest, "what is rare among all is usual in English"
    assert rules["very_long_text_de"]["languages"] == ["de"]
    assert rules["very_long_text_de"]["max_value"] < rules["very_long_text"]["max_value"]
    assert "of 4,000 in de" in rules["very_long_text_de"]["learnt_from"]
    assert "very_long_text_en" not in rules, "it would say the same again"


def test_a_bound_on_few_words_follows_the_language_with_the_shortest_texts() -> None:
    whole = _profile(_sample([*_texts(990), *(["ab cd"] * 4)]))
    few = Lengths(300, dict.fromkeys(QUANTILES, 9.0), {1: 0.0, 2: 0.0, 3: 0.2})
    usual = Lengths(690, dict.fromkeys(QUANTILES, 9.0), {1: 0.0, 2: 0.0, 3: 0.0})
    profile = replace(whole, by_language={"de": usual, "tr": few})
    suites = propose_suites(profile, NAMES, ["de", "tr"])
    bounds = {
        entry["meta"]["rule"]: entry["kwargs"]["min_value"]
        for entry in suites["corpus"]["expectations"]
        if entry["meta"]["rule"].startswith("too_few")
    }
    assert bounds == {"too_few_words": 2, "too_few_words_de": 3}


def test_a_rare_class_is_no_stop() -> None:
    labels = [NAMES[0]] * 596 + [NAMES[1], NAMES[2], NAMES[3], NAMES[3]]
    profile = _profile(_sample(_texts(600), labels))
    rules = _rules(profile)
    assert profile.rarest_class_rate == pytest.approx(1 / 600)
    assert (rules["class_missing"]["severity"], rules["class_missing"]["min_value"]) == ("stop", 1)
    assert rules["class_rates"]["severity"] == "warn"
    assert 0 < rules["class_rates"]["min_value"] < profile.rarest_class_rate


def test_many_copies_are_no_stop() -> None:
    rules = _rules(_profile(_sample(["just the same text again"] * 80 + _texts(20))), n_rows=1000)
    assert (rules["copies"]["severity"], rules["copies"]["max_value"]) == ("warn", 0.9)
    assert rules["most_texts_quarantined"]["max_value"] > 0.8  # the copies have three labels
    assert rules["n_rows"]["min_value"] == 500


def test_broken_characters_are_refused_only_where_they_are_rare() -> None:
    assert _rules(_profile(_sample(_texts(100))))["encoding_damage"]["severity"] == "quarantine"
    rule = _rules(_profile(_sample([*_texts(90), *(text + " itâ€™s" for text in _texts(10, 5))])))["encoding_damage"]
    assert (rule["severity"], "10.00% of texts" in rule["learnt_from"]) == ("warn", True)


def test_a_profile_says_what_the_sample_is_like() -> None:
    texts = [
        "the train is a pleasure to ride",
        "The train is a  pleasure to ride",
        "uma pena que o comboio chegue sempre tarde",
    ]
    profile = _profile(_sample([*texts, "mail jo@example.org now"], [NAMES[0], NAMES[1], None, "else"]))
    assert profile.languages["en"] == 0.5
    assert profile.languages["pt"] == 0.25
    assert (profile.copy_rate, profile.conflict_rate) == (0.25, 0.5)
    assert (profile.unlabelled_rate, profile.unknown_label_rate) == (0.25, 0.25)
    assert profile.class_counts == {NAMES[0]: 1, NAMES[1]: 1, NAMES[2]: 0, NAMES[3]: 0}
    assert profile.personal_rates["n_emails"] == 0.25
    assert profile.n_words["max"] == 8


def test_an_empty_sample_gives_suites() -> None:
    assert {*propose_suites(_profile(_sample([])), NAMES, ["en"])} == {"corpus", "labels", "splits", "production_log"}
