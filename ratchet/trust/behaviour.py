"""A suite of behaviour tests from data files: what a model must do, in cases that people write.

Source: Ribeiro et al. 2020, Beyond Accuracy: Behavioral Testing of NLP Models with CheckList,
https://arxiv.org/abs/2005.04118.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ratchet.data.sampling import unit_hash
from ratchet.errors import ParamsError
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Predictor
from ratchet.params import Params
from ratchet.trust.language import Articles, fitting_article
from ratchet.trust.text_edits import Edit

KINDS = ("minimum", "negation", "invariance", "direction")
SLOT = re.compile(r"\{(?:(\w+) )?(\w+)\}")


class Behaviour(Params):
    """One test of the suite."""

    kind: Literal["minimum", "negation", "invariance", "direction"]
    """What a case must show; see data/behaviour/suite.yaml."""
    label: str = ""
    """The class that the texts belong to, or that what is added speaks for."""
    templates: list[str] = Field(default_factory=list)
    """Texts with {slots}."""
    swap: str = ""
    """The slot whose words must not matter."""
    edit: str = ""
    """The edit of test texts that must not matter."""
    add: list[str] = Field(default_factory=list)
    """Sentences that are put after a test text."""
    tolerance: float = Field(default=0.0, ge=0, le=1)
    """By how much the probability may move against the direction."""

    @model_validator(mode="after")
    def _complete(self) -> Behaviour:
        needs = {
            "minimum": bool(self.label and self.templates),
            "negation": bool(self.label and self.templates),
            "invariance": bool(self.edit) != bool(self.swap and self.templates),
            "direction": bool(self.label and self.add),
        }
        if not needs[self.kind]:
            raise ValueError(
                f"a test of kind {self.kind} needs "
                + {"invariance": "either edit, or swap and templates", "direction": "label and add"}.get(
                    self.kind, "label and templates"
                )
            )
        return self


class Suite(Params):
    """A file of data/behaviour."""

    words: dict[str, list[str]]
    """Slot → what fills it."""
    tests: dict[str, Behaviour]
    """Name → test."""


@dataclass(frozen=True)
class Case:
    """One case: the text, and what it is compared with."""

    test: str
    text: str
    before: str = ""
    """The text without the change; empty where the label alone decides."""


@dataclass(frozen=True)
class Outcome:
    """What one case showed."""

    case: Case
    failed: bool
    told: str
    """The probabilities in words."""


def merge_suites(suites: Sequence[Suite]) -> Suite:
    """All tests and words of several files.

    Raises:
        ParamsError: a test or a slot stands in two files.
    """
    words: dict[str, list[str]] = {}
    tests: dict[str, Behaviour] = {}
    for suite in suites:
        if twice := sorted({*set(words) & set(suite.words), *set(tests) & set(suite.tests)}):
            raise ParamsError(
                "A test or a list of words stands in two files.",
                where="data/behaviour",
                got=", ".join(twice),
                fix="rename one of them",
            )
        words |= suite.words
        tests |= suite.tests
    return Suite(words=words, tests=tests)


def make_cases(
    suite: Suite,
    edits: Mapping[str, Edit],
    texts: Mapping[str, str],
    labels: Sequence[str],
    most: int,
    articles: Articles,
) -> list[Case]:
    """At most `most` cases of each test, chosen by hash; tests whose label the model lacks have none.

    Args:
        suite: the tests.
        edits: name → edit that keeps the label.
        texts: id → test text, for edits and additions.
        labels: classes of the model.
        most: cases of each test.
        articles: see `ratchet.trust.language`.

    Raises:
        ParamsError: a template names a slot, or a test an edit, that there is none of.
    """
    cases = []
    for name, test in suite.tests.items():
        if test.label and test.label not in labels:
            continue
        if test.edit and test.edit not in edits:
            raise ParamsError(
                "A test names an unknown edit.",
                where=f"data/behaviour, {name}",
                got=test.edit,
                expected=f"one of {', '.join(sorted(edits))}",
            )
        if test.kind == "direction":
            made = _added(name, test, texts)
        elif test.edit:
            made = _edited(name, edits[test.edit], texts)
        elif test.swap:
            made = _swapped(name, test, suite.words, articles)
        else:
            made = _filled(name, test, suite.words, articles)
        cases += sorted(made, key=lambda case: unit_hash(f"{case.before}{case.text}", name))[:most]
    return cases


def judge(predictor: Predictor, suite: Suite, cases: Sequence[Case]) -> list[Outcome]:
    """What each case shows, all texts in one call of the predictor."""
    texts = list(dict.fromkeys(text for case in cases for text in (case.text, case.before) if text))
    known = dict(zip(texts, predictor.predict_proba(texts), strict=True))
    return [_outcome(case, suite.tests[case.test], known, predictor.labels) for case in cases]


def behaviour_metrics(suite: Suite, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """`<kind>_failure_rate` of each kind that has cases, in [0, 1], with its Wilson interval over cases."""
    failed = {kind: [item.failed for item in outcomes if suite.tests[item.case.test].kind == kind] for kind in KINDS}
    return {
        f"{kind}_failure_rate": proportion_estimate(sum(items), len(items)) for kind, items in failed.items() if items
    }


def kinds_without_cases(suite: Suite, outcomes: Sequence[Outcome]) -> list[str]:
    """The kinds of test of which nothing is known: the suite has none of them, or none of their cases applies."""
    tried = {suite.tests[item.case.test].kind for item in outcomes}
    return [kind for kind in KINDS if kind not in tried]


def behaviour_tests(suite: Suite, outcomes: Sequence[Outcome], n_examples: int) -> list[dict[str, Any]]:
    """A row a test: its failures with an interval, and the first failing cases."""
    rows = []
    for name, test in suite.tests.items():
        mine = [item for item in outcomes if item.case.test == name]
        failed = [item for item in mine if item.failed]
        rows.append(
            {
                "test": name,
                "kind": test.kind,
                "failure_rate": proportion_estimate(len(failed), len(mine)).to_json(),
                "examples": [
                    {"text": item.case.text, "before": item.case.before, "told": item.told}
                    for item in failed[:n_examples]
                ],
            }
        )
    return rows


def _outcome(case: Case, test: Behaviour, known: Mapping[str, NDArray[np.float64]], labels: list[str]) -> Outcome:
    after = known[case.text]
    if test.kind in ("minimum", "negation"):
        wanted = labels.index(test.label)
        told = f"{labels[int(after.argmax())]}, P({test.label}) = {after[wanted]:.2f}"
        return Outcome(case, int(after.argmax()) != wanted, told)
    before = known[case.before]
    if test.kind == "invariance":
        told = f"{labels[int(before.argmax())]} → {labels[int(after.argmax())]}"
        return Outcome(case, int(after.argmax()) != int(before.argmax()), told)
    wanted = labels.index(test.label)
    told = f"P({test.label}) {before[wanted]:.2f} → {after[wanted]:.2f}"
    return Outcome(case, bool(after[wanted] < before[wanted] - test.tolerance), told)


def _filled(name: str, test: Behaviour, words: Mapping[str, Sequence[str]], articles: Articles) -> list[Case]:
    return [Case(name, text) for template in test.templates for text in fill(template, words, articles)]


def _swapped(name: str, test: Behaviour, words: Mapping[str, Sequence[str]], articles: Articles) -> list[Case]:
    """Every filling beside the same one with the slot's first word."""
    cases = []
    for template in test.templates:
        for other in fill(template, {**words, test.swap: [f"{{{test.swap}}}"]}, articles):
            first, *rest = fill(other, {test.swap: words[test.swap]}, articles)
            cases += [Case(name, text, first) for text in rest]
    return cases


