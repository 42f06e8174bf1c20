"""Inputs of the inference compilers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from ratchet.compress.accuracy_control import Agreement
from ratchet.models.batching import Tokens

EmbeddingBits = Literal[8, 4]


class Compilation(NamedTuple):
    """Compilation settings of an engine, beside the weights."""

    calibration: Sequence[Tokens]
    """Token ids of typical texts, over which the ranges of activations are measured."""
    embedding_bits: EmbeddingBits = 8
    """Of the embeddings in a fused graph whose matrices are integers."""
    held_to: Agreement | None = None
    """Where given, OpenVINO's int8 gives operations back to full precision until it agrees with the source."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the compilers' notices and deprecations; their errors still come through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
