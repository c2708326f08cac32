"""Which checkpoints stay: properties that hold for any list of checkpoints and any policy, and the words."""

from __future__ import annotations

import datetime
import math

from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.policy import FEWEST, Candidate, Decision, Policy, best_of, decide, step_in

NOW = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
DAY = 86_400.0


def candidate(step: int, *, verified: bool = True, **more: object) -> Candidate:
    return Candidate(f"step-{step:08d}", step, 10, verified, **more)  # type: ignore[arg-type]


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    steps = draw(st.lists(st.integers(0, 40), max_size=14))
    found = []
    for number, step in enumerate(steps):
        trouble = draw(st.sampled_from([None, None, None, "not marked"]))
        found.append(
            Candidate(
                name=f"step-{step:08d}-{number:04x}",
                step=step if trouble is None or draw(st.booleans()) else -1,
                bytes=draw(st.integers(0, 20)),
                verified=trouble is None and draw(st.booleans()),
                promoted=trouble is None and draw(st.integers(0, 9)) == 0,
                trouble=trouble,
                changed=draw(st.sampled_from([None, NOW, NOW - datetime.timedelta(days=9)])),
            )
        )
    return found


policies = st.builds(
    Policy,
    newest=st.none() | st.integers(2, 6),
    every=st.none() | st.integers(1, 15),
    best=st.none() | st.integers(0, 40),
    budget=st.none() | st.integers(0, 150),
    quarantine_age=st.none() | st.just(7 * DAY),
)


def kept(decisions: list[Decision], found: list[Candidate]) -> list[Candidate]:
    names = {one.name for one in decisions if one.keep}
    return [one for one in found if one.name in names]


def verified_steps(found: list[Candidate]) -> list[int]:
    return sorted({one.step for one in found if one.verified and one.trouble is None}, reverse=True)


@given(candidates(), policies)
def test_the_newest_two_verified_never_go_and_nothing_goes_but_behind_them(found: list[Candidate], policy: Policy) -> None:
    decisions = decide(found, policy, now=NOW)
    assert sorted(one.name for one in decisions) == sorted(one.name for one in found)
    before = verified_steps(found)
    assert verified_steps(kept(decisions, found))[:FEWEST] == before[:FEWEST]
    for gone in (one for one in decisions if not one.keep):
        assert sum(step > gone.step for step in before) >= FEWEST
        assert gone.step >= 0


@given(candidates(), policies)
def test_pruning_twice_is_pruning_once(found: list[Candidate], policy: Policy) -> None:
    left = kept(decide(found, policy, now=NOW), found)
    assert all(one.keep for one in decide(left, policy, now=NOW))


@given(candidates(), policies)
def test_what_was_asked_to_stay_stays(found: list[Candidate], policy: Policy) -> None:
    left = kept(decide(found, policy, now=NOW), found)
    sound = [one for one in found if one.trouble is None]
    assert all(one in left for one in sound if one.promoted or one.step == policy.best)
    newest = verified_steps(found)[: policy.newest or FEWEST]
    assert all(one in left for one in sound if one.step in newest)
    for bucket in {one.step // policy.every for one in sound} if policy.every else ():
        first = min(one.step for one in sound if one.step // policy.every == bucket)
        assert all(one in left for one in sound if one.step == first)


@given(candidates(), policies)
def test_quarantine_is_left_alone_until_it_is_asked_for_by_age(found: list[Candidate], policy: Policy) -> None:
    left = kept(decide(found, policy, now=NOW), found)
    for one in (one for one in found if one.trouble):
        aged = policy.quarantine_age and one.changed == NOW - datetime.timedelta(days=9)
        behind = one.step >= 0 and sum(step > one.step for step in verified_steps(found)) >= FEWEST
        assert (one not in left) == bool(aged and behind)


@given(candidates(), policies)
def test_a_budget_alone_takes_the_oldest_and_only_as_many_as_needed(found: list[Candidate], policy: Policy) -> None:
    policy = Policy(None, policy.every, policy.best, policy.budget)
    decisions = decide(found, policy, now=NOW)
    sound = [one for one in found if one.trouble is None]
    gone = [one for one in sound if one not in kept(decisions, found)]
    total = sum(one.bytes for one in sound)
    if policy.budget is None or total <= policy.budget:
        assert not gone
        return
    if gone:  # without the last of them it would be over the budget
        last = max(gone, key=lambda one: (one.step, one.name))
        assert total - sum(one.bytes for one in gone) + last.bytes > policy.budget


def test_everything_stays_while_there_is_room() -> None:
    steps = [candidate(step) for step in range(1, 9)]
    assert {one.why for one in decide(steps, Policy())} == {"no budget is set"}
    assert {one.why for one in decide(steps, Policy(budget=80))} == {"within the budget"}


def test_the_reasons_are_those_that_count() -> None:
    steps = [candidate(step, promoted=step == 3) for step in (1, 2, 3, 4, 5, 11, 12, 13)]
    steps += [candidate(14, verified=False), candidate(6, trouble="manifest.json: missing")]
    found = {one.step: (one.keep, one.why) for one in decide(steps, Policy(newest=2, every=10, best=4))}
    assert found == {
        14: (True, "fewer than two newer ones are verified"),
        13: (True, "among the newest 2 verified"),
        12: (True, "among the newest 2 verified"),
        11: (True, "milestone: the first in 10 steps"),
        6: (True, "in quarantine: manifest.json: missing"),
        5: (False, "older than the newest 2"),
        4: (True, "lowest validation loss"),
        3: (True, "promoted"),
        2: (False, "older than the newest 2"),
        1: (True, "milestone: the first in 10 steps"),
    }
    over = {one.step: (one.keep, one.why) for one in decide([candidate(s) for s in (1, 2, 3, 4, 5)], Policy(budget=35))}
    assert over == {
        5: (True, "among the newest 2 verified"),
        4: (True, "among the newest 2 verified"),
        3: (True, "within the budget"),
        2: (False, "older than the newest 2, over the budget"),
        1: (False, "older than the newest 2, over the budget"),
    }


def test_the_best_is_the_lowest_loss_at_a_checkpoints_own_step() -> None:
    lines = [
        {"kind": "train", "step": 4, "loss": 0.1},
        {"kind": "validation", "step": 10, "loss": 2.0},
        {"kind": "validation", "step": 20, "loss": 1.5},
        {"kind": "validation", "step": 30, "loss": 1.5},
        {"kind": "validation", "step": 35, "loss": 1.0},
        {"kind": "validation", "step": 40, "loss": math.nan},
        {"kind": "validation", "step": 10, "loss": 3.0},  # done again by a resumed run: the last line counts
    ]
    assert best_of(lines) == 35
    assert best_of(lines, {10, 20, 30, 40}) == 20
    assert best_of(lines, {10, 40}) == 10
    assert best_of(lines, {40}) is None
    assert best_of([]) is None


def test_the_step_that_a_name_claims() -> None:
    assert [step_in(name) for name in ("r-1/step-00000500-3fa9", "checkpoint-7", "step-00000003-replaced", "notes")] == [
        500,
        7,
        3,
        -1,
    ]
