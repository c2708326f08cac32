"""Dropout as a function: the masks of a micro-batch are drawn from (seed, its number in the run), not from a state.

The same micro-batch therefore gets the same masks whichever process computes it and whatever was computed before, so a run on
two processes is the run on one, a resumed run is the run that was never stopped, and a checkpoint holds no generators.
"""

from __future__ import annotations

import hashlib

import torch


def micro_batch_seed(seed: int, number: int) -> int:
    """64 bits that belong to micro-batch `number` (the first of the run is 0) of a run with `seed`."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest(), "little")


def draw_for(seed: int, number: int, device: torch.device) -> None:
    """Set the generators that dropout draws from, on the CPU and on `device`, to the beginning of micro-batch `number`."""
    value = micro_batch_seed(seed, number)
    # `torch.manual_seed` sets every device of every kind, which takes longer than a small micro-batch.
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed(value)
