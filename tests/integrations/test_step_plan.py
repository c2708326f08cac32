"""Every combination of what can be known at the end of a step."""

from __future__ import annotations

import dataclasses
import itertools

from lugha.integrations.step_plan import Moment, Plan, plan_for

FIELDS = [field.name for field in dataclasses.fields(Moment)]
MOMENTS = [Moment(*values) for values in itertools.product((False, True), repeat=len(FIELDS))]


def is_safe_after(moment: Moment, plan: Plan, *, best: bool) -> bool:
    """Whether a checkpoint of the step stands when the plan is done, whatever the evaluation said."""
    save = best if moment.best_only and plan.evaluate else plan.save
    return moment.saved or plan.save_first or save


def test_what_is_to_be_saved_is_saved() -> None:
    for moment in MOMENTS:
        plan = plan_for(moment)
        if moment.save_wanted or moment.stopping:
            assert is_safe_after(moment, plan, best=False), moment


def test_no_long_evaluation_stands_between_a_step_and_its_checkpoint() -> None:
    for moment in MOMENTS:
        plan = plan_for(moment)
        if plan.evaluate and not moment.evaluation_is_short:
            assert plan.save_first or moment.saved, moment


def test_a_save_that_nothing_must_follow_comes_first() -> None:
    for moment in MOMENTS:
        plan = plan_for(moment)
        if plan.evaluate and moment.save_wanted and not moment.best_is_tracked:
            assert plan.save_first or moment.saved, moment
            assert not plan.save, moment


def test_who_stops_does_not_evaluate() -> None:
    assert not any(plan_for(moment).evaluate for moment in MOMENTS if moment.stopping)


def test_nothing_is_saved_twice_without_need() -> None:
    for moment in MOMENTS:
        plan = plan_for(moment)
        assert not (plan.save_first and moment.saved), moment
        if plan.save and (moment.saved or plan.save_first):
            assert plan.evaluate and moment.best_is_tracked, moment


def test_the_best_is_recorded_after_the_evaluation() -> None:
    for moment in MOMENTS:
        plan = plan_for(moment)
        if plan.evaluate and moment.best_is_tracked and moment.save_wanted:
            assert plan.save, moment


def test_nothing_happens_unasked() -> None:
    quiet = Moment(**dict.fromkeys(FIELDS, False))
    assert plan_for(quiet) == Plan(save_first=False, evaluate=False, save=False)
