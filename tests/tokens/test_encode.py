"""Encoding word by word gives the ids of the tokenizer itself, whatever the text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lugha.tokens import encode
from lugha.tokens.encode import Encoder, as_plain_text, batches, token_dtype
from lugha.tokens.style import Style
from tests.tokens.texts import STRESS, any_text, in_both_forms, made_lines, made_tokenizer

STYLES: list[Style] = ["bytes", "metaspace"]
ENCODERS = {style: Encoder(made_tokenizer(style)) for style in STYLES}


def by_tokenizer(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def by_encoder(encoder: Encoder, texts: list[str]) -> list[list[int]]:
    encoded = encoder.encode(texts)
    return [encoded.ids[a:b].tolist() for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)]


@pytest.mark.parametrize("style", STYLES)
@given(texts=st.lists(any_text(), max_size=5))
def test_ids_are_those_of_the_tokenizer(style: Style, texts: list[str]) -> None:
    assert by_encoder(ENCODERS[style], texts) == by_tokenizer(made_tokenizer(style), texts)


@pytest.mark.parametrize("style", STYLES)
def test_stress_strings(style: Style) -> None:
    texts = in_both_forms(STRESS)
    assert by_encoder(ENCODERS[style], texts) == by_tokenizer(made_tokenizer(style), texts)


@pytest.mark.parametrize("style", STYLES)
def test_a_long_text_is_the_same_in_parts_and_whole(style: Style) -> None:
    line = " ".join(made_lines(400) + STRESS)
    text = "".join(f"{line}{end}" for end in [" ", "\n", "  ", "\n\n ", "\t"] * 3)
    assert len(text) > 200_000
    assert by_encoder(ENCODERS[style], [text]) == by_tokenizer(made_tokenizer(style), [text])


@pytest.mark.parametrize("style", STYLES)
def test_a_long_text_without_blanks_is_one_word(style: Style) -> None:
    text = "kijani" * 5000
    assert by_encoder(ENCODERS[style], [text]) == by_tokenizer(made_tokenizer(style), [text])


@pytest.mark.corpora
@pytest.mark.parametrize("style", STYLES)
def test_real_lines(style: Style, corpora) -> None:  # type: ignore[no-untyped-def]
    files = ["mafand-mt/en-ibo/test.ibo", "mafand-mt/en-swa/test.swa", "lacuna-monolingual/yor/yor.txt"]
    lines = [line for f in files for line in (corpora / f).read_text(encoding="utf-8").split("\n")[:600]]
    texts = [*in_both_forms(lines), "\n".join(lines), " ".join(lines)]
    assert by_encoder(ENCODERS[style], texts) == by_tokenizer(made_tokenizer(style), texts)


def test_forgetting_words_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = made_lines(60)
    encoder = Encoder(made_tokenizer("metaspace"))
    expected = by_tokenizer(made_tokenizer("metaspace"), lines)
    monkeypatch.setattr(encode, "_REMEMBERED_CHARACTERS", 40)
    found = [ids for i in range(0, 60, 7) for ids in by_encoder(encoder, lines[i : i + 7])]
    assert found == expected


def test_a_tokenizer_of_another_make_is_never_cut() -> None:
    gpt2 = Tokenizer(models.BPE())
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    gpt2.train_from_iterator(made_lines(200), trainers.BpeTrainer(vocab_size=400, show_progress=False))
    texts = in_both_forms(made_lines(30) + STRESS)
    assert by_encoder(Encoder(gpt2), texts) == by_tokenizer(gpt2, texts)


def test_a_tokenizer_with_tokens_of_several_blanks_is_not_cut() -> None:
    record = json.loads(made_tokenizer("metaspace").to_str())
    vocabulary = record["model"]["vocab"]
    vocabulary["▁▁"] = len(vocabulary)
    record["model"]["merges"].insert(0, ["▁", "▁"])
    tokenizer = as_plain_text(Tokenizer.from_str(json.dumps(record)))
    texts = ["a  b", "   c", "d   ", "e f"]
    assert vocabulary["▁▁"] in by_tokenizer(tokenizer, texts)[0]
    assert by_encoder(Encoder(tokenizer), texts) == by_tokenizer(tokenizer, texts)


@pytest.mark.parametrize("style", STYLES)
def test_an_added_token_with_a_blank_is_found(style: Style) -> None:
    tokenizer = as_plain_text(Tokenizer.from_str(made_tokenizer(style).to_str()))
    tokenizer.add_tokens(["kijani shambani"])
    texts = ["majani ya kijani shambani leo", "kijani"]
    assert tokenizer.get_vocab_size() - 1 in by_tokenizer(tokenizer, texts)[0]
    assert by_encoder(Encoder(tokenizer), texts) == by_tokenizer(tokenizer, texts)


def test_the_callers_tokenizer_stays_as_it_is_and_its_truncation_is_not_obeyed() -> None:
    tokenizer = Tokenizer.from_str(made_tokenizer("bytes").to_str())
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=8)
    encoded = Encoder(tokenizer).encode(["kijani <s> " * 20])
    assert not tokenizer.encode_special_tokens
    assert len(encoded.ids) > 40
    assert 1 not in encoded.ids
    assert tokenizer.truncation is not None


def test_nothing_to_encode() -> None:
    for encoder in ENCODERS.values():
        assert encoder.encode([]).offsets.tolist() == [0]
        encoded = encoder.encode(["", "", ""])
        assert encoded.ids.size == 0
        assert encoded.offsets.tolist() == [0, 0, 0, 0]


def test_width_of_ids() -> None:
    assert token_dtype(65_535) == np.dtype("<u2")
    assert token_dtype(65_536) == np.dtype("<u4")


@given(st.lists(st.text(max_size=9), max_size=30), st.sampled_from([1, 2]), st.integers(1, 20))
def test_batches_cover_all_texts_in_order(texts: list[str], together: int, characters: int) -> None:
    slices = list(batches(texts, together=together, characters=characters))
    assert [text for part in slices for text in texts[part]] == texts
    assert all((part.stop - part.start) % together == 0 for part in slices[:-1])
    assert all(part.stop > part.start for part in slices)
