"""Draws the clean sentences of the sample corpus: no two alike, none nearly alike, each of the set that is asked for.

    Sampler(SWAHILI, random.Random(42)).take(9000, "train")

Two sentences are nearly alike when their meanings differ in one part and they still share 3/4 of their character 5-grams.
Such a pair would be a near-duplicate by nature, and the report on the planted ones would not be exact.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass

from lugha.demo.english import english
from lugha.demo.grammar import Fold, fold_of, grammar
from lugha.demo.language import Language
from lugha.demo.meaning import Meaning, with_one_part_left_out

SHINGLE = 5
NEARLY_ALIKE = 0.75
MIN_WORDS, MAX_WORDS, MAX_CHARACTERS = 3, 12, 69


@dataclass(frozen=True)
class Pair:
    """A sentence and its English."""

    text: str
    english: str


@dataclass(frozen=True)
class Sentence:
    """A pair with the meaning that both its sides render."""

    meaning: Meaning
    pair: Pair


class Sampler:
    """Draws from one language's grammar and remembers what it gave, over all sets."""

    def __init__(self, language: Language, rng: random.Random) -> None:
        self._language, self._rng = language, rng
        self._seen: set[Meaning] = set()
        self._neighbours: dict[tuple[object, ...], list[Pair]] = defaultdict(list)

    def take(self, count: int, fold: Fold, *, words: Set[str] | None = None) -> list[Sentence]:
        """The next `count` sentences of one set.

        Args:
            words: where given, no sentence with a word that is not among these.
        """
        taken: list[Sentence] = []
        while len(taken) < count:
            meaning = grammar(self._language).draw(self._rng)
            if meaning in self._seen or fold_of(meaning) != fold:
                continue
            pair = Pair(self._language.render(meaning), english(meaning))
            if not has_right_length(pair) or (words is not None and not words_of(pair) <= words):
                continue
            if self._is_new(meaning, pair):
                taken.append(Sentence(meaning, pair))
        return taken

    def _is_new(self, meaning: Meaning, pair: Pair) -> bool:
        """Remember the pair, unless one that differs in a single part is nearly alike."""
        keys = with_one_part_left_out(meaning)
        neighbours = (other for key in keys for other in self._neighbours.get(key, ()))
        if any(similarity(pair, other) >= NEARLY_ALIKE for other in neighbours):
            return False
        self._seen.add(meaning)
        for key in keys:
            self._neighbours[key].append(pair)
        return True


def has_right_length(pair: Pair) -> bool:
    """Whether both sides have 3 to 12 words and at most 69 characters."""
    return all(
        MIN_WORDS <= len(side.split()) <= MAX_WORDS and len(side) <= MAX_CHARACTERS for side in (pair.text, pair.english)
    )


def words_of(pair: Pair) -> set[str]:
    """The words of both sides in lower case, each marked with its side; the final sign is no part of a word."""
    sides = (("text", pair.text), ("english", pair.english))
    return {f"{side} {word.strip('.?').lower()}" for side, sentence in sides for word in sentence.split()}


def similarity(pair: Pair, other: Pair) -> float:
    """Jaccard similarity of the character 5-grams of two pairs, those of each side counted apart."""
    ours, theirs = _shingles(pair), _shingles(other)
    return len(ours & theirs) / len(ours | theirs)


def _shingles(pair: Pair) -> set[tuple[str, str]]:
    return {
        (side, text[i : i + SHINGLE])
        for side, text in (("text", pair.text.lower()), ("english", pair.english.lower()))
        for i in range(max(1, len(text) - SHINGLE + 1))
    }
