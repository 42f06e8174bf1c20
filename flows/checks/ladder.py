"""The block `ladder` of params.yaml against the bundles that the stages of dvc.yaml can write."""

from __future__ import annotations

from flows.checks.finding import Finding, error, unknown
from flows.checks.project import Project
from flows.checks.wiring import bundles_of


def check_ladder(project: Project) -> list[Finding]:
    """Rungs that there are none of, and rungs that are named twice."""
    asked = project.params.get("ladder")
    if not isinstance(asked, dict):
        return []
    found: list[Finding] = []
    for stage, names in asked.items():
        if stage not in project.stages or not isinstance(names, list):
            continue
        known = bundles_of(project, stage)
        for place, name in enumerate(names):
            where = project.param("ladder", stage, place)
            if name not in known:
                fix = f"delete it, or add it to the matrix of {stage} in dvc.yaml"
                found.append(unknown(f"The stage {stage} builds no such rung.", where, str(name), known, fix))
            elif name in names[:place]:
                found.append(
                    error("A rung is named twice.", where, got=name, expected="each rung once", fix="delete one")
                )
    return found
