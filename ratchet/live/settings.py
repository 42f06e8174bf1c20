"""What runs in production is set in `live.yaml`: a block for each part, as strict as the blocks of params.yaml.

`log` and `serve` stand here. A block may be changed without any stage of the pipeline running again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ratchet.params import Params

LIVE_FILE = Path("live.yaml")


class LogParams(Params):
    """The block `log`: where predictions are kept, how they get there, and for how long."""

    url: str = Field(min_length=1)
    """Database: sqlite:///path, or postgresql://user@host/name; the password belongs into ~/.pgpass, not here."""
    folder: str = Field(min_length=1)
    """Folder of the compacted Parquet files."""
    batch_size: int = Field(ge=1, le=10_000)
    """Rows written at once."""
    interval_ms: int = Field(ge=1, le=60_000)
    """Rows are written after so long at the latest; a kill loses at most what came in it and while it was written."""
    queue_size: int = Field(ge=1)
    """Rows that may wait; further ones are dropped and counted."""
    retention_days: int = Field(ge=1)
    """Compacted files are deleted after so many days."""
    personal_data: Literal["off", "mask"]
    """Whether e-mail addresses and telephone, card, account and national numbers are masked before texts are kept."""
    phone_region: str = Field(pattern="^[A-Z]{2}$")
    """Country, as in ISO 3166, whose national telephone format counts."""
