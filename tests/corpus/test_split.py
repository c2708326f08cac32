"""The stage "split": nothing that is in train is known from validation or test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lugha.corpus.shards import SCHEMAS, SPLITS
from lugha.corpus.split import split_corpus
from lugha.errors import InputError
from lugha.recipe.corpus_sections import SplitSection
from lugha.runs.manifest import StageManifest, verify_stage
from tests.corpus.small_corpus import corpus, documents, jaccard, pairs, read, shingles

NO_DIVISION = SplitSection(validation=0, test=0)
ONE_LETTER = "abcdefghijklmnopqrstuvwxyz"


def run(tmp_path: Path, rows: pl.DataFrame, **keys: Any) -> tuple[dict[str, pl.DataFrame], StageManifest]:
    """The rows of each split and the manifest."""
    manifest = split_corpus(corpus(tmp_path / "in", rows), tmp_path / "out", **keys)
    verify_stage(tmp_path / "out", ("split",))
    return {name: read(tmp_path / "out", name) for name in SPLITS}, manifest


def unlike(count: int) -> list[str]:
    """Texts that have nothing in common."""
    return [" ".join(c * 9 for c in (ONE_LETTER[i % 26], ONE_LETTER[i // 26], "z" * (1 + i % 7))) for i in range(count)]


def test_fixed_splits_are_obeyed_and_leaks_leave_train(tmp_path: Path) -> None:
    test = ("The farmer sells fish and bread at the market", "Mkulima anauza samaki na mkate sokoni")
    validation = ("The teacher reads an old book at school", "Mwalimu anasoma kitabu cha zamani shuleni")
    train = [
        ("A goat eats the grass", "Mbuzi anakula nyasi"),
        (test[0].upper(), "Kitu kingine"),  # the English side of the test row
        ("Something else", test[1] + " leo"),  # nearly its Swahili side
        ("Nothing of that", validation[1]),
        (test[0], validation[1]),  # of both: counted under the test set
    ]
    rows = pairs([*train, test, validation], split=["train"] * 3 + ["auto"] * 2 + ["test", "validation"])
    out, manifest = run(tmp_path, rows, section=NO_DIVISION)
    assert {name: part["source_text"].to_list() for name, part in out.items()} == {
        "train": [train[0][0]],
        "validation": [validation[0]],
        "test": [test[0]],
    }
    assert manifest.dropped == {"leaks_into_test": 3, "leaks_into_validation": 1}
    assert (manifest.rows_in, manifest.rows_out) == (7, 3)
    assert out["train"].columns == [name for name in SCHEMAS["pairs"].names if name != "split"]
    details = manifest.details
    assert details["rows"] == {"train": 1, "validation": 1, "test": 1}
    assert details["rows_by_language"]["test"] == {"eng-swh": 1}
    assert details["leaks"] == {"test": {"exact": 2, "near": 1}, "validation": {"exact": 2, "near": 0}}
    assert details["overlap"] == {
        "test_in_train": {"source_text": 1, "target_text": 0, "pair": 0},
        "validation_in_train": {"source_text": 0, "target_text": 1, "pair": 0},
        "test_in_validation": {"source_text": 0, "target_text": 0, "pair": 0},
    }
    assert {f.path: f.rows for f in manifest.files} == {f"{name}/00000.parquet": 1 for name in SPLITS}


def test_overlap_tells_a_whole_pair_from_its_sides(tmp_path: Path) -> None:
    sides = [("one two three", "moja mbili"), ("four five six", "nne tano")]
    train = [sides[0], (sides[1][0], "x"), ("y", sides[1][1])]
    rows = pairs([*train, *sides], split=["train"] * 3 + ["test"] * 2)
    _, manifest = run(tmp_path, rows, section=NO_DIVISION)
    assert manifest.details["overlap"]["test_in_train"] == {"source_text": 2, "target_text": 2, "pair": 1}


def test_official_rows_stay_even_when_they_repeat_each_other(tmp_path: Path) -> None:
    rows = documents(["sawa sawa kabisa"] * 4, split=["test", "test", "validation", "train"])
    out, manifest = run(tmp_path, rows, section=NO_DIVISION)
    assert {name: part.height for name, part in out.items()} == {"train": 0, "validation": 1, "test": 2}
    assert manifest.details["overlap"]["test_in_validation"] == {"text": 2}


def test_a_corpus_of_one_template_works_with_official_sets(tmp_path: Path) -> None:
    """Nearly everything is one near-duplicate cluster of one group: there is nothing to divide, so it does not matter."""
    texts = [f"Mkulima mmoja anauza samaki na mkate sokoni kila siku ya juma namba {i}" for i in range(300)]
    rows = documents([*texts, "Mwalimu anasoma kitabu"], split=["auto"] * 300 + ["test"])
    out, manifest = run(tmp_path, rows, section=NO_DIVISION)
    assert out["train"].height == 300
    assert manifest.dropped == {"leaks_into_test": 0, "leaks_into_validation": 0}


def test_automatic_rows_are_divided_by_group(tmp_path: Path) -> None:
    texts = unlike(200)
    rows = documents(texts, group=[f"file{i // 5}" for i in range(200)])
    section = SplitSection(validation=0.05, test=0.1)
    out, manifest = run(tmp_path, rows, section=section, seed=7)
    assert {name: part.height for name, part in out.items()} == {"train": 170, "validation": 10, "test": 20}
    assert manifest.details["groups"] == {"train": 34, "validation": 2, "test": 4}
    assert manifest.details["components"] == {"count": 40, "largest": 5}
    again = split_corpus(tmp_path / "in", tmp_path / "other", section=section, seed=8)
    assert again.details["rows"] == manifest.details["rows"]
    assert set(read(tmp_path / "other", "test")["group"]) != set(out["test"]["group"])


def test_one_group_cannot_be_divided(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"in: the 30 rows of swh with split auto are 1 document group.*group_lines"):
        run(tmp_path, documents(unlike(30)))
    assert not (tmp_path / "out").exists()


def test_a_current_output_is_not_made_again_and_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", documents(unlike(3), split="train"))
    assert split_corpus(folder, tmp_path / "out") == split_corpus(folder, tmp_path / "out")
    assert split_corpus(folder, tmp_path / "out", seed=1).parameters["seed"] == 1
    with pytest.raises(InputError, match="0 rows"):
        split_corpus(corpus(tmp_path / "none", documents([])), tmp_path / "out2")


BASES = [
    "mkulima mmoja anauza samaki na mkate sokoni kila siku ya jumatatu asubuhi",
    "the teacher who lives beside the river reads an old book to the children",
    "ụmụaka na-aga ụlọ akwụkwọ n'ụtụtụ ka ha mụta ihe ọhụrụ ma lọta n'abalị",
    "zarafa watano walikimbia mbali sana na mto mkubwa wakati wa kiangazi kikali",
]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_group_and_no_similar_text_spans_splits(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    count = data.draw(st.integers(6, 30))
    fresh = unlike(2 * count)
    # a text is fresh, or a base with a changed ending (J >= 0.9 with its siblings, where LSH misses 3 in 10 million)
    texts = [
        BASES[which] + data.draw(st.sampled_from(["", "!", " a", " b"])) if which < len(BASES) else fresh[i]
        for i in range(2 * count)
        for which in [data.draw(st.integers(0, 14))]
    ]
    splits = [
        data.draw(st.sampled_from(["auto", "auto", "auto", "auto", "train", "test", "validation"])) for _ in range(count)
    ]
    groups = [f"{split}{data.draw(st.integers(0, count // 2))}" for split in splits]
    rows = pairs(zip(texts[::2], texts[1::2], strict=True), group=groups, split=splits, target_lang="eng")
    folder = tmp_path_factory.mktemp("split")
    section = SplitSection(validation=0.1, test=0.1)
    outputs = []
    for shard in (5, 1000):
        input = corpus(folder / f"in{shard}", rows, rows_per_shard=shard)
        try:
            manifest = split_corpus(input, folder / f"out{shard}", section=section, rows_per_shard=shard)
        except InputError as error:
            assert "free to move" in str(error) or "cannot be cut" in str(error)
            return
        outputs.append({name: read(folder / f"out{shard}", name) for name in SPLITS})
    out = outputs[0]
    assert all(out[name].is_empty() or out[name].equals(outputs[1][name]) for name in SPLITS)

    where = {row: name for name, part in out.items() if not part.is_empty() for row in part["id"]}
    assert len(where) + sum(manifest.dropped.values()) == rows.height
    placed = rows.filter(pl.col("id").is_in(list(where)))
    for name, part in out.items():  # pairs are still aligned, in their order
        if not part.is_empty():
            assert part.equals(rows.drop("split").filter(pl.col("id").is_in([r for r, s in where.items() if s == name])))
    for row, split in rows.select("id", "split").iter_rows():
        assert split in {"auto", "train"} or where[row] == split
    automatic = placed.filter(pl.col("split") == "auto")
    splits_of_group = {(group, where[row]) for row, group in automatic.select("id", "group").iter_rows()}
    assert len(splits_of_group) == automatic["group"].n_unique()

    sides = [
        (where[row], split, shingles(text))
        for row, split, *both in placed.select("id", "split", "source_text", "target_text").iter_rows()
        for text in both
    ]
    for a, fixed_a, left in sides:
        for b, fixed_b, right in sides:
            if a != b and not {fixed_a, fixed_b} <= {"test", "validation"}:  # official sets may repeat each other
                assert jaccard(left, right) < 0.8


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("pair", "lang", "english", "african", "whole"),
    [
        ("en-ibo", "ibo", (33, 17, 35), (93, 160, 69), (29, 13, 18)),
        ("en-swa", "swh", (14, 9, 0), (11, 5, 0), (7, 3, 0)),
        ("en-hau", "hau", (22, 28, 18), (21, 26, 19), (18, 24, 15)),
    ],
)
def test_known_leaks_of_published_test_sets(
    corpora: Path,
    tmp_path: Path,
    pair: str,
    lang: str,
    english: tuple[int, ...],
    african: tuple[int, ...],
    whole: tuple[int, ...],
) -> None:
    """MAFAND: how many test lines are in train, dev lines in train, test lines in dev (counted by another program)."""
    folder = corpora / "mafand-mt" / pair
    frames = []
    for file, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
        sides = [
            (folder / f"{file}.{ending}").read_text(encoding="utf-8").removesuffix("\n").split("\n")
            for ending in ("en", pair.removeprefix("en-"))
        ]
        frames.append(pairs(zip(*sides, strict=True), target_lang=lang, split=split, group=file))
    _, manifest = run(tmp_path, pl.concat(frames), section=NO_DIVISION)
    overlap = manifest.details["overlap"]
    found = [overlap[key] for key in ("test_in_train", "validation_in_train", "test_in_validation")]
    assert tuple(counts["source_text"] for counts in found) == english
    assert tuple(counts["target_text"] for counts in found) == african
    assert tuple(counts["pair"] for counts in found) == whole

    after = pl.concat([read(tmp_path / "out", name).with_columns(split=pl.lit(name)) for name in SPLITS])
    again = split_corpus(corpus(tmp_path / "again", after), tmp_path / "clean", section=NO_DIVISION)
    assert again.dropped == {"leaks_into_test": 0, "leaks_into_validation": 0}
