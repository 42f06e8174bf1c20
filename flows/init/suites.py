"""The suites of a task, with bounds that are learnt from its sample."""

from __future__ import annotations

import pandas as pd

from flows.init.plan import TaskPlan
from ratchet.data.cleaning import clean_texts
from ratchet.data.rules.proposals import propose_suites
from ratchet.data.rules.sample_profile import profile_sample
from ratchet.data.rules.suite_files import suite_json

N_PROFILED = 10_000
"""Rows of the sample that bounds are learnt from."""


def suite_files(plan: TaskPlan, frame: pd.DataFrame, threshold: float) -> dict[str, bytes]:
    """File name → content of data/suites.

    Args:
        plan: the task.
        frame: the sample, of which an evenly spread part is measured.
        threshold: `task.near_duplicate_threshold`.
    """
    class_of = {value.strip(): name for name, values in plan.classes.items() for value in values}
    rows = frame.iloc[:: max(1, len(frame) // N_PROFILED)]
    texts, _ = clean_texts([value if isinstance(value, str) else "" for value in rows[plan.text]])
    labels = [class_of.get(value.strip()) if isinstance(value, str) else None for value in rows[plan.label]]
    sample = pd.DataFrame({"text": texts, "label": pd.Series(labels, dtype="str"), "source": plan.name})
    profile = profile_sample(sample, list(plan.classes), threshold, plan.regions)
    suites = propose_suites(profile, list(plan.classes), plan.languages, plan.n_rows)
    return {f"{name}.json": suite_json(suite).encode() for name, suite in suites.items()}
