"""Where and in which precision a run computes, decided once and said with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lugha.errors import InputError
from lugha.recipe import TrainSection


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


def choose_compute(train: TrainSection) -> Compute:
    """Resolve `device: auto` and `precision: auto`, and set the CPU threads.

    Raises:
        InputError: CUDA is asked for and there is none.
    """
    cuda = torch.cuda.is_available()
    if train.device == "cuda" and not cuda:
        raise InputError("train.device is cuda, but torch sees no CUDA device. Use --set train.device=cpu, or auto.")
    device = torch.device("cuda" if cuda and train.device != "cpu" else "cpu")
    if device.type == "cpu" and train.threads:
        torch.set_num_threads(train.threads)
    if train.precision != "auto":
        dtype = torch.bfloat16 if train.precision == "bf16" else torch.float32
        return Compute(device, dtype, "the recipe says so")
    if device.type == "cuda":
        hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Without these instructions bf16 products are emulated, and slower than fp32.
        hardware = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    reason = "the device multiplies bf16 in hardware" if hardware else "the device has no bf16 in hardware"
    return Compute(device, torch.bfloat16 if hardware else torch.float32, reason)
