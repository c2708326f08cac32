"""The optimiser: what is decayed, what may be trained, how gradients are clipped, and the loss scale of fp16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lugha.checkpoints.format import TrainerState
from lugha.errors import InputError
from lugha.recipe import TrainSection
from lugha.training.device import Compute
from lugha.training.optimiser import build_optimiser, clip_gradients, loss_scaler, scaler_state

FP16 = Compute(torch.device("cpu"), torch.float16, "a test")


def test_only_matrices_that_are_trained_are_decayed() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].requires_grad_(False)
    decayed, rest = build_optimiser(model, TrainSection(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3)]
    assert [tuple(p.shape) for p in rest["params"]] == [(4,), (4,), (4,)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_not_trained(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).to(dtype))
    with pytest.raises(InputError, match=r"1\.weight would be trained in b?float16"):
        build_optimiser(model, TrainSection())
    model[1].requires_grad_(False)
    build_optimiser(model, TrainSection())  # frozen, it may be


def test_gradients_are_clipped_to_their_common_norm() -> None:
    model = nn.Linear(2, 2)
    model.weight.grad, model.bias.grad = torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([0.0, 4.0])
    assert clip_gradients(model, 1.0) == pytest.approx(5.0)
    assert clip_gradients(model, 10.0) == pytest.approx(1.0, rel=1e-5)


def test_the_loss_scale_goes_through_a_trainer_state() -> None:
    state = TrainerState(loss_scale=2.0**20, growth_steps=1999)
    scaler = loss_scaler(FP16, state)
    weight = torch.ones(2, requires_grad=True)
    optimiser = torch.optim.AdamW([weight])
    for gradient, expected in (([1.0, 1.0], (2.0**21, 0)), ([float("inf"), 1.0], (2.0**20, 0)), ([1.0, 1.0], (2.0**20, 1))):
        before = weight.detach().clone()
        torch.autograd.backward(scaler.scale((weight * torch.tensor(gradient)).sum()))
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()
        assert torch.equal(before, weight.detach()) == (float("inf") in gradient)
        state = state.model_copy(update=scaler_state(scaler))
        assert (state.loss_scale, state.growth_steps) == expected
        scaler = loss_scaler(FP16, state)


def test_without_fp16_the_scaler_passes_everything_through() -> None:
    scaler = loss_scaler(Compute(torch.device("cpu"), torch.float32, "a test"), TrainerState())
    assert scaler.scale(torch.tensor(3.0)) == 3.0
    assert scaler_state(scaler) == {}
