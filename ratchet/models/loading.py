"""Examples to batches for training: bucketed by length, padded to the batch, shared out among processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.batching import bucketed_batches, pad, paired_batches, sorted_batches
from ratchet.models.examples import Examples

Indices = NDArray[np.int64]


def loader(examples: Examples, batch_size: int, seed: int | None, *, paired: bool = False) -> Any:
    """A DataLoader of batches as `Classifier` takes them; with a seed shuffled anew each epoch, without one sorted.

    `paired`: batches of pairs of one class in place of batches of similar length.
    """
    import torch

    lengths = [len(item) for item in examples.tokens]
    sampler = PairSampler(examples.hard, batch_size, seed) if paired else BatchSampler(lengths, batch_size, seed)
    return torch.utils.data.DataLoader(
        range(len(examples)),  # type: ignore[arg-type]
        batch_sampler=sampler,  # type: ignore[arg-type]
        collate_fn=Collate(examples),  # type: ignore[arg-type]
        num_workers=0,
    )


class BatchSampler:
    """Batches of indices whose order depends on the seed and the epoch alone; without a seed, sorted by length.

    All processes draw the same batches; each takes its share when it collates.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int | None) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Indices]:
        if self._seed is None:
            return sorted_batches(self._lengths, self._batch_size)
        return iter(bucketed_batches(self._lengths, self._batch_size, np.random.default_rng([self._seed, self._epoch])))

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._batch_size)


class PairSampler:
    """Batches of pairs of one class, whose order depends on the seed and the epoch alone."""

    def __init__(self, targets: Indices, batch_size: int, seed: int | None) -> None:
        self._targets, self._batch_size, self._seed, self._epoch = targets, batch_size, seed or 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Indices]:
        rng = np.random.default_rng([self._seed, self._epoch])
        return iter(paired_batches(self._targets.tolist(), self._batch_size, rng))

    def __len__(self) -> int:
        return len(paired_batches(self._targets.tolist(), self._batch_size, np.random.default_rng(0)))


class Collate:
    """Indices of a batch to tensors; among several processes, to this one's share of it."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __call__(self, indices: Indices) -> dict[str, Any]:
        import torch

        mine, weight = share_of(np.asarray(indices), *_rank())
        ids, mask = pad([self._examples.tokens[index] for index in mine])  # (batch, tokens) each
        batch: dict[str, NDArray[Any]] = {"ids": ids, "mask": mask, "hard": self._examples.hard[mine], "row": mine}
        if self._examples.soft is not None:
            batch["soft"] = self._examples.soft[mine]
        if self._examples.weight is not None:
            own = self._examples.weight[mine]
            weight = own if weight is None else weight * own
        if weight is not None:
            batch["weight"] = weight
        return {**{name: torch.from_numpy(value) for name, value in batch.items()}, "n_step": len(indices)}


def share_of(indices: Indices, rank: int, world_size: int) -> tuple[Indices, NDArray[np.float32] | None]:
    """The indices of one process, and their weights where there are several processes: 1, or 0 for a stand-in.

    A process without a text of its own computes on another's, so that all keep step, and it does not count.

    >>> share_of(np.array([4, 5, 6]), 1, 2)[0].tolist()
    [5]
    >>> indices, weight = share_of(np.array([4]), 1, 2)
    >>> indices.tolist(), weight.tolist()
    ([4], [0.0])
    """
    if world_size == 1:
        return indices, None
    mine = indices[rank::world_size]
    if len(mine):
        return mine, np.ones(len(mine), dtype=np.float32)
    return indices[:1], np.zeros(1, dtype=np.float32)


def _rank() -> tuple[int, int]:
    """This process's number, and how many there are."""
    import torch.distributed

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()
