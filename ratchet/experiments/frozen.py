"""Outcomes that an experiment has bet on: once looked at they stay as they were, whatever is said later.

The tests may be looked at at any time because each outcome enters the bets once, with the value it had then. A
complaint that comes after its time, or a label that somebody changes, would move bets that are settled already.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.files import replace_file

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = ("good", "failed", "slow", "complained", "approved")
"""Columns of evidence that are bet on."""
OF = b"ratchet.of"


def freeze(frame: pd.DataFrame, held: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows with the outcomes that were bet on before, and what is to be held from now on.

    An outcome is bet on once it is known whether the answer was good; until then the row is as it comes.

    Args:
        frame: rows of evidence, with `request_id` and some of `OUTCOMES`.
        held: what `freeze` gave before: `request_id` and the same outcomes; may be empty.
    """
    import numpy as np
    import pandas as pd

    columns = [name for name in OUTCOMES if name in frame.columns]
    before = held.set_index("request_id").reindex(frame["request_id"])
    bet_on = before["good"].notna().to_numpy() if "good" in before else np.zeros(len(frame), dtype=bool)
    kept = frame.assign(
        **{name: frame[name].where(~bet_on, before[name].to_numpy()) for name in columns if name in before}
    )
    fresh = kept.loc[kept["good"].notna(), ["request_id", *columns]]
    gone = held[~held["request_id"].isin(fresh["request_id"])] if len(held) else held
    return kept, pd.concat([part for part in (gone, fresh) if len(part)] or [fresh], ignore_index=True)


def read_held(path: Path, of: Sequence[str]) -> pd.DataFrame:
    """What was bet on by this step of this experiment; empty: nothing, or the file is of another.

    Args:
        path: the file.
        of: names the experiment, its step and its champion.
    """
    import pandas as pd
    import pyarrow.parquet

    if path.is_file():
        table = pyarrow.parquet.read_table(path)
        if (table.schema.metadata or {}).get(OF) == _name(of):
            held: pd.DataFrame = table.to_pandas()
            return held
    return pd.DataFrame({"request_id": pd.Series([], dtype="str")})


def write_held(path: Path, of: Sequence[str], held: pd.DataFrame) -> None:
    """Write it for `read_held`, whole or not at all."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pandas(held, preserve_index=False).replace_schema_metadata({OF: _name(of)})
    with replace_file(path) as partial:
        pyarrow.parquet.write_table(table, partial, compression="zstd")


def _name(of: Sequence[str]) -> bytes:
    return "\0".join(of).encode()
