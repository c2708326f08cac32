"""Dedup keys, hashed shingles and exact Jaccard similarity, against sets of strings."""

from __future__ import annotations

import unicodedata
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.corpus import shingles as module
from lugha.corpus.shingles import Batch, ShingleSets, dedup_key, key_batches, shingle_blocks, sorted_distinct
from tests.corpus.small_corpus import documents, jaccard, key, pairs, shingles

LETTERS = st.text("abọụṅkgnu'́̀ ,.5", max_size=40)
SIDE = [("text", pl.lit("x"))]


def keys_of(texts: list[str]) -> list[str]:
    return pl.DataFrame({"t": texts}).select(dedup_key(pl.col("t"))).to_series().to_list()


def one_batch(texts: list[str]) -> Batch:
    return next(key_batches([documents(texts)], SIDE))


def similarities(texts: list[str], folder: Path, n: int = 5) -> dict[tuple[int, int], float]:
    sets = ShingleSets(key_batches([documents(texts)], SIDE), n, folder / "sets.u64")
    pairs_of_rows = np.array(list(combinations(range(len(texts)), 2))).reshape(-1, 2)
    return dict(zip(map(tuple, pairs_of_rows.tolist()), sets.jaccard(pairs_of_rows).tolist(), strict=True))


def test_the_key_folds_case_punctuation_and_form_but_no_letter() -> None:
    assert keys_of(["Ọ BỤ ng'ombe!", "  a -- b…", "«—»", "E\u0301 5%"]) == ["ọ bụ ng ombe", "a b", "", "é 5"]
    assert keys_of(["ọkụ"]) != keys_of(["oku"])
    # ọ́ has no precomposed form: its tone is a mark of its own, and stays
    assert keys_of(["ọ\u0301"]) == ["ọ\u0301"]


@given(LETTERS)
def test_the_key_is_that_of_the_definition_in_any_form(text: str) -> None:
    forms = [text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]
    assert keys_of(forms) == [key(text)] * 3
    assert keys_of(keys_of([text])) == [key(text)]


@given(st.lists(LETTERS, min_size=2, max_size=6), st.integers(1, 6))
def test_jaccard_is_that_of_sets_of_strings(tmp_path_factory: pytest.TempPathFactory, texts: list[str], n: int) -> None:
    found = similarities(texts, tmp_path_factory.mktemp("sets"), n)
    assert found == {(a, b): jaccard(shingles(texts[a], n), shingles(texts[b], n)) for a, b in found}


def test_short_keys_equal_only_themselves_and_empty_keys_nothing(tmp_path: Path) -> None:
    found = similarities(["na", "Na.", "nab", "na b", "?", "!"], tmp_path)
    assert {ab for ab, similarity in found.items() if similarity} == {(0, 1)}
    assert found[0, 1] == 1.0


def test_a_long_text_is_cut_into_pieces_without_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = ["habari ya asubuhi " * 9, "sasa", "habari ya asubuhi " * 9 + "na jioni", "", "moja mbili tatu"]
    whole = similarities(texts, tmp_path)
    monkeypatch.setattr(module, "BLOCK_CHARS", 7)
    blocks = list(shingle_blocks(one_batch(texts), 5))
    assert max(len(hashes) for _, _, hashes in blocks) <= 2 * 7
    assert sum(len(hashes) for _, _, hashes in blocks) == sum(max(1, len(key(t)) - 4) for t in texts if t)
    assert similarities(texts, tmp_path) == whole
    monkeypatch.setattr(module, "_BLOCK_MEMBERS", 3)
    assert similarities(texts, tmp_path) == whole


def test_sides_of_a_pair_are_one_set_and_never_meet(tmp_path: Path) -> None:
    rows = pairs([("the white cow", "ng'ombe mweupe"), ("ng'ombe mweupe", "the white cow"), ("the white cow", "ng'ombe")])
    sides = [("source_text", pl.lit("eng")), ("target_text", pl.lit("swh"))]
    batch = next(key_batches([rows], sides))
    assert batch.keys[:2] == ["the white cow", "ng ombe mweupe"]
    found = ShingleSets([batch], 5, tmp_path / "sets").jaccard(np.array([[0, 1], [0, 2], [1, 1]]))

    def both(source: str, target: str) -> set[tuple[int, str]]:
        return {(0, s) for s in shingles(source)} | {(1, s) for s in shingles(target)}

    assert found.tolist() == [0.0, jaccard(both("the white cow", "ng'ombe mweupe"), both("the white cow", "ng'ombe")), 1.0]


def test_batches_number_the_rows_of_all_frames_and_skip_those_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = documents([f"text number {i}" for i in range(10)])
    take = np.arange(10) % 3 != 1
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    batches = list(key_batches([rows[:4], rows[4:4], rows[4:]], SIDE, take))
    assert [len(batch.rows) for batch in batches] == [2, 1, 2, 2]
    assert np.concatenate([batch.rows for batch in batches]).tolist() == np.flatnonzero(take).tolist()
    assert [k for batch in batches for k in batch.keys] == [f"text number {i}" for i in np.flatnonzero(take)]
    monkeypatch.setattr(module, "BATCH_CHARS", 1)
    assert [len(batch.rows) for batch in key_batches([rows], SIDE)] == [1] * 10


@given(st.lists(st.integers(0, 9)))
def test_sorted_distinct(values: list[int]) -> None:
    assert sorted_distinct(np.array(values, np.uint64)).tolist() == sorted(set(values))
