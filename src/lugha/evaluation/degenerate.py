"""Failures that a mean score hides: copies, empty output, loops, the wrong language, the wrong length.

In: hypotheses, and where there are any the sources and references of the same rows. Out: `OutputChecks`, counts with their
denominators. A row that a rule cannot judge is not in its denominator:

    copy            the hypothesis is the source (NFC, lower case, punctuation and blanks apart). Rows whose *reference*
                    is the source too are not judged: a name translates to itself
    empty           nothing but blanks
    repetition      four words in a row occur three times; or eight characters or more stand three times right behind each
                    other; or one word makes up more than half of six words or more
    wrong_language  both language identifiers say so; rows of fewer than four words are not judged

Published systems are not free of these: read the rates beside those of the references, where they should be near zero.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from lugha.corpus.langid import count_verdicts
from lugha.errors import InputError
from lugha.languages.registry import get_language

_TIMES = 3
_WORDS_IN_LOOP = 4
_MIN_WORDS_FOR_SHARE = 6
_LOOP = re.compile(r"(.{8,200}?)\1{2,}", re.DOTALL)


class Rate(BaseModel):
    """`count` rows out of the `of` rows that the rule could judge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """count / of, from 0 to 1; None where nothing could be judged."""
        return self.count / self.of if self.of else None

    def __str__(self) -> str:
        share = self.share
        return "not judged" if share is None else f"{100 * share:.1f} % ({self.count:,} of {self.of:,})"


class OutputChecks(BaseModel):
    """Rates of each failure on `rows` hypotheses; None where what the rule needs was not given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    empty: Rate
    repetition: Rate
    copied: Rate | None
    wrong_language: Rate | None
    length_ratio: float | None  # characters of all hypotheses / characters of all references


def check_outputs(
    hypotheses: Sequence[str],
    *,
    sources: Sequence[str] | None = None,
    references: Sequence[str] | None = None,
    lang: str | None = None,
    source_lang: str | None = None,
) -> OutputChecks:
    """Count the failures of `hypotheses`.

    Args:
        sources: what was translated, row by row: judges copies.
        references: right translations, row by row: for the length ratio, and for rows where a copy is right.
        lang: language that the hypotheses should be in: judges the language.
        source_lang: language of the sources, the likeliest wrong one.

    Raises:
        InputError: unequal numbers of rows, or an unknown language.
    """
    for name, side in (("sources", sources), ("references", references)):
        if side is not None and len(side) != len(hypotheses):
            raise InputError(f"{len(hypotheses):,} hypotheses for {len(side):,} {name}: row i must answer row i.")
    rows = len(hypotheses)
    return OutputChecks(
        rows=rows,
        empty=Rate(count=sum(not text.strip() for text in hypotheses), of=rows),
        repetition=Rate(count=sum(map(is_repetitive, hypotheses)), of=rows),
        copied=None if sources is None else _copied(hypotheses, sources, references),
        wrong_language=None if lang is None else _wrong_language(hypotheses, lang, source_lang),
        length_ratio=None if references is None else _length_ratio(hypotheses, references),
    )


def is_repetitive(text: str) -> bool:
    """Whether `text` has fallen into a loop; see the module's story."""
    words = text.lower().split()
    if len(words) >= _MIN_WORDS_FOR_SHARE and 2 * Counter(words).most_common(1)[0][1] > len(words):
        return True
    sequences = Counter(zip(*(words[i:] for i in range(_WORDS_IN_LOOP)), strict=False))
    if sequences and max(sequences.values()) >= _TIMES:
        return True
    return _LOOP.search(text.lower()) is not None


def bare(text: str) -> str:
    """`text` in NFC and lower case without punctuation, symbols and blanks: equal for two copies of one sentence."""
    kept = (c for c in unicodedata.normalize("NFC", text).lower() if unicodedata.category(c)[0] in "LMN")
    return "".join(kept)


def _copied(hypotheses: Sequence[str], sources: Sequence[str], references: Sequence[str] | None) -> Rate:
    right: Iterable[str | None] = [None] * len(sources) if references is None else references
    count = judged = 0
    for hypothesis, source, reference in zip(hypotheses, sources, right, strict=True):
        bare_source = bare(source)
        if not bare_source or (reference is not None and bare(reference) == bare_source):
            continue
        judged += 1
        count += bare(hypothesis) == bare_source
    return Rate(count=count, of=judged)


def _wrong_language(hypotheses: Sequence[str], lang: str, source_lang: str | None) -> Rate:
    expected = get_language(lang).code
    other = None if source_lang is None else get_language(source_lang).code
    verdicts = count_verdicts(hypotheses, expected, other)
    return Rate(count=verdicts["wrong"], of=len(hypotheses) - verdicts["short"])


def _length_ratio(hypotheses: Sequence[str], references: Sequence[str]) -> float | None:
    characters = sum(map(len, references))
    return sum(map(len, hypotheses)) / characters if characters else None
