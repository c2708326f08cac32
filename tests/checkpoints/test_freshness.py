"""Age of the newest state that is not verified."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.freshness import Freshness


def test_age_counts_from_the_first_submit_that_is_newer_than_what_is_verified() -> None:
    fresh = Freshness()
    assert fresh.age(100.0) == 0.0
    for number, now in ((1, 10.0), (2, 20.0), (3, 30.0)):
        fresh.submitted(number, now)
    assert fresh.age(35.0) == 25.0
    fresh.verified(2)
    assert fresh.age(35.0) == 5.0
    fresh.verified(1)
    assert fresh.age(35.0) == 5.0
    fresh.verified(3)
    assert fresh.age(35.0) == 0.0


EVENTS = st.lists(st.one_of(st.just("submit"), st.integers(0, 30)), max_size=60)


@given(events=EVENTS)
def test_age_is_that_of_its_definition(events: list[str | int]) -> None:
    """Submits at one second each; an integer verifies one of them."""
    fresh, submitted, verified, now = Freshness(), {}, set(), 0.0
    for event in events:
        now += 1.0
        if event == "submit":
            submitted[len(submitted) + 1] = now
            fresh.submitted(len(submitted), now)
        elif event in submitted:
            verified.add(event)
            fresh.verified(event)  # type: ignore[arg-type]
        newer = [when for number, when in submitted.items() if number > max(verified, default=0)]
        assert fresh.age(now) == (now - min(newer) if newer else 0.0)
