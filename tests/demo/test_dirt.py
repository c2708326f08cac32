"""Planted dirt: each kind is what it says, the key tells the truth, and clean rows stay clean."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter

import pytest

from lugha.corpus.langid import judge
from lugha.demo.dirt import FOREIGN, INVISIBLE, MENDS, NEAR_COPY, SHARES, Planted, mojibake, plant
from lugha.demo.language import IGBO, LANGUAGES
from lugha.demo.sampling import Pair, Sampler, similarity

Dirty = tuple[list[Pair], list[Pair], list[Planted]]


@pytest.fixture(scope="module", params=list(LANGUAGES))
def dirty(request: pytest.FixtureRequest) -> Dirty:
    sentences = Sampler(LANGUAGES[request.param], random.Random(5)).take(1500, "train")
    pairs = [s.pair for s in sentences]
    rows, planted = plant(pairs, random.Random(6))
    return pairs, rows, planted


def of(dirty: Dirty, *kinds: str) -> list[tuple[Pair, Planted]]:
    """(the row as it stands, its entry in the key)"""
    found = [(dirty[1][entry.row - 1], entry) for entry in dirty[2] if entry.kind in kinds]
    assert found or kinds == ("nfd",)
    return found


def test_rows_without_an_entry_are_the_clean_pairs_in_their_order(dirty: Dirty) -> None:
    pairs, rows, planted = dirty
    touched = {entry.row for entry in planted}
    untouched = [row for number, row in enumerate(rows, start=1) if number not in touched]
    damaged = {entry.clean for entry in planted if entry.original is None}
    assert untouched == [pair for pair in pairs if pair not in damaged]
    assert len(rows) == len(pairs) + sum(entry.original is not None for entry in planted)


def test_six_to_nine_per_cent_of_the_rows_are_dirty_of_every_kind(dirty: Dirty) -> None:
    _, rows, planted = dirty
    counts = Counter(entry.kind for entry in planted)
    assert 0.06 <= len(planted) / len(rows) <= 0.09
    wanted = {kind: round(share * 1500) for kind, share in SHARES.items()}
    if counts["nfd"] == 0:  # plain ASCII has no other form
        del wanted["nfd"]
    assert counts == wanted
    assert set(MENDS) == set(SHARES)


def test_the_key_is_in_the_order_of_rows_and_holds_each_row_once(dirty: Dirty) -> None:
    numbers = [entry.row for entry in dirty[2]]
    assert numbers == sorted(set(numbers))


def test_mojibake_can_be_undone(dirty: Dirty) -> None:
    for row, entry in of(dirty, "mojibake_macroman"):
        assert row.text.encode("mac_roman").decode() == entry.clean.text.replace(
            "'", "’" if entry.clean.text.isascii() else "'"
        )
    for row, entry in of(dirty, "mojibake_cp1252"):
        read = b"".join(c.encode("cp1252") if not 0x80 <= ord(c) < 0xA0 else bytes([ord(c)]) for c in row.text)
        assert read.decode().replace("’", "'") == entry.clean.text
        assert row.text != entry.clean.text


def test_mojibake_of_a_byte_without_a_character_is_its_control_and_of_both_sides_happens() -> None:
    assert mojibake("ọ", "cp1252") == "á»\x8d"
    assert mojibake("ụ", "mac_roman") == "·ª•"
    pairs = [s.pair for s in Sampler(IGBO, random.Random(5)).take(3000, "train")]
    rows, planted = plant(pairs, random.Random(6))
    english = [rows[e.row - 1].english != e.clean.english for e in planted if e.kind.startswith("mojibake")]
    assert True in english
    assert False in english


def test_repairable_dirt_is_in_the_form_and_not_in_the_words(dirty: Dirty) -> None:
    for row, entry in of(dirty, "nfd"):
        assert unicodedata.normalize("NFC", row.text) == entry.clean.text != row.text
    for row, entry in of(dirty, "invisible"):
        assert row != entry.clean
        for side, clean in zip((row.text, row.english), (entry.clean.text, entry.clean.english), strict=True):
            assert "".join(c for c in side if c not in INVISIBLE) == clean
    for row, entry in of(dirty, "apostrophe"):
        assert "'" not in row.text
        assert len(row.text) == len(entry.clean.text)


def test_spoilt_rows_are_spoilt(dirty: Dirty) -> None:
    for row, _ in of(dirty, "blank_side"):
        assert [not side.strip() for side in (row.text, row.english)].count(True) == 1
    for row, entry in of(dirty, "swapped_sides"):
        assert (row.text, row.english) == (entry.clean.english, entry.clean.text)
        assert min(len(row.text.split()), len(row.english.split())) >= 6
    for row, _ in of(dirty, "wrong_language"):
        assert [side in FOREIGN for side in (row.text, row.english)].count(True) == 1
    for row, _ in of(dirty, "markup"):
        assert "<" in row.text + row.english


def test_copies_stand_behind_a_clean_original_and_are_as_alike_as_they_say(dirty: Dirty) -> None:
    _, rows, planted = dirty
    touched = {entry.row for entry in planted}
    for row, entry in of(dirty, "duplicate", "near_duplicate"):
        assert entry.original is not None
        assert entry.original < entry.row
        assert entry.original not in touched
        assert rows[entry.original - 1] == entry.clean
        if entry.kind == "duplicate":
            assert row == entry.clean
        else:
            assert similarity(row, entry.clean) >= NEAR_COPY
            assert row != entry.clean


@pytest.mark.parametrize("sentence", FOREIGN)
def test_a_foreign_sentence_is_long_enough_to_be_known_as_foreign(sentence: str) -> None:
    assert len(sentence.split()) >= 6
    assert [judge(sentence, code) for code in ("eng", "ibo", "swh")] == ["wrong"] * 3


def test_the_same_seed_plants_the_same() -> None:
    pairs = [s.pair for s in Sampler(IGBO, random.Random(5)).take(400, "train")]
    assert plant(pairs, random.Random(1)) == plant(pairs, random.Random(1))
    assert plant(pairs, random.Random(1)) != plant(pairs, random.Random(2))
