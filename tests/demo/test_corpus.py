"""The raw files: same seed, same bytes; formats that the readers know; held-out combinations of known words."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from lugha.corpus.read import read_source
from lugha.demo.corpus import KEY, demo_sources, draw_sample, write_demo_corpus
from lugha.demo.dirt import MENDS
from lugha.demo.grammar import fold_of
from lugha.demo.language import LANGUAGES, Language
from lugha.demo.meaning import combinations
from lugha.demo.sampling import words_of
from lugha.errors import InputError
from lugha.recipe import load_recipe
from lugha.runs.manifest import read_manifest

PAIRS = 400
both = pytest.mark.parametrize("language", LANGUAGES.values(), ids=list(LANGUAGES))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "raw"
    write_demo_corpus(folder, pairs_per_language=PAIRS, seed=42)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(raw: Path, tmp_path: Path) -> None:
    write_demo_corpus(tmp_path / "again", pairs_per_language=PAIRS, seed=42)
    write_demo_corpus(tmp_path / "other", pairs_per_language=PAIRS, seed=43)
    assert digests(raw) == digests(tmp_path / "again")
    assert not set(digests(raw).values()) & set(digests(tmp_path / "other").values())


def test_a_second_call_writes_nothing_new(raw: Path) -> None:
    before = read_manifest(raw)
    assert write_demo_corpus(raw, pairs_per_language=PAIRS, seed=42) == before


def test_the_preset_reads_these_files() -> None:
    assert load_recipe("demo").corpus.sources == demo_sources()


def test_the_manifest_counts_rows_and_dirt(raw: Path) -> None:
    manifest = read_manifest(raw)
    key = [json.loads(line) for line in (raw / KEY).read_text(encoding="utf-8").splitlines()]
    rows = {source.name: sum(frame.height for frame in read_source(source, raw)) for source in demo_sources()}
    copies = sum(entry["copy_of"] is not None for entry in key)
    assert manifest.rows_out == sum(rows.values()) == sum(manifest.details["rows"].values())
    assert rows["swh-train"] + rows["ibo-train"] == 2 * PAIRS + copies
    assert rows["swh-test"] == rows["ibo-test"] == 40
    assert sum(manifest.details["planted"].values()) == len(key)
    assert set(manifest.details["planted"]) == set(MENDS)
    assert min(manifest.details["possible_sentences"].values()) >= 100_000


def test_the_key_names_rows_as_the_readers_do(raw: Path) -> None:
    read = {
        row: (text, english)
        for source in demo_sources()
        for frame in read_source(source, raw)
        for row, text, english in frame.select("id", "source_text", "target_text").iter_rows()
    }
    for line in (raw / KEY).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        text, english = entry["clean"].values()
        assert (read[entry["id"]] == (text, english)) == (entry["kind"] == "duplicate")
        if entry["copy_of"]:
            assert read[entry["copy_of"]] == (text, english)
        assert entry["id"].endswith(f":{entry['row']}")
        assert (raw / entry["file"]).is_file()


def test_formats_are_those_of_real_corpora(raw: Path) -> None:
    first, second = ((raw / "swh-eng" / name).read_text(encoding="utf-8") for name in ("train.swh", "train.eng"))
    assert first.count("\n") == second.count("\n") > PAIRS
    with gzip.open(raw / "ibo-eng" / "train.jsonl.gz", "rt", encoding="utf-8") as stream:
        assert set(json.loads(next(stream))) == {"ibo", "eng"}
    assert (raw / "ibo-eng" / "test.tsv").read_text(encoding="utf-8").startswith("ibo\teng\n")


@both
def test_held_out_combinations_are_unseen_but_every_word_is_seen(language: Language) -> None:
    sample = draw_sample(language, 600, seed=42)
    trained = frozenset().union(*(combinations(s.meaning) for s in sample.train))
    gone = {e.clean for e in sample.planted if MENDS[e.kind] == "dropped" and e.original is None}
    known = frozenset().union(*(words_of(s.pair) for s in sample.train if s.pair not in gone))
    for fold, sentences in sample.held_out.items():
        assert sentences
        for sentence in sentences:
            assert fold_of(sentence.meaning) == fold
            assert combinations(sentence.meaning) - trained
            assert words_of(sentence.pair) <= known
    heads = {
        fold: frozenset().union(*(combinations(s.meaning) for s in sentences)) for fold, sentences in sample.held_out.items()
    }
    unseen = {fold: pairs - trained for fold, pairs in heads.items()}
    assert not unseen["validation"] & unseen["test"]


def test_too_few_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"demo_pairs 20: .* at least 300"):
        write_demo_corpus(tmp_path / "raw", pairs_per_language=20, seed=1)
    assert not (tmp_path / "raw").exists()
