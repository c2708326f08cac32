"""Objectives: what one micro-batch costs. All that differs between the roads stands here.

A road's cost is the *sum* over its units (predicted tokens, or pairs of answers); the loop divides by the units of the whole
step, so the loss does not depend on how a step is cut into micro-batches or spread over processes.

Only predicted positions are projected onto the vocabulary, so padding and context cost nothing there.
Legend: B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import torch

from lugha.recipe import TrainSection
from lugha.training.batches import IGNORED, Batch
from lugha.training.cross_entropy import projected_nats

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Cost(NamedTuple):
    """What a micro-batch costs, each a sum over its units."""

    objective: torch.Tensor  # what is minimised; differentiable
    nats: torch.Tensor  # the loss that is reported
    measures: Mapping[str, torch.Tensor] = MappingProxyType({})  # further sums to log, by name


@dataclass(frozen=True)
class Road:
    """What a road minimises, and what it counts."""

    cost: Callable[[PreTrainedModel, Batch, TrainSection], Cost]
    units: Callable[[Batch], int]
    unit: str  # tokens, pairs: the name under which units stand in metrics


def predicted_tokens(batch: Batch) -> int:
    """P: tokens that the micro-batch predicts."""
    return int((batch["labels"] != IGNORED).sum())


def causal_cost(model: PreTrainedModel, batch: Batch, train: TrainSection) -> Cost:
    """-ln p(next token) over a packed micro-batch of a decoder.

    Without an attention mask transformers derives the document mask from positions that restart.
    """
    hidden_BTD = model.model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
    ).last_hidden_state
    targets_BT = batch["labels"][:, 1:]
    predicted_BT = targets_BT != IGNORED
    hidden_PD = hidden_BTD[:, :-1][predicted_BT]
    return Cost(*projected_nats(hidden_PD, model.lm_head.weight, targets_BT[predicted_BT], train.label_smoothing))


def seq2seq_cost(model: PreTrainedModel, batch: Batch, train: TrainSection) -> Cost:
    """-ln p(target token) over a micro-batch of an encoder-decoder."""
    hidden_BTD = model.model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).last_hidden_state
    predicted_BT = batch["labels"] != IGNORED
    targets_P = batch["labels"][predicted_BT]
    return Cost(*projected_nats(hidden_BTD[predicted_BT], model.lm_head.weight, targets_P, train.label_smoothing))


def _preference_cost(model: PreTrainedModel, batch: Batch, train: TrainSection) -> Cost:
    from lugha.training.preference import preference_cost  # it needs `Cost`

    return preference_cost(model, batch, train)


def _pairs_in(batch: Batch) -> int:
    from lugha.training.preference import pairs_in

    return pairs_in(batch)


_CAUSAL = Road(causal_cost, predicted_tokens, "tokens")

ROADS: dict[str, Road] = {
    "pretrain": _CAUSAL,
    "lora": _CAUSAL,
    "sft": _CAUSAL,
    "seq2seq": Road(seq2seq_cost, predicted_tokens, "tokens"),
    "dpo": Road(_preference_cost, _pairs_in, "pairs"),
}
