"""The nats of each token against torch's own: values and gradients, any piece size, frozen weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lugha.training import token_nats as module
from lugha.training.token_nats import token_nats


def _inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(10, 8, dtype=dtype), torch.randn(50, 8, dtype=dtype), torch.randint(0, 50, (10,))


@pytest.fixture(params=[4 * 50 * 3, 4 * 50 * 10, 1 << 20], ids=["pieces of 3", "exactly one piece", "room to spare"])
def _piece_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", request.param)


@pytest.mark.usefixtures("_piece_bytes")
def test_values_and_gradients_are_those_of_torch() -> None:
    hidden, weight, targets = _inputs()
    slopes = torch.linspace(-2.0, 3.0, len(targets))  # a preference cost weighs answers differently, some negatively
    results = []
    for ours in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        nats = token_nats(h, w, targets) if ours else functional.cross_entropy(h @ w.T, targets, reduction="none")
        torch.autograd.backward((nats * slopes).sum())
        results.append((nats.detach(), h.grad, w.grad))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("_piece_bytes")
def test_gradients_are_those_of_finite_differences() -> None:
    hidden, weight, targets = _inputs(torch.float64)
    h, w = hidden.requires_grad_(), weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: token_nats(a, b, targets), (h, w))


def test_a_frozen_weight_gets_no_gradient() -> None:
    hidden, weight, targets = _inputs()
    h = hidden.clone().requires_grad_()
    torch.autograd.backward(token_nats(h, weight, targets).sum())
    reference = hidden.clone().requires_grad_()
    torch.autograd.backward(functional.cross_entropy(reference @ weight.T, targets, reduction="sum"))
    assert weight.grad is None
    torch.testing.assert_close(h.grad, reference.grad)


def test_only_the_weight_may_be_trained() -> None:
    hidden, weight, targets = _inputs()
    w = weight.clone().requires_grad_()
    torch.autograd.backward(token_nats(hidden, w, targets).sum())
    reference = weight.clone().requires_grad_()
    torch.autograd.backward(functional.cross_entropy(hidden @ reference.T, targets, reduction="sum"))
    torch.testing.assert_close(w.grad, reference.grad)


def test_under_autocast_products_are_bf16_and_close() -> None:
    hidden, weight, targets = _inputs()
    exact = token_nats(hidden, weight, targets)
    h = hidden.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = token_nats(h, weight, targets)
    torch.autograd.backward(rough.sum())
    assert rough.dtype == torch.float32
    assert h.grad is not None
    assert h.grad.dtype == torch.float32
    assert not torch.equal(rough.detach(), exact)
    torch.testing.assert_close(rough.detach(), exact, rtol=2e-2, atol=2e-2)


def test_no_token_costs_nothing() -> None:
    hidden, weight, _ = _inputs()
    assert token_nats(hidden[:0], weight, torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_the_logits_are_not_kept() -> None:
    """What autograd keeps between the passes is the inputs themselves, nothing of size P x V."""
    hidden, weight, targets = _inputs()
    h, w = hidden.requires_grad_(), weight.requires_grad_()
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        token_nats(h, w, targets)
    assert {t.data_ptr() for t in kept} == {h.data_ptr(), w.data_ptr(), targets.data_ptr()}
