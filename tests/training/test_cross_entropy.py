"""Piecewise cross-entropy against torch's own: loss and gradients, any piece size, with and without smoothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lugha.training import cross_entropy
from lugha.training.cross_entropy import projected_nats


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("piece_bytes", [4 * 50 * 3, 1 << 20])
def test_loss_and_gradients_are_those_of_torch(smoothing: float, piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "_PIECE_BYTES", piece_bytes)
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
