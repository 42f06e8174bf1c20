"""Which text a person is asked about next, and what became of their answer."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ratchet.errors import TableError
from ratchet.labels.annotations import SKIPS, Item
from ratchet.labels.annotators import canonical_name
from ratchet.labels.queues import FileQueue
from ratchet.studio.labelling.answer_log import AnswerLog, Given
from ratchet.studio.labelling.gold import Gold
from ratchet.studio.labelling.ranking import Ranking

SKIP = "skip"
LEASE_S = 600.0
"""A text that one person has open is not given to another for so long, where one answer is enough."""
MAX_LEAD_S = 600.0
"""A page that was open for longer says nothing of how long the text took."""
MAX_WORDS = 2000
"""Characters of a comment."""


@dataclass(frozen=True)
class Task:
    """What one page asks."""

    item: Item
    labels: list[str]
    """The classes: in the task's order, or where the model ranks many of them, the likeliest first."""
    suggested: str
    """The model's class, where the page shows it; empty: hidden, or there is none."""
    confidence: float
    """Of it; NaN where nothing is shown."""
    hidden: str
    """The model's class, where it is hidden to measure what it does to people; empty: it is not."""
    given: Given | None
    """The person's answer that counts, where they come back to the text."""
    n_left: int
    """Texts that wait for this person, this one among them."""


