"""New codes and characters: their ids follow the old ones, which stay, and text comes back with its blanks."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lugha.errors import InputError
from lugha.tokens.encode import Encoder, as_plain_text
from lugha.tokens.extend import extend_companion, extend_tokenizer, language_code_ids, similar_pieces
from lugha.tokens.special import roles_of, special_ids, token_id
from tests.tokens.nllb_tokenizers import CODES, LINES, nllb_record
from tests.tokens.texts import made_tokenizer

NEW = "ọụɓṅ"


def opened(record: dict[str, Any]) -> Tokenizer:
    return as_plain_text(Tokenizer.from_str(json.dumps(record)))


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def old() -> Tokenizer:
    return opened(nllb_record())


@pytest.fixture(scope="module")
def extended() -> Tokenizer:
    return opened(extend_tokenizer(nllb_record(), {"efi_Latn": [], "tiv_Latn": ["ibo_Latn", "yor_Latn"]}, NEW)[0])


def test_new_ids_follow_the_last_one_codes_first(old: Tokenizer, extended: Tokenizer) -> None:
    _, new = extend_tokenizer(nllb_record(), {"efi_Latn": [], "tiv_Latn": ["ibo_Latn", "yor_Latn"]}, NEW)
    size = old.get_vocab_size()
    assert [(t.token, t.id) for t in new] == [(t, size + i) for i, t in enumerate(["efi_Latn", "tiv_Latn", *NEW])]
    assert extended.get_vocab_size() == size + len(new)
    assert set(old.get_vocab().items()) < set(extended.get_vocab().items())
    assert all(extended.token_to_id(t.token) == t.id for t in new)


def test_all_codes_stay_special_and_the_new_ones_are(old: Tokenizer, extended: Tokenizer) -> None:
    assert special_ids(extended) == special_ids(old) | {c: token_id(extended, c) for c in ("efi_Latn", "tiv_Latn")}
    assert roles_of(extended) == roles_of(old)
    record = json.loads(extended.to_str())
    assert list(language_code_ids(record)) == [*CODES, "efi_Latn", "tiv_Latn"]


KNOWN = st.text(st.sampled_from("abcdefgmnotu ,.!'-0159XYZ  é<_>"))  # é is unknown, and stays so


@given(KNOWN)
def test_text_without_the_new_characters_has_its_old_ids(old: Tokenizer, extended: Tokenizer, text: str) -> None:
    for piece in (text, f"{text} swh_Latn efi_Latn <mask> </s>"):  # codes in a text are text, the old and the new
        assert ids_of(extended, piece) == ids_of(old, piece)
    assert token_id(extended, "efi_Latn") not in ids_of(extended, f"{text} efi_Latn")


@given(st.text(st.sampled_from("abgkmnotu ,.'" + NEW)))
def test_text_with_them_is_read_whole_and_comes_back(old: Tokenizer, extended: Tokenizer, text: str) -> None:
    ids = ids_of(extended, text)
    assert roles_of(extended).unk not in ids
    assert [i for i in ids if i >= old.get_vocab_size()] == [extended.token_to_id(c) for c in text if c in NEW]
    assert extended.decode(ids) == text or (text[:1] == " " and extended.decode(ids) == text[1:])


def test_words_around_a_new_character_keep_their_blanks(extended: Tokenizer) -> None:
    for text in ("mtọtọ anasoma kitabu", "ọ ụ ɓ", "nwata nọ n'ụlọ, ọ bụ ya!", "ọọ"):
        assert extended.decode(ids_of(extended, text)) == text
        assert Encoder(extended).encode([text]).ids.tolist() == ids_of(extended, text)


def test_reading_and_writing_again_shifts_nothing(extended: Tokenizer) -> None:
    again = opened(json.loads(extended.to_str()))
    assert again.get_vocab() == extended.get_vocab()


def test_a_second_extension_stands_on_the_first(extended: Tokenizer) -> None:
    record, new = extend_tokenizer(json.loads(extended.to_str()), {"kmb_Latn": ["efi_Latn"]}, "ọẹ")
    assert [t.token for t in new] == ["kmb_Latn", "ẹ"]  # ọ is there
    assert new[0].id == extended.get_vocab_size()
    assert new[0].like == (extended.token_to_id("efi_Latn"),)
    assert set(extended.get_vocab().items()) < set(opened(record).get_vocab().items())


def test_the_record_given_is_not_changed() -> None:
    record = nllb_record()
    extend_tokenizer(record, {"efi_Latn": []}, NEW)
    assert record == nllb_record()


def test_a_new_code_begins_like_similar_ones_or_like_all(old: Tokenizer) -> None:
    _, new = extend_tokenizer(nllb_record(), {"efi_Latn": [], "tiv_Latn": ["yor_Latn", "ibo_Latn"]}, "")
    assert new[0].like == tuple(old.token_to_id(code) for code in CODES)
    assert new[1].like == (old.token_to_id("yor_Latn"), old.token_to_id("ibo_Latn"))


@pytest.mark.parametrize(
    ("character", "pieces"),
    [
        ("ọ", ["o"]),  # its dot below, U+0323, is no piece here
        ("Ọ", ["O"]),
        ("ɓ", ["b"]),
        ("Ɗ", ["D"]),
        ("ǹ", ["n"]),
        ("½", ["1", "2"]),
        ("ʼ", ["<unk>"]),
        ("日", ["<unk>"]),
    ],
)
def test_a_character_begins_like_what_it_is_made_of(character: str, pieces: list[str]) -> None:
    vocabulary = {piece: i for i, piece in enumerate(["<unk>", *"abdnoDO12"])}
    assert similar_pieces(character, vocabulary) == tuple(vocabulary[p] for p in pieces)


def test_a_known_mark_and_the_other_case_count_too() -> None:
    vocabulary = {"<unk>": 0, "o": 1, "\u0323": 2, "ɛ": 3}
    assert similar_pieces("ọ", vocabulary) == (1, 2)
    assert similar_pieces("Ɛ", vocabulary) == (3,)
    assert similar_pieces("Ọ", vocabulary) == (2,)


def test_a_code_alone_can_be_added_to_any_kind_of_vocabulary() -> None:
    for record in (
        nllb_record("Unigram"),
        json.loads(made_tokenizer("bytes").to_str()),
        json.loads(made_tokenizer("metaspace").to_str()),
    ):
        extended, new = extend_tokenizer(record, {"efi_Latn": []}, "")
        before, after = opened(record), opened(extended)
        assert set(after.get_vocab().items()) - set(before.get_vocab().items()) == {("efi_Latn", new[0].id)}
        assert new[0].id == before.get_vocab_size()
        for text in (*LINES, "mtọtọ efi_Latn", "swh_Latn <s>"):
            assert ids_of(after, text) == ids_of(before, text)


@pytest.mark.parametrize(
    ("languages", "characters", "reason"),
    [
        ({"efi": []}, "", '"efi": write it as NLLB writes codes'),
        ({"efi_latn": []}, "", '"efi_latn": write it as NLLB writes codes'),
        ({"ibo_Latn": []}, "", '"ibo_Latn": the tokenizer has it already'),
        ({"efi_Latn": ["ibo"]}, "", 'no "ibo" to begin like. Did you mean "ibo_Latn"?'),
        ({"efi_Latn": ["swa_Latn"]}, "", 'no "swa_Latn" to begin like. Did you mean "swh_Latn"?'),
        ({"efi_Latn": ["ibo_Lat"]}, "", 'no "ibo_Lat" to begin like. Did you mean "ibo_Latn"?'),
        ({}, " ", "not white space"),
        ({}, ["ọọ"], "single characters"),
        ({}, "²", "U+00B2 SUPERSCRIPT TWO: the tokenizer's own normaliser replaces it (U+0032)"),
    ],
)
def test_what_cannot_be_added_is_refused_by_name(languages, characters, reason: str) -> None:
    with pytest.raises(InputError) as error:
        extend_tokenizer(nllb_record(), languages, characters)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (lambda: nllb_record("Unigram"), "is Unigram, not BPE"),
        (lambda: json.loads(made_tokenizer("metaspace").to_str()), "byte by byte"),
        (lambda: json.loads(made_tokenizer("bytes").to_str()), "byte by byte"),
    ],
)
def test_characters_go_into_bpe_without_bytes_only(record, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        extend_tokenizer(record(), {}, "ẹ")


def test_a_tokenizer_without_codes_has_nothing_to_begin_like() -> None:
    record = nllb_record()
    record["added_tokens"] = [t for t in record["added_tokens"] if "_" not in t["content"]]
    with pytest.raises(InputError, match="no language codes at all"):
        extend_tokenizer(record, {"efi_Latn": []}, "")


def test_a_combining_mark_is_a_character_like_others() -> None:
    record, new = extend_tokenizer(nllb_record(), {}, ["\u0301"])
    tokenizer = opened(record)
    text = unicodedata.normalize("NFC", "ọ\u0301b\u0301")
    assert new[0].id in ids_of(tokenizer, text)


def test_the_lists_of_transformers_go_on() -> None:
    _, new = extend_tokenizer(nllb_record(), {"efi_Latn": []}, "ọ")
    four = {"additional_special_tokens": [*CODES], "added_tokens_decoder": {"3": {"content": "<unk>"}}, "unk_token": "<unk>"}
    extended = extend_companion(four, new)
    assert extended["additional_special_tokens"] == [*CODES, "efi_Latn"]
    assert extended["added_tokens_decoder"][str(new[0].id)]["content"] == "efi_Latn"
    assert len(extended["added_tokens_decoder"]) == 2
    assert four["additional_special_tokens"] == CODES
    assert extend_companion({"extra_special_tokens": ["a"]}, new) == {"extra_special_tokens": ["a", "efi_Latn"]}
    assert extend_companion({"bos_token": "<s>"}, new) == {"bos_token": "<s>"}
