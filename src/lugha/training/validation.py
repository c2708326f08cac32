"""Costs that teach nothing: of held-out data, and of the first batch before the first update."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lugha.evaluation.likelihood import evaluating
from lugha.training.batches import Batch, Batches
from lugha.training.device import Compute
from lugha.training.distributed import CostOf, Ranks, total
from lugha.training.first_batch import check_first_loss
from lugha.training.objectives import Cost, Road


def sums_of(cost: Cost) -> dict[str, torch.Tensor]:
    """All that is reported of a cost, as sums over units: `loss` and the road's own measures."""
    return {"loss": cost.nats, **cost.measures}


def validate(
    cost_of: CostOf,
    road: Road,
    batches: Batches,
    limit: int,
    compute: Compute,
    ranks: Ranks,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """`loss` and measures per unit over the first `limit` micro-batches of a split, shared among the processes.

    Args:
        check: called before each batch, in all processes; what it raises ends the validation.
    """
    count = min(limit, batches.micro_batches(0))
    sums: dict[str, float] = {}
    units = 0
    with evaluating(cost_of):
        for begin in range(0, count, ranks.size):
            check()
            # Under FSDP every process must take part in every forward: one that has no batch left repeats the last.
            index, has_own = min(begin + ranks.rank, count - 1), begin + ranks.rank < count
            batch = batches.micro_batch(0, index)
            with compute.autocast():
                cost = cost_of(compute.moved(batch))
            for name, value in sums_of(cost).items():
                sums[name] = sums.get(name, 0.0) + float(value) * has_own
            units += road.units(batch) * has_own
    all_units, *all_sums = total([units, *sums.values()])
    return {name: value / all_units for name, value in zip(sums, all_sums, strict=True)}


def check_start(cost_of: CostOf, road: Road, first: Batch, compute: Compute, vocab_size: int) -> None:
    """Compare the loss before the first update with chance.

    Raises:
        RefusedError: it is far above.
    """
    with evaluating(cost_of), compute.autocast():
        nats = float(cost_of(compute.moved(first)).nats)
    check_first_loss(nats / road.units(first), vocab_size)
