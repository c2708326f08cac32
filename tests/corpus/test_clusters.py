"""Components and keepers, against plain search on small graphs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lugha.corpus.clusters import choose_keepers, components

ROWS = 12
EDGES = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1)).filter(lambda e: e[0] != e[1]), max_size=25)


def graph(edges: list[tuple[int, int]]) -> np.ndarray:
    return np.array(edges, np.int64).reshape(-1, 2)


def test_a_chain_is_one_component_named_by_its_lowest_row() -> None:
    assert components(graph([(5, 3), (3, 0), (4, 1)]), 6).tolist() == [0, 1, 2, 0, 1, 0]
    assert components(graph([]), 3).tolist() == [0, 1, 2]


@given(EDGES)
def test_components_are_those_of_a_search(edges: list[tuple[int, int]]) -> None:
    reached = list(range(ROWS))
    for _ in range(ROWS):
        for a, b in edges:
            reached[a] = reached[b] = min(reached[a], reached[b])
    assert components(graph(edges), ROWS).tolist() == reached


def test_the_end_of_a_chain_stays_when_its_neighbour_went() -> None:
    nobody = np.zeros(4, bool)
    assert choose_keepers(graph([(0, 1), (1, 2), (2, 3)]), nobody).tolist() == [0, 0, 2, 2]


def test_protected_rows_stay_and_still_stand_for_others() -> None:
    protected = np.array([True, True, False])
    assert choose_keepers(graph([(0, 1), (1, 2)]), protected).tolist() == [0, 1, 1]


@given(EDGES, st.sets(st.integers(0, ROWS - 1)))
def test_a_row_goes_only_for_a_neighbour_that_stays_and_no_two_neighbours_stay(
    edges: list[tuple[int, int]], spared: set[int]
) -> None:
    protected = np.isin(np.arange(ROWS), list(spared))
    keepers = choose_keepers(graph(edges), protected).tolist()
    neighbours = set(edges) | {(b, a) for a, b in edges}
    stays = [row == keeper for row, keeper in enumerate(keepers)]
    assert all(stays[row] for row in spared)
    for row, keeper in enumerate(keepers):
        assert stays[keeper] and keeper <= row
        assert row == keeper or (row, keeper) in neighbours
    assert all(protected[max(a, b)] for a, b in edges if stays[a] and stays[b])