def _edited(name: str, edit: Edit, texts: Mapping[str, str]) -> list[Case]:
    made = ((text, edit(text, key)) for key, text in texts.items())
    return [Case(name, edited, text) for text, edited in made if edited != text]


def _added(name: str, test: Behaviour, texts: Mapping[str, str]) -> list[Case]:
    def sentence(key: str) -> str:
        return test.add[int(unit_hash(key, name) * len(test.add))]

    return [Case(name, f"{text} {sentence(key)}", text) for key, text in texts.items()]


def fill(template: str, words: Mapping[str, Sequence[str]], articles: Articles) -> list[str]:
    """The template with every combination of words in its slots, in order; '{a slot}' puts the article's fitting form.

    >>> fill("{a size} {thing}", {"size": ["odd", "small"], "thing": ["box"]}, {"an": "[aeiou]", "a": ""})
    ['an odd box', 'a small box']

    Raises:
        ParamsError: a slot has no words, or starts with a word that is no article.
    """
    match = SLOT.search(template)
    if match is None:
        return [template]
    if match[1] and match[1] not in articles:
        raise ParamsError(
            "A slot starts with a word that is no article.",
            where="data/behaviour",
            got=template,
            expected=f"one of the articles of data/lexicons/language.yaml: {', '.join(articles) or 'it has none'}",
            fix="correct the template, or add the article",
        )
    if match[2] not in words:
        raise ParamsError(
            "A template has a slot without words.",
            where="data/behaviour",
            got=template,
            expected=f"slots among {', '.join(words)}",
        )
    found = []
    for word in words[match[2]]:
        if word == f"{{{match[2]}}}":  # a slot that is left for later
            head, tail = template[: match.end()], template[match.end() :]
            return [f"{head}{rest}" for rest in fill(tail, words, articles)]
        article = f"{fitting_article(match[1], word, articles)} " if match[1] else ""
        found += fill(f"{template[: match.start()]}{article}{word}{template[match.end() :]}", words, articles)
    return found
