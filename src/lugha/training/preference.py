"""Direct preference optimisation: the chosen answer becomes more probable than the rejected one, measured from a reference.

The cost of a pair is equation 7 of Rafailov et al. 2023 (arXiv 2305.18290):

    reward(y) = beta * (ln pi(y | x) - ln ref(y | x))
    cost      = -ln sigmoid(reward(chosen) - reward(rejected))

`pi` is the model in training; `ref`, the model that it started from, is a table of numbers computed before the first step
(reference.py) and comes with the batch. At the first step both are the same, so every margin is 0 and the cost ln 2.

An answer's log-probability is the sum over its tokens and its `</s>`. Legend: n pairs, R = 2n rows, T tokens, D width,
P predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lugha.recipe import TrainSection
from lugha.training.batches import IGNORED, Batch
from lugha.training.objectives import Cost
from lugha.training.token_nats import token_nats

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def sequence_log_probs(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """ln p of the predicted tokens of each row, summed: [R], in fp32; differentiable.

    Args:
        batch: `input_ids`, `labels`, `position_ids` [R, T]; label t is predicted from position t - 1.
    """
    hidden_RTD = model.model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
    ).last_hidden_state
    targets_RT = batch["labels"][:, 1:]
    predicted_RT = targets_RT != IGNORED
    nats_P = token_nats(hidden_RTD[:, :-1][predicted_RT], model.lm_head.weight, targets_RT[predicted_RT])
    # Put back into rows and summed along them: a sum by row number would add in another order on every GPU run.
    return -nats_P.new_zeros(targets_RT.shape).masked_scatter(predicted_RT, nats_P).sum(dim=1)


def preference_cost(model: PreTrainedModel, batch: Batch, train: TrainSection) -> Cost:
    """The DPO cost of a micro-batch, summed over its n pairs.

    With `train.label_smoothing` e the objective takes a share e of the labels for swapped (Mitchell 2023, "A note on DPO with
    noisy preferences"); `nats` is always the plain cost.

    Args:
        batch: of `ReferencedBatches`: rows 2i and 2i + 1 are chosen and rejected, `reference_chosen` and `reference_rejected`
            [n] their log-probabilities under the reference.

    Returns:
        `measures`: sums over pairs of `margin` (difference of the rewards), `accuracy` (margin above 0), `chosen_reward`,
        `rejected_reward`.
    """
    log_probs_R = sequence_log_probs(model, batch)
    chosen_reward = train.beta * (log_probs_R[0::2] - batch["reference_chosen"])
    rejected_reward = train.beta * (log_probs_R[1::2] - batch["reference_rejected"])
    margin = chosen_reward - rejected_reward
    nats = -functional.logsigmoid(margin).sum()
    swapped = -functional.logsigmoid(-margin).sum()
    return Cost(
        objective=(1 - train.label_smoothing) * nats + train.label_smoothing * swapped,
        nats=nats.detach(),
        measures={
            "margin": margin.detach().sum(),
            "accuracy": (margin.detach() > 0).sum(),
            "chosen_reward": chosen_reward.detach().sum(),
            "rejected_reward": rejected_reward.detach().sum(),
        },
    )


def pairs_in(batch: Batch) -> int:
    """n: pairs in a micro-batch, the units that its cost is a sum over."""
    return len(batch["pair"])
