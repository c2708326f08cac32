"""AdamW with weight decay on matrices only (Loshchilov & Hutter, 2019), fused where the device has the kernel.

With `precision: fp16` gradients below 6e-8 would be zero, so the loss is multiplied by a scale that grows while nothing
overflows; an update whose gradients overflowed is not made, and the scale is halved (Micikevicius et al. 2018, arXiv
1710.03740, section 3.2). The scale is part of a run's state. With any other precision the scaler passes everything through.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lugha.checkpoints.format import TrainerState
from lugha.errors import InputError
from lugha.recipe import TrainSection
from lugha.training.device import Compute


def build_optimiser(model: nn.Module, train: TrainSection) -> torch.optim.AdamW:
    """The optimiser of a model's trainable parameters; norms and biases (fewer than two dimensions) are not decayed.

    Raises:
        InputError: a trainable parameter is in half precision.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            raise InputError(
                f"{name} would be trained in {str(parameter.dtype).removeprefix('torch.')}, where small updates are lost and "
                "fp16 gradients cannot be unscaled: weights that are trained stay fp32. Use model.base_dtype fp32, or add "
                "model.lora."
            )
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": train.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, eps=train.eps, fused=True)


def clip_gradients(model: nn.Module, limit: float) -> float:
    """Scale all gradients down to a common norm of at most `limit`; returns the norm before, over all processes."""
    norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


def loss_scaler(compute: Compute, state: TrainerState) -> torch.amp.GradScaler:
    """The scaler of a run that stands at `state`; it does nothing unless products are fp16."""
    scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.dtype == torch.float16)
    if scaler.is_enabled():
        scaler.load_state_dict(scaler.state_dict() | {"scale": state.loss_scale, "_growth_tracker": state.growth_steps})
    return scaler


def scaler_state(scaler: torch.amp.GradScaler) -> dict[str, Any]:
    """The scaler's part of a `TrainerState`."""
    if not scaler.is_enabled():
        return {}
    state = scaler.state_dict()
    return {"loss_scale": state["scale"], "growth_steps": state["_growth_tracker"]}
