"""Which texts resemble each other, side by side, and what leaks into an evaluation set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from lugha.corpus.likeness import Likeness, are_among, find_likeness
from tests.corpus.small_corpus import documents, pairs

LONG = "Mkulima anauza samaki na mkate sokoni kila siku ya Jumatatu"
ENGLISH = "The farmer sells fish and bread at the market every Monday"


def find(rows: pl.DataFrame, folder: Path, *, groups: list[int] | None = None, threshold: float = 0.8) -> Likeness:
    splits = rows["split"].to_numpy()
    return find_likeness(
        lambda: [rows[:2], rows[2:]],
        "documents" if "text" in rows.columns else "pairs",
        sets={"test": splits == "test", "validation": splits == "validation"},
        groups=None if groups is None else np.array(groups),
        threshold=threshold,
        scratch=folder,
    )


def rows_of(flags: np.ndarray) -> list[int]:
    return np.flatnonzero(flags).tolist()


def test_leaks_are_exact_or_near_and_named_by_set(tmp_path: Path) -> None:
    texts = [LONG, "Ndiyo", LONG + "!", LONG + " leo", "ndiyo", "Mwalimu anasoma", "???", "???"]
    rows = documents(texts, split=["test", "validation", "train", "auto", "train", "train", "test", "train"])
    found = find(rows, tmp_path)
    assert (rows_of(found.leaks["test"].exact), rows_of(found.leaks["test"].near)) == ([2], [2, 3])
    assert (rows_of(found.leaks["validation"].exact), rows_of(found.leaks["validation"].near)) == ([4], [4])
    assert rows_of(found.leaks["test"].any) == [2, 3]
    assert found.linked.shape == (0, 2)
    assert found.digests.shape == (8, 1)
    assert found.digests[[6, 7], 0].tolist() == [0, 0]


def test_one_side_is_enough_in_any_direction_and_on_any_side(tmp_path: Path) -> None:
    sides = [(ENGLISH, LONG), (ENGLISH, "Mfugaji"), ("A goat", LONG), ("Otu mmadụ", ENGLISH), ("Ewu", ENGLISH), (LONG, "x")]
    rows = pairs(
        sides,
        source_lang=["eng", "eng", "eng", "ibo", "ibo", "eng"],
        target_lang=["swh", "swh", "swh", "eng", "hau", "swh"],
        split=["test", *["train"] * 5],
    )
    # the English text labelled hau, and the Swahili one labelled eng, are texts of another language
    assert rows_of(find(rows, tmp_path).leaks["test"].exact) == [1, 2, 3]


def test_links_join_groups_outside_of_the_evaluation_sets(tmp_path: Path) -> None:
    texts = [LONG, LONG + " leo", LONG + "!", "Mwalimu anasoma kitabu", LONG + " kesho"]
    rows = documents(texts, split=["auto", "auto", "train", "auto", "test"])
    found = find(rows, tmp_path, groups=[0, 0, 1, 2, 3])
    assert found.linked.tolist() == [[0, 2], [1, 2]]
    assert rows_of(found.leaks["test"].near) == [0, 1, 2]
    assert find(rows, tmp_path, groups=[0, 0, 0, 1, 2]).linked.shape == (0, 2)
    assert find(rows, tmp_path, groups=[0, 0, 1, 2, 3], threshold=1.0).linked.tolist() == [[0, 2]]


def test_repeated_test_lines_do_not_hide_others(tmp_path: Path) -> None:
    """More equal lines than a bucket shows are one reference; the different one after them is still found."""
    other = LONG + " asubuhi na mapema sana"
    texts = [LONG] * 30 + [other, other + " leo"]
    rows = documents(texts, split=["test"] * 31 + ["train"])
    assert rows_of(find(rows, tmp_path).leaks["test"].near) == [31]


def test_nothing_to_compare(tmp_path: Path) -> None:
    rows = pairs([("a b c", "d e f")] * 3, split="train")
    found = find(rows, tmp_path)
    assert not found.leaks["test"].any.any()
    assert found.digests.shape == (3, 2)
    assert list(tmp_path.iterdir()) == []  # no pass over the texts was made


def test_are_among() -> None:
    table = np.array([[1, 0], [7, 3]], np.uint64)
    assert are_among(table, np.array([3, 0, 1], np.uint64)).tolist() == [[True, False], [False, True]]
    assert not are_among(table, np.zeros(0, np.uint64)).any()
