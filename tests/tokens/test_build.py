"""The tokens stage: every row of a corpus, whole, found again by its number."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from lugha.errors import InputError
from lugha.recipe import TokensSection
from lugha.runs.manifest import StageManifest
from lugha.tokens.build import build_tokens
from lugha.tokens.shards import TokenShards
from lugha.tokens.style import Style
from tests.tokens.corpora import document, filtered_corpus, pair, split_corpus
from tests.tokens.texts import STRESS, in_both_forms, made_lines, made_tokenizer

STYLES: list[Style] = ["bytes", "metaspace"]
TEXTS = [text for text in in_both_forms(made_lines(120) + STRESS) if text]


def tokenizer_folder(folder: Path, tokenizer: Tokenizer) -> Path:
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def build(tmp_path: Path, corpus: Path, style: Style = "bytes", **section: int) -> StageManifest:
    if not (tmp_path / style).exists():
        tokenizer_folder(tmp_path / style, made_tokenizer(style))
    return build_tokens(corpus, tmp_path / style, tmp_path / "tokens", section=TokensSection.model_validate(section))


@pytest.mark.parametrize("style", STYLES)
def test_sequence_i_is_document_i(tmp_path: Path, style: Style) -> None:
    rows = [document(text, lang="ibo" if i % 3 else "swh") for i, text in enumerate(TEXTS)]
    corpus = split_corpus(tmp_path / "split", "documents", ["ibo", "swh"], train=rows, validation=rows[:5], test=rows[:2])
    manifest = build(tmp_path, corpus, style, tokens_per_shard=1000)
    shards = TokenShards.open(tmp_path / "tokens", "train")
    tokenizer = made_tokenizer(style)
    assert [shards[i].tolist() for i in range(len(shards))] == [tokenizer.encode(text).ids for text in TEXTS]
    assert [shards.languages[n] for n in shards.langs] == [row["lang"] for row in rows]
    assert shards.bytes.tolist() == [len(text.encode()) for text in TEXTS]
    assert len([f for f in manifest.files if f.path.startswith("train/") and f.path.endswith(".bin")]) > 3
    assert [len(TokenShards.open(tmp_path / "tokens", split)) for split in ("validation", "test")] == [5, 2]
    assert manifest.rows_in == manifest.rows_out == len(rows) + 7


def test_sums_by_split(tmp_path: Path) -> None:
    rows = [document(text) for text in TEXTS]
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=rows, test=rows[:1])
    splits = build(tmp_path, corpus).details["splits"]
    ids = [made_tokenizer("bytes").encode(text).ids for text in TEXTS]
    assert splits["train"] == {
        "sequences": len(TEXTS),
        "tokens": sum(map(len, ids)),
        "bytes": sum(len(text.encode()) for text in TEXTS),
        "words": splits["train"]["words"],
        "longest": max(map(len, ids)),
    }
    assert abs(splits["train"]["words"] - sum(len(text.split()) for text in TEXTS)) <= 8  # U+001C and the like
    assert splits["validation"] == {"sequences": 0, "tokens": 0, "bytes": 0, "words": 0, "longest": 0}


def test_sequences_2i_and_2i_plus_1_are_the_sides_of_pair_i(tmp_path: Path) -> None:
    swahili, igbo = made_lines(60, seed=1), made_lines(60, seed=2)
    rows = [
        pair(s, t, ("swh", "eng") if i % 2 else ("ibo", "eng")) for i, (s, t) in enumerate(zip(swahili, igbo, strict=True))
    ]
    corpus = split_corpus(tmp_path / "split", "pairs", ["eng", "ibo", "swh"], train=rows)
    details = build(tmp_path, corpus, "metaspace", tokens_per_shard=1000).details
    shards = TokenShards.open(tmp_path / "tokens", "train")
    assert (details["kind"], details["directions"]) == ("pairs", [["ibo", "eng"]])
    tokenizer = made_tokenizer("metaspace")
    for i, row in enumerate(rows):
        for k, side in enumerate(("source", "target")):
            assert tokenizer.decode(shards[2 * i + k].tolist()) == row[f"{side}_text"]
            assert shards.languages[shards.langs[2 * i + k]] == row[f"{side}_lang"]


def test_a_corpus_without_splits_is_training_text(tmp_path: Path) -> None:
    corpus = filtered_corpus(tmp_path / "filtered", ["swh"], [document(text) for text in TEXTS])
    assert build(tmp_path, corpus).details["splits"].keys() == {"train"}
    assert len(TokenShards.open(tmp_path / "tokens", "train")) == len(TEXTS)


def test_nothing_is_truncated_whatever_the_tokenizer_says(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(made_tokenizer("bytes").to_str())
    tokenizer.enable_truncation(16)
    folder = tokenizer_folder(tmp_path / "short", tokenizer)
    long = " ".join(made_lines(3000))
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document("a"), document(long)])
    build_tokens(corpus, folder, tmp_path / "tokens", section=TokensSection(tokens_per_shard=1000, max_length=8))
    shards = TokenShards.open(tmp_path / "tokens", "train")
    assert tokenizer.decode(shards[1].tolist()) == long


def test_text_never_becomes_a_special_token(tmp_path: Path) -> None:
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document("<s> habari </s><pad> swh_Latn")])
    build(tmp_path, corpus)
    special = {i for i, token in made_tokenizer("bytes").get_added_tokens_decoder().items() if token.special}
    assert not set(TokenShards.open(tmp_path / "tokens", "train")[0].tolist()) & special


def test_width_follows_the_vocabulary(tmp_path: Path) -> None:
    wide = Tokenizer.from_str(made_tokenizer("bytes").to_str())
    wide.add_tokens([f"<extra {i}>" for i in range(66_000)])
    folder = tokenizer_folder(tmp_path / "wide", wide)
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document("maji <extra 65999>")])
    details = build_tokens(corpus, folder, tmp_path / "tokens", section=TokensSection()).details
    assert details["width"] == 4
    assert TokenShards.open(tmp_path / "tokens", "train")[0][-1] == wide.get_vocab_size() - 1
    assert build(tmp_path, corpus).details["width"] == 2


def test_an_unchanged_stage_is_not_run_again_and_another_tokenizer_is_a_change(tmp_path: Path) -> None:
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document(text) for text in TEXTS])
    first = build(tmp_path, corpus)
    assert build(tmp_path, corpus, max_length=64) == first  # lengths are for the reader
    other = build(tmp_path, corpus, "metaspace")
    assert other.details["fingerprint"] != first.details["fingerprint"]
    assert build(tmp_path, corpus).content_digest() == first.content_digest()


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"])
    with pytest.raises(InputError, match="the corpus is empty"):
        build(tmp_path, corpus)


def test_a_language_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document("a b", lang="hau")])
    with pytest.raises(InputError, match="in hau, but .* names only swh"):
        build(tmp_path, corpus)
    assert not (tmp_path / "tokens").exists()


def test_more_languages_than_a_byte_can_tell_apart_are_refused(tmp_path: Path) -> None:
    corpus = split_corpus(tmp_path / "split", "documents", [f"l{i:03d}" for i in range(257)], train=[document("a")])
    with pytest.raises(InputError, match="257 languages"):
        build(tmp_path, corpus)


def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document("a")])
    with pytest.raises(InputError, match=r"nowhere.*no such file"):
        build_tokens(corpus, tmp_path / "nowhere", tmp_path / "tokens", section=TokensSection())


@pytest.mark.corpora
def test_a_real_document_of_a_megabyte_comes_back(tmp_path: Path, corpora: Path) -> None:
    lines = (corpora / "mafand-mt/en-swa/train.swa").read_text(encoding="utf-8").split("\n")
    long = " ".join(lines)[:1_000_000]
    corpus = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document(long)])
    for style in STYLES:
        build(tmp_path, corpus, style)
        assert made_tokenizer(style).decode(TokenShards.open(tmp_path / "tokens", "train")[0].tolist()) == long
