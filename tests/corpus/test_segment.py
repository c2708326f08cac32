"""Sentence segmentation: cuts at ends of sentences only, loses nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.corpus.segment import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Moja. Mbili! Tatu? Nne…", ["Moja.", "Mbili!", "Tatu?", "Nne…"]),
        ("Bw. Anthony Ngaiza amefika. Bi. Ritha pia.", ["Bw. Anthony Ngaiza amefika.", "Bi. Ritha pia."]),
        ("Mhe. Dk. J. K. Nyerere na Prof. Lipumba.", ["Mhe. Dk. J. K. Nyerere na Prof. Lipumba."]),
        ("MHE. ESTHER N. MATIKO: Ndiyo. Asante.", ["MHE. ESTHER N. MATIKO: Ndiyo.", "Asante."]),
        ("Walikuwa 96.34. Mwenyekiti akaondoka.", ["Walikuwa 96.34.", "Mwenyekiti akaondoka."]),
        ("Bei ni Sh. 3.5 kwa Na. 5. Kisha akaenda.", ["Bei ni Sh. 3.5 kwa Na. 5.", "Kisha akaenda."]),
        ("1. Kwanza kabisa. 2. Pili.", ["1. Kwanza kabisa.", "2. Pili."]),
        ("Mbuzi, kuku n.k. Watu wengi.", ["Mbuzi, kuku n.k.", "Watu wengi."]),
        ("(MHE.GEORGE B. SIMBACHAWENE) alisema.", ["(MHE.GEORGE B. SIMBACHAWENE) alisema."]),
        ('"Njoo!" akasema. "Sasa?" Hapana.', ['"Njoo!" akasema.', '"Sasa?"', "Hapana."]),
        ("“Njoo.” “Sasa.” ‘Ndiyo.’ Basi.", ["“Njoo.”", "“Sasa.”", "‘Ndiyo.’", "Basi."]),
        ("Ndiyo.â€\x9d â€œSasaâ€\x9d ni kesho.", ["Ndiyo.â€\x9d", "â€œSasaâ€\x9d ni kesho."]),
        ("Ng'ombe wa ng'ambo. N'ụlọ m. N' ime ya.", ["Ng'ombe wa ng'ambo.", "N'ụlọ m.", "N' ime ya."]),
        ("Ọ bụ n'ụlọ. Ị na-abịa? Ụmụ ya.", ["Ọ bụ n'ụlọ.", "Ị na-abịa?", "Ụmụ ya."]),
        ("Mstari wa kwanza\nunaendelea. Mwisho", ["Mstari wa kwanza\nunaendelea.", "Mwisho"]),
        ("Kichwa cha habari\n\nMaandishi yake", ["Kichwa cha habari", "Maandishi yake"]),
        ("Moja.\xa0Mbili", ["Moja.", "Mbili"]),
        ("bila mwisho", ["bila mwisho"]),
        ("tovuti www.example.co.tz ipo. Ndiyo", ["tovuti www.example.co.tz ipo.", "Ndiyo"]),
        ("", []),
        (" \n\n \t", []),
        ("... Nini?!? Eti", ["...", "Nini?!?", "Eti"]),
    ],
)
def test_examples(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


PIECES = st.sampled_from(
    ["Bw", "ng'ombe", "n'ụlọ", "Ọ", "3", ".", "!", "…", '"', "”", " ", " ", "\n", "\n\n", "\xa0", "(", "A"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_nothing_is_lost_but_blanks(text) -> None:
    sentences = split_sentences(text)
    assert re.sub(r"\s", "", "".join(sentences)) == re.sub(r"\s", "", text)
    assert all(s and s == s.strip() for s in sentences)


@given(st.lists(PIECES).map("".join))
def test_only_blanks_are_cut(text) -> None:
    """Every word of the text is whole in some sentence, in the same order."""
    assert [word for s in split_sentences(text) for word in s.split()] == text.split()


@pytest.mark.parametrize(
    "text", ["." * 200_000, ". " * 100_000, '."' * 100_000, "a" * 200_000 + ".", "\n" * 200_000, "? " * 9 + " " * 200_000]
)
def test_long_monotonous_text_is_no_trap(text) -> None:
    """A pattern that backtracks over these would not come back."""
    assert re.sub(r"\s", "", "".join(split_sentences(text))) == re.sub(r"\s", "", text)
