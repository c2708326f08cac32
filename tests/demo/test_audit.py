"""The audit: each fate of a row is told apart, first on stage outputs made by hand, then on those of the real stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from lugha.corpus.clean import clean_corpus
from lugha.corpus.dedup import dedup_corpus
from lugha.corpus.filter import filter_corpus
from lugha.corpus.read import read_source
from lugha.corpus.shards import ShardWriter
from lugha.demo.audit import CleaningAudit, PlantedKind, audit_cleaning
from lugha.demo.corpus import KEY, demo_sources, write_demo_corpus
from lugha.demo.dirt import MENDS, SHARES
from lugha.errors import InputError
from lugha.runs.manifest import stage_output

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "raw"
    write_demo_corpus(folder, pairs_per_language=600, seed=42)
    return folder


@pytest.fixture(scope="module")
def rows(raw: Path) -> pl.DataFrame:
    return pl.concat(frame for source in demo_sources() for frame in read_source(source, raw))


@pytest.fixture(scope="module")
def key(raw: Path) -> pl.DataFrame:
    return pl.read_ndjson(raw / KEY)


def write(folder: Path, stage: str, frame: pl.DataFrame) -> Path:
    with stage_output(folder, stage=stage, version=1, parameters={}, inputs={}) as out:
        with ShardWriter(out, "pairs") as writer:
            writer.write(frame)
        out.tally.rows_in = out.tally.rows_out = frame.height
        out.details["kind"] = "pairs"
    return folder


def audit_of(raw: Path, tmp_path: Path, *frames: pl.DataFrame) -> CleaningAudit:
    stages = ("clean", "dedup", "filter")
    return audit_cleaning(raw, *(write(tmp_path / s, s, f) for s, f in zip(stages, frames, strict=True)))


def perfect(rows: pl.DataFrame, key: pl.DataFrame) -> pl.DataFrame:
    """The rows as a cleaning without a fault would leave them."""
    gone = [entry["id"] for entry in key.iter_rows(named=True) if MENDS[entry["kind"]] == "dropped"]
    right = {entry["id"]: entry["clean"] for entry in key.iter_rows(named=True)}
    frame = rows.filter(~pl.col("id").is_in(gone))
    sides = [
        (right[row]["swh"] or right[row]["ibo"], right[row]["eng"]) if row in right else (text, english)
        for row, text, english in frame.select("id", "source_text", "target_text").iter_rows()
    ]
    return frame.with_columns(
        source_text=pl.Series([text for text, _ in sides]), target_text=pl.Series([english for _, english in sides])
    )


def kind(audit: CleaningAudit, name: str) -> PlantedKind:
    return next(k for k in audit.kinds if k.kind == name)


def test_a_perfect_cleaning_catches_everything(raw: Path, rows: pl.DataFrame, key: pl.DataFrame, tmp_path: Path) -> None:
    done = perfect(rows, key)
    audit = audit_of(raw, tmp_path, done, done, done)
    assert audit.caught == audit.planted == key.height
    assert [k.kind for k in audit.kinds] == list(SHARES)
    assert (audit.clean_altered, audit.clean_dropped) == (0, {})
    assert audit.clean_rows == rows.height - key.height
    assert kind(audit, "duplicate").dropped_by == {"clean": 12}


def test_no_cleaning_at_all_catches_nothing(raw: Path, rows: pl.DataFrame, tmp_path: Path) -> None:
    audit = audit_of(raw, tmp_path, rows, rows, rows)
    assert audit.caught == 0
    assert all(k.planted == k.left == k.missed for k in audit.kinds)
    assert (audit.clean_altered, audit.clean_dropped) == (0, {})


def test_dropping_everything_loses_what_could_be_repaired(raw: Path, rows: pl.DataFrame, tmp_path: Path) -> None:
    audit = audit_of(raw, tmp_path, rows, rows, rows.head(0))
    for k in audit.kinds:
        assert (k.caught, k.lost) == ((0, k.planted) if k.mend == "repaired" else (k.planted, 0))
        assert k.dropped_by == {"filter": k.planted}
    assert audit.clean_dropped == {"filter": audit.clean_rows}


def test_each_fate_is_told_apart(raw: Path, rows: pl.DataFrame, key: pl.DataFrame, tmp_path: Path) -> None:
    """One row of several kinds is treated in its own way, after a cleaning that is otherwise perfect."""
    done = perfect(rows, key)
    by_kind = {k: key.filter(pl.col("kind") == k).row(0, named=True) for k in SHARES}
    clean = done.filter(~pl.col("id").is_in(key["id"].to_list() + key["copy_of"].drop_nulls().to_list()))["id"]

    half_repaired = done.with_columns(
        source_text=pl.when(pl.col("id") == by_kind["nfd"]["id"])
        .then(pl.lit("not what was written"))
        .when(pl.col("id") == clean[0])
        .then(pl.lit("altered"))
        .otherwise("source_text")
    )
    copy, original = by_kind["duplicate"]["id"], by_kind["duplicate"]["copy_of"]
    copy_instead = rows.filter(pl.col("id") == copy)
    near = rows.filter(pl.col("id") == by_kind["near_duplicate"]["id"])
    without = half_repaired.filter(~pl.col("id").is_in([original, by_kind["invisible"]["id"], clean[1]]))
    audit = audit_of(raw, tmp_path, half_repaired, half_repaired, pl.concat([without, copy_instead, near]))

    assert (kind(audit, "nfd").left, kind(audit, "nfd").lost) == (1, 0)
    assert (kind(audit, "invisible").left, kind(audit, "invisible").lost) == (0, 1)
    assert kind(audit, "duplicate").missed == 0  # one of the two stays, whichever
    assert kind(audit, "near_duplicate").left == 1
    assert audit.clean_altered == 1
    assert audit.clean_dropped == {"filter": 1}
    assert audit.planted - audit.caught == 3


def test_markup_is_caught_when_it_is_taken_off(raw: Path, rows: pl.DataFrame, key: pl.DataFrame, tmp_path: Path) -> None:
    done = perfect(rows, key)
    entry = key.filter(pl.col("kind") == "markup").row(0, named=True)
    text, english = (entry["clean"]["swh"] or entry["clean"]["ibo"]), entry["clean"]["eng"]
    mended = rows.filter(pl.col("id") == entry["id"]).with_columns(source_text=pl.lit(text), target_text=pl.lit(english))
    done = pl.concat([done, mended])
    assert kind(audit_of(raw, tmp_path, done, done, done), "markup").missed == 0


def test_the_real_stages_catch_the_planted_dirt(raw: Path, tmp_path: Path) -> None:
    cleaned, deduped, filtered = (tmp_path / name for name in ("cleaned", "deduped", "filtered"))
    clean_corpus(demo_sources(), cleaned, root=raw)
    dedup_corpus(cleaned, deduped)
    filter_corpus(deduped, filtered)
    audit = audit_cleaning(raw, cleaned, deduped, filtered)
    for k in audit.kinds:
        assert k.left == 0, k
        # A repaired row may still fall to language identification, as a clean one may.
        assert k.lost <= 1, k
    assert kind(audit, "blank_side").dropped_by.keys() == {"clean"}
    assert kind(audit, "duplicate").dropped_by.keys() == {"dedup"}
    assert kind(audit, "swapped_sides").dropped_by.keys() == {"filter"}
    assert audit.clean_altered == 0
    assert sum(audit.clean_dropped.values()) <= 0.005 * audit.clean_rows
    assert audit.as_json()["kinds"][0]["planted"] == audit.kinds[0].planted


def test_folders_of_other_stages_are_refused(raw: Path, rows: pl.DataFrame, tmp_path: Path) -> None:
    cleaned = write(tmp_path / "clean", "clean", rows)
    with pytest.raises(InputError, match="made by stage clean, but dedup is needed"):
        audit_cleaning(raw, cleaned, cleaned, cleaned)
    with pytest.raises(InputError, match="no such folder"):
        audit_cleaning(tmp_path / "nothing", cleaned, cleaned, cleaned)
