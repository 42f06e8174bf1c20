"""Frozen-backbone sentence embeddings of every text, once: the later stages that choose or judge texts read it from a
file.

The label of no text is looked at, so that test texts may be embedded too. Source: mean pooling as in Reimers &
Gurevych 2019, Sentence-BERT, https://arxiv.org/abs/1908.10084.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

import ratchet.params
from ratchet.data.splits import SIDES
from ratchet.embeddings.encoder import embed, embedding_size
from ratchet.embeddings.table import Embeddings, write_embeddings
from ratchet.entry import entry
from ratchet.measure.report_files import write_report
from ratchet.models.backbones import resolve_backbone
from ratchet.models.coverage import coverage_by_language
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import Backbones, TrainThreads

READS = {"splits": "data/splits"}
WRITES = {"embeddings": "data/embeddings.parquet", "report": "reports/embed.json"}
CHUNK = 100_000
"""Texts whose embeddings are held in memory at once."""
N_COVERAGE = 2_000
"""Texts, evenly spaced, by which the report says how well the tokenizer knows their languages."""


class Params(ratchet.params.Params):
    """The backbone, and how texts go through it."""

    backbones: Backbones
    max_tokens: int = Field(ge=8, le=8192)
    """Texts are cut to this many tokens."""
    batch_size: int = Field(ge=1)
    """Texts in one forward pass."""
    n_threads: TrainThreads


def run(texts: dict[str, str], folder: Path, params: Params) -> Iterator[tuple[list[str], Embeddings]]:
    """Ids with their embeddings, chunk by chunk, in the order of `texts`.

    Args:
        texts: the texts by id.
        folder: the backbone.
        params: see `Params`.
    """
    ids = list(texts)
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        yield (
            chunk,
            embed(folder, [texts[key] for key in chunk], params.max_tokens, params.n_threads, params.batch_size),
        )


def report_languages(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Language → what the backbone's tokenizer makes of its texts, by a sample; see `ratchet.models.coverage`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    sample = texts[:: max(len(texts) // N_COVERAGE, 1)]
    return {name: found.to_json() for name, found in coverage_by_language(tokenizer, sample).items()}


def main() -> None:
    params = load_params(Params, "embed")
    folder = resolve_backbone(params.backbones[0].source, params.backbones[0].sha256)
    sides = {
        side: read_table(Path(READS["splits"]) / f"{side}.parquet", SPLIT, columns=["id", "text"]) for side in SIDES
    }
    texts = {key: text for frame in sides.values() for key, text in zip(frame["id"], frame["text"], strict=True)}
    print(f"embedding {len(texts):,} texts", flush=True)
    hidden = embedding_size(folder)
    n_texts = write_embeddings(Path(WRITES["embeddings"]), run(texts, folder, params), hidden)
    report = {
        "n_texts": n_texts,
        "rows": {side: len(frame) for side, frame in sides.items()},
        "hidden": hidden,
        "max_tokens": params.max_tokens,
        "languages": report_languages(folder, list(texts.values())),
    }
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.embed", **report})


if __name__ == "__main__":
    entry(main)
