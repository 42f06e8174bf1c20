"""Gold questions: texts whose class is known, asked between the others to measure each person's accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ratchet.errors import TableError
from ratchet.labels.annotations import Answer, Item
from ratchet.labels.annotators import canonical_name
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import Estimate
from ratchet.studio.labelling.answer_log import AnswerLog, Given

FOLDER = "gold"
"""Below the queue's folder; `ratchet labels pull` does not read it, so that no answer to a gold question is a label."""
RATE = 0.1
"""Share of pages that ask a gold question, until a person has answered all of them."""


class Gold:
    """Gold questions and everybody's answers to them."""

    def __init__(
        self,
        questions: Sequence[Answer],
        queued: Mapping[str, Item],
        folder: Path,
        people: Sequence[str],
        labels: Sequence[str],
        rate: float = RATE,
    ) -> None:
        """Args:
        questions: texts with the class that is right.
        queued: what was sent to people; a question that is among it is left out, since its answers are labels.
        folder: of the queue.
        people: who labels here.
        labels: the classes.
        rate: share of pages that ask a question, in [0, 1].

        Raises:
            TableError: a question has no class, one that does not exist, or two; or none is left.
        """
        self._right: dict[str, str] = {}
        self.items: dict[str, Item] = {}
        for question in questions:
            name, label = question.item.id, question.label
            if label not in labels:
                known = ", ".join(labels[:10])
                raise TableError("A gold question has none of the classes.", where=name, got=label, expected=known)
            if self._right.setdefault(name, label) != label:
                both = f"{self._right[name]} and {label}"
                raise TableError("A gold question has two classes.", where=name, got=both, fix="keep the right one")
            if name not in queued:
                self.items[name] = question.item
        if not self.items:
            fix = "name other texts: answers to those in the queue are labels"
            raise TableError("There is no gold question.", got=f"{len(questions)} texts, all in the queue", fix=fix)
        self._logs, self._rate = {name: AnswerLog(folder / FOLDER, name) for name in people}, rate

    def due(self, person: str, n_done: int) -> str:
        """The question that is asked now, the same at each reload; empty: none is.

        Args:
            person: who is asked.
            n_done: texts of the queue that the person has answered.
        """
        given = self._logs[person].latest
        waiting = [name for name in self.items if name not in given]
        if not waiting or _draw(person, f"page {n_done + len(given)}") >= self._rate:
            return ""
        return min(waiting, key=lambda name: _draw(person, name))

    def answers(self, person: str) -> list[Given]:
        """The person's answers, the first one first, those that were changed later among them."""
        return self._logs[person].answers

    def latest(self, person: str) -> dict[str, Given]:
        """A question's id → the person's answer that counts."""
        return self._logs[person].latest

    def add(self, given: Given) -> bool:
        """Keep an answer; False where it was kept already."""
        return self._logs[given.annotator].add(given)

    def accuracy(self, person: str) -> Estimate | None:
        """Share of right answers with its interval, skips counted as wrong; None before the first answer."""
        latest = [given for name, given in self.latest(person).items() if name in self._right]
        if not latest:
            return None
        return proportion_estimate(sum(given.label == self._right[given.id] for given in latest), len(latest))


def _draw(person: str, what: str) -> float:
    """A number in [0, 1) that depends on both alone."""
    digest = hashlib.sha256(f"gold\n{canonical_name(person)}\n{what}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
