"""The division of automatic rows by component: shares, bounds, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.corpus.division import AUTO, TEST, TRAIN, VALIDATION, Rows, assign, draw
from lugha.errors import InputError
from lugha.recipe.corpus_sections import SplitSection

TENTH = SplitSection(validation=0.1, test=0.1)


def rows(groups: list[int], *, fixed: list[int] | None = None, language: list[int] | None = None, seed: int = 1) -> Rows:
    count = len(groups)
    return Rows(
        fixed=np.array(fixed or [AUTO] * count, np.int8),
        group=np.array(groups),
        language=np.array(language or [0] * count),
        ticket=np.random.default_rng(seed).integers(0, 2**63, count, np.uint64),
        languages=["eng-ibo", "eng-swh"],
    )


def divide(made: Rows, *, leaking: list[int] = [], section: SplitSection = TENTH) -> np.ndarray:  # noqa: B006
    return assign(made, made.group, np.isin(np.arange(len(made.group)), leaking), section)


def counts(assigned: np.ndarray) -> list[int]:
    return np.bincount(assigned, minlength=3).tolist()


def test_shares_are_met_by_whole_groups() -> None:
    made = rows(np.repeat(np.arange(100), 10).tolist())
    assigned = divide(made)
    assert counts(assigned) == [800, 100, 100]
    assert len({(group, split) for group, split in zip(made.group, assigned, strict=True)}) == 100
    other = divide(rows(made.group.tolist(), seed=2))
    assert counts(other) == [800, 100, 100]
    assert not np.array_equal(assigned, other)


def test_no_share_leaves_all_in_train_however_few_groups() -> None:
    assert counts(divide(rows([0, 0, 0]), section=SplitSection(validation=0, test=0))) == [3, 0, 0]


def test_fixed_rows_go_where_they_belong_and_bind_their_group() -> None:
    groups = [0, 0, 1, 2, 3, 4, 5, 5]
    assigned = divide(rows(groups, fixed=[TEST, AUTO, TRAIN, VALIDATION, AUTO, AUTO, AUTO, AUTO]))
    assert assigned[:4].tolist() == [TEST, TRAIN, TRAIN, VALIDATION]
    assert set(assigned[4:6].tolist()) == {TEST, VALIDATION}  # the smallest free groups
    assert assigned[6:].tolist() == [TRAIN, TRAIN]


def test_a_leaking_group_stays_in_train() -> None:
    made = rows([0, 1, 2, 3, 3, 3])
    assigned = divide(made, leaking=[1])
    assert assigned[1] == TRAIN
    assert counts(assigned[[0, 2]]) == [0, 1, 1]


def test_a_group_larger_than_the_share_goes_to_train() -> None:
    made = rows([0] * 50 + list(range(1, 51)))
    assert divide(made)[:50].tolist() == [TRAIN] * 50
    assert counts(divide(made)) == [80, 10, 10]


def test_max_rows_bounds_both_splits() -> None:
    made = rows(np.repeat(np.arange(100), 10).tolist())
    assert counts(divide(made, section=SplitSection(validation=0.1, test=0.1, max_rows=35))) == [940, 30, 30]


def test_each_language_has_its_share() -> None:
    made = rows(list(range(1100)), language=[0] * 100 + [1] * 1000)
    assigned = divide(made)
    assert counts(assigned[:100]) == [80, 10, 10]
    assert counts(assigned[100:]) == [800, 100, 100]


@pytest.mark.parametrize("section", [TENTH, SplitSection(validation=0.1, test=0)])
def test_too_few_groups_are_refused_with_the_mend(section: SplitSection) -> None:
    needed = 1 + sum(share > 0 for share in (section.test, section.validation))
    with pytest.raises(InputError) as error:
        divide(rows([0, 1][: needed - 1] * 4), section=section)
    message = str(error.value)
    assert f"rows of eng-ibo with split auto are {needed - 1} document group(s) that cannot be cut, but {needed}" in message
    assert "group_lines" in message
    assert "\n" not in message
    assert len(set(divide(rows([0, 1, 2][:needed]), section=section))) == needed


def test_groups_that_hang_together_are_refused_with_the_reason() -> None:
    made = rows([0, 1, 2, 3, 4, 5])
    component = np.array([0, 0, 0, 0, 0, 1])
    with pytest.raises(InputError, match="similar texts or fixed rows leave 2 of them free"):
        assign(made, component, np.zeros(6, bool), TENTH)


def test_fixed_training_rows_free_the_last_group() -> None:
    assert counts(divide(rows([0, 1, 2, 2], fixed=[AUTO, AUTO, TRAIN, TRAIN]))) == [2, 1, 1]


@given(
    st.lists(st.integers(1, 30), min_size=3, max_size=30),
    st.floats(0.01, 0.3),
    st.floats(0.01, 0.3),
    st.integers(0, 1),
)
def test_draw_gives_each_split_a_component_and_no_more_than_its_share(
    sizes: list[int], test: float, validation: float, reserve: int
) -> None:
    wanted = {TEST: test * sum(sizes), VALIDATION: validation * sum(sizes)}
    chosen = draw(sizes, wanted, reserve)
    assert set(chosen.values()) == set(wanted)
    assert len(chosen) <= len(sizes) - reserve
    for split, most in wanted.items():
        parts = [sizes[place] for place, to in chosen.items() if to == split]
        assert sum(parts) <= most or len(parts) == 1
