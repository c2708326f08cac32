"""The two styles: the split pattern, what is learned, and that encoding loses nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from tokenizers import Tokenizer, models, pre_tokenizers

from lugha.tokens.special import special_tokens
from lugha.tokens.style import (
    BLANK,
    BYTE_TOKENS,
    QWEN35_PATTERN,
    Style,
    choose_alphabet,
    style_of,
    token_bytes,
    train_bytes,
    train_metaspace,
)
from tests.tokens.texts import any_text, made_lines, made_tokenizer

STYLES: list[Style] = ["bytes", "metaspace"]


def test_the_pattern_is_that_of_qwen35_to_the_byte() -> None:
    digest = hashlib.sha256(QWEN35_PATTERN.encode()).hexdigest()
    assert digest == "00431aed57e696b747435f734d1e3b9b1bfd931a121fb5cac7129e97c181e9ba"


@pytest.mark.parametrize("word", ["ọ́kụ́", "ụ̀kwụ́", "ẹ̀kọ́", "ṅụọ"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_marks_stay_with_their_letters(word: str, form: str) -> None:
    splitter = made_tokenizer("bytes").pre_tokenizer
    assert splitter is not None
    assert len(splitter.pre_tokenize_str(unicodedata.normalize(form, word))) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("style", STYLES)
def test_style_is_recognised(style: Style) -> None:
    tokenizer = made_tokenizer(style)
    assert style_of(tokenizer) == style_of(tokenizer.to_str()) == style


def test_other_makes_have_no_style() -> None:
    gpt2 = Tokenizer(models.BPE())
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    other = Tokenizer.from_str(made_tokenizer("bytes").to_str().replace(r"|\\p{N}|", r"|\\p{N}{1,3}|"))
    assert style_of(gpt2) is None
    assert style_of(other) is None
    assert style_of(Tokenizer(models.WordLevel({"a": 0}, "a"))) is None


@pytest.mark.parametrize("style", STYLES)
def test_vocabulary_has_the_size_that_was_asked_for(style: Style) -> None:
    tokenizer = made_tokenizer(style, 500)
    assert tokenizer.get_vocab_size() == 500
    assert sorted(tokenizer.get_vocab().values()) == list(range(500))


def test_every_byte_has_a_token_that_no_text_spells() -> None:
    tokenizer = made_tokenizer("metaspace")
    vocabulary = tokenizer.get_vocab()
    for token in BYTE_TOKENS:
        ids = tokenizer.encode(token).ids
        assert tokenizer.decode(ids) == token
        assert len(ids) > 4
        assert tokenizer.decode([vocabulary["<0x41>"]]) == "A"


def test_metaspace_merges_neither_across_words_nor_the_signs_of_special_tokens() -> None:
    lines = ["<s>a</s> <s>a</s> x_y x_y __ <0x41>"] * 50
    tokenizer = train_metaspace([lines], 600, 1, special_tokens([]), choose_alphabet([lines], 1, 50))
    learned = [t for t in tokenizer.get_vocab() if t not in {*BYTE_TOKENS, *special_tokens([])}]
    assert any(len(t) > 1 for t in learned)
    assert not [t for t in learned if BLANK in t[1:] or (len(t) > 1 and set(t) & set("<>_"))]


@pytest.mark.parametrize("style", STYLES)
@given(text=any_text(without=BLANK))
def test_decoding_gives_the_text_back(style: Style, text: str) -> None:
    tokenizer = made_tokenizer(style)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_a_literal_lower_block_comes_back_as_a_blank_in_metaspace_alone() -> None:
    results = [t.decode(t.encode("a▁b").ids) for t in map(made_tokenizer, STYLES)]
    assert results == ["a▁b", "a b"]


@pytest.mark.parametrize("style", STYLES)
@given(text=any_text(without=BLANK))
def test_bytes_of_tokens_join_to_the_utf8_of_the_text(style: Style, text: str) -> None:
    tokenizer = made_tokenizer(style)
    pieces = token_bytes(tokenizer)
    joined = b"".join(pieces[i] for i in tokenizer.encode(text, add_special_tokens=False).ids)
    prefix = b" " if style == "metaspace" and text else b""
    assert joined == prefix + text.encode()


def test_special_tokens_stand_for_no_bytes() -> None:
    for style in STYLES:
        tokenizer = made_tokenizer(style)
        assert {token_bytes(tokenizer)[i] for i in range(4)} == {b""}


def test_alphabet_is_the_commonest_characters_sorted() -> None:
    assert choose_alphabet([["ccc bb", "b▁▁▁ a"]], 1, 9) == ["a", "b", "c"]
    assert choose_alphabet([["ccc bb", "b▁▁▁ a"]], 2, 9) == ["b", "c"]
    assert choose_alphabet([["ba"]], 1, 1) == ["a"]  # a tie goes to the lower code point
    assert choose_alphabet([["ụ😀ụ"]], 2, 9) == ["ụ"]


def test_a_rare_character_is_left_to_the_bytes() -> None:
    tokenizer = made_tokenizer("metaspace")
    assert tokenizer.encode("語").tokens == ["▁", "<0xE8>", "<0xAA>", "<0x9E>"]


_TRAIN_AND_HASH = """
import hashlib
from lugha.tokens.special import special_tokens
from lugha.tokens.style import choose_alphabet, train_bytes, train_metaspace
from tests.tokens.texts import made_lines
lines = made_lines(600)
for tokenizer in (
    train_bytes([lines], 900, 1, special_tokens([])),
    train_metaspace([lines], 900, 1, special_tokens([]), choose_alphabet([lines], 1, 90)),
):
    print(hashlib.sha256(tokenizer.to_str().encode()).hexdigest())
"""


def test_another_process_trains_the_same_tokenizer() -> None:
    lines = made_lines(600)
    here = [
        train_bytes([lines], 900, 1, special_tokens([])),
        train_metaspace([lines], 900, 1, special_tokens([]), choose_alphabet([lines], 1, 90)),
    ]
    done = subprocess.run(
        [sys.executable, "-c", _TRAIN_AND_HASH],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [hashlib.sha256(t.to_str().encode()).hexdigest() for t in here]
