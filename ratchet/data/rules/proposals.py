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

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.data.languages import UNDETERMINED
from ratchet.data.rules.corpus_measures import measure_corpus

if TYPE_CHECKING:
    import pandas as pd

TOLERATED = 0.005
"""Share of the sample that a rule may quarantine; one that would take more is loosened, or only warns."""
QUANTILES = {"min": 0.0, "p1": 0.01, "median": 0.5, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
PERSONAL = {
    "n_emails": ("email_address", "an e-mail address stands in the text"),
    "n_phones": ("phone_number", "a telephone number stands in the text"),
    "n_cards": ("card_number", "a payment card number stands in the text"),
    "n_ibans": ("bank_account", "a bank account number stands in the text"),
    "n_national_numbers": ("national_number", "a national identity number stands in the text"),
}
MEASURED = ("n_characters", "n_words", "n_damaged", "n_markup", "language", *PERSONAL)

BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
NOT_NULL = "expect_column_values_to_not_be_null"
AT_LEAST = "expect_column_min_to_be_between"
AT_MOST = "expect_column_max_to_be_between"
HAS = "expect_column_distinct_values_to_contain_set"
LABELS = {"$PARAMETER": "labels"}


@dataclass(frozen=True)
class SampleProfile:
    """What a sample of a corpus is like. Shares are of its rows, in [0, 1]."""

    n_rows: int
    n_words: dict[str, float]
    """Quantiles of the texts' number of words, by the names of `QUANTILES`; empty without rows."""
    short_rates: dict[int, float]
    """Number of words from 1 to 3 → share of texts with fewer."""
    class_counts: dict[str, int]
    """Class → rows, every class of the task."""
    unknown_label_rate: float
    unlabelled_rate: float
    languages: dict[str, float]
    """ISO 639 code, or `und` → share, the most frequent first."""
    copy_rate: float
    """Rows whose text came in an earlier row, but for case and spacing."""
    conflict_rate: float
    """Rows whose text has several labels."""
    near_duplicate_rate: float
    """Rows with an earlier text that shares most of its shingles."""
    damaged_rate: float
    """Rows with characters broken by a wrong decoding."""
    markup_rate: float
    personal_rates: dict[str, float]
    """Measure, such as `n_emails` → rows that have one."""

    @property
    def rarest_class_rate(self) -> float:
        """Share of the rarest class among the rows of a class; 0 without any."""
        total = sum(self.class_counts.values())
        return min(self.class_counts.values(), default=0) / total if total else 0.0


def profile_sample(
    sample: pd.DataFrame, labels: Sequence[str], near_duplicate_threshold: float, regions: Sequence[str]
) -> SampleProfile:
    """What the sample is like.

    Args:
        sample: cleaned texts with the columns `text`, `label` (a class name; missing: unlabelled) and `source`.
        labels: the classes of the task.
        near_duplicate_threshold: see `task.near_duplicate_threshold`.
        regions: see `validate.regions`.
    """
    from ratchet.data.cleaning import text_id

    rows = sample.reset_index(drop=True)
    rows = rows.assign(id=[text_id(text) for text in rows["text"].fillna("")])

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield rows[list(columns)]

    found = measure_corpus(read, MEASURED, near_duplicate_threshold, regions)
    measured = found.measured(rows, 0)

    def share(name: str, above: int = 0) -> float:
        return float((measured[name] > above).mean()) if len(rows) else 0.0

    words = measured["n_words"].to_numpy()
    found_languages = Counter(measured["language"].tolist())
    by_language = sorted(found_languages.items(), key=lambda item: (-item[1], item[0]))
    counts, known = rows["label"].value_counts(), rows["label"].isin([*labels])
    return SampleProfile(
        n_rows=len(rows),
        n_words={name: float(np.quantile(words, q)) for name, q in QUANTILES.items()} if len(rows) else {},
        short_rates={n: float((words < n).mean()) if len(rows) else 0.0 for n in (1, 2, 3)},
        class_counts={label: int(counts.get(label, 0)) for label in labels},
        unknown_label_rate=float((rows["label"].notna() & ~known).mean()) if len(rows) else 0.0,
        unlabelled_rate=float(rows["label"].isna().mean()) if len(rows) else 0.0,
        languages={name: n / len(rows) for name, n in by_language},
        copy_rate=share("n_earlier_twins"),
        conflict_rate=share("n_twin_labels", above=1),
        near_duplicate_rate=share("n_near_duplicates"),
        damaged_rate=share("n_damaged"),
        markup_rate=share("n_markup"),
        personal_rates={name: share(name) for name in PERSONAL},
    )


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
        "production_log": _production_log(profile, len(labels), languages),
    }
    notes = {
        "corpus": "The rules of the corpus, judged by the stage `validate`; the columns stand in "
        "ratchet/data/rules/measures.py and corpus_measures.py.",
        "labels": "The rules of the labels, judged by the stage `validate`. $PARAMETER labels: the names of "
        "task.classes.",
        "splits": "The rules of the splits, judged by the stage `split` before it writes; the columns stand in "
        "ratchet/data/rules/split_measures.py.",
        "production_log": "The rules of a log of predictions; the columns stand in ratchet/prediction_log/rules.py.",
    }
    return {name: {"name": name, "notes": notes[name], "expectations": rules[name]} for name in rules}


