"""Clusters: from pairs of similar rows to connected components, and to the choice of the rows that stay.

    pairs (0, 3), (3, 5), (1, 4)   ->   components  [0, 1, 2, 0, 1, 0]   (the lowest row of each)

Similarity is not transitive: in a chain a~b~c the ends may differ. Splitting must keep the whole component together;
removal must not, so `choose_keepers` drops a row only for a row that stays and that is similar to it *itself*.
Both are linear in the number of pairs; rows without a pair cost one number in an array.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lugha.corpus.shingles import I64


def components(pairs: I64, count: int) -> I64:
    """For each of the rows 0..count-1 the lowest row of its connected component; `pairs` (P, 2) are the edges.

    Union-find with path halving; the lower root wins, so a root is always the lowest row.
    """
    rows, edges = np.unique(pairs, return_inverse=True)
    parent = list(range(len(rows)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges.reshape(-1, 2).tolist():
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    labels = np.arange(count)
    labels[rows] = rows[[root(node) for node in parent]]
    return labels


def choose_keepers(pairs: I64, protected: NDArray[np.bool_]) -> I64:
    """For each row the row that stays in its place: itself, or a lower row that is a neighbour of it and stays.

    Rows are decided in ascending order, so the lowest row of a component always stays, and a row at the end of a chain
    stays when every neighbour of it went.

    Args:
        pairs: (P, 2) similar rows, each verified.
        protected: (N,) rows that stay whatever they resemble.

    Returns:
        (N,) the keeper of each row.
    """
    edges = np.sort(pairs, axis=1)
    edges = edges[np.lexsort((edges[:, 0], edges[:, 1]))]
    keeper: dict[int, int] = {}
    for low, high in edges[~protected[edges[:, 1]]].tolist():
        if low not in keeper and high not in keeper:
            keeper[high] = low
    keepers = np.arange(len(protected))
    keepers[list(keeper)] = list(keeper.values())
    return keepers
