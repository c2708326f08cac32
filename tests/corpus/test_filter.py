"""The stage "filter": every row is either kept or in `dropped` with its reason."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lugha.corpus.filter import DROPPED, filter_corpus
from lugha.corpus.shards import SCHEMAS
from lugha.errors import InputError
from lugha.recipe.corpus_sections import FilterSection
from lugha.runs.manifest import verify_stage
from tests.corpus.small_corpus import corpus, documents, pairs, read

GOOD = [
    ("The farmer sells fish at the market.", "Mkulima anauza samaki sokoni leo."),
    ("In 2019 the teacher bought a new book.", "Mwalimu alinunua kitabu kipya mwaka jana."),
]
BAD = {
    "too_short": ("Yes, indeed", "Ndiyo kabisa"),
    "identical_sides": ("Amina na Juma", "Amina na Juma"),
    "markup": ("The <b>farmer</b> sells fish", "Mkulima anauza samaki"),
    "swapped_sides": ("Watoto wanakwenda shuleni asubuhi", "The children go to school in the morning"),
}


def dropped(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / DROPPED)


def test_rows_are_kept_or_dropped_with_a_reason(tmp_path: Path) -> None:
    rows = pairs([GOOD[0], *BAD.values(), GOOD[1]])
    manifest = filter_corpus(corpus(tmp_path / "in", rows), tmp_path / "out")
    kept, lost = read(tmp_path / "out"), dropped(tmp_path / "out")
    assert kept.equals(rows[[0, 5]])
    assert lost["reason"].to_list() == list(BAD)
    assert lost.drop("reason").equals(rows[1:5])
    assert lost.columns == [*SCHEMAS["pairs"].names, "reason"]
    assert manifest.dropped == dict.fromkeys(sorted(BAD), 1)
    assert {f.path: f.rows for f in verify_stage(tmp_path / "out").files} == {"00000.parquet": 2, DROPPED: 4}
    assert manifest.details["flags"] == {"number_mismatch": 1, "url_mismatch": 0}
    assert manifest.details["samples"]["markup"] == [" | ".join(BAD["markup"])]
    funnel = manifest.details["funnel"]
    assert [step["rule"] for step in funnel if step["dropped"]] == list(BAD)
    assert funnel[0] == {"rule": "empty", "dropped": 0, "left": 6}
    assert funnel[-1]["left"] == manifest.rows_out == 2


def test_nothing_dropped_still_leaves_the_file(tmp_path: Path) -> None:
    filter_corpus(corpus(tmp_path / "in", pairs(GOOD)), tmp_path / "out")
    assert dropped(tmp_path / "out").is_empty()


def test_official_rows_go_only_when_a_side_is_empty(tmp_path: Path) -> None:
    sides = [*BAD.values(), (GOOD[0][0], "")]
    rows = pairs(sides * 3, split=["test"] * 5 + ["validation"] * 5 + ["train"] * 5)
    manifest = filter_corpus(corpus(tmp_path / "in", rows), tmp_path / "out")
    assert read(tmp_path / "out")["split"].to_list() == ["test"] * 4 + ["validation"] * 4
    assert manifest.dropped == {"empty": 3, "identical_sides": 1, "markup": 1, "swapped_sides": 1, "too_short": 1}
    assert manifest.details["official_rows_kept_against"] == dict.fromkeys(BAD, 2)


def test_language_identification_can_be_left_out(tmp_path: Path) -> None:
    rows = documents(["The children go to school in the morning", "Watoto wanakwenda shuleni asubuhi"])
    folder = corpus(tmp_path / "in", rows)
    assert filter_corpus(folder, tmp_path / "a").dropped == {"wrong_language": 1}
    assert filter_corpus(folder, tmp_path / "b", section=FilterSection(language_id=False)).dropped == {}


def test_a_document_may_have_any_length_unless_the_recipe_bounds_it(tmp_path: Path) -> None:
    rows = documents([" ".join(f"Mtoto wa {i} anasoma kitabu cha {i}." for i in range(100))])
    folder = corpus(tmp_path / "in", rows)
    assert filter_corpus(folder, tmp_path / "a").dropped == {}
    assert filter_corpus(folder, tmp_path / "b", section=FilterSection(max_words=200)).dropped == {"too_long": 1}


def test_samples_are_few_and_short(tmp_path: Path) -> None:
    rows = documents([f"{i} " + "neno " * 300 for i in range(9)])
    samples = filter_corpus(corpus(tmp_path / "in", rows), tmp_path / "out").details["samples"]["repetition"]
    assert [text[:2] for text in samples] == ["0 ", "1 ", "2 ", "3 ", "4 "]
    assert max(map(len, samples)) == 120


def test_a_current_output_is_not_made_again_and_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", pairs(GOOD))
    assert filter_corpus(folder, tmp_path / "out") == filter_corpus(folder, tmp_path / "out")
    with pytest.raises(InputError, match="0 rows"):
        filter_corpus(corpus(tmp_path / "none", pairs([])), tmp_path / "out2")


def test_a_corpus_of_which_nothing_is_left_says_so_at_the_next_stage(tmp_path: Path) -> None:
    manifest = filter_corpus(corpus(tmp_path / "in", pairs([("a", "b")])), tmp_path / "out")
    assert (manifest.rows_out, manifest.dropped) == (0, {"too_short": 1})
    with pytest.raises(InputError, match="every row was dropped"):
        filter_corpus(tmp_path / "out", tmp_path / "again")


SIDES = st.lists(st.sampled_from([*GOOD, *BAD.values(), ("", "x"), ("1 2 3 4", "5 6 7 8")]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SIDES)
def test_kept_and_dropped_are_all_rows_whatever_the_shards(
    tmp_path_factory: pytest.TempPathFactory, sides: list[tuple[str, str]]
) -> None:
    rows, folder = pairs(sides), tmp_path_factory.mktemp("filter")
    outputs = []
    for shard in (4, 1000):
        input = corpus(folder / f"in{shard}", rows, rows_per_shard=shard)
        filter_corpus(input, folder / f"out{shard}", rows_per_shard=shard)
        outputs.append((read(folder / f"out{shard}"), dropped(folder / f"out{shard}")))
    (kept, lost), (kept_whole, lost_whole) = outputs
    assert lost.equals(lost_whole)
    assert kept.height + lost.height == rows.height
    assert kept.is_empty() == kept_whole.is_empty()
    assert kept.is_empty() or kept.equals(kept_whole)
    both = sorted(kept["id"].to_list() + lost["id"].to_list())
    assert both == sorted(rows["id"].to_list())
    aligned = rows.select("id", "source_text", "target_text")
    for part in (kept, lost):
        if not part.is_empty():
            assert part.select(aligned.columns).equals(aligned.filter(pl.col("id").is_in(part["id"].to_list())))