def _corpus(profile: SampleProfile, languages: Sequence[str], n_rows: int) -> list[dict[str, Any]]:
    columns = ["row: int64", "id: string", "text: string", "label: string", "source: string"]
    damaged = "warn" if profile.damaged_rate > TOLERATED else "quarantine"
    return [
        _rule("schema", "stop", "a column is missing or of another type", HAS, "column", value_set=columns),
        _rule("missing_id", "stop", "the id is missing", NOT_NULL, "id"),
        _rule("missing_text", "stop", "the text is missing", NOT_NULL, "n_characters"),
        _rule("missing_source", "stop", "the source is missing", NOT_NULL, "source"),
        _rule("empty_text", "quarantine", "the text is empty", BETWEEN, "n_characters", min_value=1),
        *_lengths(profile),
        _rule(
            "encoding_damage",
            damaged,
            "characters broken by a wrong decoding",
            BETWEEN,
            "n_damaged",
            _from(profile, f"{profile.damaged_rate:.2%} of texts have some") if damaged == "warn" else None,
            max_value=0,
        ),
        _rule("markup", "warn", "HTML tags or entities are left in the text", BETWEEN, "n_markup", max_value=0),
        _language(languages),
        _rule(
            "exact_duplicate", "quarantine", "the text came in an earlier row", BETWEEN, "n_earlier_twins", max_value=0
        ),
        _rule(
            "near_duplicate", "warn", "an earlier text is nearly the same", BETWEEN, "n_near_duplicates", max_value=0
        ),
        *(_rule(name, "warn", why, BETWEEN, column, max_value=0) for column, (name, why) in PERSONAL.items()),
        _rule(
            "copies",
            "warn",
            "more rows are copies than in the sample",
            AT_MOST,
            "copy_rate",
            _from(profile, f"{profile.copy_rate:.2%} of rows are copies"),
            max_value=_above(profile.copy_rate, 0.05),
        ),
        _rule(
            "quarantined_texts",
            "warn",
            "more texts are bad than in the sample",
            AT_MOST,
            "quarantined_text_rate",
            _from(profile, f"{_refused(profile):.2%} of texts break a rule of quarantine"),
            max_value=_above(_refused(profile), 0.02),
        ),
        _rule(
            "most_texts_quarantined",
            "stop",
            "most texts are bad",
            AT_MOST,
            "quarantined_text_rate",
            _from(profile, f"{_refused(profile):.2%} of texts break a rule of quarantine"),
            max_value=_above(_refused(profile), 0.5),
        ),
        _rule(
            "n_rows",
            "stop",
            "fewer than half of the rows came in",
            AT_LEAST,
            "n_rows",
            f"{n_rows:,} rows in the source",
            min_value=max(1, n_rows // 2),
        ),
        _rule(
            "length_drift",
            "warn",
            "texts are longer or shorter than those of the accepted data",
            AT_MOST,
            "length_distance",
            max_value=0.1,
        ),
        _rule(
            "source_drift",
            "warn",
            "texts come from other sources than those of the accepted data",
            AT_MOST,
            "source_distance",
            max_value=0.2,
        ),
    ]


def _labels(profile: SampleProfile) -> list[dict[str, Any]]:
    rate = profile.rarest_class_rate
    rarest = min(profile.class_counts, key=lambda label: profile.class_counts[label], default="")
    return [
        _rule("unknown_label", "quarantine", "the label is not a class", IN_SET, "label", value_set=LABELS),
        _rule("conflicting_labels", "quarantine", "the text has several labels", BETWEEN, "n_twin_labels", max_value=1),
        _rule("class_missing", "stop", "a class is missing", AT_LEAST, "n_rarest_class", min_value=1),
        _rule(
            "class_rates",
            "warn",
            "a class is rarer than in the sample",
            AT_LEAST,
            "rarest_class_rate",
            _from(profile, f"the rarest, {rarest}, has {rate:.2%}"),
            min_value=_round(rate / 2),
        ),
        _rule(
            "unlabelled_rate",
            "warn",
            "fewer texts are labelled than in the sample",
            AT_MOST,
            "unlabelled_rate",
            _from(profile, f"{profile.unlabelled_rate:.2%} of rows have no label"),
            max_value=_above(profile.unlabelled_rate, 0.5),
        ),
        _rule(
            "class_drift",
            "warn",
            "the classes are balanced otherwise than in the accepted data",
            AT_MOST,
            "label_distance",
            max_value=0.1,
        ),
    ]


def _splits(profile: SampleProfile) -> list[dict[str, Any]]:
    columns = ["row: int64", "id: string", "text: string", "label: string", "source: string", "group: string"]
    rate = profile.rarest_class_rate
    return [
        _rule("schema", "stop", "a column is missing or of another type", HAS, "column", value_set=columns),
        _rule("id_leak", "stop", "the same text lies on two sides", AT_MOST, "n_leaked_ids", max_value=0),
        _rule(
            "group_leak",
            "stop",
            "a group of near-duplicates lies on two sides",
            AT_MOST,
            "n_leaked_groups",
            max_value=0,
        ),
        _rule(
            "near_duplicate_leak",
            "stop",
            "two near-duplicates lie on two sides",
            AT_MOST,
            "n_leaked_pairs",
            max_value=0,
        ),
        _rule(
            "rows_lost",
            "stop",
            "rows were lost or doubled on the way",
            AT_MOST,
            "n_lost",
            min_value=0,
            max_value=0,
        ),
        _rule(
            "unlabelled_test", "stop", "a text to test on has no label", AT_MOST, "n_unlabelled_held_out", max_value=0
        ),
        _rule(
            "test_class_rates",
            "warn",
            "a class is too rare in the test to be measured",
            AT_LEAST,
            "rarest_test_class_rate",
            _from(profile, f"the rarest class has {rate:.2%}"),
            min_value=_round(rate / 2),
        ),
        _rule("excluded_rate", "warn", "many texts belong to no side", AT_MOST, "excluded_rate", max_value=0.05),
    ]


def _production_log(profile: SampleProfile, n_classes: int, languages: Sequence[str]) -> list[dict[str, Any]]:
    chance = 1 / max(2, n_classes)
    columns = ["timestamp: timestamp", "request_id: string", "text: string"]
    columns += ["predicted: string", "confidence: double", "model_version: string"]
    return [
        _rule("schema", "stop", "a column is missing or of another type", HAS, "column", value_set=columns),
        _rule("missing_timestamp", "quarantine", "nobody knows when the request came", NOT_NULL, "timestamp"),
        _rule("missing_text", "quarantine", "the text is missing", NOT_NULL, "n_characters"),
        _rule("missing_prediction", "quarantine", "the prediction is missing", NOT_NULL, "predicted"),
        _rule("missing_confidence", "quarantine", "the confidence is missing", NOT_NULL, "confidence"),
        _rule("missing_model_version", "quarantine", "nobody knows which model answered", NOT_NULL, "model_version"),
        _rule(
            "repeated_request",
            "quarantine",
            "the request was logged before",
            BETWEEN,
            "n_earlier_requests",
            max_value=0,
        ),
        _rule(
            "confidence_range",
            "quarantine",
            "the confidence is no probability",
            BETWEEN,
            "confidence",
            min_value=0,
            max_value=1,
        ),
        _rule(
            "unknown_prediction", "quarantine", "the prediction is not a class", IN_SET, "predicted", value_set=LABELS
        ),
        _rule("empty_text", "warn", "the text is empty", BETWEEN, "n_characters", min_value=1),
        _rule("encoding_damage", "warn", "characters broken by a wrong decoding", BETWEEN, "n_damaged", max_value=0),
        _language(languages),
        _rule("personal_data", "warn", "personal data stand in the text", BETWEEN, "n_personal", max_value=0),
        _rule(
            "mean_confidence",
            "warn",
            "the model has become unsure",
            AT_LEAST,
            "mean_confidence",
            f"{n_classes} classes: a fifth of the way from chance to certainty",
            min_value=_round(chance + (1 - chance) / 5),
        ),
        _rule(
            "prediction_drift",
            "warn",
            "the classes are predicted otherwise than they were labelled",
            AT_MOST,
            "prediction_distance",
            max_value=0.15,
        ),
        _rule(
            "length_drift",
            "warn",
            "texts are longer or shorter than those the model learned from",
            AT_MOST,
            "length_distance",
            max_value=0.15,
        ),
    ]


def _lengths(profile: SampleProfile) -> list[dict[str, Any]]:
    """Rules about the number of words: what is common in the sample is not refused."""
    shortest = max((n for n, rate in profile.short_rates.items() if rate <= TOLERATED), default=0)
    longest, usual = profile.n_words.get("max", 0.0), profile.n_words.get("p99_9", 0.0)
    why = f"{profile.short_rates[3]:.2%} of texts have fewer than three words"
    return [
        _rule(
            "too_few_words",
            "quarantine" if shortest else "warn",
            "too few words",
            BETWEEN,
            "n_words",
            _from(profile, why),
            min_value=shortest or 1,
        ),
        _rule(
            "too_many_words",
            "quarantine",
            "too many words",
            BETWEEN,
            "n_words",
            _from(profile, f"the longest text has {longest:,.0f} words"),
            max_value=_round(max(1000.0, 2 * longest)),
        ),
        _rule(
            "very_long_text",
            "warn",
            "longer than nearly all texts of the sample",
            BETWEEN,
            "n_words",
            _from(profile, f"99.9 % of texts have at most {usual:,.0f} words"),
            max_value=_round(max(100.0, usual)),
        ),
    ]


def _language(languages: Sequence[str]) -> dict[str, Any]:
    allowed = list(dict.fromkeys([*languages, UNDETERMINED]))
    rule = _rule("language", "warn", "the text is in another language", IN_SET, "language", value_set=allowed)
    return {**rule, "notes": f"{UNDETERMINED}: too short or too mixed to tell"}


def _rule(
    name: str, severity: str, reason: str, kind: str, column: str, learnt: str | None = None, **arguments: Any
) -> dict[str, Any]:
    meta = {"rule": name, "severity": severity, "reason": reason}
    return {
        "type": kind,
        "kwargs": {"column": column, **arguments},
        "meta": meta | ({"learnt_from": learnt} if learnt else {}),
    }


def _from(profile: SampleProfile, what: str) -> str:
    return f"{profile.n_rows:,} sampled rows: {what}"


def _refused(profile: SampleProfile) -> float:
    """Share of rows that break a rule of quarantine for another reason than being a copy."""
    short = max((rate for rate in profile.short_rates.values() if rate <= TOLERATED), default=0.0)
    damaged = profile.damaged_rate if profile.damaged_rate <= TOLERATED else 0.0
    return min(1.0, profile.unknown_label_rate + profile.conflict_rate + short + damaged)


def _above(rate: float, least: float) -> float:
    """A bound above an observed share: twice it, or half of the way to 1, and at least `least`.

    >>> _above(0.001, 0.05), _above(0.1, 0.05), _above(0.8, 0.05)
    (0.05, 0.2, 0.9)
    """
    return _round(max(least, min(2 * rate, (1 + rate) / 2)))


def _round(value: float) -> float:
    """Two digits are enough for a bound, so that people can read it; whole numbers stay whole."""
    rounded = float(f"{value:.2g}")
    return int(rounded) if rounded.is_integer() else rounded
