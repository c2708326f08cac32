"""The sampler: sentences of the asked set, all different, hardly any alike by nature."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest

from lugha.corpus.dedup import dedup_corpus
from lugha.corpus.shards import ShardWriter
from lugha.demo.grammar import fold_of
from lugha.demo.language import LANGUAGES, SWAHILI, Language
from lugha.demo.sampling import Pair, Sampler, has_right_length, similarity, words_of
from lugha.runs.manifest import stage_output

both = pytest.mark.parametrize("language", LANGUAGES.values(), ids=list(LANGUAGES))


@both
def test_sentences_are_different_of_right_length_and_of_their_fold(language: Language) -> None:
    sampler = Sampler(language, random.Random(1))
    train, test = sampler.take(500, "train"), sampler.take(50, "test")
    assert len({s.pair for s in [*train, *test]}) == 550
    assert all(has_right_length(s.pair) for s in [*train, *test])
    assert {fold_of(s.meaning) for s in train} == {"train"}
    assert {fold_of(s.meaning) for s in test} == {"test"}


def test_words_can_be_restricted_to_known_ones() -> None:
    sampler = Sampler(SWAHILI, random.Random(1))
    known = frozenset().union(*(words_of(s.pair) for s in sampler.take(500, "train")))
    assert all(words_of(s.pair) <= known for s in sampler.take(30, "test", words=known))


def test_the_same_seed_gives_the_same_sentences() -> None:
    one, other = (Sampler(SWAHILI, random.Random("7 x")).take(100, "train") for _ in range(2))
    assert one == other


def test_similarity_is_the_jaccard_similarity_of_5_grams_on_both_sides() -> None:
    pair = Pair("abcdef", "12345")  # abcde bcdef | 12345
    assert similarity(pair, pair) == 1
    assert similarity(pair, Pair("abcdex", "12345")) == pytest.approx(2 / 4)
    assert similarity(pair, Pair("12345", "abcdef")) == 0
    assert similarity(pair, Pair("ABCDEF", "12345")) == 1


@both
def test_hardly_any_two_sentences_are_near_duplicates_by_nature(language: Language, tmp_path: Path) -> None:
    """Counted by the dedup stage itself: under 0.1 % (2 % would already blur the report on the planted ones)."""
    sentences = Sampler(language, random.Random(3)).take(3000, "train")
    frame = pl.DataFrame(
        {
            "id": [str(i) for i in range(len(sentences))],
            "source_text": [s.pair.text for s in sentences],
            "target_text": [s.pair.english for s in sentences],
        }
    ).with_columns(
        pl.lit(value).alias(name)
        for name, value in {
            "source_lang": language.code,
            "target_lang": "eng",
            "source": "x",
            "licence": "x",
            "group": "x",
            "split": "train",
        }.items()
    )
    folder = tmp_path / "cleaned"
    with stage_output(folder, stage="clean", version=1, parameters={}, inputs={}) as out:
        with ShardWriter(out, "pairs") as writer:
            writer.write(frame.with_columns(score=pl.lit(None, dtype=pl.Float32)))
        out.tally.rows_in = out.tally.rows_out = frame.height
        out.details["kind"] = "pairs"
    dropped = dedup_corpus(folder, tmp_path / "deduped").dropped
    assert dropped["exact_duplicate"] == 0
    assert dropped["near_duplicate"] <= 3
