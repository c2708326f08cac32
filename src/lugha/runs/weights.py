"""Weights on their way between a model and a file, whether one process holds them or each of several a part.

    weights = weights_of(model)             models/state.py: what a checkpoint keeps of a model
    whole(parameter), like(parameter, full) one tensor, gathered and cut again

Under FSDP a parameter is a DTensor, of which a process holds a part. Files know nothing of that: they hold whole tensors, so
a checkpoint of eight processes is read by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Weights:
    """What a checkpoint keeps of a model."""

    file: str  # model.safetensors, or adapter_model.safetensors
    tensors: dict[str, torch.Tensor]  # whole, on the CPU, in the first process; empty tensors in the others
    texts: dict[str, str]  # small files beside it, by name: config.json, ...


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor on the CPU, in the first process; in the others, which write nothing, an empty one.

    Gathers the parts where it is a DTensor, so every process must ask, and in the same order.
    """
    full = tensor.detach()
    if hasattr(full, "full_tensor"):
        full = full.full_tensor()
    first = not distributed.is_initialized() or distributed.get_rank() == 0
    return full.cpu().contiguous() if first else full.new_empty(0, device="cpu")


def like(tensor: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
    """`full`, which every process holds, on the device of `tensor` and cut into parts as `tensor` is."""
    full = full.to(tensor.device)
    if not hasattr(tensor, "full_tensor"):
        return full
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    return distribute_tensor(full, tensor.device_mesh, tensor.placements, src_data_rank=None)
