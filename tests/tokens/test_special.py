"""Special tokens: their order, and that text never becomes one."""

from __future__ import annotations

import pytest

from lugha.errors import InputError
from lugha.tokens.special import BOS, EOS, PAD, UNK, special_ids, special_tokens, token_id
from tests.tokens.texts import LANGUAGE_TOKENS, made_tokenizer


def test_core_then_languages_then_reserved() -> None:
    tokens = special_tokens(["swh_Latn", "ibo_Latn", "swh_Latn"])
    assert tokens[:6] == ["<pad>", "<s>", "</s>", "<unk>", "ibo_Latn", "swh_Latn"]
    assert tokens[6:] == [f"<|reserved_{i}|>" for i in range(16)]


@pytest.mark.parametrize("style", ["bytes", "metaspace"])
def test_ids_are_the_first_of_a_trained_tokenizer(style: str) -> None:
    tokenizer = made_tokenizer(style)  # type: ignore[arg-type]
    assert list(special_ids(tokenizer).items()) == [(t, i) for i, t in enumerate(special_tokens(LANGUAGE_TOKENS))]
    assert [token_id(tokenizer, t) for t in (PAD, BOS, EOS, UNK)] == [0, 1, 2, 3]


def test_an_unknown_language_is_an_error_not_unk() -> None:
    with pytest.raises(InputError, match='no special token "swa_Latn".*"swh_Latn"'):
        token_id(made_tokenizer("bytes"), "swa_Latn")


def test_an_ordinary_token_is_not_special() -> None:
    with pytest.raises(InputError, match="no special token"):
        token_id(made_tokenizer("metaspace"), "<0x41>")


@pytest.mark.parametrize("style", ["bytes", "metaspace"])
def test_the_characters_of_a_special_token_are_text(style: str) -> None:
    tokenizer = made_tokenizer(style)  # type: ignore[arg-type]
    text = "".join(special_tokens(LANGUAGE_TOKENS))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert not set(ids) & set(special_ids(tokenizer).values())
    assert tokenizer.decode(ids) == text
