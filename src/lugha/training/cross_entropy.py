"""Cross-entropy of a vocabulary projection, piece by piece: the logits of a micro-batch never exist whole.

Loss and both gradients of a piece are computed together in the forward pass and only the gradients are kept (P x D and
V x D, not P x V), the idea of Liger Kernel's fused linear cross-entropy (Hsu et al. 2024, arXiv 2410.10989) in plain
PyTorch. With 4,096 tokens and a vocabulary of 16,384 that is 16 MB at a time instead of 270 MB, and on a CPU nearly half of
the step's time: larger blocks are given back to the kernel after every step and faulted in again.

Legend: P predicted tokens, D width, V vocabulary, C tokens of a piece.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

_PIECE_BYTES = 16 << 20  # of fp32 logits; glibc serves blocks below 32 MB from memory it keeps


class Cost(NamedTuple):
    """What a micro-batch costs, summed over its predicted tokens."""

    objective: torch.Tensor  # what is minimised: with label smoothing where the recipe asks for it; differentiable
    nats: torch.Tensor  # -ln p of the right tokens: what is reported; equal to the objective without smoothing


def projected_nats(
    hidden_PD: torch.Tensor, weight_VD: torch.Tensor, targets_P: torch.Tensor, label_smoothing: float = 0.0
) -> Cost:
    """Sum over P of -ln softmax(hidden weight^T)[target], with and without label smoothing; scalars in fp32.

    `objective` equals `cross_entropy(hidden @ weight.T, targets, reduction="sum", label_smoothing=...)`. Under autocast the
    products are computed in the compute type; the softmax always in fp32.
    """
    device = hidden_PD.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VD.dtype
    return Cost(*_ProjectedNats.apply(hidden_PD, weight_VD, targets_P, label_smoothing, dtype))  # type: ignore[no-untyped-call]


class _ProjectedNats(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_PD: torch.Tensor,
        weight_VD: torch.Tensor,
        targets_P: torch.Tensor,
        label_smoothing: float,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        vocabulary = weight_VD.shape[0]
        piece = max(1, _PIECE_BYTES // (4 * vocabulary))
        wanted = any(ctx.needs_input_grad[:2])
        weight = weight_VD.to(dtype)
        grad_hidden_PD = torch.empty_like(hidden_PD) if wanted else None
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if wanted else None
        nats = torch.zeros((), dtype=torch.float32, device=hidden_PD.device)
        uniform = torch.zeros_like(nats)  # the same against a uniform target
        with torch.autocast(hidden_PD.device.type, enabled=False):
            for begin in range(0, len(targets_P), piece):
                hidden_CD = hidden_PD[begin : begin + piece].to(dtype)
                target_C1 = targets_P[begin : begin + piece, None]
                log_p_CV = torch.log_softmax((hidden_CD @ weight.T).float(), dim=-1)
                nats -= log_p_CV.gather(1, target_C1).sum()
                if label_smoothing:
                    uniform -= log_p_CV.sum() / vocabulary
                if grad_hidden_PD is None or grad_weight_VD is None:
                    continue
                # d nats / d logits = softmax - (1 - s) onehot(target) - s / V
                slope_CV = log_p_CV.exp_()
                slope_CV.scatter_add_(1, target_C1, torch.full_like(target_C1, label_smoothing - 1, dtype=torch.float32))
                if label_smoothing:
                    slope_CV -= label_smoothing / vocabulary
                slope = slope_CV.to(dtype)
                grad_hidden_PD[begin : begin + piece] = (slope @ weight).to(grad_hidden_PD.dtype)
                grad_weight_VD += (slope.T @ hidden_CD).float()
        if wanted:
            ctx.save_for_backward(grad_hidden_PD, grad_weight_VD)
        ctx.mark_non_differentiable(nats)
        return (1 - label_smoothing) * nats + label_smoothing * uniform, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden_PD, grad_weight_VD = ctx.saved_tensors
        return grad_hidden_PD * grad, grad_weight_VD * grad, None, None, None
