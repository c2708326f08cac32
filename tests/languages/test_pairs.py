"""Language pairs: every right spelling means the same direction, every nearly right one is refused by name."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.languages.pairs import language_pairs_of, nllb_code, parse_language_pair
from lugha.languages.registry import LANGUAGES

FOUNDING = {"en-fr": "fra", "en-de": "deu", "en-es": "spa", "en-it": "ita", "en-pt": "por", "en-ig": "ibo", "en-sw": "swh"}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("en-ig", ("eng", "ibo")),
        ("ig-en", ("ibo", "eng")),
        ("eng-swa", ("eng", "swh")),
        ("English-Kiswahili", ("eng", "swh")),
        ("eng_Latn-ibo_Latn", ("eng", "ibo")),
        (" sw - yo ", ("swh", "yor")),
        *((pair, ("eng", target)) for pair, target in FOUNDING.items()),
    ],
)
def test_right_pairs(text: str, codes: tuple[str, str]) -> None:
    source, target = parse_language_pair(text)
    assert (source.code, target.code) == codes


@pytest.mark.parametrize(
    ("wrong", "named", "mend"),
    [
        ("ig", '"ig"', "en-ig, or in NLLB codes eng_Latn-ibo_Latn"),
        ("en", '"en"', "ig-en, or in NLLB codes ibo_Latn-eng_Latn"),
        ("xx", 'unknown language "xx"', "Known: de, en, es, "),
        ("swa_Latn", '"swa_Latn"', "it is swh_Latn"),
        ("en-xx", 'unknown language "xx"', "Known: de, en, es, "),
        ("en-igb", 'unknown language "igb"', 'Did you mean "ig"?'),
        ("eng_Latn-swa_Latn", '"swa_Latn" is not an NLLB code', "Write swh_Latn"),
        ("eng_Latn-ig", '"ig" is not an NLLB code', "Write ibo_Latn"),
        ("en-ibo_Latn", '"en" is not an NLLB code', "Write eng_Latn"),
        ("eng_latn-ibo_Latn", '"eng_latn" is not an NLLB code', "Write eng_Latn"),
        ("eng_Latn-ibo_Latin", 'unknown NLLB code "ibo_Latin"', 'Did you mean "ibo_Latn"?'),
        ("en-en", "both sides are English", "en-ig"),
        ("en-eng", "both sides are English", "en-ig"),
        ("en-ig-sw", '"en-ig-sw"', "one hyphen"),
        ("en-", '"en-"', "one hyphen"),
        ("-ig", '"-ig"', "one hyphen"),
        ("", '""', "source-target"),
    ],
)
def test_wrong_pairs_are_refused_by_name_with_the_right_value(wrong: str, named: str, mend: str) -> None:
    with pytest.raises(InputError) as error:
        parse_language_pair(wrong)
    message = str(error.value)
    assert wrong in message and named in message and mend in message
    assert "\n" not in message


def test_a_list_of_pairs_keeps_its_order_and_names_a_repeat() -> None:
    assert language_pairs_of(["en-sw", "en-ig", "ig-en"]) == [("eng", "swh"), ("eng", "ibo"), ("ibo", "eng")]
    assert language_pairs_of([]) == []
    with pytest.raises(InputError, match='"eng_Latn-ibo_Latn" is the same direction as "en-ig".*The way back is ig-en'):
        language_pairs_of(["en-ig", "en-sw", "eng_Latn-ibo_Latn"])


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda x: x.code)
def test_only_the_code_itself_is_an_nllb_code(language) -> None:
    assert nllb_code(language.nllb) == language.nllb
    for other in set(language.known_as) - {language.nllb} | {language.nllb.upper()}:
        with pytest.raises(InputError, match=re.escape(f'"{other}" is not an NLLB code') + f".*Write {language.nllb}"):
            nllb_code(other)


SPELLINGS = {language.code: set(language.known_as) for language in LANGUAGES}


@given(st.sampled_from(list(itertools.permutations(LANGUAGES, 2))), st.data())
def test_every_spelling_of_a_pair_is_one_direction(pair, data) -> None:
    """Short codes and names mix freely; with an NLLB code on one side only the exact NLLB code passes on the other."""
    source, target = (data.draw(st.sampled_from(sorted(SPELLINGS[side.code]))) for side in pair)
    if "_" in source + target and (source, target) != (pair[0].nllb, pair[1].nllb):
        with pytest.raises(InputError, match="is not an NLLB code"):
            parse_language_pair(f"{source}-{target}")
    else:
        assert parse_language_pair(f"{source}-{target}") == pair
