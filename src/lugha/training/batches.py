"""What the loop needs of a data set: micro-batches that are a function of (seed, epoch, index).

    PackedBatches      packed_batches.py    documents, for a decoder
    ExampleBatches     example_batches.py   instruction examples, for a decoder
    PairBatches        pair_batches.py      pairs, for an encoder-decoder
    PreferenceBatches  preference_batches.py  a prompt with a chosen and a rejected answer, for a decoder

All are read by index: `batches.micro_batches(epoch)` of them in an epoch, `batches.micro_batch(epoch, index)`. The place in
the data is therefore two integers, and resuming is a seek.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

IGNORED = -100  # a label that is not predicted: torch.nn.functional.cross_entropy's own default
Ints = npt.NDArray[np.int64]
Batch = dict[str, torch.Tensor]


class Batches(Protocol):
    """What the loop needs of a data set."""

    @property
    def tokens_per_epoch(self) -> int:
        """Predicted tokens in an epoch."""

    @property
    def padding(self) -> float:
        """Share of padding among the tokens computed."""

    def micro_batches(self, epoch: int) -> int:
        """Number of micro-batches in `epoch`."""

    def micro_batch(self, epoch: int, index: int) -> Batch:
        """Micro-batch `index` of `epoch`, as tensors that the road's objective understands."""
