"""The stage "dedup": what goes, what stays, and that every near-duplicate really is one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lugha.corpus.dedup import dedup_corpus, find_duplicates
from lugha.corpus.shards import kind_of, shard_paths
from lugha.errors import InputError
from lugha.recipe.corpus_sections import DedupSection
from lugha.runs.manifest import StageManifest, verify_stage
from tests.corpus.small_corpus import corpus, documents, jaccard, pairs, read, shingles

WORDS = "mtoto mwalimu mkulima anasoma anauza kitabu mkate samaki shuleni sokoni leo kesho ng'ombe ọkụ ụlọ".split()


def run(tmp_path: Path, rows: pl.DataFrame, **section: Any) -> tuple[list[str], StageManifest]:
    """Line numbers of the rows that stay, and the manifest."""
    manifest = dedup_corpus(corpus(tmp_path / "in", rows), tmp_path / "out", section=DedupSection(**section))
    verify_stage(tmp_path / "out", ("dedup",))
    return [row.rpartition(":")[2] for row in read(tmp_path / "out")["id"]], manifest


def test_exact_and_near_duplicates_go_with_their_reasons(tmp_path: Path) -> None:
    text = "Mkulima anauza samaki na mkate sokoni kila siku ya Jumatatu"
    rows = documents([text, "Mwalimu anasoma kitabu", text, text.upper() + "!", text + " leo", "Mwalimu anasoma kitabu"])
    stay, manifest = run(tmp_path, rows)
    assert stay == ["1", "2"]
    assert manifest.dropped == {"exact_duplicate": 2, "near_duplicate": 2}
    assert (manifest.rows_in, manifest.rows_out) == (6, 2)
    assert manifest.details["kind"] == kind_of(manifest) == "documents"
    assert manifest.details["languages"] == ["eng", "swh"]
    assert manifest.details["clusters"] == 2
    largest, second = manifest.details["largest_clusters"]
    assert largest == {"rows": 4, "kept": text, "removed": [text, text.upper() + "!", text + " leo"]}
    assert second["rows"] == 2


def test_a_mark_is_no_accent(tmp_path: Path) -> None:
    stay, _ = run(tmp_path, documents(["ọkụ", "oku", "ọkụ\u0301", "o\u0323ku\u0323"]))
    assert stay == ["1", "2", "3"]  # only the decomposed spelling of the first is the same word


def test_a_pair_goes_only_as_a_whole_and_within_its_direction(tmp_path: Path) -> None:
    english, swahili = "The farmer sells fish at the market", "Mkulima anauza samaki sokoni"
    sides = [(english, swahili), (english, "Mfugaji hununua maziwa ya ng'ombe"), ("A goat", swahili), (english, swahili)]
    rows = pairs([*sides, (english, swahili)], target_lang=["swh", "swh", "swh", "swh", "ibo"])
    stay, manifest = run(tmp_path, rows)
    assert stay == ["1", "2", "3", "5"]
    assert manifest.dropped == {"exact_duplicate": 1, "near_duplicate": 0}


def test_two_sides_count_together(tmp_path: Path) -> None:
    # The long sides are equal, the short ones differ: as a whole 0.9 alike.
    long = " ".join(WORDS)
    sides = [(long, "moja mbili"), (long, "tatu nne")]
    whole = [{(0, s) for s in shingles(a)} | {(1, s) for s in shingles(b)} for a, b in sides]
    similarity = jaccard(*whole)
    assert 0.8 < similarity < 0.95
    stay, _ = run(tmp_path / "a", pairs(sides), threshold=similarity)
    assert stay == ["1"]
    stay, _ = run(tmp_path / "b", pairs(sides), threshold=similarity + 1e-9)
    assert stay == ["1", "2"]


def test_official_rows_come_first_and_never_go(tmp_path: Path) -> None:
    text = "Mkulima anauza samaki na mkate sokoni kila siku"
    splits = ["train", "auto", "validation", "test", "test", "train"]
    rows = documents([text, text + "!", text, text, text + ".", "Mwalimu"], split=splits)
    stay, manifest = run(tmp_path, rows)
    assert stay == ["3", "4", "5", "6"]
    assert manifest.dropped == {"exact_duplicate": 1, "near_duplicate": 1}
    assert manifest.details["official_duplicates"] == {"exact_duplicate": 1, "near_duplicate": 1}
    assert manifest.details["largest_clusters"][0]["kept"] == text


def test_texts_without_a_letter_are_only_exact_duplicates(tmp_path: Path) -> None:
    stay, manifest = run(tmp_path, documents(["...", "!!!", "...", "", "", "?"]))
    assert stay == ["1", "2", "4", "6"]
    assert manifest.dropped == {"exact_duplicate": 2, "near_duplicate": 0}


def test_a_current_output_is_not_made_again(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", documents(["moja", "mbili"]))
    first = dedup_corpus(folder, tmp_path / "out")
    assert dedup_corpus(folder, tmp_path / "out") == first
    again = dedup_corpus(folder, tmp_path / "out", section=DedupSection(threshold=0.9))
    assert again.parameters["threshold"] == 0.9
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["00000.parquet", "manifest.json"]


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 rows"):
        dedup_corpus(corpus(tmp_path / "in", documents([])), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_near_duplicates_among_thousands(tmp_path: Path) -> None:
    """Every removal is right, and nearly every planted copy is removed, against a search of all pairs by brute force."""
    chance = random.Random(3)
    lexicon = ["".join(chance.choices("abdefgiịkmnoọpstuụwyz", k=chance.randint(2, 8))) for _ in range(800)]
    texts = [" ".join(chance.choices(lexicon, k=chance.randint(8, 20))) for _ in range(1500)]
    copies = [f"{text} {chance.choice(lexicon)}" for text in texts]
    sets = {text: shingles(text) for text in texts + copies}
    similar = {b for a, b in zip(texts, copies, strict=True) if jaccard(sets[a], sets[b]) >= 0.85}
    assert len(similar) > 1000
    dedup_corpus(corpus(tmp_path / "in", documents(texts + copies)), tmp_path / "out")
    left = set(read(tmp_path / "out")["text"])
    assert set(texts) <= left
    removed = set(copies) - left
    original = dict(zip(copies, texts, strict=True))
    assert all(jaccard(sets[copy], sets[original[copy]]) >= 0.8 for copy in removed)
    assert len(similar - removed) <= 0.001 * len(similar)


SENTENCES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=14)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), SENTENCES, st.sampled_from([0.5, 0.8, 1.0]))
def test_every_removed_row_is_like_the_row_that_stays_for_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, texts: list[str], threshold: float
) -> None:
    targets = [data.draw(st.sampled_from(["Moja.", "moja", "mbili na tatu"])) for _ in texts]
    rows = pairs(zip(texts, targets, strict=True), split=[data.draw(st.sampled_from(["auto", "test"])) for _ in texts])
    folder = tmp_path_factory.mktemp("dedup")
    outputs = []
    for shard in (5, 1000):
        input = corpus(folder / f"in{shard}", rows, rows_per_shard=shard)
        section = DedupSection(threshold=threshold)
        manifest = dedup_corpus(input, folder / f"out{shard}", section=section, rows_per_shard=shard)
        outputs.append(read(folder / f"out{shard}"))
        assert manifest.rows_in == rows.height == outputs[-1].height + sum(manifest.dropped.values())
    left = outputs[0]
    assert all(left.equals(other) for other in outputs)
    # pairs are still aligned and in their order, and no official row is gone
    assert left.equals(rows.filter(pl.col("id").is_in(left["id"].to_list())))
    assert "test" not in rows.filter(~pl.col("id").is_in(left["id"].to_list()))["split"]
    # the row that stands for a removed one stays, and is like it by the definition
    found = find_duplicates(shard_paths(folder / "in5"), "pairs", DedupSection(threshold=threshold), folder)
    assert left["id"].to_list() == rows.filter(found.verdict == 0)["id"].to_list()
    sets = [
        {(0, s) for s in shingles(source)} | {(1, s) for s in shingles(target)}
        for source, target in rows.select("source_text", "target_text").iter_rows()
    ]
    for row in np.flatnonzero(found.verdict):
        keeper = found.keeper[row]
        assert found.verdict[keeper] == 0
        assert jaccard(sets[row], sets[keeper]) >= threshold
