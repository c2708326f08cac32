"""The tokenizer stage: what it trains on, what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from lugha.errors import InputError
from lugha.recipe import TokenizerSection
from lugha.runs.files import sha256_file
from lugha.runs.manifest import read_manifest, verify_stage
from lugha.tokens.special import special_ids
from lugha.tokens.style import style_of
from lugha.tokens.tokenizer import load_tokenizer, tokenizer_fingerprint, train_tokenizer
from tests.tokens.corpora import document, filtered_corpus, pair, split_corpus
from tests.tokens.texts import made_lines, made_tokenizer

SMALL = TokenizerSection(vocab_size=450)


def text_folder(folder: Path, lines: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def swahili_split(folder: Path) -> Path:
    train = [document(line, lang="ibo" if i % 3 == 0 else "swh") for i, line in enumerate(made_lines(900))]
    validation = [document("qaqaqa " * 20 + line) for line in made_lines(60, seed=1)]
    return split_corpus(folder, "documents", ["ibo", "swh"], train=train, validation=validation)


@pytest.mark.parametrize("style", ["bytes", "metaspace"])
def test_a_folder_of_plain_text_becomes_a_tokenizer(tmp_path: Path, style: str) -> None:
    section = TokenizerSection.model_validate({"vocab_size": 450, "style": style})
    manifest = train_tokenizer(text_folder(tmp_path / "in", made_lines(900)), tmp_path / "tokenizer", section=section)
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    assert manifest.stage == "tokenizer"
    assert [f.path for f in manifest.files] == ["tokenizer.json"]
    details = manifest.details
    assert details["style"] == style_of(tokenizer) == style
    assert details["vocab_size"] == details["vocab_size_asked"] == tokenizer.get_vocab_size() == 450
    assert details["fingerprint"] == tokenizer_fingerprint(tmp_path / "tokenizer") == manifest.files[0].sha256
    assert details["special_tokens"] == special_ids(tokenizer)
    assert details["fertility_on"] == "text held out from training"
    assert manifest.rows_in == 900
    assert manifest.rows_out == 900 - manifest.dropped["held out"]
    held_out = details["fertility"]["und"]
    assert held_out["texts"] == manifest.dropped["held out"] > 0
    assert 1.0 <= held_out["tokens_per_word"] < 3.0


def test_only_the_training_split_is_learned_and_validation_is_measured(tmp_path: Path) -> None:
    manifest = train_tokenizer(swahili_split(tmp_path / "split"), tmp_path / "tokenizer", section=SMALL)
    vocabulary = load_tokenizer(tmp_path / "tokenizer").get_vocab()
    assert "Ġkijani" in vocabulary
    assert not [token for token in vocabulary if "qa" in token]
    assert manifest.details["fertility_on"] == "validation split"
    assert manifest.details["fertility"]["swh"]["texts"] == 60
    assert manifest.details["trained_bytes"].keys() == {"ibo", "swh"}


def test_languages_of_the_corpus_have_tokens(tmp_path: Path) -> None:
    manifest = train_tokenizer(swahili_split(tmp_path / "split"), tmp_path / "tokenizer", section=SMALL)
    first = sorted(manifest.details["special_tokens"].items(), key=lambda item: item[1])[:6]
    assert first == [("<pad>", 0), ("<s>", 1), ("</s>", 2), ("<unk>", 3), ("ibo_Latn", 4), ("swh_Latn", 5)]
    assert manifest.details["languages"] == ["ibo", "swh"]


def test_pairs_train_on_both_sides(tmp_path: Path) -> None:
    folder = split_corpus(tmp_path / "split", "pairs", ["eng", "ibo"], train=[pair("mmiri ọma", "good water")] * 60)
    manifest = train_tokenizer(folder, tmp_path / "tokenizer", section=TokenizerSection(vocab_size=400))
    vocabulary = load_tokenizer(tmp_path / "tokenizer").get_vocab()
    assert {"mmiri", "Ġwater"} <= vocabulary.keys()
    assert manifest.details["fertility_on"] == "training text"  # nothing else is there
    assert manifest.details["fertility"].keys() == {"eng", "ibo"}


def test_a_corpus_before_the_split_will_do(tmp_path: Path) -> None:
    folder = filtered_corpus(tmp_path / "filtered", ["swh"], [document(line) for line in made_lines(300)])
    manifest = train_tokenizer(folder, tmp_path / "tokenizer", section=SMALL)
    assert manifest.details["fertility_on"] == "text held out from training"
    assert "swh_Latn" in manifest.details["special_tokens"]


def test_a_small_corpus_gives_a_smaller_vocabulary_and_says_so(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "in", ["maji na mkate"] * 500)
    details = train_tokenizer(folder, tmp_path / "tokenizer", section=TokenizerSection(vocab_size=4096)).details
    assert details["vocab_size_asked"] == 4096
    assert details["vocab_size"] == load_tokenizer(tmp_path / "tokenizer").get_vocab_size() < 320


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "in", made_lines(900))
    small = TokenizerSection(vocab_size=600, max_train_bytes=20_000)
    prints = [train_tokenizer(folder, tmp_path / f"{n}", section=small, seed=s) for n, s in enumerate([1, 1, 2])]
    one, again, other = (manifest.details["fingerprint"] for manifest in prints)
    assert one == again != other


def test_the_text_stays_within_the_budget(tmp_path: Path) -> None:
    small = TokenizerSection(vocab_size=400, max_train_bytes=20_000)
    manifest = train_tokenizer(text_folder(tmp_path / "in", made_lines(900)), tmp_path / "t", section=small)
    assert 16_000 < manifest.details["trained_bytes"]["und"] <= 20_000
    assert manifest.dropped["max_train_bytes"] > 300


def test_an_unchanged_stage_is_not_run_again(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "in", made_lines(200))
    first = train_tokenizer(folder, tmp_path / "tokenizer", section=SMALL)
    again = train_tokenizer(folder, tmp_path / "tokenizer", section=SMALL)
    changed = train_tokenizer(folder, tmp_path / "tokenizer", section=TokenizerSection(vocab_size=400))
    assert first == again
    assert changed.details["vocab_size"] == 400


def test_a_vocabulary_without_room_for_merges_is_refused(tmp_path: Path) -> None:
    languages = ["eng", "hau", "ibo", "swh", "yor"]
    rows = [document(line, lang=languages[i % 5]) for i, line in enumerate(made_lines(50))]
    folder = filtered_corpus(tmp_path / "filtered", languages, rows)
    section = TokenizerSection.model_construct(**{**SMALL.model_dump(), "vocab_size": 280})
    with pytest.raises(InputError, match="vocab_size 280 is too small.*Set it to 282 or more"):
        train_tokenizer(folder, tmp_path / "tokenizer", section=section)
    assert not (tmp_path / "tokenizer").exists()


def test_a_budget_below_any_text_is_refused(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "in", made_lines(200))
    with pytest.raises(InputError, match="max_train_bytes 1 is less than any text"):
        train_tokenizer(folder, tmp_path / "tokenizer", section=TokenizerSection(vocab_size=400, max_train_bytes=1))
    assert not (tmp_path / "tokenizer").exists()


def existing(folder: Path, tokenizer: Tokenizer) -> Path:
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_an_existing_tokenizer_is_taken_over_byte_for_byte(tmp_path: Path) -> None:
    mine = existing(tmp_path / "mine", made_tokenizer("metaspace"))
    section = TokenizerSection(path=mine / "tokenizer.json")
    manifest = train_tokenizer(swahili_split(tmp_path / "split"), tmp_path / "tokenizer", section=section)
    assert manifest.details["fingerprint"] == sha256_file(mine / "tokenizer.json")
    assert manifest.details["vocab_size"] == made_tokenizer("metaspace").get_vocab_size()
    assert manifest.details["vocab_size_asked"] is None
    assert manifest.details["style"] == "metaspace"
    assert verify_stage(tmp_path / "tokenizer") == manifest


def test_another_existing_tokenizer_makes_the_stage_run_again(tmp_path: Path) -> None:
    split = swahili_split(tmp_path / "split")
    for style in ("bytes", "metaspace"):
        section = TokenizerSection(path=existing(tmp_path / style, made_tokenizer(style)))  # type: ignore[arg-type]
        train_tokenizer(split, tmp_path / "tokenizer", section=section)
        assert read_manifest(tmp_path / "tokenizer").details["style"] == style


def test_an_existing_tokenizer_without_a_role_is_refused(tmp_path: Path) -> None:
    corpus = swahili_split(tmp_path / "split")
    record = json.loads(made_tokenizer("bytes").to_str())
    record["added_tokens"] = [token for token in record["added_tokens"] if token["content"] != "</s>"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tokenizer.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"mine: The tokenizer has no special token for the role eos"):
        train_tokenizer(corpus, tmp_path / "tokenizer", section=TokenizerSection(path=tmp_path / "mine"))
    assert not (tmp_path / "tokenizer").exists()


def test_an_existing_tokenizer_with_a_gap_in_its_ids_is_refused(tmp_path: Path) -> None:
    record = json.loads(made_tokenizer("bytes").to_str())
    vocabulary = record["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.__getitem__)
    vocabulary[last] = 90_000
    section = TokenizerSection(path=existing(tmp_path / "mine", Tokenizer.from_str(json.dumps(record))))
    with pytest.raises(InputError, match="ids up to 90000"):
        train_tokenizer(swahili_split(tmp_path / "split"), tmp_path / "tokenizer", section=section)


def test_a_file_that_is_no_tokenizer_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 1}))
    with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer\.json") as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        load_tokenizer(tmp_path / "elsewhere")


def test_a_loaded_tokenizer_keeps_texts_whole(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(made_tokenizer("bytes").to_str())
    tokenizer.enable_truncation(3)
    loaded = load_tokenizer(existing(tmp_path / "mine", tokenizer))
    assert len(loaded.encode("kijani " * 50).ids) >= 50
    assert Tokenizer(models.BPE()).truncation is None


@pytest.mark.corpora
@pytest.mark.parametrize(("style", "bound"), [("bytes", 1.55), ("metaspace", 1.45)])
def test_real_swahili_is_covered(tmp_path: Path, corpora: Path, style: str, bound: float) -> None:
    news = corpora / "mafand-mt" / "en-swa"
    rows = {
        split: [document(line) for line in (news / f"{file}.swa").read_text(encoding="utf-8").split("\n") if line]
        for split, file in (("train", "train"), ("validation", "dev"))
    }
    folder = split_corpus(tmp_path / "split", "documents", ["swh"], **rows)
    section = TokenizerSection.model_validate({"vocab_size": 16_384, "style": style})
    fertility = train_tokenizer(folder, tmp_path / "tokenizer", section=section).details["fertility"]["swh"]
    assert fertility["tokens_per_word"] < bound
    assert fertility["byte_split_share"] < 0.005
    assert fertility["unknown_tokens"] == 0
