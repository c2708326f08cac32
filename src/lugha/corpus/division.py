"""How the automatic rows of a corpus are divided: by component, by chance with a seed, and never by row.

A component is a set of document groups that hang together through similar texts; it goes to one split as a whole. Within each
language (or direction), components are drawn in the order of their tickets: each evaluation split gets a first one, then
those that still fit into its share. A component larger than the share goes to train, as does every component that holds a
row which is not automatic or which leaks into an evaluation set.

Pure functions on arrays of one number a row; `split` reads the rows and writes the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lugha.corpus.shards import SPLITS
from lugha.corpus.shingles import I64, U64
from lugha.errors import InputError
from lugha.recipe.corpus_sections import SplitSection

TRAIN, VALIDATION, TEST = range(len(SPLITS))
AUTO = len(SPLITS)


@dataclass(frozen=True)
class Rows:
    """What the division depends on, one number for each row of the corpus.

    fixed: number of the split in SPLITS, or AUTO.
    group: number of the document group.
    language: number in `languages`: of a document its language, of a pair its direction ("eng-ibo").
    ticket: seeded hash of the row's id.
    """

    fixed: NDArray[np.int8]
    group: I64
    language: I64
    ticket: U64
    languages: list[str]


def assign(rows: Rows, component: I64, leaking: NDArray[np.bool_], section: SplitSection) -> NDArray[np.int8]:
    """Give each row its split: the fixed one, or that of its component.

    Args:
        component: (N,) number of the component of each row; rows of one group have the same.
        leaking: (N,) rows that share a text with a fixed evaluation set.

    Raises:
        InputError: the automatic rows of a language consist of too few components.
    """
    is_auto = rows.fixed == AUTO
    assigned = np.where(is_auto, TRAIN, rows.fixed).astype(np.int8)
    shares = {split: share for split, share in ((TEST, section.test), (VALIDATION, section.validation)) if share > 0}
    if not shares or not is_auto.any():
        return assigned

    members = np.flatnonzero(is_auto)
    numbers, first, index, sizes = np.unique(component[members], return_index=True, return_inverse=True, return_counts=True)
    first = members[first]
    bound = np.isin(numbers, component[~is_auto | leaking])
    chosen = np.full(len(numbers), TRAIN, np.int8)
    for language, name in enumerate(rows.languages):
        of_language = np.flatnonzero(rows.language[first] == language)
        if not len(of_language):
            continue
        free = of_language[~bound[of_language]]
        free = free[np.argsort(rows.ticket[first[free]], kind="stable")]
        has_train = len(free) < len(of_language) or bool(((rows.language == language) & (rows.fixed == TRAIN)).any())
        reserve = 0 if has_train else 1
        total = int(sizes[of_language].sum())
        if len(free) < len(shares) + reserve:
            groups = len(np.unique(rows.group[members[rows.language[members] == language]]))
            raise _too_few(name, total, groups, len(free), len(shares) + reserve)
        wanted = {split: total * min(share, section.max_rows / len(members)) for split, share in shares.items()}
        for place, split in draw(sizes[free].tolist(), wanted, reserve).items():
            chosen[free[place]] = split
    assigned[members] = chosen[index]
    return assigned


def _too_few(language: str, rows: int, groups: int, free: int, needed: int) -> InputError:
    what = f"the {rows} rows of {language} with split auto are {groups} document group(s) that cannot be cut"
    if groups >= needed:
        what += f", and similar texts or fixed rows leave {free} of them free to move"
    return InputError(
        f"{what}, but {needed} are needed: set group_lines (or a group column) on the source, or give validation and "
        "test sources of their own and set corpus.split.validation and corpus.split.test to 0."
    )


def draw(sizes: Sequence[int], wanted: Mapping[int, float], reserve: int) -> dict[int, int]:
    """Choose components for the evaluation splits.

    Args:
        sizes: rows of each component, in the order of the draw; at least len(wanted) + reserve of them.
        wanted: split -> rows it should have at most; a first component may exceed it.
        reserve: how many components at least are left over, for train.

    Returns:
        place in `sizes` -> split.
    """
    chosen: dict[int, int] = {}
    taken = dict.fromkeys(wanted, 0)

    def take(place: int, split: int) -> None:
        chosen[place] = split
        taken[split] += sizes[place]

    for split, most in wanted.items():
        left = [place for place in range(len(sizes)) if place not in chosen]
        take(next((p for p in left if sizes[p] <= most), min(left, key=lambda p: sizes[p])), split)
    for place, size in enumerate(sizes):
        if place not in chosen and len(chosen) < len(sizes) - reserve:
            # The split that is emptiest for its share goes first, so that small components do not all end in one.
            fitting = [split for split, most in wanted.items() if taken[split] + size <= most]
            if fitting:
                take(place, min(fitting, key=lambda split: taken[split] / wanted[split]))
    return chosen
