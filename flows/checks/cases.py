"""The cases that people write: behaviour suites, trigger words, edits of texts, frozen slices, concepts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from flows.checks.finding import Finding, error, raised, refused, unknown
from flows.checks.names import columns, text_features
from flows.checks.project import Project, step_module
from ratchet.errors import ParamsError, RatchetError
from ratchet.params import Params, check_params

CONTRAST, INVARIANCE = "data/challenge/contrast.yaml", "data/challenge/invariance.yaml"
LANGUAGE = "data/lexicons/language.yaml"
FROZEN, BEHAVIOUR, TRIGGERS, CONCEPTS = (
    "data/challenge/weak_slices.yaml",
    "data/behaviour",
    "data/behaviour/triggers.yaml",
    "data/concepts",
)


def check_cases(project: Project) -> list[Finding]:
    """Files that do not parse, classes that the task has not, slots, edits and features that there are none of."""
    if not {"challenge", "counterfactuals", "behave"} & {*project.stages}:
        return []
    from ratchet.trust.language import Language
    from ratchet.trust.text_edits import Contrast, Invariance, contrast_edits, invariance_edits

    found: list[Finding] = []
    contrast, invariance = _read(project, CONTRAST, Contrast, found), _read(project, INVARIANCE, Invariance, found)
    language = _read(project, LANGUAGE, Language, found)
    articles = language.articles if language is not None else {}
    found += _frozen(project) + _concepts(project)
    edits: dict[str, Any] | None = None
    if contrast is not None:
        found += _classes_of(project, contrast) + refused(partial(contrast_edits, contrast, articles), CONTRAST)
        if invariance is not None:
            try:
                edits = invariance_edits(invariance, contrast, articles)
            except ParamsError as problem:
                found.append(raised(problem, INVARIANCE))
    return found + _behaviour(project, edits, articles)


def read_suites(project: Project, found: list[Finding]) -> dict[str, Any]:
    """The behaviour suites that hold, by file; what does not is added to what was found."""
    from ratchet.trust.behaviour import Suite

    files = sorted((project.root / BEHAVIOUR).glob("*.yaml"))
    read = {
        file: _read(project, file, Suite, found)
        for file in (path.relative_to(project.root).as_posix() for path in files)
        if file != TRIGGERS
    }
    return {file: suite for file, suite in read.items() if suite is not None}


def _read(project: Project, file: str, model: type[Params], found: list[Finding]) -> Any:
    """The file as its model; None where there is none, or none that holds."""
    if not (project.root / file).is_file():
        return None
    try:
        return check_params(model, Path(file).stem, project.yaml(file), Path(file))
    except ParamsError as problem:
        found.append(raised(problem, file))
        return None


def _classes_of(project: Project, contrast: Any) -> list[Finding]:
    """The classes that contrast edits turn around are classes of the task."""
    named: list[tuple[tuple[str | int, ...], str]] = [
        *((("swaps", name), label) for name, swap in contrast.swaps.items() for label in swap.classes),
        *((("unpaired", name), name) for name in contrast.unpaired),
        *((("rewrites", name, "label"), rewrite.label) for name, rewrite in contrast.rewrites.items()),
        *((("rewrites", name, "becomes"), rewrite.becomes) for name, rewrite in contrast.rewrites.items()),
    ]
    return _unknown_classes(project, CONTRAST, named)


def _unknown_classes(project: Project, file: str, named: Iterable[tuple[tuple[str | int, ...], str]]) -> list[Finding]:
    fix = "write the name as it stands under task.classes, or take the case out"
    return [
        unknown("This is no class of the task.", project.at(file, *keys), name, project.classes, fix)
        for keys, name in named
        if project.classes and name not in project.classes
    ]


def _behaviour(project: Project, edits: dict[str, Any] | None, articles: Mapping[str, str]) -> list[Finding]:
    """Each test by itself: its class, the slots of its templates, its edit; and names that stand in two files.

    Where the edits are not known, because their own file does not hold, tests of edits are passed over.
    """
    if not (project.root / BEHAVIOUR).is_dir():
        return []
    from ratchet.trust.behaviour import Suite, make_cases, merge_suites

    found: list[Finding] = []
    suites = read_suites(project, found)
    found += refused(lambda: merge_suites(list(suites.values())), BEHAVIOUR)
    words = {slot: listed for suite in suites.values() for slot, listed in suite.words.items()}
    for file, suite in suites.items():
        for name, test in suite.tests.items():
            found += _unknown_classes(project, file, [(("tests", name, "label"), test.label)] if test.label else [])
            if test.edit and edits is None:
                continue
            alone, where = Suite(words=words, tests={name: test}), project.at(file, "tests", name)
            labels = [test.label] if test.label else []
            found += refused(partial(make_cases, alone, edits or {}, {}, labels, 1, articles), where)
    return found + _triggers(project)


def _triggers(project: Project) -> list[Finding]:
    found: list[Finding] = []
    behave = step_module("behave") if "behave" in project.stages else None
    if behave is not None:
        _read(project, TRIGGERS, behave.Triggers, found)
    return found


def _frozen(project: Project) -> list[Finding]:
    """The predicates of the frozen weak slices: of a known kind, and of features that there are."""
    challenge = step_module("challenge") if "challenge" in project.stages else None
    if challenge is None:
        return []
    found: list[Finding] = []
    frozen = _read(project, FROZEN, challenge.Frozen, found)
    known = ["word", "near", *text_features(project), *columns(project)]
    for place, predicates in enumerate(frozen.frozen if frozen is not None else []):
        for predicate in predicates:
            feature, equals, value = predicate.partition("=")
            where = project.at(FROZEN, "frozen", place)
            if not (equals and value):
                form = "FEATURE=GROUP, word=WORD or near=ID@COSINE"
                fix = "correct the predicate; the file's head explains them"
                found.append(error("A predicate is none.", where, got=predicate, expected=form, fix=fix))
            elif feature not in known:
                what = f"The predicate {predicate} names a feature that there is none of."
                found.append(unknown(what, where, feature, known, "name a feature or a column of the data"))
    return found


def _concepts(project: Project) -> list[Finding]:
    """Each concept has enough examples."""
    if "counterfactuals" not in project.stages or not (project.root / CONCEPTS).is_dir():
        return []
    from ratchet.trust.concepts import read_concepts

    try:
        read_concepts(project.root / CONCEPTS)
    except (RatchetError, UnicodeDecodeError) as problem:
        if isinstance(problem, UnicodeDecodeError):
            return [error("A concept's file is no UTF-8.", CONCEPTS, got=problem, expected="UTF-8", fix="convert it")]
        path = str(problem.where).removeprefix(f"{project.root}/")
        return [raised(problem, path)]
    return []
