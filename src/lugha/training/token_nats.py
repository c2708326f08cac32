"""-ln p of each target token under a vocabulary projection, piece by piece: the logits never exist whole.

    token_nats(hidden_PD, weight_VD, targets_P)  ->  nats_P

A preference cost is no mean over tokens: it needs the sum for each answer, and its slope differs from answer to answer. The
gradients are therefore not known in the forward pass, as they are to cross_entropy.py; the backward pass computes the logits
of each piece a second time instead of keeping them (recomputation: Chen et al. 2016, arXiv 1604.06174). What is kept is the
input: P x D and V x D.

Legend: P predicted tokens, D width, V vocabulary, C tokens of a piece.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

PIECE_BYTES = 16 << 20  # of fp32 logits; glibc serves blocks below 32 MB from memory it keeps


def token_nats(hidden_PD: torch.Tensor, weight_VD: torch.Tensor, targets_P: torch.Tensor) -> torch.Tensor:
    """-ln softmax(hidden weight^T)[target] of each token: [P], in fp32; differentiable in `hidden_PD` and `weight_VD`.

    Equal to `cross_entropy(hidden @ weight.T, targets, reduction="none")`. Under autocast the products are computed in the
    compute type, the softmax always in fp32 (in fp64 where the inputs are). A weight that is frozen gets no gradient, and
    none is computed.
    """
    device = hidden_PD.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VD.dtype
    nats_P: torch.Tensor = _TokenNats.apply(hidden_PD, weight_VD, targets_P, dtype)  # type: ignore[no-untyped-call]
    return nats_P


class _TokenNats(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_PD: torch.Tensor, weight_VD: torch.Tensor, targets_P: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        ctx.save_for_backward(hidden_PD, weight_VD, targets_P)
        ctx.dtype = dtype
        exact = torch.promote_types(dtype, torch.float32)
        weight = weight_VD.to(dtype)
        nats_P = torch.empty(len(targets_P), dtype=exact, device=hidden_PD.device)
        with torch.autocast(hidden_PD.device.type, enabled=False):
            for piece in _pieces(targets_P, weight_VD):
                logits_CV = (hidden_PD[piece].to(dtype) @ weight.T).to(exact)
                nats_P[piece] = functional.cross_entropy(logits_CV, targets_P[piece], reduction="none")
        return nats_P

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_P: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_PD, weight_VD, targets_P = ctx.saved_tensors
        exact = torch.promote_types(ctx.dtype, torch.float32)
        weight = weight_VD.to(ctx.dtype)
        grad_hidden_PD = torch.empty_like(hidden_PD) if ctx.needs_input_grad[0] else None
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=exact) if ctx.needs_input_grad[1] else None
        with torch.autocast(hidden_PD.device.type, enabled=False):
            for piece in _pieces(targets_P, weight_VD):
                hidden_CD = hidden_PD[piece].to(ctx.dtype)
                # d nats / d logits = softmax - onehot(target), times the slope that comes from above.
                slope_CV = torch.softmax((hidden_CD @ weight.T).to(exact), dim=-1)
                slope_CV.scatter_add_(1, targets_P[piece, None], slope_CV.new_full((len(hidden_CD), 1), -1.0))
                slope = slope_CV.mul_(grad_P[piece, None]).to(ctx.dtype)
                if grad_hidden_PD is not None:
                    grad_hidden_PD[piece] = (slope @ weight).to(grad_hidden_PD.dtype)
                if grad_weight_VD is not None:
                    grad_weight_VD += (slope.T @ hidden_CD).to(exact)
        return grad_hidden_PD, None if grad_weight_VD is None else grad_weight_VD.to(weight_VD.dtype), None, None


def _pieces(targets_P: torch.Tensor, weight_VD: torch.Tensor) -> list[slice]:
    size = max(1, PIECE_BYTES // (4 * weight_VD.shape[0]))
    return [slice(begin, begin + size) for begin in range(0, len(targets_P), size)]
