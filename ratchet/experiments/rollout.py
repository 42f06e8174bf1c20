"""Rollout decisions: whether a challenger advances, stays or is rolled back: shadow → a small share → half → champion.

Each step asks whether the challenger's answers are good as often as the champion's, less a margin: an always-valid
interval of the difference wholly above −margin lets it go on, one wholly below sends it back; in the end one of the two
happens. A guard that stops sends it back at once, and so does a step that has seen all it may see and
still cannot tell. A challenger that is worse by more than the margin must pass every step wrongly to become champion.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal, Self

import pydantic
from pydantic import Field

from ratchet.errors import ParamsError
from ratchet.experiments.assignment import Experiment
from ratchet.experiments.evidence import Evidence
from ratchet.experiments.guardrails import Guard, GuardrailParams, guards, open_groups, stopping_guards
from ratchet.measure.estimate import Estimate
from ratchet.params import Params
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.slices import NO_PATTERNS, Patterns

Decision = Literal["advance", "stay", "roll_back"]
Status = Literal["running", "proved", "promoted", "rolled_back"]
WAYS: dict[Status, set[Status]] = {
    "running": {"running", "proved", "rolled_back"},
    "proved": {"promoted", "rolled_back"},
    "promoted": set(),
    "rolled_back": set(),
}
"""Allowed transitions of the status."""


class Step(Params):
    """One step of the way."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    """Its name, as the log of predictions has it."""
    share: float = Field(ge=0.0, le=0.95)
    """Of units that the challenger answers; 0: shadow mode, it answers nobody and is compared on the same texts."""
    margin: float = Field(ge=0.0, le=1.0)
    """By how much the rate of good answers may be lower than the champion's; 0: it must be higher."""
    min_units: int = Field(ge=1)
    """Units before which no step is passed, so that guards see enough, too."""
    max_units: int = Field(ge=1)
    """Units after which an undecided step rolls the challenger back."""


class RolloutParams(Params):
    """The block `rollout` of live.yaml."""

    experiment: str = Field(min_length=1)
    """Path of the experiment file that the server reads."""
    state: str = Field(min_length=1)
    """Path of the state file."""
    alpha: float = Field(gt=0.0, lt=0.5)
    """Chance, for each step, that a challenger worse by more than the margin ever passes it."""
    feedback_delay_s: float = Field(ge=0.0)
    """How long users have to complain before their silence counts, in seconds."""
    steps: list[Step] = Field(min_length=1)
    """The way, in its order; shares must rise."""
    guardrails: GuardrailParams
    """Guardrails of every step."""

    @pydantic.model_validator(mode="after")
    def _rising(self) -> Self:
        shares = [step.share for step in self.steps]
        if any(later <= earlier for earlier, later in itertools.pairwise(shares)):
            raise ValueError("the shares of the steps must rise, and only the first may be 0")
        if len({step.name for step in self.steps}) < len(self.steps):
            raise ValueError("two steps have the same name")
        if any(step.max_units < step.min_units for step in self.steps):
            raise ValueError("max_units of a step is below its min_units")
        return self

    def step(self, name: str) -> Step:
        """The step of that name.

        Raises:
            ParamsError: there is none: live.yaml was changed under a running rollout.
        """
        for step in self.steps:
            if step.name == name:
                return step
        names = ", ".join(step.name for step in self.steps)
        raise ParamsError(
            "The rollout is at a step that live.yaml does not have.", got=name, expected=names, fix="restore the step"
        )

    def after(self, name: str) -> Step | None:
        """The step after that one; None after the last."""
        index = self.steps.index(self.step(name)) + 1
        return self.steps[index] if index < len(self.steps) else None


