"""Corpus rules as Great Expectations: which rows go to quarantine, and what stops the line.

Source: Great Expectations 1, https://docs.greatexpectations.io/docs/core/. Whatever needs the texts is computed once
into numeric columns, and the expectations look at those: they stay quick, and no text gets into their results.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import ValidationError

if TYPE_CHECKING:
    import pandas as pd

_DAMAGE = re.compile(
    "\ufffd|[\x80-\x9f]"  # a character that could not be decoded; a control character that is none in any text
    "|[ÂÃâã][¡-©¬-¹¼-¿]|Ã[ƒ‰]|â€|ðŸ|ï¿½"  # UTF-8 that was read as Windows-1252
    "|¡[¦§¨]"  # Big5 quotation marks that were read as Windows-1252
)


@dataclass(frozen=True)
class Rule:
    """One rule. A `quarantine` rule judges rows; a `stop` rule that is broken ends the line."""

    name: str
    severity: Literal["stop", "quarantine"]
    check: Literal["not_null", "between", "in_set", "mean", "sum"]
    column: str
    reason: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """The values the rule allows, in words."""
        if self.check == "not_null":
            return "no missing value"
        if self.check == "in_set":
            return f"one of {', '.join(self.values)}"
        bounds = [f"at least {self.low:g}" if self.low is not None else "",
                  f"at most {self.high:g}" if self.high is not None else ""]  # fmt: skip
        return f"{self.column} {' and '.join(bound for bound in bounds if bound)}"


class Outcome(NamedTuple):
    """A rule as it was found: kept or broken, the figure observed, and the positions of the rows that break it."""

    rule: Rule
    success: bool
    observed: float
    rows: NDArray[np.int64]


def row_rules(labels: Sequence[str], min_words: int, max_words: int) -> list[Rule]:
    """The rules a row has to keep, in the order in which a quarantined row is given its reason."""
    required = [
        Rule(f"missing_{column}", "stop", "not_null", column, f"the {column} is missing")
        for column in ("id", "text", "source")
    ]
    return [
        *required,
        Rule("empty_text", "quarantine", "between", "n_characters", "the text is empty", low=1),
        Rule("too_few_words", "quarantine", "between", "n_words", "too few words", low=min_words),
        Rule("too_many_words", "quarantine", "between", "n_words", "too many words", high=max_words),
        Rule("unknown_label", "quarantine", "in_set", "label", "the label is not a class", values=tuple(labels)),
        Rule("encoding_damage", "quarantine", "between", "n_damaged", "characters broken by a wrong decoding", high=0),
        Rule("conflicting_labels", "quarantine", "between", "n_twin_labels", "the text has several labels", high=1),
        Rule("exact_duplicate", "quarantine", "between", "n_earlier_twins", "the text came in an earlier row", high=0),
    ]  # fmt: skip


def corpus_rules(
    labels: Sequence[str], min_rows: int, min_class_rate: float, max_quarantined_rate: float
) -> list[Rule]:
    """The rules the whole corpus has to keep, once bad rows are in quarantine."""
    rates = [
        Rule(f"class_rate_{label}", "stop", "mean", f"rate of '{label}' among labelled rows",
             "a class is missing or too rare to learn", low=min_class_rate)
        for label in labels
    ]  # fmt: skip
    return [
        Rule(
            "quarantined_rate", "stop", "mean", "quarantined rate", "too many rows are bad", high=max_quarantined_rate
        ),
        Rule("n_rows", "stop", "sum", "rows that pass", "too few rows", low=min_rows),
        *rates,
    ]


def row_features(corpus: pd.DataFrame, n_words: NDArray[np.int64]) -> pd.DataFrame:
    """What `row_rules` look at, one row a text: lengths, damage, twins (rows of the same id)."""
    features = corpus[["id", "source", "label"]].reset_index(drop=True)
    texts = corpus["text"].reset_index(drop=True)
    twins = features.groupby("id", sort=False)
    return features.assign(
        text=texts.notna().map({True: 1.0, False: np.nan}),  # only whether it is there
        n_characters=texts.str.len().fillna(0).astype("int64"),
        n_words=n_words,
        n_damaged=[len(_DAMAGE.findall(text)) if isinstance(text, str) and not text.isascii() else 0 for text in texts],
        n_twin_labels=twins["label"].transform("nunique"),
        n_earlier_twins=twins.cumcount(),
    )


def corpus_features(label: pd.Series, quarantined: NDArray[np.bool_], labels: Sequence[str]) -> pd.DataFrame:
    """What `corpus_rules` look at, one row a text; class columns are missing where a row does not count."""
    import pandas as pd

    counts = ~quarantined & label.notna().to_numpy()
    rates = {
        f"rate of '{name}' among labelled rows": np.where(counts, (label == name).to_numpy(dtype=float), np.nan)
        for name in labels
    }
    kept = {"quarantined rate": quarantined.astype(float), "rows that pass": (~quarantined).astype(float)}
    return pd.DataFrame({**kept, **rates})


def check(frame: pd.DataFrame, rules: Sequence[Rule], name: str) -> tuple[list[Outcome], Any]:
    """Each rule's outcome on the frame, and Great Expectations' own result (for Data Docs).

    Raises:
        ValidationError: a rule could not be evaluated; that is not the same as being kept.
    """
    gx = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("ratchet").add_dataframe_asset(name)
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=[_expectation(gx, rule) for rule in rules]))
    definition = gx.ValidationDefinition(name=name, data=asset.add_batch_definition_whole_dataframe("all"), suite=suite)
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame}, result_format={"result_format": "COMPLETE"}
    )
    found = {item.expectation_config.meta["rule"]: item for item in result.results}
    return [_outcome(rule, found[rule.name]) for rule in rules], result


def _outcome(rule: Rule, item: Any) -> Outcome:
    if "'raised_exception': True" in str(item.exception_info):
        raise ValidationError(
            f"The rule '{rule.name}' could not be checked.", where=f"column '{rule.column}'",
            got=item.exception_info, fix="correct the rule in ratchet/data/expectations.py",
        )  # fmt: skip
    rows = np.asarray(item.result.get("unexpected_index_list") or [], dtype=np.int64)
    if rule.check in ("mean", "sum"):
        value = item.result["observed_value"]
        observed = 0.0 if value is None or value != value else float(value)  # nothing to average
        item.result["observed_value"] = observed  # Data Docs cannot print numpy's numbers
    else:
        observed = float(item.result["unexpected_count"])
    return Outcome(rule, bool(item.success), observed, rows)


def _expectation(gx: ModuleType, rule: Rule) -> Any:
    bounds = {"min_value": rule.low, "max_value": rule.high}
    expectations: dict[str, tuple[str, dict[str, Any]]] = {
        "not_null": ("ExpectColumnValuesToNotBeNull", {}),
        "between": ("ExpectColumnValuesToBeBetween", bounds),
        "in_set": ("ExpectColumnValuesToBeInSet", {"value_set": list(rule.values)}),
        "mean": ("ExpectColumnMeanToBeBetween", bounds),
        "sum": ("ExpectColumnSumToBeBetween", bounds),
    }
    kind, arguments = expectations[rule.check]
    severity = "critical" if rule.severity == "stop" else "warning"
    meta = {"rule": rule.name, "severity": rule.severity}
    return getattr(gx.expectations, kind)(column=rule.column, severity=severity, meta=meta, **arguments)


def _great_expectations() -> ModuleType:
    """The library, imported with its analytics off and the deprecation warnings of its own imports held back."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations
        import great_expectations.expectations
    module: ModuleType = great_expectations
    return module
