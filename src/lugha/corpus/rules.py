"""The rules of the filter: which rows of a clean corpus are not worth training on, and why.

Rules stand in a fixed order, cheap ones first; the first that fires is the row's reason. Every rule looks at the whole row,
so a pair has one verdict. Words are runs of non-blanks, and a combining mark counts as a letter: toned Igbo is as much
text as English.

    empty            a side without any character
    too_short        fewer words than min_words, on either side
    too_long         more words than max_words, on either side
    length_ratio     pairs: longer / shorter side, in characters
    identical_sides  pairs: the same dedup key on both sides
    markup           an HTML tag, on either side
    few_letters      letters and marks / characters that are not blank, on either side
    repetition       share of the commonest word of a side of 8 words or more
    low_score, high_score   pairs with a mined score outside the bounds
    wrong_language, wrong_source_language, wrong_target_language, swapped_sides   see `langid`

`flags` are only counted: differing numbers or URLs are often right in good translations (spelt-out numbers, local dates).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from lugha.corpus.langid import both_name, judge
from lugha.corpus.shards import TEXT_COLUMNS, Kind
from lugha.corpus.shingles import dedup_key
from lugha.recipe.corpus_sections import FilterSection

REPETITION_WORDS = 8
PAIR_WORDS = 200  # a longer side is a paragraph, and its pair rarely aligned; a document may have any length
_TAG = r"</?[a-zA-Z][^<>]*>"


def text_rules(kind: Kind, section: FilterSection) -> dict[str, pl.Expr]:
    """The rules on length, form and score, in order: reason -> expression that is true where the rule fires."""

    def any_side(fires: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        return pl.any_horizontal(fires(pl.col(column)) for column in TEXT_COLUMNS[kind])

    rules = {
        "empty": any_side(lambda text: ~text.str.contains(r"\S")),
        "too_short": any_side(lambda text: _words(text) < section.min_words),
    }
    longest = section.max_words or (PAIR_WORDS if kind == "pairs" else None)
    if longest is not None:
        rules["too_long"] = any_side(lambda text: _words(text) > longest)
    if kind == "pairs":
        source, target = (pl.col(column) for column in TEXT_COLUMNS[kind])
        lengths = source.str.len_chars(), target.str.len_chars()
        rules["length_ratio"] = pl.max_horizontal(lengths) > section.max_length_ratio * pl.min_horizontal(lengths)
        rules["identical_sides"] = dedup_key(source) == dedup_key(target)
    rules["markup"] = any_side(lambda text: text.str.contains(_TAG))
    rules["few_letters"] = any_side(
        lambda text: text.str.count_matches(r"[\p{L}\p{M}]") < section.min_letters * text.str.count_matches(r"\S")
    )
    rules["repetition"] = any_side(
        lambda text: (
            (_words(text) >= REPETITION_WORDS) & (_count_of_commonest_word(text) > section.max_repetition * _words(text))
        )
    )
    if kind == "pairs" and section.min_score is not None:
        rules["low_score"] = pl.col("score") < section.min_score
    if kind == "pairs" and section.max_score is not None:
        rules["high_score"] = pl.col("score") > section.max_score
    return rules


def language_rules(kind: Kind, section: FilterSection) -> tuple[str, ...]:
    """The reasons that `language_reasons` may give, in the order of the report."""
    if not section.language_id:
        return ()
    if kind == "documents":
        return ("wrong_language",)
    return ("swapped_sides", "wrong_source_language", "wrong_target_language")


def flags(kind: Kind) -> dict[str, pl.Expr]:
    """What is counted but drops no row: name -> expression that is true where it applies."""
    if kind == "documents":
        return {}
    source, target = (pl.col(column) for column in TEXT_COLUMNS[kind])

    def numbers(text: pl.Expr) -> pl.Expr:
        return text.str.extract_all(r"\d+").list.sort()

    def urls(text: pl.Expr) -> pl.Expr:
        return text.str.count_matches(r"https?://\S+")

    return {"number_mismatch": numbers(source) != numbers(target), "url_mismatch": urls(source) != urls(target)}


def first_reason(rules: dict[str, pl.Expr]) -> pl.Expr:
    """The name of the first rule that fires; null where none does (a rule on a missing score does not)."""
    return pl.coalesce(
        [pl.when(fires).then(pl.lit(name)) for name, fires in rules.items()] + [pl.lit(None, dtype=pl.String)]
    )


def language_reasons(frame: pl.DataFrame, kind: Kind) -> Iterator[str | None]:
    """For each row the language rule that fires, if any."""
    if kind == "documents":
        for text, lang in frame.select("text", "lang").iter_rows():
            yield "wrong_language" if judge(text, lang) == "wrong" else None
    else:
        for row in frame.select("source_text", "target_text", "source_lang", "target_lang").iter_rows():
            yield _pair_reason(*row)


def _pair_reason(source: str, target: str, source_lang: str, target_lang: str) -> str | None:
    wrong_source = judge(source, source_lang, target_lang) == "wrong"
    wrong_target = judge(target, target_lang, source_lang) == "wrong"
    if wrong_source and wrong_target and both_name(target_lang, source) and both_name(source_lang, target):
        return "swapped_sides"
    if wrong_source:
        return "wrong_source_language"
    return "wrong_target_language" if wrong_target else None


def _words(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(r"\S+")


def _count_of_commonest_word(text: pl.Expr) -> pl.Expr:
    words = text.str.to_lowercase().str.extract_all(r"\S+")
    return words.list.eval(pl.element().unique_counts().max()).list.first()
