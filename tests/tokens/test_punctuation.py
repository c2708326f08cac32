"""Punctuation as NLLB's text had it: the rules of the source to the letter, quick where they do nothing, letters untouched."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sacremoses import MosesPunctNormalizer

from lugha.languages.normalise import Normaliser
from lugha.languages.registry import LANGUAGES
from lugha.tokens import punctuation
from lugha.tokens.punctuation import moses_punctuation, punctuation_digest, punctuation_of

REFERENCE = MosesPunctNormalizer(lang="en")
NOT_PRINTED = {n: " " for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in {"Cc", "Cf", "Cs", "Co", "Cn"}}


def as_nllb_prepared_it(text: str) -> str:
    """Moses, characters that are not printed, NFKC; then blanks as SentencePiece joins them."""
    text = REFERENCE.normalize(text).translate(NOT_PRINTED)
    return " ".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("“Ndewo” ( 5 % ) …", '"Ndewo" (5%) ...'),
        ("Akasema: ‘ng’ombe’", "Akasema: 'ng'ombe'"),
        ("„Gut“, sagte er", '"Gut," sagte er'),
        ("2004–2005 — ndiyo", "2004-2005 - ndiyo"),
        ("a\u200bb\x07c\tde", "a b c de"),
        ("5\u00a0000 km²", "5.000 km2"),
        ("« oui »", '" oui "'),
        ("«\u00a0oui\u00a0»", '"oui"'),
        ("𝓕𝔯𝔞𝔫𝔠𝔢𝔰𝔠𝔞", "Francesca"),
        ("", ""),
        ("  \u200b ", ""),
    ],
)
def test_examples(text: str, normalised: str) -> None:
    assert moses_punctuation(text) == normalised


SIGNS = "()`„“”–—´‘‚’…«»'\"%:;,.!?[]-º 05aBọɓñ\u00a0\u0301\u3000\r\n\t\u200b\u200d\ufeff：，。ﬁ²½"
MESSY = st.text(st.one_of(st.sampled_from(SIGNS), st.sampled_from(SIGNS), st.characters(exclude_categories=["Cs"])))


@settings(max_examples=1000)
@given(MESSY)
def test_the_result_is_that_of_the_source(text: str) -> None:
    """Also where the quick look says that nothing is to be done."""
    assert moses_punctuation(text) == as_nllb_prepared_it(text)


@settings(max_examples=500)
@given(st.text(st.sampled_from("'\",.:;% ab5()ọ")))
def test_the_quick_look_agrees_with_the_rules_on_common_signs(text: str) -> None:
    assert moses_punctuation(text) == as_nllb_prepared_it(text)


def test_the_quick_look_sees_every_rule_of_the_installed_sacremoses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each literal left side of a rule is not taken for untouched text, unless the rule changes nothing in it."""
    went_on: list[str] = []
    monkeypatch.setattr(punctuation, "_by_all_rules", lambda text: went_on.append(text) or text)
    for pattern, _ in REFERENCE.substitutions:
        for literal in (pattern.replace("\\", ""), f"a{pattern}b", f"a{pattern} b", f"5{pattern[-2:]}"):
            if as_nllb_prepared_it(literal) != literal:
                moses_punctuation(literal)
                assert literal in went_on, literal


def words_of(language) -> st.SearchStrategy[str]:
    forms = [f for letter in language.alphabet for f in (letter, letter.upper(), letter.capitalize())]
    letters = st.lists(st.sampled_from([*forms, *language.tone_marks]), min_size=1, max_size=12).map("".join)
    return st.lists(letters, min_size=1, max_size=6).map(lambda words: unicodedata.normalize("NFC", " ".join(words)))


@given(st.sampled_from(LANGUAGES).flatmap(words_of))
def test_letters_and_tone_marks_of_every_language_are_left_alone(text: str) -> None:
    assume("''" not in text)  # two apostrophes are a quotation mark
    assert moses_punctuation(text) is text


@given(st.sampled_from(LANGUAGES), MESSY)
def test_what_the_normaliser_of_a_language_leaves_stays_normalised(language, text: str) -> None:
    """Blanks stay single, and NFKC is NFC too."""
    result = moses_punctuation(Normaliser(language).normalise(text))
    assert unicodedata.is_normalized("NFC", result)
    assert result == " ".join(result.split())


@given(st.text(st.sampled_from(list("abọɓ5 ,.:;!?-()%[]'…–"))))
def test_without_quotation_marks_a_second_time_changes_nothing_more_than_blanks(text: str) -> None:
    assume("''" not in text)
    once = moses_punctuation(text)
    assert moses_punctuation(once).replace(" ", "") == once.replace(" ", "")


def test_quotation_marks_before_a_stop_move_each_time() -> None:
    """Why a text is normalised once: the rule of Moses is not idempotent, and ours is the same rule."""
    assert moses_punctuation('"".') == '"."'
    assert moses_punctuation('"."') == '.""'


def test_untouched_text_is_the_same_object() -> None:
    text = "Ọ bụ n'ụlọ ka nwa ahụ nọ: 12,5 kilo, ng'ombe! \"Ee\" [1] - ɓera; ƙasa."
    assert moses_punctuation(text) is text
    assert punctuation_of("none")(" “a” ") == " “a” "
    assert punctuation_of("moses") is moses_punctuation


def test_the_digest_tells_the_two_apart() -> None:
    assert punctuation_digest("none") != punctuation_digest("moses")
    assert punctuation_digest("moses") == punctuation_digest("moses")


@pytest.mark.corpora
def test_real_lines_are_those_of_the_source(corpora: Path) -> None:
    lines = (corpora / "mafand-mt/en-ibo/dev.ibo").read_text(encoding="utf-8").split("\n")
    assert len(lines) > 1000
    for line in lines:
        assert moses_punctuation(line) == as_nllb_prepared_it(line)
