"""Where and in which precision a run computes, decided once and said with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lugha.errors import InputError
from lugha.recipe import TrainSection
from lugha.training.batches import Batch

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """The device, the compute type of matrix products (weights stay fp32), and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Matrix products in `dtype`; nothing to do for fp32."""
        if self.dtype == torch.float32:
            yield
        else:
            with torch.autocast(self.device.type, dtype=self.dtype):
                yield

    def moved(self, batch: Batch) -> Batch:
        """The tensors of a micro-batch on the device."""
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}


def choose_compute(train: TrainSection, process: int | None = None) -> Compute:
    """Resolve `device: auto` and `precision: auto`, and set the CPU threads.

    Args:
        process: number of this process among several on its machine; it takes the GPU of that number.

    Raises:
        InputError: CUDA is asked for and there is none, or none for this process.
    """
    cuda = torch.cuda.is_available()
    if train.device == "cuda" and not cuda:
        raise InputError("train.device is cuda, but torch sees no CUDA device. Use --set train.device=cpu, or auto.")
    device = torch.device("cuda" if cuda and train.device != "cpu" else "cpu")
    if device.type == "cpu" and train.threads:
        torch.set_num_threads(train.threads)
    if device.type == "cuda" and process is not None:
        if process >= torch.cuda.device_count():
            raise InputError(
                f"Process {process} has no GPU of its own: this machine has {torch.cuda.device_count()}. "
                f"Start torchrun with --nproc-per-node {torch.cuda.device_count()}, or use --set train.device=cpu."
            )
        device = torch.device("cuda", process)
        torch.cuda.set_device(device)
    if train.precision != "auto":
        return Compute(device, _DTYPES[train.precision], "the recipe says so")
    if device.type == "cuda":
        hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Without these instructions bf16 products are emulated, and slower than fp32.
        hardware = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    reason = "the device multiplies bf16 in hardware" if hardware else "the device has no bf16 in hardware"
    return Compute(device, torch.bfloat16 if hardware else torch.float32, reason)
