"""Objectives: what one micro-batch costs. All that differs between the roads stands here.

An objective returns the *sum* over the predicted tokens; the loop divides by the number of predicted tokens of the
whole step, so the loss does not depend on how a step is cut into micro-batches.

Only predicted positions are projected onto the vocabulary, so padding and context cost nothing there.
Legend: B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lugha.training.batches import IGNORED, Batch
from lugha.training.cross_entropy import Cost, projected_nats

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Objective = Callable[["PreTrainedModel", Batch, float], Cost]


def predicted_tokens(batch: Batch) -> int:
    """P: tokens that the micro-batch predicts."""
    return int((batch["labels"] != IGNORED).sum())


def causal_nats(model: PreTrainedModel, batch: Batch, label_smoothing: float = 0.0) -> Cost:
    """-ln p(next token) over a packed micro-batch of a decoder.

    Without an attention mask transformers derives the document mask from positions that restart.
    """
    hidden_BTD = model.model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
    ).last_hidden_state
    targets_BT = batch["labels"][:, 1:]
    predicted_BT = targets_BT != IGNORED
    return projected_nats(hidden_BTD[:, :-1][predicted_BT], model.lm_head.weight, targets_BT[predicted_BT], label_smoothing)


def seq2seq_nats(model: PreTrainedModel, batch: Batch, label_smoothing: float = 0.0) -> Cost:
    """-ln p(target token) over a micro-batch of an encoder-decoder."""
    hidden_BTD = model.model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).last_hidden_state
    predicted_BT = batch["labels"] != IGNORED
    return projected_nats(hidden_BTD[predicted_BT], model.lm_head.weight, batch["labels"][predicted_BT], label_smoothing)


OBJECTIVES: dict[str, Objective] = {"pretrain": causal_nats, "seq2seq": seq2seq_nats}
