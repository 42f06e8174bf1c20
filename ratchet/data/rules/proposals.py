"""Suites for a task of one's own, with bounds learnt from a sample of its texts.

A rule finds what differs from the rest, so it may not refuse what the data are like: two-word texts where they are
common, a class of 0.3 %, many copies, other languages. Such things are warned of; what ends the pipeline are changes: a
class that is gone, half of the rows missing, most texts in quarantine. Of copies and of labels in conflict a sample
knows little, since most copies of a text lie outside it: these bounds are wide.

    profile = profile_sample(sample, labels, near_duplicate_threshold=0.8, regions=["DE"])
    suites = propose_suites(profile, labels, languages=["de"])
    for name, suite in suites.items():
        Path(f"data/suites/{name}.json").write_text(suite_json(suite), encoding="utf-8")

A suite is a dict in Great Expectations' own form, {"name", "notes", "expectations": [{"type", "kwargs", "meta"}]};
`suite_files.suite_json` writes it. A bound that was learnt says so in its rule's `meta.learnt_from`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ratchet.data.languages import UNDETERMINED
from ratchet.data.rules.entries import (
    AT_LEAST,
    AT_MOST,
    BETWEEN,
    HAS,
    IN_SET,
    NONE,
    NOT_NULL,
    Entry,
    above,
    at_most,
    drift,
    learnt_from,
    rounded,
    rule,
)
from ratchet.data.rules.length_rules import TOLERATED, length_rules
from ratchet.data.rules.sample_profile import SampleProfile

LABELS = {"$PARAMETER": "labels"}
TEXT_COLUMNS = ["row: int64", "id: string", "text: string", "label: string", "source: string"]
LOG_COLUMNS = ["timestamp: timestamp", "request_id: string", "text: string"]
LOG_COLUMNS += ["predicted: string", "confidence: double", "model_version: string"]
OTHER_TYPE = "a column is missing or of another type"
NOTES = {
    "corpus": "The rules of the corpus, judged by the stage `validate`; the columns stand in "
    "ratchet/data/rules/measures.py, corpus_measures.py and corpus_figures.py.",
    "labels": "The rules of the labels, judged by the stage `validate`. $PARAMETER labels: the names of task.classes.",
    "splits": "The rules of the splits, judged by the stage `split` before it writes; the columns stand in "
    "ratchet/data/rules/split_measures.py.",
    "production_log": "The rules of a log of predictions; the columns stand in ratchet/prediction_log/rules.py.",
}


def propose_suites(
    profile: SampleProfile, labels: Sequence[str], languages: Sequence[str], n_rows: int | None = None
) -> dict[str, dict[str, Any]]:
    """Name of the suite → the suite, for data/suites: corpus, labels, splits and production_log.

    Args:
        profile: what a sample is like.
        labels: the classes of the task.
        languages: `task.languages`; texts in others are flagged.
        n_rows: rows of the whole source; None: it is not known, and the sample's count.
    """
    rules = {
        "corpus": _corpus(profile, languages, n_rows or profile.n_rows),
        "labels": _labels(profile),
        "splits": _splits(profile),
        "production_log": _production_log(len(labels), languages),
    }
    return {name: {"name": name, "notes": NOTES[name], "expectations": rules[name]} for name in rules}


def _corpus(profile: SampleProfile, languages: Sequence[str], n_rows: int) -> list[Entry]:
    bad = _refused(profile)
    said_of_bad = learnt_from(profile, f"{bad:.2%} of texts break a rule of quarantine")
    return [
        rule("schema", "stop", OTHER_TYPE, HAS, "column", {"value_set": TEXT_COLUMNS}),
        rule("missing_id", "stop", "the id is missing", NOT_NULL, "id"),
        rule("missing_text", "stop", "the text is missing", NOT_NULL, "n_characters"),
        rule("missing_source", "stop", "the source is missing", NOT_NULL, "source"),
        rule("empty_text", "quarantine", "the text is empty", BETWEEN, "n_characters", {"min_value": 1}),
        *length_rules(profile, languages),
        _damage(profile),
        rule("markup", "warn", "HTML tags or entities are left in the text", BETWEEN, "n_markup", NONE),
        _language(languages),
        rule("exact_duplicate", "quarantine", "the text came in an earlier row", BETWEEN, "n_earlier_twins", NONE),
        rule("near_duplicate", "warn", "an earlier text is nearly the same", BETWEEN, "n_near_duplicates", NONE),
        rule("email_address", "warn", "an e-mail address stands in the text", BETWEEN, "n_emails", NONE),
        rule("phone_number", "warn", "a telephone number stands in the text", BETWEEN, "n_phones", NONE),
        rule("card_number", "warn", "a payment card number stands in the text", BETWEEN, "n_cards", NONE),
        rule("bank_account", "warn", "a bank account number stands in the text", BETWEEN, "n_ibans", NONE),
        rule(
            "national_number",
            "warn",
            "a national identity number stands in the text",
            BETWEEN,
            "n_national_numbers",
            NONE,
        ),
        at_most(
            "copies",
            "warn",
            "more rows are copies than in the sample",
            "copy_rate",
            above(profile.copy_rate, 0.05),
            learnt_from(profile, f"{profile.copy_rate:.2%} of rows are copies"),
        ),
        at_most(
            "quarantined_texts",
            "warn",
            "more texts are bad than in the sample",
            "quarantined_text_rate",
            above(bad, 0.02),
            said_of_bad,
        ),
        at_most(
            "most_texts_quarantined",
            "stop",
            "most texts are bad",
            "quarantined_text_rate",
            above(bad, 0.5),
            said_of_bad,
        ),
        rule(
            "n_rows",
            "stop",
            "fewer than half of the rows came in",
            AT_LEAST,
            "n_rows",
            {"min_value": max(1, n_rows // 2)},
            f"{n_rows:,} rows in the source",
        ),
        drift("length_drift", "texts are longer or shorter than those of the accepted data", "length_distance", 0.1),
        drift("source_drift", "texts come from other sources than those of the accepted data", "source_distance", 0.2),
    ]


def _labels(profile: SampleProfile) -> list[Entry]:
    rate, counts = profile.rarest_class_rate, profile.class_counts
    rarest = min(counts, key=lambda label: counts[label], default="")
    return [
        rule("unknown_label", "quarantine", "the label is not a class", IN_SET, "label", {"value_set": LABELS}),
        rule(
            "conflicting_labels",
            "quarantine",
            "the text has several labels",
            BETWEEN,
            "n_twin_labels",
            {"max_value": 1},
        ),
        rule("class_missing", "stop", "a class is missing", AT_LEAST, "n_rarest_class", {"min_value": 1}),
        rule(
            "class_rates",
            "warn",
            "a class is rarer than in the sample",
            AT_LEAST,
            "rarest_class_rate",
            {"min_value": rounded(rate / 2)},
            learnt_from(profile, f"the rarest, {rarest}, has {rate:.2%}"),
        ),
        at_most(
            "unlabelled_rate",
            "warn",
            "fewer texts are labelled than in the sample",
            "unlabelled_rate",
            above(profile.unlabelled_rate, 0.5),
            learnt_from(profile, f"{profile.unlabelled_rate:.2%} of rows have no label"),
        ),
        drift("class_drift", "the classes are balanced otherwise than in the accepted data", "label_distance", 0.1),
    ]


def _splits(profile: SampleProfile) -> list[Entry]:
    rate = profile.rarest_class_rate
    return [
        rule("schema", "stop", OTHER_TYPE, HAS, "column", {"value_set": [*TEXT_COLUMNS, "group: string"]}),
        at_most("id_leak", "stop", "the same text lies on two sides", "n_leaked_ids", 0),
        at_most("group_leak", "stop", "a group of near-duplicates lies on two sides", "n_leaked_groups", 0),
        at_most("near_duplicate_leak", "stop", "two near-duplicates lie on two sides", "n_leaked_pairs", 0),
        rule(
            "rows_lost",
            "stop",
            "rows were lost or doubled on the way",
            AT_MOST,
            "n_lost",
            {"min_value": 0, "max_value": 0},
        ),
        at_most("unlabelled_test", "stop", "a text to test on has no label", "n_unlabelled_held_out", 0),
        rule(
            "test_class_rates",
            "warn",
            "a class is too rare in the test to be measured",
            AT_LEAST,
            "rarest_test_class_rate",
            {"min_value": rounded(rate / 2)},
            learnt_from(profile, f"the rarest class has {rate:.2%}"),
        ),
        at_most("excluded_rate", "warn", "many texts belong to no side", "excluded_rate", 0.05),
    ]


def _production_log(n_classes: int, languages: Sequence[str]) -> list[Entry]:
    chance = 1 / max(2, n_classes)
    no_probability = {"min_value": 0, "max_value": 1}
    return [
        rule("schema", "stop", OTHER_TYPE, HAS, "column", {"value_set": LOG_COLUMNS}),
        rule("missing_timestamp", "quarantine", "nobody knows when the request came", NOT_NULL, "timestamp"),
        rule("missing_text", "quarantine", "the text is missing", NOT_NULL, "n_characters"),
        rule("missing_prediction", "quarantine", "the prediction is missing", NOT_NULL, "predicted"),
        rule("missing_confidence", "quarantine", "the confidence is missing", NOT_NULL, "confidence"),
        rule("missing_model_version", "quarantine", "nobody knows which model answered", NOT_NULL, "model_version"),
        rule("repeated_request", "quarantine", "the request was logged before", BETWEEN, "n_earlier_requests", NONE),
        rule(
            "confidence_range", "quarantine", "the confidence is no probability", BETWEEN, "confidence", no_probability
        ),
        rule(
            "unknown_prediction",
            "quarantine",
            "the prediction is not a class",
            IN_SET,
            "predicted",
            {"value_set": LABELS},
        ),
        rule("empty_text", "warn", "the text is empty", BETWEEN, "n_characters", {"min_value": 1}),
        rule("encoding_damage", "warn", "characters broken by a wrong decoding", BETWEEN, "n_damaged", NONE),
        _language(languages),
        rule("personal_data", "warn", "personal data stand in the text", BETWEEN, "n_personal", NONE),
        rule(
            "mean_confidence",
            "warn",
            "the model has become unsure",
            AT_LEAST,
            "mean_confidence",
            {"min_value": rounded(chance + (1 - chance) / 5)},
            f"{n_classes} classes: a fifth of the way from chance to certainty",
        ),
        drift(
            "prediction_drift",
            "the classes are predicted otherwise than they were labelled",
            "prediction_distance",
            0.15,
        ),
        drift("length_drift", "texts are longer or shorter than those the model learned from", "length_distance", 0.15),
    ]


def _damage(profile: SampleProfile) -> Entry:
    common = profile.damaged_rate > TOLERATED
    return rule(
        "encoding_damage",
        "warn" if common else "quarantine",
        "characters broken by a wrong decoding",
        BETWEEN,
        "n_damaged",
        NONE,
        learnt_from(profile, f"{profile.damaged_rate:.2%} of texts have some") if common else None,
    )


def _language(languages: Sequence[str]) -> Entry:
    allowed = {"value_set": list(dict.fromkeys([*languages, UNDETERMINED]))}
    found = rule("language", "warn", "the text is in another language", IN_SET, "language", allowed)
    return {**found, "notes": f"{UNDETERMINED}: too short or too mixed to tell"}


def _refused(profile: SampleProfile) -> float:
    """Share of rows that break a rule of quarantine for another reason than being a copy."""
    short = max((rate for rate in profile.short_rates.values() if rate <= TOLERATED), default=0.0)
    damaged = profile.damaged_rate if profile.damaged_rate <= TOLERATED else 0.0
    return min(1.0, profile.unknown_label_rate + profile.conflict_rate + short + damaged)
