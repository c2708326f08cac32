"""The registry: every code finds its language, unknown ones are refused, alphabets are what they should be."""

from __future__ import annotations

import unicodedata

import pytest

from lugha.errors import InputError
from lugha.languages.registry import LANGUAGES, get_language, language_codes


@pytest.mark.parametrize(
    ("code", "bcp47", "nllb"),
    [
        ("eng", "en", "eng_Latn"),
        ("ibo", "ig", "ibo_Latn"),
        ("swh", "sw", "swh_Latn"),
        ("hau", "ha", "hau_Latn"),
        ("yor", "yo", "yor_Latn"),
        ("fra", "fr", "fra_Latn"),
        ("deu", "de", "deu_Latn"),
        ("spa", "es", "spa_Latn"),
        ("ita", "it", "ita_Latn"),
        ("por", "pt", "por_Latn"),
    ],
)
def test_codes(code: str, bcp47: str, nllb: str) -> None:
    language = get_language(code)
    assert (language.code, language.bcp47, language.nllb) == (code, bcp47, nllb)
    assert nllb.endswith(language.script)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda x: x.code)
def test_every_name_finds_its_language_in_any_case(language) -> None:
    for name in language.known_as:
        for spelled in (name, name.upper(), name.lower(), f" {name} "):
            assert get_language(spelled) is language


def test_macrolanguage_and_names() -> None:
    assert get_language("swa").code == get_language("swahili").code == "swh"
    assert get_language("igbo").code == "ibo"


def test_no_two_languages_share_a_name() -> None:
    names = [name.casefold() for language in LANGUAGES for name in set(language.known_as)]
    assert len(names) == len(set(names))
    assert list(language_codes()) == sorted(language.code for language in LANGUAGES)


@pytest.mark.parametrize(("wrong", "right"), [("igb", "ig"), ("swahil", "Swahili"), ("yoruba_Latn", "Yoruba")])
def test_unknown_code_suggests_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(InputError) as error:
        get_language(wrong)
    assert str(error.value).startswith(f'Unknown language "{wrong}". Did you mean "')
    assert "\n" not in str(error.value)
    assert right.lower()[:2] in str(error.value).lower()


def test_hopeless_code_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="Known: deu, eng, fra, hau, ibo, ita, por, spa, swh, yor"):
        get_language("???")


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda x: x.code)
def test_alphabet_is_composed_lower_case_and_without_repeats(language) -> None:
    for letter in language.alphabet:
        assert letter == unicodedata.normalize("NFC", letter).lower()
    assert len(set(language.alphabet)) == len(language.alphabet)


def test_igbo_has_its_36_letters() -> None:
    alphabet = get_language("ibo").alphabet
    assert len(alphabet) == 36
    assert {"ị", "ọ", "ụ", "ṅ", "gb", "nw"} <= set(alphabet)
    assert not {"q", "x", "c"} & set(alphabet)


def test_swahili_has_ng_apostrophe_and_no_marks() -> None:
    swahili = get_language("swh")
    assert "ng'" in swahili.alphabet
    assert swahili.tone_marks == ""
    assert all(letter.isascii() for letter in swahili.alphabet)
