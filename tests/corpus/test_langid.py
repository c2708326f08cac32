"""The vote of the two language identifiers."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lugha.corpus import langid
from lugha.corpus.langid import both_name, count_verdicts, identify, is_wrong_language, judge

IGBO = "Ụmụaka na-aga ụlọ akwụkwọ n'ụtụtụ ka ha mụta ihe ọhụrụ."
SWAHILI = "Watoto wanakwenda shuleni asubuhi ili wajifunze mambo mapya."
ENGLISH = "The children go to school in the morning to learn new things."
HAUSA = "Yara suna zuwa makaranta da safe domin su koyi sababbin abubuwa."
YORUBA = "Àwọn ọmọdé máa ń lọ sí ilé ẹ̀kọ́ ní òwúrọ̀ láti kọ́ ohun tuntun."


@pytest.mark.parametrize(
    ("text", "code"), [(IGBO, "ibo"), (SWAHILI, "swh"), (ENGLISH, "eng"), (HAUSA, "hau"), (YORUBA, "yor")]
)
def test_both_name_the_languages_of_the_registry(text: str, code: str) -> None:
    assert identify(text) == (code, code)
    assert identify(unicodedata.normalize("NFD", text)) == (code, code)
    assert both_name(code, text)
    assert judge(text, code) == "right"
    assert [is_wrong_language(text, other) for other in ("ibo", "swh", "eng", "hau", "yor") if other != code] == [True] * 4


def test_verdicts() -> None:
    assert judge("Watoto wanakwenda shuleni", "eng") == "short"
    assert judge("12 : 30 - 45", "ibo") == "unknown"
    assert count_verdicts([IGBO, SWAHILI, ENGLISH, "Ndewo"], "ibo", "eng") == {
        "right": 1,
        "wrong": 2,
        "unknown": 0,
        "short": 1,
    }


def test_members_of_one_macrolanguage_are_one_language() -> None:
    assert judge(SWAHILI, "swa") == judge(SWAHILI, "swc") == "right"
    assert both_name("swc", SWAHILI)
    assert not both_name("ibo", SWAHILI)


def test_a_language_that_an_identifier_does_not_know_is_wrong_only_as_the_other_side() -> None:
    # Tiv (tiv): neither library has it, so their guesses about a Tiv text mean nothing, unless both say English.
    assert judge(SWAHILI, "tiv") == "unknown"
    assert judge(SWAHILI, "tiv", other="eng") == "unknown"
    assert judge(ENGLISH, "tiv", other="eng") == "wrong"
    # Ewe (ewe): pycld2 alone has it
    assert judge(SWAHILI, "ewe") == "unknown"


def test_of_a_pair_naming_the_other_side_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(langid, "_cld2", lambda text: langid.Guess("eng", sure=True))
    monkeypatch.setattr(langid, "_langid", lambda text: langid.Guess("eng", sure=False))
    assert judge(ENGLISH, "ibo") == "unknown"
    assert judge(ENGLISH, "ibo", other="eng") == "wrong"
    assert judge(ENGLISH, "ibo", other="swh") == "unknown"
    assert judge(ENGLISH, "swa", other="swh") == "unknown"


def test_a_long_text_is_judged_by_its_middle() -> None:
    assert judge(ENGLISH + " " + SWAHILI * 100 + ENGLISH, "swh") == "right"


@settings(deadline=None)
@given(st.text(st.characters(), max_size=60))
def test_any_string_can_be_judged(text: str) -> None:
    assert judge(text + " a b c d", "ibo") in {"right", "wrong", "unknown"}


def test_characters_that_cld2_refuses() -> None:
    odd = [*range(0x20), *range(0x7F, 0xA0), 0xD800, 0xDFFF, 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF]
    for code in odd:
        assert identify(f"{SWAHILI}{chr(code)} {SWAHILI}") == ("swh", "swh"), hex(code)


def test_every_label_of_both_libraries_has_a_code() -> None:
    names = dict(langid._load_cld2().LANGUAGES)
    labels = {names[name] for name in langid._load_cld2().DETECTED_LANGUAGES} | set(langid._load_langid().labels)
    without = {label for label in labels if langid._iso_639_3(label) is None}
    assert without == {"zxx", "zzp", "xx-Bugi", "xx-Goth"}  # no linguistic content, Pig Latin, scripts alone
    assert {len(langid._iso_639_3(label) or "???") for label in labels} == {3}
    assert all(len(code) == 3 for code in langid._MACRO_OF)


def test_the_libraries_are_loaded_at_the_first_text() -> None:
    program = "import sys, lugha.corpus.langid; sys.exit('pycld2' in sys.modules or 'py3langid' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.corpora
@pytest.mark.parametrize(("pair", "ending", "code"), [("en-ibo", "ibo", "ibo"), ("en-swa", "swa", "swh")])
def test_real_news(corpora: Path, pair: str, ending: str, code: str) -> None:
    """Hardly a right line is judged wrong, and nearly every line in the place of another language is."""
    folder = corpora / "mafand-mt" / pair
    african = (folder / f"test.{ending}").read_text(encoding="utf-8").split("\n")[:600]
    english = (folder / "test.en").read_text(encoding="utf-8").split("\n")[:600]
    right = count_verdicts(african, code, "eng")
    judged = len(african) - right["short"]
    assert right["wrong"] <= 0.01 * judged
    assert right["right"] >= 0.97 * judged
    swapped = count_verdicts(english, code, "eng")
    assert swapped["wrong"] >= 0.95 * (len(english) - swapped["short"])
