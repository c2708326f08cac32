"""A base with new tokens: saved, opened again as others open it, and refused where anything old has moved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from lugha.errors import InputError, RefusedError
from lugha.models.base import read_model
from lugha.pipeline import extending
from lugha.pipeline.extending import extend_base, missing_characters
from lugha.runs.manifest import read_manifest
from lugha.tokens.punctuation import punctuation_of
from lugha.tokens.sample import open_texts
from lugha.tokens.tokenizer import load_tokenizer
from lugha.tokens.unknown import audit_unknown
from tests.tokens.nllb_tokenizers import CODES, nllb_json

IGBO = "Nwata nọ n'ụlọ, ọ na-agụ akwụkwọ."
ROOM = 2  # rows of the model that no id uses, as NLLB-200 has


def write_model(folder: Path, rows: int, dtype: torch.dtype = torch.float32) -> None:
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(1)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes |= {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "d_model": 16, "max_position_embeddings": 128}
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = M2M100Config(vocab_size=rows, **sizes, **ids, init_std=0.5, tie_word_embeddings=True)
    M2M100ForConditionalGeneration(config).to(dtype).save_pretrained(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of NLLB's class with nothing but tokenizer.json beside it."""
    folder = tmp_path_factory.mktemp("bases") / "plain"
    write_model(folder, Tokenizer.from_str(nllb_json()).get_vocab_size() + ROOM)
    (folder / "tokenizer.json").write_text(nllb_json(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def saved_by_transformers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a tokenizer that NllbTokenizer of transformers saved: it puts 202 codes of its own behind."""
    from transformers import NllbTokenizer

    folder = tmp_path_factory.mktemp("bases") / "theirs"
    model = json.loads(nllb_json(nfkc=False))["model"]
    theirs = NllbTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    write_model(folder, len(theirs) + ROOM)
    theirs.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def as_on_the_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in the layout of NLLB-200's own repository, which transformers 4 wrote: `<mask>` last, two lists of codes."""
    folder = tmp_path_factory.mktemp("bases") / "hub"
    record = json.loads(nllb_json(nfkc=False))
    write_model(folder, len(record["model"]["vocab"]) + len(CODES) + 1 + ROOM)
    described = {t["id"]: {k: v for k, v in t.items() if k != "id"} for t in record["added_tokens"]}
    config = {"tokenizer_class": "NllbTokenizer", "additional_special_tokens": CODES, "added_tokens_decoder": described}
    (folder / "tokenizer.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": CODES}), encoding="utf-8")
    (folder / "sentencepiece.bpe.model").write_bytes(b"stale after an extension")
    (folder / "LICENSE").write_text("CC-BY-NC-4.0", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def extended(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("extended") / "plain"
    extend_base(plain, output, languages={"efi_Latn": ["ibo_Latn", "yor_Latn"]}, characters=["ọ", "ụ"])
    return output


def test_ids_text_and_rows_of_an_extended_base(plain: Path, extended: Path) -> None:
    old, new = load_tokenizer(plain), load_tokenizer(extended)
    size = old.get_vocab_size()
    assert [new.token_to_id(t) for t in ("efi_Latn", "ọ", "ụ")] == [size, size + 1, size + 2]
    ids = new.encode(IGBO, add_special_tokens=False).ids
    assert new.decode(ids) == IGBO
    assert audit_unknown(new, [("ibo", [IGBO])])["ibo"].share == 0
    before, after = (read_model(f, dtype=torch.float32).get_input_embeddings().weight for f in (plain, extended))
    assert torch.equal(after[:size], before[:size])
    assert torch.equal(after[size], before[[old.token_to_id("ibo_Latn"), old.token_to_id("yor_Latn")]].mean(dim=0))
    assert torch.equal(after[size + 1], before[old.token_to_id("o")])
    assert after.shape[0] == size + 3  # two rows were free, one was made


def test_the_manifest_tells_what_was_added_and_tested(plain: Path, extended: Path) -> None:
    details = read_manifest(extended).details
    assert [t["token"] for t in details["tokens"]] == ["efi_Latn", "ọ", "ụ"]
    test = details["load_test"]
    assert test["tied"] is True
    assert (test["rows_before"], test["rows_after"]) == (len(CODES) + 1 + 160 + ROOM, len(CODES) + 1 + 160 + 3)
    assert test["largest_logit_difference"] == 0
    assert test["probes"] > 10


def test_the_same_again_is_kept_and_other_parts_are_made_anew(plain: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = extend_base(plain, output, languages={"efi_Latn": []})
    written = (output / "model.safetensors").stat().st_mtime_ns
    assert extend_base(plain, output, languages={"efi_Latn": []}) == first
    assert (output / "model.safetensors").stat().st_mtime_ns == written
    second = extend_base(plain, output, languages={"tiv_Latn": []})
    assert second.content_digest() != first.content_digest()
    assert load_tokenizer(output).token_to_id("efi_Latn") is None


def test_free_rows_are_used_before_new_ones_are_made(plain: Path, tmp_path: Path) -> None:
    manifest = extend_base(plain, tmp_path / "out", languages={"efi_Latn": [], "tiv_Latn": []})
    test = manifest.details["load_test"]
    assert test["rows_before"] == test["rows_after"]


def test_an_extended_base_can_be_extended_again(extended: Path, tmp_path: Path) -> None:
    manifest = extend_base(extended, tmp_path / "twice", languages={"tiv_Latn": ["efi_Latn"]}, characters=["ẹ", "ọ"])
    assert [t["token"] for t in manifest.details["tokens"]] == ["tiv_Latn", "ẹ"]


@pytest.mark.parametrize("made", ["saved_by_transformers", "as_on_the_hub"])
def test_an_extended_base_opens_in_transformers(made: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    base, output = request.getfixturevalue(made), tmp_path / "out"
    extend_base(base, output, languages={"efi_Latn": ["ibo_Latn"]}, characters=["ọ", "ụ"])
    before, after = (AutoTokenizer.from_pretrained(f) for f in (base, output))
    model = AutoModelForSeq2SeqLM.from_pretrained(output)
    assert type(before) is type(after)
    assert len(after) == len(before) + 3 <= model.get_input_embeddings().weight.shape[0]
    assert set(before.all_special_tokens) | {"efi_Latn"} == set(after.all_special_tokens)
    assert before.convert_tokens_to_ids(before.all_special_tokens) == after.convert_tokens_to_ids(before.all_special_tokens)
    after.src_lang = "efi_Latn"
    ids = after(IGBO).input_ids
    assert ids[0] == len(before)
    assert after.unk_token_id not in ids
    assert after.decode(ids, skip_special_tokens=True) == IGBO
    again = tmp_path / "again"
    after.save_pretrained(again)
    assert AutoTokenizer.from_pretrained(again)(IGBO).input_ids[1:] == ids[1:]


def test_files_that_would_be_stale_stay_behind(as_on_the_hub: Path, tmp_path: Path) -> None:
    extend_base(as_on_the_hub, tmp_path / "out", languages={"efi_Latn": []})
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert "sentencepiece.bpe.model" not in written
    assert {"LICENSE", "special_tokens_map.json", "tokenizer_config.json"} <= written


def test_weights_keep_the_type_that_they_are_stored_in(tmp_path: Path) -> None:
    base = tmp_path / "half"
    write_model(base, Tokenizer.from_str(nllb_json()).get_vocab_size(), torch.bfloat16)
    (base / "tokenizer.json").write_text(nllb_json(), encoding="utf-8")
    extend_base(base, tmp_path / "out", languages={"efi_Latn": []})
    from safetensors.torch import load_file

    assert {t.dtype for t in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.bfloat16}


def test_missing_characters_of_a_text_come_commonest_first(plain: Path, tmp_path: Path) -> None:
    text = tmp_path / "ibo.txt"
    text.write_text(f"{IGBO}\n“Ọ” ọ\n", encoding="utf-8")
    found = missing_characters(plain, open_texts(text), punctuation_of("none"))
    assert found[:2] == ["ọ", "ụ"] and "“" in found and "Ọ" in found
    assert missing_characters(plain, open_texts(text), punctuation_of("none"), min_count=3) == ["ọ", "ụ"]
    assert "“" not in missing_characters(plain, open_texts(text), punctuation_of("moses"))


def test_bad_parts_are_refused_before_anything_is_written(plain: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(InputError, match="nothing to add"):
        extend_base(plain, output, languages={}, characters=["o", "a"])
    with pytest.raises(InputError, match="has it already"):
        extend_base(plain, output, languages={"ibo_Latn": []})
    with pytest.raises(InputError, match="no such file"):
        extend_base(tmp_path / "nowhere", output, languages={"efi_Latn": []})
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="an adapter has no embeddings"):
        extend_base(adapter, output, languages={"efi_Latn": []})
    small = tmp_path / "small"
    write_model(small, 100)
    (small / "tokenizer.json").write_text(nllb_json(), encoding="utf-8")
    with pytest.raises(InputError, match="the model only 100 rows"):
        extend_base(small, output, languages={"efi_Latn": []})
    assert not output.exists()


def _move_an_old_row(model, first, like) -> None:
    extend(model, first, like)
    with torch.no_grad():
        model.get_input_embeddings().weight[20, 3] += 1e-6


def _change_the_body(model, first, like) -> None:
    extend(model, first, like)
    with torch.no_grad():
        model.model.decoder.layers[0].fc1.weight[0, 0] += 1e-3


def _untie(model, first, like) -> None:
    extend(model, first, like)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())


extend = extending.extend_model


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(_move_an_old_row, "rows of the old tokens"), (_change_the_body, "other hidden states"), (_untie, "embeddings")],
)
def test_the_load_test_catches_what_has_moved(plain: Path, tmp_path: Path, monkeypatch, fault, reason: str) -> None:
    monkeypatch.setattr(extending, "extend_model", fault)
    with pytest.raises(RefusedError, match=reason):
        extend_base(plain, tmp_path / "out", languages={"efi_Latn": []})
    assert not (tmp_path / "out").exists()


def test_the_load_test_catches_shifted_ids(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = extending.extend_tokenizer

    def shifted(record, languages, characters):
        extended, new = whole(record, languages, characters)
        vocabulary = extended["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
        return extended, new

    monkeypatch.setattr(extending, "extend_tokenizer", shifted)
    with pytest.raises(RefusedError, match="has other ids"):
        extend_base(plain, tmp_path / "out", languages={"efi_Latn": []})
    assert not (tmp_path / "out").exists()
