"""Which checkpoints stay: a pure function. Everything, while the budget allows it; nothing goes but behind two newer verified.

    decide(candidates, Policy(newest=3, every=1000, best=1750, budget=None))

What stays when something must go: milestones (the first checkpoint in each `every` steps), the best by validation loss at its
own step, the promoted one, the newest N >= 2. Where a budget alone forces it, the oldest go first, and only as many as needed.

What is not marked, or damaged, is in quarantine: it never counts as one that is kept, and goes only when a person asks for
that by its age.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lugha.runs.rates import format_duration

FEWEST = 2  # verified checkpoints that are left, whatever is asked for: one of them may turn out to be damaged
QUARANTINE = "in quarantine"


@dataclass(frozen=True)
class Policy:
    """What is kept beside the two newest verified checkpoints."""

    newest: int | None = None  # so many of the newest verified; None: all within the budget
    every: int | None = None  # steps between milestones
    best: int | None = None  # a step
    budget: int | None = None  # bytes of all together; None: as many as there are
    quarantine_age: float | None = None  # seconds after which what is in quarantine goes; None: never


@dataclass(frozen=True)
class Candidate:
    """One checkpoint, as far as retention knows it."""

    name: str
    step: int  # of its manifest; where that is damaged, of its name; -1 where neither says it
    bytes: int
    verified: bool
    promoted: bool = False
    trouble: str | None = None  # why it is in quarantine
    changed: datetime.datetime | None = None  # for the age of what is in quarantine


@dataclass(frozen=True)
class Decision:
    """What becomes of one checkpoint."""

    name: str
    step: int
    bytes: int
    keep: bool
    why: str


def decide(candidates: Iterable[Candidate], policy: Policy, *, now: datetime.datetime | None = None) -> list[Decision]:
    """What becomes of the checkpoints of one run, the newest first.

    Args:
        now: for the age of what is in quarantine; default: the clock.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    ranked = sorted(candidates, key=lambda one: (one.step, one.name), reverse=True)
    sound = [one for one in ranked if one.trouble is None]
    verified = sorted({one.step for one in sound if one.verified}, reverse=True)
    protected = _protected(sound, verified, policy)
    going = _going([one for one in sound if one.name not in protected], sum(one.bytes for one in sound), policy)
    unasked = "no budget is set" if policy.budget is None else "within the budget"
    decisions = []
    for one in ranked:
        if one.trouble is not None:
            keep, why = _quarantined(one, verified, policy, now)
        elif one.name in going:
            keep, why = False, f"older than the newest {_newest(policy)}" + ("" if policy.newest else ", over the budget")
        else:
            keep, why = True, protected.get(one.name, unasked) if is_crowded(sound, policy) else unasked
        decisions.append(Decision(one.name, one.step, one.bytes, keep, why))
    return decisions


def is_crowded(candidates: Iterable[Candidate], policy: Policy) -> bool:
    """Whether something sound may have to go."""
    total = sum(one.bytes for one in candidates if one.trouble is None)
    return policy.newest is not None or (policy.budget is not None and total > policy.budget)


def best_of(metrics: Iterable[Mapping[str, Any]], steps: Collection[int] | None = None) -> int | None:
    """The step with the lowest validation loss; the first of equals, None where nothing was measured.

    Args:
        metrics: lines of metrics.jsonl.
        steps: those that have a checkpoint: only a loss at a checkpoint's own step counts. Default: any.
    """
    losses: dict[int, float] = {}
    for line in metrics:
        if line.get("kind") == "validation" and (steps is None or line["step"] in steps) and math.isfinite(line["loss"]):
            losses[line["step"]] = line["loss"]
    return min(losses, key=lambda step: (losses[step], step), default=None)


def step_in(name: str) -> int:
    """The step that a checkpoint's folder claims by its name; -1 where it claims none."""
    match = re.match(r"(?:step|checkpoint)-(\d+)", name.rpartition("/")[2])
    return int(match[1]) if match else -1


def _newest(policy: Policy) -> int:
    return max(FEWEST, policy.newest or FEWEST)


def _protected(sound: Sequence[Candidate], verified: Sequence[int], policy: Policy) -> dict[str, str]:
    """Name -> why this one stays even when something must go.

    Args:
        sound: the newest first.
    """
    newest = verified[: _newest(policy)]
    milestones = {one.step // policy.every: one.step for one in sound} if policy.every else {}
    reasons: dict[str, str] = {}
    for one in sound:
        if one.promoted:
            reasons[one.name] = "promoted"
        elif one.step == policy.best:
            reasons[one.name] = "lowest validation loss"
        elif policy.every and milestones[one.step // policy.every] == one.step:
            reasons[one.name] = f"milestone: the first in {policy.every:,} steps"
        elif one.step in newest:
            reasons[one.name] = f"among the newest {_newest(policy)} verified"
        elif not _is_behind_two(one.step, verified):
            reasons[one.name] = "fewer than two newer ones are verified"
    return reasons


def _is_behind_two(step: int, verified: Sequence[int]) -> bool:
    return len(verified) >= FEWEST and step < verified[FEWEST - 1]


def _going(free: Sequence[Candidate], total: int, policy: Policy) -> set[str]:
    """Names of what goes, of those that nothing protects (the newest first)."""
    if policy.newest is not None:
        return {one.name for one in free}
    going: set[str] = set()
    for one in reversed(free):
        if policy.budget is None or total <= policy.budget:
            break
        going.add(one.name)
        total -= one.bytes
    return going


def _quarantined(one: Candidate, verified: Sequence[int], policy: Policy, now: datetime.datetime) -> tuple[bool, str]:
    age = (now - one.changed).total_seconds() if one.changed else 0.0
    old = policy.quarantine_age is not None and age > policy.quarantine_age
    if old and one.step >= 0 and _is_behind_two(one.step, verified):
        return False, f"{QUARANTINE} for {format_duration(age)}: {one.trouble}"
    return True, f"{QUARANTINE}: {one.trouble}"
