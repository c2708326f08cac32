"""How often a model prefers the answer that people preferred, and by how much, with 95 % intervals.

In: the log-probabilities of the chosen and the rejected answer of each pair, as numbers; out: a `PreferenceScores`.

    accuracy             ln p(chosen) > ln p(rejected): needs no reference, so any two models can be compared, but favours
                         whichever answer is shorter
    accuracy_per_token   the same for the mean over an answer's tokens (length-normalised, as in SimPO, Meng et al. 2024,
                         arXiv 2405.14734)
    reward_accuracy      the implicit reward ln p - ln ref is higher for the chosen answer (Rafailov et al. 2023, arXiv
                         2305.18290, section 4): what DPO trains; needs a reference, and beta does not matter
    margin               mean difference of the implicit rewards, in nats (times beta it is the margin of the training log)

Pairs that share a prompt are not independent, so the interval is a percentile bootstrap over prompts, not over pairs (the
cluster bootstrap: Davison & Hinkley 1997, "Bootstrap Methods and their Application", section 3.8). It says how far other
prompts of this kind would move the figure. Where every prompt agrees it has no width: read it with the number of prompts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from lugha.errors import InputError
from lugha.runs.stopping import stop_if_asked

BOOTSTRAP_SEED = 12345
_DRAWS_AT_ONCE = 4_000_000  # prompt numbers held in memory: 32 MB

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(_Record):
    """A mean over pairs; `low` and `high` bound its 95 % interval (none without a bootstrap)."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class PreferenceScores(_Record):
    """Preferences of one model on one set of pairs; shares from 0 to 1, the margin in nats."""

    pairs: int
    prompts: int
    accuracy: Estimate
    accuracy_per_token: Estimate
    reward_accuracy: Estimate | None = None
    margin: Estimate | None = None


def score_preferences(
    log_probs: Floats,
    lengths: Ints,
    prompts: Ints,
    *,
    reference: Floats | None = None,
    bootstrap: int = 1000,
) -> PreferenceScores:
    """Score the preferences of a model. A tie is no preference for the chosen answer: it counts as wrong.

    Args:
        log_probs: [pairs, 2] ln p of the chosen and the rejected answer; pairs with NaN were not measured and are left out.
        lengths: [pairs, 2] predicted tokens of each answer.
        prompts: [pairs] number of each pair's prompt.
        reference: [pairs, 2] ln p under the model that training started from.
        bootstrap: resamples for the intervals; 0 for none.

    Raises:
        InputError: no pair was measured.
    """
    kept = _measured(log_probs)
    log_probs, lengths, prompts = log_probs[kept].astype(np.float64), lengths[kept], prompts[kept]

    def mean(values: npt.NDArray[np.float64]) -> Estimate:
        return _estimate(values, prompts, bootstrap)

    scores = PreferenceScores(
        pairs=len(kept),
        prompts=len(np.unique(prompts)),
        accuracy=mean(_prefers_chosen(log_probs)),
        accuracy_per_token=mean(_prefers_chosen(log_probs / lengths)),
    )
    if reference is None:
        return scores
    rewards = log_probs - reference[kept]
    margins = rewards[:, 0] - rewards[:, 1]
    return scores.model_copy(update={"reward_accuracy": mean(_prefers_chosen(rewards)), "margin": mean(margins)})


def accuracy_gain(log_probs: Floats, before: Floats, prompts: Ints, *, bootstrap: int = 1000) -> Estimate:
    """Accuracy of one model minus that of another on the same pairs, paired: each prompt counts for both or for neither.

    Args:
        log_probs, before: [pairs, 2] ln p of both answers under the model and under the one that it is compared with.

    Raises:
        InputError: no pair was measured.
    """
    kept = _measured(log_probs + before)
    gained = _prefers_chosen(log_probs[kept]) - _prefers_chosen(before[kept])
    return _estimate(gained, prompts[kept], bootstrap)


def _measured(log_probs: Floats) -> npt.NDArray[np.intp]:
    kept = np.flatnonzero(~np.isnan(log_probs).any(axis=1))
    if len(kept) == 0:
        raise InputError("No preference to score: every pair is too long, or there is none. Raise tokens.max_length.")
    return kept


def _prefers_chosen(values: Floats) -> npt.NDArray[np.float64]:
    return (values[:, 0] > values[:, 1]).astype(np.float64)


def _estimate(values: npt.NDArray[np.float64], prompts: Ints, bootstrap: int) -> Estimate:
    value = float(values.mean())
    if not bootstrap:
        return Estimate(value=value)
    _, cluster = np.unique(prompts, return_inverse=True)
    sums, sizes = np.bincount(cluster, weights=values), np.bincount(cluster)
    clusters = len(sums)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    means: list[float] = []
    while len(means) < bootstrap:
        stop_if_asked()
        count = min(max(1, _DRAWS_AT_ONCE // clusters), bootstrap - len(means))
        drawn = rng.integers(clusters, size=(count, clusters))
        means += (sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)).tolist()
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))
