"""What happens at the end of a training step: evaluate, save, in which order, or neither.

Trainer evaluates before it saves, however long that takes. Here a step that is to be saved, or that is evaluated for longer than
the clock would wait with the next save, is saved first. Only where the evaluation decides which checkpoint is the best one must
a save come after it; then there are two, unless the evaluation is known to be short.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """What is known at the end of a step, or of an epoch."""

    save_wanted: bool  # by Trainer's settings, the clock, somebody's wish, or since training ends here
    evaluation_wanted: bool
    stopping: bool  # training is to end now, and what it has is to be saved
    saved: bool  # a whole checkpoint of this step stands already
    evaluation_is_short: bool  # it is known to be over before the clock wants the next save
    evaluation_is_affordable: bool
    best_is_tracked: bool  # a save after the evaluation records which checkpoint is the best
    best_only: bool  # Trainer saves after an evaluation that was better than all before, and not otherwise


@dataclass(frozen=True)
class Plan:
    """What to do, in this order."""

    save_first: bool
    evaluate: bool
    save: bool


def plan_for(moment: Moment) -> Plan:
    """The plan of one moment."""
    wanted = moment.save_wanted or moment.stopping
    if moment.stopping or not moment.evaluation_wanted or not moment.evaluation_is_affordable:
        return Plan(save_first=False, evaluate=False, save=wanted and not moment.saved)
    if not moment.best_is_tracked:
        first = not moment.saved and (wanted or not moment.evaluation_is_short)
        return Plan(save_first=first, evaluate=True, save=False)
    certain_after = not moment.best_only  # a save after the evaluation happens whatever its result
    first = not moment.saved and (not moment.evaluation_is_short or (wanted and not certain_after))
    return Plan(save_first=first, evaluate=True, save=wanted)
