"""What is done to texts before anything else sees them, as params say it and as a bundle's manifest carries it.

The methods stand in `ratchet.data.cleaning`: a stage that only hands the declaration on does not depend on them.
"""

from __future__ import annotations

from typing import Literal

import pydantic

from ratchet.params import Params
from ratchet.task import PersonalData, Regions, Repairs

Repair = Literal["entities", "line_breaks", "tags", "control_characters", "width_forms", "unicode_nfc", "whitespace"]


class Cleaning(pydantic.BaseModel):
    """Repairs and masking of texts: for training, and for the requests that a bundle answers."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    repairs: list[Repair] = []
    """Repairs, in the order in which they are made; empty: texts stay as they come."""
    mask: bool = False
    """Whether personal data is replaced by its kind, such as [EMAIL], after the repairs."""
    regions: list[str] = []
    """Countries whose national formats count as personal data, see `ratchet.data.personal_data`."""


NO_CLEANING = Cleaning()


class CleaningParams(Params):
    """Fields of the stages whose bundles carry the cleaning of the texts they learned from."""

    repairs: Repairs
    personal_data: PersonalData
    regions: Regions

    @property
    def cleaning(self) -> Cleaning:
        """What is done to each text."""
        return Cleaning.model_validate(
            {"repairs": self.repairs, "mask": self.personal_data == "mask", "regions": self.regions}
        )
