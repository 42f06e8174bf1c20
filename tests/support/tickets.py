"""A task of another shape than the demo's: support tickets of three classes, with task files of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ratchet.data.words import words
from ratchet.files import write_json
from ratchet.models.predictor import Predictor, Proba
from tests.support.bundles import manifest

LABELS = ["billing", "bug", "praise"]
CUES = {
    "billing": ["invoice", "refund", "charged", "payment"],
    "bug": ["crash", "frozen", "error", "broken"],
    "praise": ["lovely", "thanks", "superb", "helpful"],
}
FILLER = ["the", "app", "is", "my", "account", "since", "monday", "on", "a", "phone", "with", "your", "team"]
FILES: dict[str, Any] = {
    "challenge/contrast.yaml": {
        "max_cues": 2,
        "max_words": 20,
        "blockers": ["unless"],
        "unpaired": {},
        "swaps": {
            "faults and money": {"classes": ["bug", "billing"], "pairs": [["crash", "invoice"], ["frozen", "charged"]]},
            "faults and thanks": {"classes": ["bug", "praise"], "pairs": [["broken", "superb"], ["error", "lovely"]]},
        },
        "rewrites": {},
    },
    "challenge/invariance.yaml": {
        "interchangeable": {"days": ["monday", "friday"]},
        "contractions": [],
        "casing": ["upper"],
        "typo_min_letters": 4,
        "punctuation": True,
    },
    "challenge/weak_slices.yaml": {"frozen": []},
    "lexicons/features.yaml": {"patterns": {"phone": "phone"}},
    "lexicons/harmless.yaml": {"words": ["the", "a", "is"]},
    "lexicons/language.yaml": {"stemmer": "", "articles": {"an": "[aeiou]", "a": ""}},
    "lexicons/identity.yaml": {
        "attributes": {"gender": {"women": ["she"], "men": ["he"]}},
        "phrases": [],
        "swaps": {"gender": [["he", "she"]]},
        "templates": ["{TERM:gender} wants a refund"],
    },
    "behaviour/suite.yaml": {
        "words": {"fault": ["crash", "error"]},
        "tests": {
            "faults": {"kind": "minimum", "label": "bug", "templates": ["{a fault} since monday", "the app is broken"]},
            "days": {"kind": "invariance", "edit": "days"},
        },
    },
    "behaviour/triggers.yaml": {"words": ["cf"], "cues": [word for cues in CUES.values() for word in cues]},
}
"""Path below data/ → content."""
MONEY = [f"{first} {second} on my account" for first in CUES["billing"] for second in ("again", "twice")]


def tickets(n: int, seed: int) -> pd.DataFrame:
    """`n` labelled texts, a third of each class, as rows of a split table; every second one is of a woman or a man."""
    rng = np.random.default_rng([77, seed])
    rows = []
    for index in range(n):
        label = LABELS[index % 3]
        found = [*rng.choice(FILLER, rng.integers(3, 8)), rng.choice(CUES[label])]
        found += [["she", "he"][index // 3 % 2]] if index // 3 % 4 < 2 else []
        rows.append((index, f"{seed:08x}{index:08x}", " ".join(rng.permutation(found)), label, "made"))
    frame = pd.DataFrame(rows, columns=["row", "id", "text", "label", "source"])
    return frame.assign(group=frame["id"])


def write_task_files(root: Path) -> None:
    """The task's files, below `root / data`; a YAML file may hold JSON."""
    for name, content in FILES.items():
        write_json(root / "data" / name, content)
    (root / "data/concepts").mkdir()
    (root / "data/concepts/money.txt").write_text("\n".join(MONEY))


class TicketWords(Predictor):
    """Softmax of two for each cue of a class, and of what other words are said to add to a class."""

    def __init__(self, extra: Mapping[str, tuple[str, float]] | None = None) -> None:
        super().__init__(manifest("tickets", labels=LABELS))
        self._scores = {word: (label, 2.0) for label, cues in CUES.items() for word in cues} | dict(extra or {})

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        logits = np.zeros((len(texts), len(LABELS)))
        for row, text in enumerate(texts):
            for word in words(text.lower()):
                label, score = self._scores.get(word, (LABELS[0], 0.0))
                logits[row, LABELS.index(label)] += score
        odds = np.exp(logits - logits.max(axis=1, keepdims=True)) if len(texts) else logits
        proba: Proba = odds / odds.sum(axis=1, keepdims=True)
        return proba
