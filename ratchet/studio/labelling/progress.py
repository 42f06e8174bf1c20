"""What a labelling session has brought so far: counts, pace, agreement, and what suggestions do to people."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np

from ratchet.labels.agreement import krippendorff_alpha
from ratchet.labels.forecast import Forecast
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import Estimate
from ratchet.studio.labelling.answer_log import Given
from ratchet.studio.labelling.desk import SKIP, Desk

N_PAIRS = 10
"""Confused pairs of classes that are listed."""
N_EXAMPLES = 3
"""Texts of each pair."""


@dataclass(frozen=True)
class Person:
    """One person's work."""

    name: str
    n_answers: int
    n_skipped: int
    seconds: float
    """Median of a text; NaN: no page was timed."""
    gold: Estimate | None
    """Accuracy on gold questions; None: none was answered."""


@dataclass(frozen=True)
class Pull:
    """How often people give the class that the model suggests: with the suggestion before their eyes, and without."""

    shown: Estimate
    hidden: Estimate
    difference: Estimate
    """Shown less hidden, Newcombe's interval; what lies above 0 is the suggestion's doing."""


@dataclass(frozen=True)
class Confused:
    """Two classes that were given to one text."""

    first: str
    second: str
    texts: list[str]


@dataclass(frozen=True)
class Progress:
    """A session."""

    people: list[Person]
    classes: dict[str, int]
    """Class → texts, by each text's most frequent answer."""
    proposed: dict[str, int]
    """What was written that is no class → answers."""
    n_texts: int
    n_answered: int
    alpha: dict[str, float]
    """Class → Krippendorff's alpha of it against the rest; NaN: nothing to compare. `all`: of all classes."""
    confused: list[Confused]
    pull: Pull | None
    n_learned: int
    """Answers the suggestions rest on; 0: on the model that chose the texts."""
    usd: float
    """What the timed seconds cost."""
    outlook: Forecast | None
    """What the probe reaches and the next hundred labels would bring; None: too few labels to tell."""


def progress(desk: Desk, hours_wage: float = 0.0) -> Progress:
    """The session at a desk, by the answers that count.

    Args:
        desk: where people work.
        hours_wage: USD an hour.
    """
    by_person = {name: list(desk.answers(name).values()) for name in desk.people}
    everybody = [given for answers in by_person.values() for given in answers]
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for given in everybody:
        if given.label in desk.labels:
            votes[given.id][given.label] += 1
    classes = Counter(count.most_common(1)[0][0] for count in votes.values())
    proposed = Counter(given.label for given in everybody if given.label not in (*desk.labels, SKIP))
    seconds = [given.lead_time_s for given in everybody if not np.isnan(given.lead_time_s)]
    return Progress(
        [_person(name, answers, desk) for name, answers in by_person.items()],
        {name: classes[name] for name in desk.labels},
        dict(proposed.most_common()),
        len(desk.items),
        len({given.id for given in everybody}),
        _alpha(votes, desk.labels),
        _confused(votes, desk),
        pull_of_suggestions(everybody),
        desk.ranking.n_learned,
        sum(seconds) / 3600 * hours_wage,
        desk.ranking.outlook,
    )


def pull_of_suggestions(answers: list[Given]) -> Pull | None:
    """What seeing the suggestion does to people's answers; None: it was never both shown and hidden.

    Which texts it is hidden on is drawn at random, so that the difference is the suggestion's effect.
    """
    usable = [given for given in answers if given.suggested and given.label != SKIP]
    parts = [
        [given.label == given.suggested for given in usable if given.was_shown is shown] for shown in (True, False)
    ]
    if not all(parts):
        return None
    shown, hidden = (proportion_estimate(sum(part), len(part)) for part in parts)
    return Pull(shown, hidden, newcombe(shown, hidden))


def newcombe(first: Estimate, second: Estimate) -> Estimate:
    """Difference of two independent proportions, from their Wilson intervals.

    Source: Newcombe 1998, Interval estimation for the difference between independent proportions, method 10,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I
    """
    value = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - float(below), value + float(above), first.n + second.n)


def _person(name: str, answers: list[Given], desk: Desk) -> Person:
    seconds = [given.lead_time_s for given in answers if not np.isnan(given.lead_time_s)]
    n_skipped = sum(given.label == SKIP for given in answers)
    gold = desk.gold.accuracy(name) if desk.gold else None
    return Person(name, len(answers), n_skipped, median(seconds) if seconds else float("nan"), gold)


def _alpha(votes: dict[str, Counter[str]], labels: list[str]) -> dict[str, float]:
    counts = np.array([[count[label] for label in labels] for count in votes.values()], dtype=np.int64)
    if not len(counts):
        return {"all": float("nan")}
    rest = {
        label: np.stack([own, counts.sum(axis=1) - own], axis=1) for label, own in zip(labels, counts.T, strict=True)
    }
    return {"all": krippendorff_alpha(counts), **{label: krippendorff_alpha(each) for label, each in rest.items()}}


def _confused(votes: dict[str, Counter[str]], desk: Desk) -> list[Confused]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, count in votes.items():
        for pair in combinations([label for label in desk.labels if count[label]], 2):
            found[pair].append(desk.items[name].text)
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))[:N_PAIRS]
    return [Confused(first, second, texts[:N_EXAMPLES]) for (first, second), texts in ranked]
