"""Special tokens: the ids that have a role, reserved before the first merge is learned.

    0 <pad>   1 <s>   2 </s>   3 <unk>   then one for each language (NLLB codes, sorted)   then 16 <|reserved_0|> ...

They are reserved when the tokenizer is trained because a token added later changes the shape of the embedding, and with it
every checkpoint and every exported file. Padding has an id of its own: a model that pads with `</s>` never learns to stop.
The reserved tokens are for roles that come later (chat turns, tools) and have no meaning yet.

A special token is only ever placed by id. The same characters in a text are text: `load_tokenizer` switches their
recognition off, so a web page with `<s>` in it cannot end up as a control token in the training data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer

from lugha.errors import InputError, nearest

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
CORE_TOKENS = (PAD, BOS, EOS, UNK)
RESERVED_TOKENS = tuple(f"<|reserved_{i}|>" for i in range(16))

# How tokenizers of other makers name the same roles; ours come first.
_NAMES_OF_ROLES = {
    "pad": (PAD, "[PAD]", "<|finetune_right_pad_id|>"),
    "bos": (BOS, "<|begin_of_text|>", "<bos>"),
    "eos": (EOS, "<|end_of_text|>", "<eos>"),
    "unk": (UNK, "[UNK]"),
}


@dataclass(frozen=True)
class Roles:
    """Ids of the tokens that have a role in every sequence of a model."""

    pad: int
    bos: int
    eos: int
    unk: int | None  # None: every text can be written, byte by byte


OUR_ROLES = Roles(pad=0, bos=1, eos=2, unk=3)


def roles_of(tokenizer: Tokenizer) -> Roles:
    """The ids of a tokenizer's padding, begin, end and unknown token, found by their usual names.

    Mistral-7B has no padding token: `<unk>` then pads, which a tokenizer that falls back to bytes never writes. It is never
    `</s>`: a model whose padding is its end of text does not learn to stop.

    Raises:
        InputError: no token begins or ends a text, or none can pad.
    """
    known = special_ids(tokenizer)
    found = {role: next((known[n] for n in names if n in known), None) for role, names in _NAMES_OF_ROLES.items()}
    if found["pad"] is None:
        found["pad"] = found["unk"]
    for role in ("bos", "eos", "pad"):
        if found[role] is None:
            raise InputError(
                f"The tokenizer has no special token for the role {role} (looked for {', '.join(_NAMES_OF_ROLES[role])}). "
                "Use a base model of the Llama, Mistral or NLLB family."
            )
    assert found["pad"] is not None and found["bos"] is not None and found["eos"] is not None
    return Roles(found["pad"], found["bos"], found["eos"], found["unk"])


def special_tokens(language_tokens: Iterable[str]) -> list[str]:
    """All special tokens in the order of their ids; `language_tokens` are NLLB codes such as `swh_Latn`."""
    return [*CORE_TOKENS, *sorted(set(language_tokens)), *RESERVED_TOKENS]


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Text and id of every special token of `tokenizer`, by id."""
    added = tokenizer.get_added_tokens_decoder()
    return {token.content: i for i, token in sorted(added.items()) if token.special}


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of a special token.

    Raises:
        InputError: the tokenizer has no such special token; never falls back to `<unk>`.
    """
    known = special_ids(tokenizer)
    if token not in known:
        raise InputError(
            f'The tokenizer has no special token "{token}".{nearest(token, known)} '
            "Special tokens are reserved when a tokenizer is trained: train it on a corpus with this language."
        )
    return known[token]
