"""Table of embeddings: one row a text, looked up by id, written and read in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TableError
from ratchet.files import replace_file
from ratchet.tables import EMBEDDINGS

Embeddings = NDArray[np.float32]
ROW_GROUP = 8192
"""Texts held in memory at once while writing."""


def write_embeddings(path: Path, batches: Iterable[tuple[Sequence[str], Embeddings]], hidden: int) -> int:
    """Write ids (n,) with their embeddings (n, hidden), batch by batch, atomically; returns the number of texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), hidden))])
    n_texts = 0
    with replace_file(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for ids, embeddings in batches:
            flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).reshape(-1))
            rows = pa.FixedSizeListArray.from_arrays(flat, hidden)
            writer.write_table(pa.table([pa.array(list(ids), pa.string()), rows], schema=schema))
            n_texts += len(ids)
    return n_texts


def read_embeddings(path: Path, ids: Sequence[str]) -> Embeddings:
    """The embeddings of these texts in their order, (n_ids, hidden); only they are held in memory.

    Raises:
        TableError: the file is missing, is no table of embeddings, or lacks one of the ids.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            hidden = file.schema_arrow.field("embedding").type.list_size
            found, places = np.zeros((len(ids), hidden), dtype=np.float32), _places(ids)
            missing = set(places)
            for batch in file.iter_batches(ROW_GROUP, columns=list(EMBEDDINGS.columns)):
                keys = batch.column("id").to_pylist()
                rows = batch.column("embedding").flatten().to_numpy().reshape(len(keys), hidden)
                for row, key in enumerate(keys):
                    if key in places:
                        found[places[key]] = rows[row]
                        missing.discard(key)
    except FileNotFoundError:
        raise TableError(
            "The embeddings are missing.", where=path, fix="run the stage that writes them: dvc repro"
        ) from None
    except (OSError, KeyError, AttributeError, pa.ArrowInvalid) as error:
        raise TableError("The embeddings cannot be read.", where=path, got=error, fix="dvc repro") from None
    if missing:
        raise TableError(
            "Texts have no embedding.",
            where=path,
            got=f"{len(missing)} of {len(places)} ids, {min(missing)} first",
            expected="every text of the splits",
            fix="run the stage that writes them: dvc repro",
        )
    return found


def _places(ids: Sequence[str]) -> dict[str, list[int]]:
    """Row of each id."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(ids):
        places.setdefault(key, []).append(place)
    return places
