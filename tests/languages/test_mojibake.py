"""Mojibake: what is damaged is mended, what is correct is the same object afterwards."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lugha.languages.mojibake import repair
from lugha.languages.registry import get_language


def read_as_windows_1252(text: str) -> str:
    """The UTF-8 of `text` decoded as Windows-1252, undefined bytes as the control characters of their number."""
    return "".join(
        chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252") for byte in text.encode()
    )


def read_as_latin_1(text: str) -> str:
    return text.encode().decode("latin-1")


def read_as_mac_roman(text: str) -> str:
    return text.encode().decode("mac_roman")


MISREADINGS = [(read_as_windows_1252, 1), (read_as_windows_1252, 2), (read_as_latin_1, 2), (read_as_mac_roman, 1)]


@pytest.mark.parametrize(
    ("damaged", "right"),
    [
        ("utafÄ±ti", "utafıti"),
        ("2004 â€“ 2005", "2004 – 2005"),
        ("Mâ€™Ba", "M’Ba"),
        ("â€œNdiyo,â€\x9d akasema", "“Ndiyo,” akasema"),
        ("â€˜Akọâ€¦â€™", "‘Akọ…’"),
        ("ndá»‹", "ndị"),
        ("á»\x8dgá»¥ á»Œ á»¤ á»Š", "ọgụ Ọ Ụ Ị"),
        ("á»¥má»¥ á¹…u á¹„", "ụmụ ṅu Ṅ"),
        ("CÃ´te dâ€™Ivoire", "Côte d’Ivoire"),
        ("WilemÃ©s, Ã‰variste, ardhÃ\xad, voilÃ\xa0", "Wilemés, Évariste, ardhí, voilà"),
        ("ï»¿Mwanzo", "\ufeffMwanzo"),
        ("â‚¦500, â‚¬3 â„¢ â€¢", "₦500, €3 ™ •"),
        ("ðŸ˜‚ ðŸ™\x8f", "😂 🙏"),
        ("É—an kuÉ—i É“era Æ™asa Æ´ancin", "ɗan kuɗi ɓera ƙasa ƴancin"),
        ("ng‚Äôombe na nd·ªã", "ng’ombe na ndị"),
        ("caf√© ·ªçg·ª•", "café ọgụ"),
        ("mÃÄ·ªçrá»‹", "m̀ọrị"),
        ("Ã¡Â»Â\x8dgÃ¡Â»Â¥", "ọgụ"),
        ("Ã¢â‚¬Å“NdiyoÃ¢â‚¬\x9d", "“Ndiyo”"),
        ("sahihi “ndiyo” â€œna sivyoâ€\x9d Möller", "sahihi “ndiyo” “na sivyo” Möller"),
        ("CÃ”TE", "CÔTE"),
    ],
)
def test_damage_is_mended(damaged: str, right: str) -> None:
    assert repair(damaged) == right


@pytest.mark.parametrize(
    "text",
    [
        "Ịgbò, ọ́kụ́, ńdụ̀, Ṅkà, ǹ, ḿ",
        "Jürgen Möller, SÜDDEUTSCHE ZEITUNG, Ägypten, „Äpfel“, Ä, â, Ã, É, Å, Ñandú",
        "l’âme, pâté, « là », voilà… château—fort",
        "SÃO PAULO, IRMÃ”, “UNIVERSITÄ”, “CAFÉ”, CAFÉ—the, RÉSUMÉ…, Ä–Ü, Ä’s, PÅ–PÅ, “Ó”, “Ò”, NDÌ”, È”",
        "«sofá»… y «mamá»”, papá»",
        "…òtù …ó «é» «ó»",
        "√2, 2√π, x≈y, ∆t, a·b, ¬p, Ôter, ƒe ƒò",
        "ɗan ƙasa, ɓera, ƴan, ʼyan, ŋutɔ",
        "Đặng Thị Nguyễn, Łódź, Þór, ýa",
        "50 °C, £5, §3, ½ kg, µm, 7´, naïve ï â",
        "😂 👩🏾‍🌾 🙏",
    ],
)
def test_correct_text_is_the_same_object(text: str) -> None:
    assert repair(text) is text


def letters_and_marks(code: str) -> st.SearchStrategy[str]:
    """Text of any letters of the alphabet, and tone marks on those letters that can carry one (vowels, m, n)."""
    language = get_language(code)
    letters = sorted({c for letter in language.alphabet for form in (letter, letter.upper()) for c in form})
    bearers = [c for c in letters if unicodedata.normalize("NFD", c)[0] in "aeioumnAEIOUMN"]
    toned = [c + mark for c in bearers for mark in language.tone_marks]
    pool = [*letters, " ", *toned]
    return st.lists(st.sampled_from(pool), max_size=12).map(lambda x: unicodedata.normalize("NFC", "".join(x)))


@settings(max_examples=500)
@given(st.sampled_from(["ibo", "yor"]).flatmap(letters_and_marks), st.sampled_from(MISREADINGS))
def test_any_misreading_of_the_alphabet_is_undone(text, misreading) -> None:
    """Whatever is written with a dotted letter comes back, however it was misread, once or twice."""
    if not set(text) & set("ịọụẹṣṅỊỌỤẸṢṄ"):
        text += "ọ"
    damaged, (misread, times) = text, misreading
    for _ in range(times):
        damaged = misread(damaged)
    assert repair(damaged) == text


@given(st.text(st.sampled_from(["ɓ", "ɗ", "ƙ", "ƴ", "Ɓ", "Ɗ", "Ƙ", "a", "i", "k", " "]), min_size=1))
def test_hausa_hooked_letters_come_back_beside_a_sure_sequence(text) -> None:
    assert repair(read_as_windows_1252(text + "ƙ")) == text + "ƙ"


@given(st.sampled_from(["eng", "ibo", "swh", "hau", "yor"]).flatmap(letters_and_marks))
def test_no_text_of_an_alphabet_is_damage(text) -> None:
    assert repair(text) is text


@pytest.mark.parametrize("capital", "ÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖØÙÚÜÝÞßŌĀṄỌỊỤẸṢḾǸɗé")
@pytest.mark.parametrize("before", ["", "A", "“", "AB", " ", "ẸSẸ̀"])
def test_a_capital_before_a_closing_sign_is_correct_text(capital, before) -> None:
    for sign in "”’»…–—“‘•·":
        for after in ("", " ", ".", " na", "”", " A", "– na"):
            text = before + capital + sign + after
            assert repair(text) is text


@given(st.text())
def test_repair_is_idempotent_and_never_longer(text) -> None:
    once = repair(text)
    assert repair(once) == once
    assert len(once) <= len(text)


@given(st.text(st.sampled_from(list("ÃÂÄâá»‹€™œ\x9d”’…–\xa0√©·ªãÅÇ «é aB"))))
def test_repair_is_idempotent_on_what_looks_damaged(text) -> None:
    once = repair(text)
    assert repair(once) == once


def test_a_long_line_is_mended_in_one_pass_over_it() -> None:
    line = "maneno ya â€œkweliâ€\x9d Ä” " * 5_000
    mended = repair(line)
    assert mended.count("“kweli”") == 5_000
    assert "â€" not in mended
