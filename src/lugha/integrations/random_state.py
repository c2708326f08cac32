"""The random numbers of a process, set back to where they were.

An evaluation draws from the same generators as training: its data loader takes a seed from torch's, dropout and shuffling go on
from there. When evaluations may be left out or come at another time, training must not notice.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class RandomState:
    """States of Python's, NumPy's and torch's generators, of each GPU too."""

    python: tuple[Any, ...]
    numpy: Any
    cpu: torch.Tensor
    gpus: list[torch.Tensor]


def random_state() -> RandomState:
    """Where the generators stand."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return RandomState(random.getstate(), np.random.get_state(), torch.get_rng_state(), gpus)


def set_back(state: RandomState) -> None:
    """Put the generators where they stood."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.cpu)
    if state.gpus:
        torch.cuda.set_rng_state_all(state.gpus)