class Rollout(Params):
    """State of a rollout, as kept in the state file."""

    name: str
    """Its name, and the experiment's."""
    bundle: str
    """The challenger's folder."""
    manifest_sha256: str
    """Hash of its manifest."""
    version: str
    """Tag of its version; empty for a bundle that is not released yet."""
    salt: str
    """Of the assignment."""
    status: Status
    """running · proved: passed every step, waits for its approvals · promoted · rolled_back."""
    step: str
    """The step it is at, or ended at."""
    since: str
    """When that step began: ISO 8601, UTC."""
    n: int = Field(ge=1)
    """Number of its changes so far, the start included."""
    settled: bool
    """Whether the last change is known to the server and stands in the audit log."""
    why: str
    """The reason of the last change."""
    evidence: dict[str, Any]
    """Evidence for the last change."""
    champion: str = ""
    """The model that the step is against, as the log names it: with its hash. Empty: nothing was answered yet."""

    def changed(self, status: Status, step: str, since: str, why: str, evidence: dict[str, Any]) -> Rollout:
        """The rollout after a change that is not settled yet; `since` counts when the step is another one.

        Raises:
            ParamsError: there is no such way from where it stands.
        """
        if status not in WAYS[self.status]:
            raise ParamsError(
                "The rollout has ended or cannot go there.",
                where=self.name,
                got=self.status,
                expected=f"to become {status}",
                fix="start another rollout",
            )
        return self.model_copy(
            update={
                "status": status,
                "step": step,
                "since": self.since if step == self.step else since,
                "champion": self.champion if step == self.step else "",
                "n": self.n + 1,
                "settled": False,
                "why": why[:500],
                "evidence": evidence,
            }
        )

    def begun_anew(self, champion: str) -> Rollout:
        """The rollout at the beginning of the same step, against another champion than it began with."""
        why = f"the champion changed from {self.champion} to {champion}: the step begins anew"
        return self.changed("running", self.step, self.since, why, {}).model_copy(update={"champion": champion})

    def experiment(self, params: RolloutParams) -> Experiment:
        """The experiment for the server, in this state."""
        ended = not WAYS[self.status]
        share = 0.0 if ended else params.step(self.step).share
        return Experiment(
            name=self.name,
            step=self.step,
            mode="off" if ended else "split" if share else "shadow",
            share=share,
            salt=self.salt,
            bundle="" if ended else self.bundle,
            manifest_sha256="" if ended else self.manifest_sha256,
        )


@dataclass(frozen=True)
class Verdict:
    """Decision on a step, with its evidence."""

    decision: Decision
    why: str
    difference: Estimate
    """Rate of good answers, challenger minus champion."""
    guards: list[Guard]

    def to_json(self) -> dict[str, Any]:
        """The evidence as a JSON object."""
        return {
            "decision": self.decision,
            "why": self.why,
            "difference": self.difference.to_json(),
            "guards": [guard.to_json() for guard in self.guards],
        }


def judge(
    step: Step,
    seen: Evidence,
    params: RolloutParams,
    lexicon: Lexicon | None = None,
    patterns: Patterns = NO_PATTERNS,
    *,
    proved: bool = False,
) -> Verdict:
    """Decide on a step from the evidence so far. Valid at any time, however often it is called.

    A challenger that has proved itself waits for people, however long: only harm sends it back then. A step is passed
    with groups of which too little was seen to be certain, but says which: nobody is taken for served well by silence.

    Args:
        step: where the rollout is.
        seen: its evidence.
        params: of the rollout.
        lexicon: terms of the attributes that the guardrails name; None only where there are none.
        patterns: the task's own features, which the guardrails may name.
        proved: whether the challenger has passed the last step already.
    """
    found = guards(seen, params.guardrails, lexicon, patterns)
    # each of the two errors has a chance of alpha: an interval of level 1 − 2·alpha has one of alpha on either side
    difference = seen.difference("good", 2.0 * params.alpha)
    estimate = (
        difference.reason
        or f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}] of {difference.n}"
    )
    if stopped := stopping_guards(found):
        return Verdict("roll_back", f"stopped by {', '.join(stopped)}", difference, found)
    if difference.high < -step.margin:
        return Verdict("roll_back", f"worse by more than {step.margin:g}: {estimate}", difference, found)
    if difference.n >= step.min_units and difference.low > -step.margin:
        unsure = open_groups(found)
        unknown = f"; still open, by group (texts): {', '.join(unsure)}" if unsure else ""
        return Verdict("advance", f"not worse by {step.margin:g}: {estimate}{unknown}", difference, found)
    if difference.n >= step.max_units and not proved:
        return Verdict("roll_back", f"undecided after {difference.n} units: {estimate}", difference, found)
    return Verdict("stay", f"undecided so far: {estimate}", difference, found)