class Desk:
    """The queue of a folder, shared by everybody who labels at it."""

    def __init__(
        self,
        queue: FileQueue,
        folder: Path,
        people: Sequence[str],
        labels: Sequence[str],
        n_annotators: int,
        hidden_rate: float,
        ranking: Ranking,
        clock: Callable[[], float] = time.monotonic,
        gold: Gold | None = None,
    ) -> None:
        """Args:
        queue: with the texts, and the answers of sheets beside.
        folder: the same.
        people: who labels here.
        labels: the classes, in the task's order.
        n_annotators: answers that each text needs.
        hidden_rate: share of texts whose suggestion is hidden.
        ranking: the order of the texts.
        clock: seconds.
        gold: questions that are asked between the texts; None: there are none.
        """
        if twice := [name for name, n in Counter(map(canonical_name, people)).items() if n > 1]:
            raise TableError("Two people have one name.", got=twice[0], fix="name each of them once")
        self.labels, self.n_annotators, self.ranking = list(labels), n_annotators, ranking
        self._items, self._hidden_rate, self._clock, self.gold = queue.items(), hidden_rate, clock, gold
        self._logs = {name: AnswerLog(folder, name) for name in people}
        here = {(canonical_name(person), name) for person, log in self._logs.items() for name in log.latest}
        known = {(canonical_name(answer.annotator), answer.item.id) for answer in queue.answers()}
        self._elsewhere = known - here
        """Person and text of the answers that came by sheets."""
        self._leases: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._learn()

    @property
    def people(self) -> list[str]:
        return list(self._logs)

    @property
    def items(self) -> Mapping[str, Item]:
        """Everything that was sent, by id."""
        return self._items

    def answers(self, person: str) -> dict[str, Given]:
        """A text's id → the person's answer that counts, in the order in which they came to the texts."""
        return self._logs[person].latest

    def next(self, person: str) -> Task | None:
        """The text that the person is asked about now; None: nothing waits for them."""
        with self._lock:
            waiting = self._waiting(person)
            if not waiting:
                return None
            if self.gold and (question := self.gold.due(person, len(self._logs[person].latest))):
                return self._task(person, question, len(waiting))
            chosen = self.ranking.first(waiting)
            self._leases[chosen] = person, self._clock() + LEASE_S
        return self._task(person, chosen, len(waiting))

    def again(self, person: str, name: str) -> Task | None:
        """A text that the person comes back to; None: it was never sent."""
        if self._item(name) is None:
            return None
        with self._lock:
            n_left = len(self._waiting(person))
        return self._task(person, name, n_left)

    def previous(self, person: str, before: str = "") -> str:
        """The text that the person answered before this one, or last; empty: none."""
        done = self._order(person)
        if before in done:
            done = done[: done.index(before)]
        return done[-1] if done else ""

    def answer(
        self, person: str, name: str, label: str, comment: str, change_reason: str, shown: bool, seconds: float
    ) -> bool:
        """Keep an answer; False where it was kept already.

        Args:
            person: who gives it.
            name: the text's id.
            label: a class, `skip`, or a new class that there should be.
            comment: a remark, or why it is skipped.
            change_reason: why an earlier answer is changed.
            shown: whether the page showed a suggestion.
            seconds: from the page to the answer.

        Raises:
            TableError: the text was never sent, or there is no label.
        """
        label = self._named(label)
        if (item := self._item(name)) is None or not label:
            raise TableError("An answer names no text or no class.", got=f"text {name!r}, class {label!r}")
        suggested = self.ranking.suggestion(item)[0]
        given = Given(
            name,
            label,
            person,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            seconds if 0 <= seconds <= MAX_LEAD_S else math.nan,
            comment.strip()[:MAX_WORDS],
            change_reason.strip()[:MAX_WORDS],
            suggested,
            shown and bool(suggested),
        )
        if self.gold and name in self.gold.items:
            return self.gold.add(given)
        if not self._logs[person].add(given):
            return False
        with self._lock:
            self._leases.pop(name, None)
        self._learn()
        return True

    def _item(self, name: str) -> Item | None:
        """What is asked; beside gold questions nothing says why, since nothing does of them."""
        if self.gold is None:
            return self._items.get(name)
        item = self._items.get(name) or self.gold.items.get(name)
        return item and replace(item, reason="")

    def _order(self, person: str) -> list[str]:
        """Ids of what the person has answered, gold questions among them, in the order they came to them."""
        if self.gold is None:
            return list(self._logs[person].latest)
        given = sorted([*self._logs[person].answers, *self.gold.answers(person)], key=lambda given: given.annotated_at)
        return list(dict.fromkeys(answer.id for answer in given))

    def _named(self, label: str) -> str:
        """The class in the task's spelling, whatever the case and spaces it was typed in."""
        label = " ".join(label.split())[:200]
        by_name = {canonical_name(known): known for known in self.labels}
        return SKIP if canonical_name(label) in SKIPS else by_name.get(canonical_name(label), label)

    def _waiting(self, person: str) -> list[str]:
        """Ids of the texts that this person may be asked about, in the order they were sent."""
        now, own = self._clock(), self._logs[person].latest
        spelled = canonical_name(person)
        counts = Counter(name for log in self._logs.values() for name in log.latest)
        counts.update(name for _, name in self._elsewhere)
        leased = Counter(name for name, (who, until) in self._leases.items() if who != person and until > now)
        return [
            name
            for name in self._items
            if name not in own
            and (spelled, name) not in self._elsewhere
            and counts[name] + leased[name] < self.n_annotators
        ]

    def _task(self, person: str, name: str, n_left: int) -> Task:
        item = self._item(name)
        if item is None:
            raise TableError("A text was never sent.", got=name)
        suggested, confidence = self.ranking.suggestion(item)
        hidden = is_hidden(person, name, self._hidden_rate)
        ranked = self.ranking.labels(item, self.labels) if not hidden else self.labels
        answers = self._logs[person].latest | (self.gold.latest(person) if self.gold else {})
        given = answers.get(name)
        if hidden or not suggested:
            return Task(item, ranked, "", math.nan, suggested, given, n_left)
        return Task(item, ranked, suggested, confidence, "", given, n_left)

    def _learn(self) -> None:
        """Tell the ranking what is known by now: of a text that several people answered, the most frequent class."""
        votes: dict[str, Counter[str]] = {}
        for log in self._logs.values():
            for name, given in log.latest.items():
                if given.label in self.labels:
                    votes.setdefault(name, Counter())[given.label] += 1
        self.ranking.learn({name: count.most_common(1)[0][0] for name, count in votes.items()})


def is_hidden(person: str, name: str, rate: float) -> bool:
    """Whether a text's suggestion is hidden from a person: at random, and the same whenever they come back to it.

    >>> is_hidden("ann", "0a", 0.0), is_hidden("ann", "0a", 1.0)
    (False, True)
    """
    digest = hashlib.sha256(f"{canonical_name(person)}\n{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < rate * 2**64
