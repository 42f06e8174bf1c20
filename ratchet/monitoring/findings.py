"""Findings of the monitor: evidence, severity and next step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["drift", "decay", "anomaly", "slice", "log"]
Severity = Literal["warning", "alert"]

NEXT_STEPS = {
    "drift": "Read the drift page. Texts are sent to people by themselves; answer them: ratchet labels pull.",
    "decay": "Label a random sample (ratchet labels sample); if it holds, roll back or retrain.",
    "anomaly": "Look at the service's dashboard and at the key or text that is named; block it if it is abuse.",
    "slice": "Compare the slice's texts with the reference's; audit it when labels are there.",
    "log": "Look at the rows that break the rule; repair what writes the log.",
}


@dataclass(frozen=True)
class Finding:
    """One deviation from the reference or from a bound."""

    kind: Kind
    name: str
    """Name within the kind: a statistic, a bound, a slice, a rule."""
    severity: Severity
    """A warning is read with the page; an alert is sent to people."""
    message: str
    """One sentence with the figures."""
    evidence: dict[str, float]
    """The figures."""

    @property
    def key(self) -> str:
        """Identity of a finding across windows: alerts are sent once per key."""
        return f"{self.kind}.{self.name}"

    @property
    def next_step(self) -> str:
        """Recommended action."""
        return NEXT_STEPS[self.kind]

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON."""
        return {**asdict(self), "next_step": self.next_step}
