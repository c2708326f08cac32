"""Each failure is counted where it is, and only there; rows that cannot be judged are in no denominator."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.evaluation.degenerate import Rate, bare, check_outputs, is_repetitive
from lugha.evaluation.score_files import read_lines


@pytest.mark.parametrize(
    "text",
    [
        "na eme ya ebe na eme ya ebe na eme ya ebe",
        "Ng'ambo ya ng'ambo ya ng'ambo ya ng'ambo ya ng'ambo",
        "habari habari habari habari habari leo",
        "akwụkwọna" * 3,  # no blanks: nine characters, three times
        "* * * * * * *",
    ],
)
def test_loops_are_seen(text: str) -> None:
    assert is_repetitive(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Polepole ndio mwendo, haraka haraka haina baraka.",
        "Ọ bụ ya, ọ bụ ya, ka anyị na-achọ.",
        "Habari habari habari",
        "Kila mtu ana haki ya kuishi, kila mtu ana haki ya kusema.",
        "Ha ha ha ha ha, alicheka mzee yule wa kijiji",
    ],
)
def test_ordinary_repetition_is_not_a_loop(text: str) -> None:
    assert not is_repetitive(text)


@given(st.text(max_size=60))
def test_a_text_is_the_bare_copy_of_itself_in_any_form(text: str) -> None:
    assert bare(unicodedata.normalize("NFD", text)) == bare(unicodedata.normalize("NFC", text))
    assert bare(f" «{text}» !") == bare(text)


def test_copies() -> None:
    sources = ["The cow drinks water.", "Abuja", "...", "Good morning"]
    hypotheses = ["the cow drinks WATER", "Abuja", "...", "Ụtụtụ ọma"]
    references = ["Ehi na-aṅụ mmiri.", "Abuja", "...", "Ụtụtụ ọma"]
    with_references = check_outputs(hypotheses, sources=sources, references=references)
    assert with_references.copied == Rate(count=1, of=2), "a name translates to itself, and dots say nothing"
    assert check_outputs(hypotheses, sources=sources).copied == Rate(count=2, of=3)


def test_dots_are_letters_not_accents() -> None:
    assert check_outputs(["oku"], sources=["ọkụ"]).copied == Rate(count=0, of=1)


def test_wrong_language_judges_rows_of_four_words_or_more() -> None:
    hypotheses = [
        "Watoto wanasoma vitabu vyao shuleni kila siku asubuhi.",
        "The children read their books at school every morning.",
        "Good morning, friend.",
    ]
    found = check_outputs(hypotheses, lang="swa", source_lang="en").wrong_language
    assert found == Rate(count=1, of=2)


def test_empty_and_length() -> None:
    found = check_outputs(["", " \t", "abcd"], references=["abcd", "abcd", "abcd"])
    assert found.empty == Rate(count=2, of=3)
    assert found.length_ratio == pytest.approx(6 / 12)
    assert found.copied is found.wrong_language is None
    assert check_outputs(["a"], references=[""]).length_ratio is None


def test_a_rate_of_nothing_is_not_zero() -> None:
    assert Rate(count=0, of=0).share is None
    assert str(Rate(count=0, of=0)) == "not judged"
    assert str(Rate(count=3, of=1200)) == "0.2 % (3 of 1,200)"


def test_unequal_rows_are_refused() -> None:
    with pytest.raises(InputError, match="2 hypotheses for 1 sources"):
        check_outputs(["a", "b"], sources=["a"])


@pytest.mark.corpora
def test_human_translations_are_nearly_free_of_failures(corpora: Path) -> None:
    """A rule that fires on references would measure nothing. (Six lines of the Swahili test set are in other languages.)"""
    for pair, lang in (("en-ibo/test.ibo", "ibo"), ("en-swa/test.swa", "swh"), ("en-swa/test.en", "eng")):
        found = check_outputs(read_lines(corpora / "mafand-mt" / pair), lang=lang)
        for rate in (found.empty, found.repetition, found.wrong_language):
            assert rate is not None
            assert rate.share is not None
            assert rate.share <= 0.004, (pair, rate)
