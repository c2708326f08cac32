"""The rules of the filter, one by one and in their order."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.corpus.rules import first_reason, flags, language_reasons, language_rules, text_rules
from lugha.recipe.corpus_sections import FilterSection
from tests.corpus.small_corpus import documents, pairs

SECTION = FilterSection()
GOOD = ("The farmer sells fish at the market.", "Mkulima anauza samaki sokoni leo.")


def reason(rows: pl.DataFrame, **section: Any) -> str | None:
    kind = "documents" if "text" in rows.columns else "pairs"
    rules = text_rules(kind, FilterSection(**section))  # type: ignore[arg-type]
    return rows.select(first_reason(rules)).item()


def of_text(text: str, **section: Any) -> str | None:
    return reason(documents([text]), **section)


def of_pair(source: str, target: str, **section: Any) -> str | None:
    return reason(pairs([(source, target)]), **section)


def test_a_good_row_breaks_no_rule() -> None:
    assert of_pair(*GOOD) is None
    assert of_text(GOOD[1]) is None


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("", GOOD[1], "empty"),
        (GOOD[0], " \n", "empty"),
        (GOOD[0], "Mkulima anauza", "too_short"),
        ("word " * 201, "neno " * 201, "too_long"),
        ("The farmer sells", "Mkulima anauza samaki na mkate na maji na mahindi sokoni leo", "length_ratio"),
        ("Juma  na Amina", "juma na AMINA!", "identical_sides"),
        ("The <b>farmer</b> sells fish", "Mkulima anauza samaki sokoni", "markup"),
        ("The farmer sells fish", "Mkulima anauza samaki</p> leo", "markup"),
        ("10.5 : 20.5 = 1/2 km", "Nusu kilomita ni 1/2 km", "few_letters"),
        ("one two three go go go Go go", "moja mbili tatu nne tano sita saba", "repetition"),
    ],
)
def test_each_rule(source: str, target: str, expected: str) -> None:
    assert of_pair(source, target) == expected


def test_bounds_are_inclusive() -> None:
    assert of_text("moja mbili tatu", min_words=3, max_words=3) is None
    assert of_text("moja mbili tatu", min_words=4) == "too_short"
    assert of_text("moja mbili tatu", max_words=2) == "too_long"
    assert of_pair("aa aa aa b", "c c c", max_length_ratio=2.0, max_repetition=1) is None
    assert of_pair("aa aa aa bb", "c c c", max_length_ratio=2.0) == "length_ratio"
    assert of_text("abc 12 x", min_letters=4 / 6) is None
    assert of_text("abc 12 x", min_letters=4 / 6 + 1e-9) == "few_letters"


def test_a_mark_is_a_letter_for_the_rule_on_letters() -> None:
    toned = "ọ\u0301 ụ\u0300 ị\u0301 1 2 3 4"  # 3 letters, 3 marks, 4 digits
    assert of_text(toned, min_letters=0.6) is None
    assert of_text("o u i 1 2 3 4", min_letters=0.6) == "few_letters"


def test_less_than_is_no_tag() -> None:
    assert of_text("tatu < nne na nne > tatu") is None
    assert of_text("mwisho<br/> wa mstari") == "markup"


def test_repetition_needs_eight_words() -> None:
    assert of_text("go " * 7) is None
    assert of_text("go " * 8) == "repetition"
    assert of_text("go go go go a b c d") is None  # a half is not more than a half
    assert of_text("go go go go go b c d") == "repetition"


def test_scores_are_bounded_on_both_sides_and_a_missing_one_is_not() -> None:
    rows = pairs([GOOD] * 4, score=[0.9, 1.1, 1.4, None])
    rules = text_rules("pairs", FilterSection(min_score=1.0, max_score=1.3))
    assert rows.select(first_reason(rules)).to_series().to_list() == ["low_score", None, "high_score", None]
    assert "low_score" not in text_rules("pairs", SECTION)
    assert "low_score" not in text_rules("documents", FilterSection(min_score=1.0))


def test_the_first_rule_that_fires_is_the_reason() -> None:
    assert of_pair("<b>", "<b>") == "too_short"
    assert of_pair("<b> 1 2 3", "<b> 1 2 3") == "identical_sides"
    assert list(text_rules("pairs", SECTION)) == [
        "empty",
        "too_short",
        "too_long",
        "length_ratio",
        "identical_sides",
        "markup",
        "few_letters",
        "repetition",
    ]


@given(st.text("ab ọ\u0301", max_size=30), st.integers(0, 8), st.integers(1, 8))
def test_word_bounds_agree_with_python(text: str, least: int, most: int) -> None:
    words = len(text.split())
    expected = "empty" if not words else "too_short" if words < least else "too_long" if words > most else None
    assert of_text(text, min_words=least, max_words=most, min_letters=0, max_repetition=1) == expected


def test_flags_are_counted_on_pairs_only() -> None:
    rows = pairs([("In 2019 and 12", "Mwaka 12 na 2019"), ("In 2019", "Mwaka 2018"), ("see https://a.org", "tazama")])
    found = rows.select(**flags("pairs"))
    assert found["number_mismatch"].to_list() == [False, True, False]
    assert found["url_mismatch"].to_list() == [False, False, True]
    assert flags("documents") == {}


def test_language_rules() -> None:
    english, swahili, igbo = (
        "The children go to school in the morning.",
        "Watoto wanakwenda shuleni asubuhi na mapema.",
        "Ụmụaka na-aga ụlọ akwụkwọ n'ụtụtụ.",
    )
    sides = [
        (english, swahili),
        (swahili, english),
        (igbo, swahili),
        (english, english),
        (english, igbo),
        ("Ndewo", swahili),
    ]
    expected = [None, "swapped_sides", "wrong_source_language", "wrong_target_language", "wrong_target_language", None]
    assert list(language_reasons(pairs(sides), "pairs")) == expected
    assert set(filter(None, expected)) == set(language_rules("pairs", SECTION))
    assert list(language_reasons(documents([swahili, english]), "documents")) == [None, "wrong_language"]
    assert language_rules("documents", SECTION) == ("wrong_language",)
    assert language_rules("pairs", FilterSection(language_id=False)) == ()
