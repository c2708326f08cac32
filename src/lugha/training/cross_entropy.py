"""Cross-entropy of a vocabulary projection, piece by piece: the logits of a micro-batch never exist whole.

Loss and both gradients of a piece are computed together in the forward pass and only the gradients are kept (P x D and
V x D, not P x V), the idea of Liger Kernel's fused linear cross-entropy (Hsu et al. 2024, arXiv 2410.10989) in plain
PyTorch. With 4,096 tokens and a vocabulary of 16,384 that is 16 MB at a time instead of 270 MB, and on a CPU nearly half of
the step's time: larger blocks are given back to the kernel after every step and faulted in again. The gradient of a frozen
projection (adapters on a fixed `lm_head`) is neither computed nor given memory.

Legend: P predicted tokens, D width, V vocabulary, C tokens of a piece.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

_PIECE_BYTES = 16 << 20  # of fp32 logits; glibc serves blocks below 32 MB from memory it keeps
# Tokens of a piece at least: every piece reads the weight twice and reads and writes its gradient once, V x D numbers each,
# which at V = 256,206 and 16 tokens takes longer than the products.
_LEAST_PIECE = 128


class Nats(NamedTuple):
    """Sums over the predicted tokens; scalars in fp32."""

    objective: torch.Tensor  # what is minimised: with label smoothing where it is asked for; differentiable, once
    nats: torch.Tensor  # -ln p of the right tokens: what is reported; equal to the objective without smoothing


def projected_nats(
    hidden_PD: torch.Tensor, weight_VD: torch.Tensor, targets_P: torch.Tensor, label_smoothing: float = 0.0
) -> Nats:
    """Sum over P of -ln softmax(hidden weight^T)[target], with and without label smoothing.

    `objective` equals `cross_entropy(hidden @ weight.T, targets, reduction="sum", label_smoothing=...)`. Products are
    computed in the type of autocast, or without it in that of the weight; the softmax always in fp32. Gradients have the
    types of `hidden_PD` and `weight_VD`, and are summed in fp32.
    """
    device = hidden_PD.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VD.dtype
    return Nats(*_ProjectedNats.apply(hidden_PD, weight_VD, targets_P, label_smoothing, dtype))  # type: ignore[no-untyped-call]


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
        piece = max(_LEAST_PIECE, _PIECE_BYTES // (4 * vocabulary))
        weight = weight_VD.to(dtype)
        grad_hidden_PD = torch.empty_like(hidden_PD) if ctx.needs_input_grad[0] else None
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        magnified = _magnification(dtype, piece)
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
                if grad_hidden_PD is None and grad_weight_VD is None:
                    continue
                # d nats / d logits = softmax - (1 - s) onehot(target) - s / V
                slope_CV = log_p_CV.exp_()
                slope_CV.scatter_add_(1, target_C1, torch.full_like(target_C1, label_smoothing - 1, dtype=torch.float32))
                if label_smoothing:
                    slope_CV -= label_smoothing / vocabulary
                if magnified != 1:
                    slope_CV *= magnified
                slope = slope_CV.to(dtype)
                if grad_hidden_PD is not None:
                    grad_hidden_PD[begin : begin + piece] = (slope @ weight).to(grad_hidden_PD.dtype)
                if grad_weight_VD is not None:
                    _add_product(grad_weight_VD, slope.T, hidden_CD)
        ctx.gradients = (grad_hidden_PD, grad_weight_VD)
        ctx.magnified, ctx.weight_dtype = magnified, weight_VD.dtype
        ctx.mark_non_differentiable(nats)
        return (1 - label_smoothing) * nats + label_smoothing * uniform, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # Multiplied in place and handed over: at V = 256,206 a second copy of the weight's gradient is a gigabyte.
        grad_hidden_PD, grad_weight_VD = ctx.gradients
        ctx.gradients = None
        grad = grad / ctx.magnified
        return (
            None if grad_hidden_PD is None else grad_hidden_PD.mul_(grad),
            None if grad_weight_VD is None else grad_weight_VD.mul_(grad).to(ctx.weight_dtype),
            None,
            None,
            None,
        )


def _add_product(sum_VD: torch.Tensor, slope_VC: torch.Tensor, hidden_CD: torch.Tensor) -> None:
    """sum += slope hidden, in the type of the sum (fp32); of equal types without a V x D product beside it."""
    if slope_VC.dtype == sum_VD.dtype:
        sum_VD.addmm_(slope_VC, hidden_CD)
    else:
        sum_VD += slope_VC @ hidden_CD


def _magnification(dtype: torch.dtype, piece: int) -> float:
    """What slopes are multiplied by before they become fp16, whose smallest full-precision number is 6e-5.

    A softmax over 256,206 tokens is 4e-6 on average and would lose its digits. The product with the hidden states sums C
    slopes of size 1 at most, so C times the magnification is kept at 2^14, a quarter of fp16's largest number.
    """
    return float(max(1, min(1024, 2**14 // piece))) if dtype == torch.float16 else 1.0
