"""Fertility: counts that can be checked by hand."""

from __future__ import annotations

import unicodedata

import pytest

from lugha.tokens.fertility import Fertility, measure_fertility
from lugha.tokens.special import special_tokens
from lugha.tokens.style import Style, choose_alphabet, train_bytes, train_metaspace
from tests.tokens.texts import in_both_forms, made_lines, made_tokenizer

STYLES: list[Style] = ["bytes", "metaspace"]


def test_rates_follow_from_counts() -> None:
    fertility = Fertility(texts=1, words=4, bytes=30, tokens=6, byte_split_words=1, unknown_tokens=0)
    rates = (fertility.tokens_per_word, fertility.bytes_per_token, fertility.byte_split_share)
    assert rates == (1.5, 5.0, 0.25)
    assert fertility.as_dict()["tokens_per_word"] == 1.5


def test_no_words_is_no_division_by_zero() -> None:
    nothing = Fertility(0, 0, 0, 0, 0, 0)
    assert (nothing.tokens_per_word, nothing.bytes_per_token, nothing.byte_split_share) == (0.0, 0.0, 0.0)


def test_counts_of_words_that_are_known_and_of_one_that_is_not() -> None:
    lines = ["maji maji moto"] * 20
    alphabet = choose_alphabet([lines], 1, 50)
    metaspace = train_metaspace([lines], 400, 1, special_tokens([]), alphabet)
    known = measure_fertility(metaspace, [("swh", "maji moto")])["swh"]
    assert known == Fertility(texts=1, words=2, bytes=9, tokens=2, byte_split_words=0, unknown_tokens=0)
    with_emoji = measure_fertility(metaspace, [("swh", "maji 😀"), ("swh", "moto 😀")])["swh"]
    assert with_emoji == Fertility(texts=2, words=4, bytes=18, tokens=12, byte_split_words=2, unknown_tokens=0)


def test_an_ascii_sign_outside_the_alphabet_is_a_whole_character() -> None:
    lines = ["maji moto"] * 20
    metaspace = train_metaspace([lines], 400, 1, special_tokens([]), choose_alphabet([lines], 1, 50))
    assert measure_fertility(metaspace, [("swh", "maji 7")])["swh"].byte_split_words == 0


def test_bytes_style_splits_letters_that_no_merge_joined() -> None:
    tokenizer = train_bytes([["maji moto"] * 20], 400, 1, special_tokens([]))
    measured = measure_fertility(tokenizer, [("ibo", "ụlọ maji")])["ibo"]
    assert measured.byte_split_words == 1
    assert measured.words == 2


def test_languages_are_measured_apart_and_sorted() -> None:
    measured = measure_fertility(made_tokenizer("bytes"), [("swh", "a b"), ("ibo", "c"), ("swh", "d")])
    assert {code: (f.texts, f.words) for code, f in measured.items()} == {"ibo": (1, 1), "swh": (2, 3)}
    assert list(measured) == ["ibo", "swh"]


@pytest.mark.parametrize("style", STYLES)
def test_tokens_are_those_of_the_whole_texts(style: Style) -> None:
    lines = in_both_forms(made_lines(50, seed=3))
    tokenizer = made_tokenizer(style)
    measured = measure_fertility(tokenizer, (("mul", line) for line in lines))["mul"]
    assert measured.tokens == sum(len(tokenizer.encode(line, add_special_tokens=False).ids) for line in lines)
    assert measured.bytes == sum(len(line.encode()) for line in lines)
    assert measured.words == sum(len(line.split()) for line in lines)


@pytest.mark.parametrize("style", STYLES)
def test_text_that_was_not_composed_costs_more(style: Style) -> None:
    lines = made_lines(90)
    composed, apart = (
        measure_fertility(made_tokenizer(style), [("yor", unicodedata.normalize(form, line)) for line in lines])["yor"]
        for form in ("NFC", "NFD")
    )
    assert apart.tokens_per_word > 1.5 * composed.tokens_per_word
