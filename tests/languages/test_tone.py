"""Tone marks go, dots stay."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.languages.tone import safe_tone_removal


@pytest.mark.parametrize(
    ("marked", "bare"),
    [
        ("Ọ̀ bụ́", "Ọ bụ"),
        ("ìhè àkwà ọ́kụ́ ńdị̀ m̀", "ihe akwa ọkụ ndị m"),
        ("ẹ̀kọ́ ṣíṣe Ṣàngó", "ẹkọ ṣiṣe Ṣango"),
        ("ọ̄ ā ṅ", "ọ a ṅ"),
        ("naïve façade Möller", "naïve façade Möller"),
        ("ng'ombe", "ng'ombe"),
        ("", ""),
    ],
)
def test_examples(marked: str, bare: str) -> None:
    assert safe_tone_removal(marked) == bare
    assert safe_tone_removal(unicodedata.normalize("NFD", marked)) == bare


@given(st.text(st.sampled_from("aeiouịọụẹṣṅmnAỊỌṄ'- \u0300\u0301\u0304")))
def test_every_dot_survives(text) -> None:
    def dots(t: str) -> list[str]:
        return [c for c in unicodedata.normalize("NFD", t) if c in "\u0323\u0307"]

    bare = safe_tone_removal(text)
    assert dots(bare) == dots(text)
    assert safe_tone_removal(bare) == bare
    assert not {"\u0300", "\u0301", "\u0304"} & set(unicodedata.normalize("NFD", bare))
