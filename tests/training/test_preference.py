"""The preference cost: the paper's equation, ln 2 at the start, slopes that make the chosen answer more probable."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from lugha.recipe import TrainSection
from lugha.training.batches import IGNORED, Batch
from lugha.training.objectives import ROADS
from lugha.training.preference import pairs_in, preference_cost, sequence_log_probs
from tests.training.small_preferences import batches_of, made, untied_decoder

DPO = TrainSection(road="dpo", beta=0.3)


def _referenced(seed: int = 0, budget: int = 10_000) -> Batch:
    batch = batches_of(made(8), budget).micro_batch(0, 0)
    torch.manual_seed(seed)
    n = len(batch["pair"])
    return batch | {"reference_chosen": -20 * torch.rand(n), "reference_rejected": -20 * torch.rand(n)}


def _by_hand(batch: Batch) -> list[float]:
    """ln p of each row by the whole logits and torch's own cross-entropy."""
    model = untied_decoder().train(False)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"]).logits[:, :-1]
    rows = zip(logits, batch["labels"][:, 1:], strict=True)
    return [-float(functional.cross_entropy(x, y, ignore_index=IGNORED, reduction="sum")) for x, y in rows]


def test_the_cost_is_equation_7() -> None:
    batch, log_probs = _referenced(), _by_hand(_referenced())
    nats, margins = 0.0, []
    for i in range(8):
        chosen, rejected = log_probs[2 * i], log_probs[2 * i + 1]
        margins.append(
            0.3 * (chosen - float(batch["reference_chosen"][i])) - 0.3 * (rejected - float(batch["reference_rejected"][i]))
        )
        nats -= math.log(1 / (1 + math.exp(-margins[-1])))
    cost = preference_cost(untied_decoder(), batch, DPO)
    assert float(cost.nats) == pytest.approx(nats, rel=1e-4)
    assert torch.equal(cost.objective, cost.nats)
    assert not cost.nats.requires_grad
    assert set(cost.measures) == {"margin", "accuracy", "chosen_reward", "rejected_reward"}
    assert float(cost.measures["margin"]) == pytest.approx(sum(margins), rel=1e-4)
    assert int(cost.measures["accuracy"]) == sum(m > 0 for m in margins)
    rewards = float(cost.measures["chosen_reward"]) - float(cost.measures["rejected_reward"])
    assert rewards == pytest.approx(sum(margins), rel=1e-4)
    assert not any(value.requires_grad for value in cost.measures.values())


def test_sequence_log_probs_are_those_of_the_whole_logits() -> None:
    batch = batches_of(made(8)).micro_batch(0, 0)
    found = sequence_log_probs(untied_decoder(), batch)
    assert found.tolist() == pytest.approx(_by_hand(batch), rel=1e-5)


def test_the_cost_does_not_depend_on_how_the_pairs_are_cut_into_micro_batches() -> None:
    model = untied_decoder()
    reference = {p: torch.tensor([-5.0 - p, -9.0 + p]) for p in range(8)}
    totals, gradients = [], []
    for budget in (1, 100, 10_000):
        batches, total = batches_of(made(8), budget), 0.0
        for index in range(batches.micro_batches(0)):
            batch = batches.micro_batch(0, index)
            chosen, rejected = torch.stack([reference[p] for p in batch["pair"].tolist()]).unbind(1)
            cost = preference_cost(model, batch | {"reference_chosen": chosen, "reference_rejected": rejected}, DPO)
            torch.autograd.backward(cost.objective)
            total += float(cost.nats)
        totals.append(total)
        gradients.append(model.lm_head.weight.grad.clone())
        model.zero_grad()
    assert totals[1:] == pytest.approx(totals[:1] * 2, rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-4, atol=1e-5)


def test_a_step_down_the_slope_raises_the_chosen_and_lowers_the_rejected() -> None:
    """Equation 8 of the paper: the slope is that of ln p(chosen) - ln p(rejected), weighed by how wrong the pair is."""
    model = untied_decoder()
    batch = batches_of(made(1)).micro_batch(0, 0)
    chosen, rejected = sequence_log_probs(model, batch).detach()
    batch |= {"reference_chosen": chosen[None], "reference_rejected": rejected[None]}
    torch.autograd.backward(preference_cost(model, batch, DPO).objective)
    weight = model.lm_head.weight
    found = weight.grad.clone()
    model.zero_grad()
    both = sequence_log_probs(model, batch)
    torch.autograd.backward(both[0] - both[1])
    torch.testing.assert_close(found, -0.3 * 0.5 * weight.grad, rtol=1e-4, atol=1e-6)  # sigmoid(0) = 1/2
    with torch.no_grad():
        weight -= 0.01 * found
        after = sequence_log_probs(model, batch)
    assert after[0] - after[1] > chosen - rejected


def test_label_smoothing_believes_a_share_of_the_labels_swapped() -> None:
    model, batch = untied_decoder(), _referenced()
    plain = preference_cost(model, batch, DPO)
    half = preference_cost(model, batch, DPO.model_copy(update={"label_smoothing": 0.5}))
    some = preference_cost(model, batch, DPO.model_copy(update={"label_smoothing": 0.1}))
    swapped = 2 * half.objective.item() - plain.nats.item()
    assert some.objective.item() == pytest.approx(0.9 * plain.nats.item() + 0.1 * swapped, rel=1e-5)
    assert float(some.nats) == float(plain.nats)


def test_the_road_counts_pairs() -> None:
    road, batch = ROADS["dpo"], _referenced()
    assert (road.unit, road.units(batch), pairs_in(batch)) == ("pairs", 8, 8)
    assert float(road.cost(untied_decoder(), batch, DPO).nats) == float(preference_cost(untied_decoder(), batch, DPO).nats)
