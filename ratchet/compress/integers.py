"""Weights as few-bit integers with scales: the arithmetic behind post-training quantization, in numpy.

Everything is symmetric: 0 stays 0, and a weight is its integer times its scale. The scale is not simply the largest
magnitude over the largest integer: of a few smaller ones the one with the least squared error is taken, which clips
the rare large weight and resolves the many small ones better.
Source: the search over clipping thresholds as in Banner et al. 2019, https://arxiv.org/abs/1810.05723
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
EMBEDDING_BLOCK = 128
"""Numbers of an embedding that share a scale, at most."""
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)
"""Shares of the full range that are tried as clipping thresholds."""


def per_channel(weight: Floats, largest: int = 64) -> tuple[NDArray[np.int8], Floats]:
    """Integers in [-largest, largest] and one scale a row: (n_rows, n_columns) and (n_rows,).

    64 keeps 7 bits: without VNNI a processor adds two 8-bit products in 16 bits, which 127 × 255 × 2 would overflow.

    >>> values, scale = per_channel(np.array([[1.0, -0.5], [0.0, 0.0]], dtype=np.float32))
    >>> (values * scale[:, None]).tolist()
    [[1.0, -0.5], [0.0, 0.0]]
    """
    integers, scale = _nearest(np.ascontiguousarray(weight, dtype=np.float32), -largest, largest)
    return integers.astype(np.int8), scale[..., 0]


def per_block(weight: Floats, bits: int, block: int) -> tuple[NDArray[np.uint8], Floats]:
    """Unsigned integers around 2^(bits - 1) and one scale for every `block` columns: (n_rows, n_blocks, block) and
    (n_rows, n_blocks). The last block is filled up with zeros.

    >>> values, scale = per_block(np.array([[0.5, -1.0]], dtype=np.float32), bits=4, block=2)
    >>> ((values.astype(int) - 8) * scale[..., None]).round(3).tolist()
    [[[0.5, -1.0]]]
    """
    n_rows, n_columns = weight.shape
    n_blocks = -(-n_columns // block)
    filled = np.zeros((n_rows, n_blocks * block), dtype=np.float32)
    filled[:, :n_columns] = weight
    middle = 2 ** (bits - 1)
    integers, scale = _nearest(filled.reshape(n_rows, n_blocks, block), -middle, middle - 1)
    return (integers + middle).astype(np.uint8), scale[..., 0]


def embedding_block(width: int) -> int:
    """The largest block, of 16 to EMBEDDING_BLOCK numbers, that divides an embedding's width.

    >>> embedding_block(384), embedding_block(32)
    (128, 32)
    """
    return next(size for size in (EMBEDDING_BLOCK, 64, 32, 16) if width % size == 0)


def packed(values: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Two 4-bit integers a byte along the last axis, the first in the lower half; 8-bit integers as they are.

    >>> packed(np.array([[1, 2, 3, 0]], dtype=np.uint8), bits=4).tolist()
    [[33, 3]]
    """
    if bits == 8:
        return values
    return (values[..., 0::2] | (values[..., 1::2] << 4)).astype(np.uint8)


def _nearest(weight: Floats, lowest: int, highest: int) -> tuple[NDArray[np.int32], Floats]:
    """The integers and the scale with the least squared error over the last axis, of the shrinks that are tried."""
    span = np.maximum(weight.max(-1, keepdims=True) / highest, weight.min(-1, keepdims=True) / lowest)
    span = np.where(span > 0, span, 1.0).astype(np.float32)
    best, error = span, np.full(span.shape, np.inf, dtype=np.float32)
    for shrink in SHRINKS:
        scale = (span * shrink).astype(np.float32)
        off = np.clip(np.rint(weight / scale), lowest, highest) * scale - weight
        squared = np.square(off).sum(-1, keepdims=True)
        best, error = np.where(squared < error, scale, best), np.minimum(squared, error)
    return np.clip(np.rint(weight / best), lowest, highest).astype(np.int32), best.astype(np.float32)
