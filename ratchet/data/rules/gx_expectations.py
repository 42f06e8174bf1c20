"""Expectations of our own, as Great Expectations' classes: they judge tallies, and say in words what they want.

The batch they are given is a table of tallies: `measure`, `value`, `n_rows`, a row for each value that occurs. Its
size depends on how many different values there are, not on how many rows were measured, so that a corpus of thirty
thousand rows and one of five million are judged in the same way and in the same time.

Importing this registers the metrics and the classes with Great Expectations, so it is imported where they are used.
Source: https://docs.greatexpectations.io/docs/core/customize_expectations/
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from ratchet.data.rules.suites import Rule, bounds_text, match_measure
from ratchet.data.rules.tallies import ACCEPTED, Tally
from ratchet.data.rules.verdicts import judge

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the library's own imports
    from great_expectations.core.metric_domain_types import MetricDomainTypes
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import BatchExpectation, render_suite_parameter_string
    from great_expectations.expectations.metrics.metric_provider import metric_value
    from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
    from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
    from great_expectations.render.renderer.renderer import renderer


def _tally(engine: Any, domain: dict[str, Any], measure: str) -> Tally:
    frame, _, _ = engine.get_compute_domain(domain_kwargs=domain, domain_type=MetricDomainTypes.TABLE)
    rows = frame[frame["measure"] == measure]
    return dict(zip(rows["value"].tolist(), rows["n_rows"].tolist(), strict=True))


class MeasureTally(TableMetricProvider):
    """Metric: value → rows that have it, of one measure."""

    metric_name = "ratchet.tally"
    value_keys = ("measure",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> Tally:
        return _tally(execution_engine, metric_domain_kwargs, metric_value_kwargs["measure"])


class AcceptedTally(TableMetricProvider):
    """Metric: the same, of the data that was accepted last."""

    metric_name = "ratchet.accepted_tally"
    value_keys = ("measure",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> Tally:
        return _tally(execution_engine, metric_domain_kwargs, ACCEPTED + metric_value_kwargs["measure"])


class MatchTally(TableMetricProvider):
    """Metric: number of matches → rows that have so many, of one pattern."""

    metric_name = "ratchet.match_tally"
    value_keys = ("pattern",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> Tally:
        return _tally(execution_engine, metric_domain_kwargs, match_measure(metric_value_kwargs["pattern"]))


class TallyExpectation(BatchExpectation):
    """What they share: the tally to judge, and one sentence for Data Docs with its figures in bold."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("ratchet.tally",)
    sentence: ClassVar[str] = ""
    """What is expected, with `$name` for each argument, and `$bounds` for the bounds in words."""

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        kwargs = {key: self.configuration.kwargs.get(key) for key in self.success_keys}
        rule = Rule("", "warn", "", self.expectation_type, {key: v for key, v in kwargs.items() if v is not None})
        kept, figure, words = judge(rule, *(metrics[name] for name in self.metric_dependencies))
        return {"success": kept, "result": {"observed_value": words, "details": {"figure": figure}}}

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> list[Any]:
        words = {key: ", ".join(v) if isinstance(v, list) else v for key, v in configuration.kwargs.items()}
        meta = configuration.meta or {}
        words |= {"bounds": bounds_text(configuration.kwargs)} | {
            key: meta.get(key, "") for key in ("rule", "severity")
        }
        template = {
            "template": f"$rule ($severity): {cls.sentence}",
            "params": words,
            "styling": (runtime_configuration or {}).get("styling"),
        }
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=template)]


class ExpectMeasureToBeBetween(TallyExpectation):
    """Each row's number lies within bounds."""

    measure: str
    min_value: float | None = None
    max_value: float | None = None
    success_keys: ClassVar[tuple[str, ...]] = ("measure", "min_value", "max_value")
    sentence: ClassVar[str] = "$measure of every row must be $bounds."


class ExpectTotalToBeBetween(ExpectMeasureToBeBetween):
    """The sum over all rows lies within bounds."""

    sentence: ClassVar[str] = "$measure, added up over all rows, must be $bounds."


class ExpectMeanToBeBetween(ExpectMeasureToBeBetween):
    """The mean over the rows that have a value lies within bounds; without such rows it is not kept."""

    sentence: ClassVar[str] = "$measure, averaged over the rows that have it, must be $bounds."


class ExpectRatesToBeBetween(ExpectMeasureToBeBetween):
    """The share of each name lies within bounds; the figure is that of the name that is farthest off."""

    value_set: list[str]
    success_keys: ClassVar[tuple[str, ...]] = ("measure", "value_set", "min_value", "max_value")
    sentence: ClassVar[str] = "The share of each of $value_set in $measure must be $bounds."


class ExpectMeasureToBeInSet(TallyExpectation):
    """Each row's name is one of a set, or is missing."""

    measure: str
    value_set: list[str]
    success_keys: ClassVar[tuple[str, ...]] = ("measure", "value_set")
    sentence: ClassVar[str] = "$measure of every row that has it must be one of $value_set."


class ExpectValuesToContain(ExpectMeasureToBeInSet):
    """Every name of a set occurs; the figure is how many do not."""

    sentence: ClassVar[str] = "$measure must have $value_set."


class ExpectTextsNotToMatch(TallyExpectation):
    """No row's text matches a regular expression."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("ratchet.match_tally",)
    pattern: str
    success_keys: ClassVar[tuple[str, ...]] = ("pattern",)
    sentence: ClassVar[str] = "No text may match $pattern."


class ExpectDistanceFromAcceptedToBeAtMost(TallyExpectation):
    """The distribution is near that of the data that was accepted last: total variation or Kolmogorov-Smirnov."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("ratchet.tally", "ratchet.accepted_tally")
    measure: str
    max_value: float
    success_keys: ClassVar[tuple[str, ...]] = ("measure", "max_value")
    sentence: ClassVar[str] = "The distribution of $measure must stay within $max_value of that of the accepted data."
