"""The stage `clean`: pairs stay pairs, kept + dropped = in, clean twice = clean once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lugha.corpus.clean import clean_corpus
from lugha.corpus.shards import SCHEMAS, open_corpus, read_frames, shard_paths
from lugha.errors import InputError
from lugha.languages.normalise import Normaliser
from lugha.recipe.corpus_sections import CleanSection, Source
from lugha.runs.manifest import StageManifest


def documents(path: str, **keys: Any) -> Source:
    return Source.model_validate({"name": "news", "path": path, "lang": "sw", **keys})


def pairs(path: str, target_path: str | None, **keys: Any) -> Source:
    values = {"name": "bitext", "path": path, "target_path": target_path, "source_lang": "en", "target_lang": "ig"}
    return Source.model_validate({**values, "kind": "pairs", **keys})


def table(folder: Path) -> pl.DataFrame:
    return pl.concat(read_frames(shard_paths(folder)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def test_documents(raw: Path, tmp_path: Path) -> None:
    lines = ["  Ng’ombe â€œwakeâ€\x9d  ", "", "\u200b \ufeff", "Safi kabisa.", 'kung"ang"ania']
    (raw / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    manifest = clean_corpus([documents("a.txt", licence="CC0-1.0")], tmp_path / "cleaned", root=raw)
    frame = table(tmp_path / "cleaned")
    assert frame["text"].to_list() == ['Ng\'ombe "wake"', "Safi kabisa.", "kung'ang'ania"]
    assert frame["id"].to_list() == ["news/a.txt:1", "news/a.txt:4", "news/a.txt:5"]
    assert frame.columns == SCHEMAS["documents"].names
    assert (manifest.stage, manifest.version) == ("clean", 1)
    assert (manifest.rows_in, manifest.rows_out, manifest.dropped) == (5, 3, {"empty": 2})
    details = manifest.details
    assert details["kind"] == "documents"
    assert details["languages"] == ["swh"]
    assert details["sources"] == {"news": {"rows_in": 5, "rows_out": 3, "dropped": {"empty": 2}, "licence": "CC0-1.0"}}
    counts = {rule: facts["texts"] for rule, facts in details["changes"].items()}
    assert counts == {"blanks": 2, "quotes": 1, "mojibake": 1, "invisible": 1, "apostrophe": 1}
    assert details["changes"]["apostrophe"]["samples"] == [{"before": 'kung"ang"ania', "after": "kung'ang'ania"}]
    assert details["normalisers"]["swh"]["version"] >= 1
    assert open_corpus(tmp_path / "cleaned", ("clean",)).rows_out == 3


def test_pairs_leave_with_both_sides(raw: Path, tmp_path: Path) -> None:
    (raw / "a.en").write_text("one\n\n three \n\u200b\nfive\n", encoding="utf-8")
    (raw / "a.ig").write_text("otu\nabụọ\n\n \nise\n", encoding="utf-8")
    manifest = clean_corpus([pairs("a.en", "a.ig")], tmp_path / "cleaned", root=raw)
    frame = table(tmp_path / "cleaned")
    assert frame.select("id", "source_text", "target_text").rows() == [
        ("bitext/a.en:1", "one", "otu"),
        ("bitext/a.en:5", "five", "ise"),
    ]
    assert manifest.dropped == {"empty": 1, "empty_one_side": 2}
    assert manifest.details["directions"] == [["eng", "ibo"]]
    assert manifest.details["languages"] == ["eng", "ibo"]


def test_each_side_has_the_rules_of_its_language(raw: Path, tmp_path: Path) -> None:
    (raw / "a.tsv").write_text('source_text\ttarget_text\nhe sang"aah"\tng"ombe utafıti\n', encoding="utf-8")
    clean_corpus([pairs("a.tsv", None, target_lang="sw")], tmp_path / "cleaned", root=raw)
    assert table(tmp_path / "cleaned").select("source_text", "target_text").rows() == [('he sang"aah"', "ng'ombe utafiti")]


def test_sentences_of_one_line_documents(raw: Path, tmp_path: Path) -> None:
    texts = ["Bw. Ali alikuja.  “Karibu.” Ng’ombe wa 3.5 wapo!", " ", "Moja tu"]
    lines = [json.dumps({"file": f"f{i}", "text": t}) for i, t in enumerate(texts)]
    (raw / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    source = documents("a.jsonl", segment="sentence", group="file")
    manifest = clean_corpus([source], tmp_path / "cleaned", root=raw)
    frame = table(tmp_path / "cleaned")
    assert frame.select("id", "text").rows() == [
        ("news/a.jsonl:1.1", "Bw. Ali alikuja."),
        ("news/a.jsonl:1.2", '"Karibu."'),
        ("news/a.jsonl:1.3", "Ng'ombe wa 3.5 wapo!"),
        ("news/a.jsonl:3.1", "Moja tu"),
    ]
    assert frame["group"].to_list() == ["news/a.jsonl:f0"] * 3 + ["news/a.jsonl:f2"]
    assert (manifest.rows_in, manifest.dropped) == (5, {"empty": 1})


def test_redaction(raw: Path, tmp_path: Path) -> None:
    (raw / "a.txt").write_text(
        "Tazama https://x.co/a?b=1. Au (www.bbc.com/swahili), andika kwa ali.b@mail.co.tz.\n@user tu\n", encoding="utf-8"
    )
    section = CleanSection(redact=["url", "email"])
    manifest = clean_corpus([documents("a.txt")], tmp_path / "cleaned", root=raw, section=section)
    assert table(tmp_path / "cleaned")["text"].to_list() == [
        "Tazama <url>. Au (<url>), andika kwa <email>.",
        "@user tu",
    ]
    assert manifest.details["changes"]["redact_email"]["texts"] == 1


def test_samples_are_few_short_and_show_what_is_invisible(raw: Path, tmp_path: Path) -> None:
    (raw / "a.txt").write_text(("a" * 500 + "\u200b" + "b" * 500 + "\n") * 9, encoding="utf-8")
    manifest = clean_corpus([documents("a.txt")], tmp_path / "cleaned", root=raw)
    facts = manifest.details["changes"]["invisible"]
    assert facts["texts"] == 9
    assert len(facts["samples"]) == 5
    for sample in facts["samples"]:
        assert "a\\u200bb" in sample["before"]
        assert "ab" in sample["after"]
        assert max(map(len, sample.values())) <= 160


def test_several_sources_in_order_and_small_shards(raw: Path, tmp_path: Path) -> None:
    (raw / "a.txt").write_text("a1\na2\na3\n")
    (raw / "b.txt").write_text("b1\n\n")
    sources = [documents("b.txt", name="b"), documents("a.txt", name="a", split="validation")]
    manifest = clean_corpus(sources, tmp_path / "cleaned", root=raw, rows_per_shard=2)
    frame = table(tmp_path / "cleaned")
    assert frame["id"].to_list() == ["b/b.txt:1", "a/a.txt:1", "a/a.txt:2", "a/a.txt:3"]
    assert frame["split"].to_list() == ["auto"] + ["validation"] * 3
    assert manifest.details["sources"]["b"]["dropped"] == {"empty": 1}
    assert set(manifest.inputs) == {"a", "b"}


def stamp(manifest: StageManifest) -> tuple[str, str]:
    return manifest.finished, manifest.content_digest()


def test_current_output_is_left_alone_and_changed_input_is_not(raw: Path, tmp_path: Path) -> None:
    (raw / "a.txt").write_text("a\n")
    output = tmp_path / "cleaned"
    first = clean_corpus([documents("a.txt")], output, root=raw)
    before = (output / "manifest.json").stat().st_mtime_ns
    assert stamp(clean_corpus([documents("a.txt")], output, root=raw)) == stamp(first)
    assert (output / "manifest.json").stat().st_mtime_ns == before
    (raw / "a.txt").write_text("b\n")
    assert clean_corpus([documents("a.txt")], output, root=raw).content_digest() != first.content_digest()
    again = clean_corpus([documents("a.txt")], output, root=raw, section=CleanSection(redact=["url"]))
    assert again.parameters["clean"] == {"redact": ["url"]}


def test_same_input_same_bytes(raw: Path, tmp_path: Path) -> None:
    (raw / "a.txt").write_text("“a”\nb\n" * 1000, encoding="utf-8")
    manifests = [clean_corpus([documents("a.txt")], tmp_path / name, root=raw) for name in ("one", "two")]
    assert manifests[0].content_digest() == manifests[1].content_digest()


@pytest.mark.parametrize(
    ("sources", "complaint"),
    [
        ([], "corpus.sources is empty"),
        ([documents("a.txt"), pairs("a.txt", "a.txt")], 'source "news" holds documents but source "bitext" holds pairs'),
        ([documents("empty.txt")], "empty.txt: no rows to clean"),
        ([documents("gone.txt")], "gone.txt: no such file or folder"),
        ([documents("a.txt", lang="zz")], 'Unknown language "zz"'),
        ([documents("bad.txt")], "bad.txt: line 2: byte 1 (0xff) is not UTF-8"),
        ([pairs("a.txt", "bad.txt")], "has 1 lines but"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_refusals_leave_nothing_half_written(raw: Path, tmp_path: Path, sources: list[Source], complaint: str) -> None:
    (raw / "a.txt").write_text("a\n")
    (raw / "empty.txt").write_text("")
    (raw / "bad.txt").write_bytes(b"a\n\xff\n" if "0xff" in complaint else b"a\nb\n")
    with pytest.raises(InputError) as error:
        clean_corpus(sources, tmp_path / "cleaned", root=raw)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw"]


def test_output_inside_what_is_read_is_refused(raw: Path) -> None:
    (raw / "a.txt").write_text("a\n")
    with pytest.raises(InputError, match="lies inside"):
        clean_corpus([documents(".")], raw / "cleaned", root=raw)
    assert [p.name for p in raw.iterdir()] == ["a.txt"]


# --- properties ---------------------------------------------------------------------------------------------------------

LINE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\n"),
        st.sampled_from(list(" \u200b\ufeff“”’â€œ™\x9dá»‹ọụị\u0323\u0301ng'\"\x85\u2028\r")),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(LINE, LINE), min_size=1, max_size=30))
def test_pairs_stay_aligned_and_every_row_is_accounted_for(lines) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, side in zip(("a.en", "a.ig"), zip(*lines, strict=True), strict=True):
            (root / name).write_bytes("".join(f"{line}\n" for line in side).encode())
        manifest = clean_corpus([pairs("a.en", "a.ig")], root / "once", root=root)
        frame = table(root / "once") if manifest.rows_out else pl.DataFrame(schema=list(SCHEMAS["pairs"].names))
        english, igbo = Normaliser("eng"), Normaliser("ibo")
        expected = {}
        for number, (one, other) in enumerate(lines, start=1):
            sides = english.normalise(one), igbo.normalise(other)
            if all(sides):
                expected[f"bitext/a.en:{number}"] = sides
        assert {r[0]: (r[1], r[2]) for r in frame.select("id", "source_text", "target_text").rows()} == expected
        assert manifest.rows_in == len(lines) == manifest.rows_out + sum(manifest.dropped.values())
        if not manifest.rows_out:
            return
        for name in ("source_text", "target_text"):
            assert "" not in frame[name].to_list()
        again = Source.model_validate({**pairs("once/*.parquet", None).model_dump(), "name": "again"})
        second = clean_corpus([again], root / "twice", root=root)
        assert second.dropped == {}
        assert second.details["changes"] == {}
        columns = ["source_text", "target_text"]
        assert table(root / "twice").select(columns).equals(frame.select(columns))


@pytest.mark.corpora
def test_real_pairs_of_three_languages(corpora: Path, tmp_path: Path) -> None:
    sources = [
        Source.model_validate(
            {
                "name": f"{code}-{part}",
                "path": f"mafand-mt/en-{code}/{part}.en",
                "target_path": f"mafand-mt/en-{code}/{part}.{code}",
                "kind": "pairs",
                "source_lang": "en",
                "target_lang": code,
            }
        )
        for code in ("ibo", "hau")
        for part in ("train", "dev", "test")
    ]
    manifest = clean_corpus(sources, tmp_path / "cleaned", root=corpora)
    assert manifest.rows_in == 6998 + 1500 + 1500 + 3098 + 1300 + 1500
    assert manifest.rows_out >= manifest.rows_in - 5
    assert manifest.details["changes"]["mojibake"]["texts"] >= 32
    assert not any("â€" in text for text in table(tmp_path / "cleaned")["source_text"])


@pytest.mark.corpora
def test_real_newspapers_become_sentences(corpora: Path, tmp_path: Path) -> None:
    source = Source.model_validate(
        {
            "name": "maneno",
            "path": "maneno-yetu/maneno-03.jsonl.gz",
            "lang": "sw",
            "group": "file",
            "segment": "sentence",
        }
    )
    manifest = clean_corpus([source], tmp_path / "cleaned", root=corpora)
    frame = table(tmp_path / "cleaned")
    assert manifest.rows_out > 100_000
    assert frame["group"].n_unique() == 52
    assert frame["text"].str.contains("â€").sum() == 0
    assert frame["text"].str.contains('[Nn]g"[aeiou]').sum() == 0
