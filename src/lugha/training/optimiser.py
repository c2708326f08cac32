"""AdamW with weight decay on matrices only (Loshchilov & Hutter, 2019), fused where the device has the kernel."""

from __future__ import annotations

import torch
from torch import nn

from lugha.recipe import TrainSection


def build_optimiser(model: nn.Module, train: TrainSection) -> torch.optim.AdamW:
    """The optimiser of a model's trainable parameters; norms and biases (fewer than two dimensions) are not decayed."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": train.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, eps=train.eps, fused=True)
