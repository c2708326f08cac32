"""Preference scores: right on cases that can be counted by hand, ties and unmeasured pairs, intervals over prompts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.evaluation.preference import accuracy_gain, score_preferences

NAN = float("nan")


def test_the_figures_are_those_counted_by_hand() -> None:
    log_probs = np.array([[-1.0, -2.0], [-9.0, -4.0], [-3.0, -3.0], [-8.0, -9.0]])
    lengths = np.array([[1, 2], [9, 1], [1, 3], [2, 1]])
    reference = np.array([[-1.0, -3.0], [-9.0, -3.0], [-3.0, -3.0], [-9.0, -9.0]])
    found = score_preferences(log_probs, lengths, np.arange(4), reference=reference)
    assert (found.pairs, found.prompts) == (4, 4)
    assert found.accuracy.value == 2 / 4  # pairs 0 and 3; a tie is no preference
    assert found.accuracy_per_token.value == 2 / 4  # -1 and -1 tie; -1 > -4 and -4 > -9
    assert found.reward_accuracy is not None
    assert found.margin is not None
    assert found.reward_accuracy.value == 2 / 4  # margins -1, 1, 0, 1
    assert found.margin.value == 1 / 4


def test_without_a_reference_there_are_no_rewards() -> None:
    found = score_preferences(np.array([[-1.0, -2.0]]), np.array([[1, 1]]), np.array([0]), bootstrap=0)
    assert (found.reward_accuracy, found.margin, found.accuracy.low) == (None, None, None)
    assert str(found.accuracy) == "1.000"


def test_pairs_that_were_not_measured_are_left_out() -> None:
    log_probs = np.array([[-1.0, -2.0], [NAN, NAN], [-2.0, -1.0]])
    found = score_preferences(log_probs, np.ones((3, 2), int), np.array([0, 1, 2]))
    assert (found.pairs, found.prompts, found.accuracy.value) == (2, 2, 0.5)
    with pytest.raises(InputError, match="No preference to score"):
        score_preferences(log_probs[1:2], np.ones((1, 2), int), np.array([0]))


@given(st.lists(st.tuples(st.floats(-50, 0), st.floats(-50, 0), st.integers(0, 5)), min_size=1, max_size=40))
def test_swapping_the_answers_turns_the_accuracy_round(pairs: list[tuple[float, float, int]]) -> None:
    log_probs, prompts = np.array([p[:2] for p in pairs]), np.array([p[2] for p in pairs])
    lengths = np.ones((len(pairs), 2), int)
    forward = score_preferences(log_probs, lengths, prompts, reference=np.zeros_like(log_probs), bootstrap=50)
    backward = score_preferences(log_probs[:, ::-1], lengths, prompts, reference=np.zeros_like(log_probs), bootstrap=50)
    ties = float((log_probs[:, 0] == log_probs[:, 1]).mean())
    assert forward.accuracy.value + backward.accuracy.value == pytest.approx(1 - ties)
    assert forward.margin is not None
    assert backward.margin is not None
    assert forward.margin.value == pytest.approx(-backward.margin.value)
    assert forward.margin.low is not None
    assert forward.margin.high is not None
    assert forward.margin.low <= forward.margin.high
    assert forward.reward_accuracy == forward.accuracy


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 200 samples of 60 prompts with 3 dependent pairs each, the 95 % interval holds the true 0.6 in 90 % or more."""
    rng = np.random.default_rng(1)
    covered = over_pairs = 0
    for _ in range(200):
        lean = rng.beta(1.2, 0.8, 60)  # mean 0.6: prompts differ in how easy they are
        right = rng.random((60, 3)) < lean[:, None]
        log_probs = np.stack([right.ravel(), ~right.ravel()], axis=1).astype(float)
        lengths, prompts = np.ones((180, 2), int), np.repeat(np.arange(60), 3)
        for kind, clusters in (("prompts", prompts), ("pairs", np.arange(180))):
            one = score_preferences(log_probs, lengths, clusters, bootstrap=200).accuracy
            assert one.low is not None
            assert one.high is not None
            covered += kind == "prompts" and one.low <= 0.6 <= one.high
            over_pairs += kind == "pairs" and one.low <= 0.6 <= one.high
    assert covered >= 180
    assert over_pairs < covered  # pairs taken for independent would promise too much


def test_the_gain_is_paired() -> None:
    before = np.array([[-1.0, -2.0], [-3.0, -2.0], [-3.0, -2.0], [-1.0, -2.0]])
    after = np.array([[-1.0, -2.0], [-1.0, -2.0], [-3.0, -2.0], [-1.0, -2.0]])
    gain = accuracy_gain(after, before, np.arange(4))
    assert gain.value == 0.25
    assert gain.low == 0.0
    same = accuracy_gain(before, before, np.arange(4))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
