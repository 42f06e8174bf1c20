"""How labels are bought and texts are split: numbers that contradict each other across keys."""

from __future__ import annotations

from typing import Any

from flows.checks.finding import Finding, error, warning
from flows.checks.project import Project

ASK_NO_PROBABILITIES = ("random", "bald", "k_center", "typiclust")
"""Query strategies that the champion's probabilities do not reach; see `champion_weight` of `sample`."""


def check_labels(project: Project) -> list[Finding]:
    """Whether the budget holds all classes and the first labels, the champion is heard, and transfer can be audited."""
    return [*_budget(project), *_transfer(project)]


def _budget(project: Project) -> list[Finding]:
    sample: Any = project.blocks.get("sample")
    if sample is None or sample.budget == "all":
        return []  # the keys of the experiment say nothing
    found = []
    if sample.budget < len(project.classes):
        found.append(
            error(
                "Fewer labels are bought than there are classes.",
                project.param("sample", "budget"),
                got=f"budget: {sample.budget}, {len(project.classes)} classes",
                expected="at least a label of each class, better some dozens",
                fix="raise sample.budget, or set it to all",
            )
        )
    if sample.n_initial > sample.budget:
        found.append(
            error(
                "More labels are bought at first than in all.",
                project.param("sample", "n_initial"),
                got=f"n_initial: {sample.n_initial}, budget: {sample.budget}",
                expected="n_initial at most the budget",
                fix="raise sample.budget, or lower sample.n_initial",
            )
        )
    if sample.champion_weight > 0 and sample.query_strategy in ASK_NO_PROBABILITIES:
        found.append(
            warning(
                "The champion has a share in probabilities that the query strategy does not look at.",
                project.param("sample", "champion_weight"),
                got=f"champion_weight: {sample.champion_weight:g}, query_strategy: {sample.query_strategy}",
                expected="champion_weight: 0, or a strategy that looks at probabilities",
                fix="set sample.champion_weight: 0, or choose another sample.query_strategy",
            )
        )
    return found


def _transfer(project: Project) -> list[Finding]:
    """Texts of another domain are audited only where some are kept."""
    split: Any = project.blocks.get("split")
    audit: Any = project.blocks.get("audit")
    if split is None or audit is None or "transfer" not in audit.splits or (split.train_sources and split.n_transfer):
        return []
    return [
        error(
            "Texts of another domain are to be audited, and none are kept.",
            project.param("audit", "splits"),
            got=f"split.train_sources: {split.train_sources}, split.n_transfer: {split.n_transfer}",
            expected="a source that is not trained on, and n_transfer above 0",
            fix="take transfer out of audit.splits, or name the sources to train on in split.train_sources",
        )
    ]
