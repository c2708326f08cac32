"""Learning rate at a step, as a pure function: cosine, linear, or warm-up / stable / decay (WSD).

All start with a linear warm-up from 0 to the peak and end at `min_lr` on the last step. WSD (Hu et al. 2024, "MiniCPM",
section 4) holds the peak and falls linearly over the last `decay_share` of the steps, so that a run that must end early can
still be annealed from any stable checkpoint.
"""

from __future__ import annotations

import math

from lugha.recipe import TrainSection


def learning_rate(step: int, train: TrainSection) -> float:
    """Rate for update number `step` (the first is 0) of `train.steps`."""
    warmup = min(train.warmup_steps, train.steps - 1)
    if step < warmup:
        return train.lr * (step + 1) / (warmup + 1)
    if train.schedule == "wsd":
        decay_start = train.steps - max(1, round(train.steps * train.decay_share))
        begin = max(warmup, min(decay_start, train.steps - 2))  # the last step falls, however short the run
    else:
        begin = warmup
    if step <= begin:
        return train.lr
    progress = min(1.0, (step - begin) / max(1, train.steps - 1 - begin))
    fall = 0.5 * (1 + math.cos(math.pi * progress)) if train.schedule == "cosine" else 1 - progress
    return train.min_lr + (train.lr - train.min_lr) * fall
