"""Piecewise cross-entropy against torch's own: loss and gradients, any piece size, with and without smoothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from lugha.training import cross_entropy
from lugha.training.cross_entropy import projected_nats


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("piece_bytes", [4 * 50 * 3, 1 << 20])
def test_loss_and_gradients_are_those_of_torch(smoothing: float, piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "_PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(cross_entropy, "_LEAST_PIECE", 1)
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 8, dtype=torch.float64), torch.randn(50, 8, dtype=torch.float64)
    targets = torch.randint(0, 50, (10,))
    results = []
    for ours in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if ours:
            loss = projected_nats(h, w, targets, smoothing).objective
        else:
            loss = functional.cross_entropy(h @ w.T, targets, reduction="sum", label_smoothing=smoothing)
        torch.autograd.backward(loss / 7)
        results.append((loss.detach(), h.grad, w.grad))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine.double(), theirs.double(), rtol=1e-5, atol=1e-6)


def test_a_tied_matrix_gets_both_its_gradients() -> None:
    torch.manual_seed(0)
    weight, ids = torch.randn(20, 4), torch.tensor([3, 5, 3])
    gradients = []
    for ours in (True, False):
        w = weight.clone().requires_grad_()
        hidden = functional.embedding(ids, w)
        loss = (
            projected_nats(hidden, w, ids).objective
            if ours
            else functional.cross_entropy(hidden @ w.T, ids, reduction="sum")
        )
        torch.autograd.backward(loss)
        gradients.append(w.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_without_gradients_only_the_loss_is_computed() -> None:
    hidden, weight, targets = torch.randn(5, 4), torch.randn(9, 4), torch.randint(0, 9, (5,))
    with torch.no_grad():
        loss = projected_nats(hidden, weight, targets, 0.1).nats  # the reported figure knows no smoothing
    assert not loss.requires_grad
    torch.testing.assert_close(loss, functional.cross_entropy(hidden @ weight.T, targets, reduction="sum"))


def test_under_autocast_products_are_bf16_and_close() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32), torch.randn(100, 32) * 0.1
    targets = torch.randint(0, 100, (64,))
    exact = projected_nats(hidden, weight, targets).nats
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = projected_nats(hidden, weight, targets).nats
    assert rough.dtype == torch.float32
    assert float(rough) != float(exact)
    torch.testing.assert_close(rough, exact, rtol=1e-2, atol=0)


class LargestFloat(TorchDispatchMode):
    """Elements of the largest floating-point tensor that any operation inside gives."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_floating_point() and not func.is_view:
            self.elements = max(self.elements, result.numel())
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_projection_costs_no_memory_of_its_size(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """P 40, D 64, V 500: neither the gradient V x D nor the logits P x V ever exist."""
    monkeypatch.setattr(cross_entropy, "_PIECE_BYTES", 4 * 500 * 4)
    monkeypatch.setattr(cross_entropy, "_LEAST_PIECE", 1)
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 64, requires_grad=True), torch.randn(500, 64).to(dtype)
    targets = torch.randint(0, 500, (40,))
    sizes = {}
    for trained in (False, True):
        frozen_or_not = weight.clone().requires_grad_(trained)
        with LargestFloat() as largest:
            torch.autograd.backward(projected_nats(hidden, frozen_or_not, targets).objective)
        sizes[trained] = largest.elements
        assert (frozen_or_not.grad is None) == (not trained)
    assert sizes == {False: 40 * 64, True: 500 * 64}


def test_gradients_of_a_frozen_part_are_those_of_the_other_alone() -> None:
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(10, 8), torch.randn(50, 8), torch.randint(0, 50, (10,))
    for trained in ((True, False), (False, True)):
        leaves = [t.clone().requires_grad_(t_trained) for t, t_trained in zip((hidden, weight), trained, strict=True)]
        both = [t.clone().requires_grad_() for t in (hidden, weight)]
        for h, w in (leaves, both):
            torch.autograd.backward(projected_nats(h, w, targets, 0.1).objective)
        for leaf, whole, is_trained in zip(leaves, both, trained, strict=True):
            assert (leaf.grad is None) == (not is_trained)
            if is_trained:
                torch.testing.assert_close(leaf.grad, whole.grad, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_get_gradients_of_their_type_and_an_fp32_loss(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(30, 16), torch.randn(70, 16), torch.randint(0, 70, (30,))
    h, w = hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()
    loss = projected_nats(h, w, targets)
    torch.autograd.backward(loss.objective)
    exact_h, exact_w = h.detach().float().requires_grad_(), w.detach().float().requires_grad_()
    exact = projected_nats(exact_h, exact_w, targets)
    torch.autograd.backward(exact.objective)
    assert (loss.objective.dtype, h.grad.dtype, w.grad.dtype) == (torch.float32, dtype, dtype)
    torch.testing.assert_close(loss.nats, exact.nats, rtol=1e-2, atol=0)
    torch.testing.assert_close(h.grad.float(), exact_h.grad, rtol=0.1, atol=0.05)
    torch.testing.assert_close(w.grad.float(), exact_w.grad, rtol=0.1, atol=0.05)


def test_slopes_too_small_for_fp16_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens of probability 2e-8, which fp16 rounds to zero, as they are the rule in a vocabulary of 256 k."""
    monkeypatch.setattr(cross_entropy, "_PIECE_BYTES", 4 * 50 * 16)
    monkeypatch.setattr(cross_entropy, "_LEAST_PIECE", 1)
    hidden, targets = torch.full((32, 1), 4.0), torch.zeros(32, dtype=torch.long)
    weight = torch.zeros(50, 1)
    weight[0] = 4.43  # exp(4 * 4.43) = 5e7
    errors = {}
    for magnified in (True, False):
        if not magnified:
            monkeypatch.setattr(cross_entropy, "_magnification", lambda dtype, piece: 1.0)
        gradients = []
        for dtype in (torch.float16, torch.float32):
            w = weight.to(torch.float16).float().requires_grad_()
            with torch.autocast("cpu", dtype=dtype, enabled=dtype == torch.float16):
                torch.autograd.backward(projected_nats(hidden, w, targets).objective)
            gradients.append(w.grad[1:])
        errors[magnified] = float((gradients[0] / gradients[1] - 1).abs().max())
    assert errors[True] < 0.05
    assert errors[False] == 1.0
