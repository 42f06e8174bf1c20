"""Concepts that are proposed for a task: example texts of what its texts differ by beside their classes."""

from __future__ import annotations

from typing import Any

from flows.init.plan import TaskPlan


def concept_files(frame: Any, plan: TaskPlan) -> dict[str, bytes]:
    """Path → content of data/concepts."""
    return {}
