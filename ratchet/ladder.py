"""The ladder: which of the bundles that the stages can build a run builds, block `ladder` of params.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from ratchet.params import At, Params


class Ladder(Params):
    """Stage → the names of the bundles it builds; what else its matrix in dvc.yaml names is left out.

    A stage depends on its own list alone, so that another rung of one stage trains nothing anew in the others.
    """

    distil: list[str]
    """student, or none: then nothing that is made from it is built either."""
    prune: list[str]
    """pruned, or none."""
    simplify: list[str]
    """Models without layers, and the probe."""
    quantize: list[str]
    """Bundles of bitsandbytes, `MODEL-SCHEME`."""
    export: list[str]
    """Bundles of inference engines, `MODEL-ENGINE`."""
    cascade: list[str]
    """The static student before a transformer, `cascade-BUNDLE`."""


DistilRungs = Annotated[list[str], At("ladder.distil")]
PruneRungs = Annotated[list[str], At("ladder.prune")]
SimplifyRungs = Annotated[list[str], At("ladder.simplify")]
QuantizeRungs = Annotated[list[str], At("ladder.quantize")]
ExportRungs = Annotated[list[str], At("ladder.export")]
CascadeRungs = Annotated[list[str], At("ladder.cascade")]


NOT_ASKED = "the block `ladder` of params.yaml does not name it"
"""Why a bundle is left out that nobody asked for."""


def reason_not_asked(name: str, rungs: Sequence[str]) -> str:
    """Why a bundle is left out that is not among the rungs; empty where it is.

    >>> reason_not_asked("student", ["student"]), reason_not_asked("pruned", [])
    ('', 'the block `ladder` of params.yaml does not name it')
    """
    return "" if name in rungs else NOT_ASKED


def not_built(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason → the bundles that were asked for and not built for it; from name → reason of all that were left out.

    >>> not_built({"cascade": "it does not pay", "student": "no layers", "pruned": "no layers", "int4": NOT_ASKED})
    {'it does not pay': ['cascade'], 'no layers': ['student', 'pruned']}
    """
    found: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        if reason != NOT_ASKED:
            found.setdefault(reason, []).append(name)
    return found
