"""What a GGUF file says about its tokenizer, made from tokenizer.json so that llama.cpp gives the same ids.

    writer = gguf.GGUFWriter(path, "llama")
    add_gguf_vocabulary(writer, gguf_vocabulary(folder / "tokenizer.json", rows=config["vocab_size"]))

llama.cpp's own converter cannot do this for a tokenizer that it has not met: it refuses a home-trained byte-level BPE (it
knows split patterns by the hash of a test text's ids) and gives every token of a SentencePiece-style one the same score,
after which most lines get other ids, in silence. Here the split pattern itself decides:

    bytes      model gpt2, pre qwen35, the merges
    metaspace  model llama, score of a token = -(rank of the first merge that makes it), add_space_prefix

Any other tokenizer is refused. The proof on real text is `lugha.export.gguf_tokens.token_differences`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from lugha.errors import InputError
from lugha.tokens.special import BOS, EOS, PAD, UNK
from lugha.tokens.style import BYTE_TOKENS, style_of


class TokenType(IntEnum):
    """Values of `tokenizer.ggml.token_type` (gguf.TokenType)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class GgufVocabulary:
    """The fields `tokenizer.ggml.*`; lists are in the order of ids, one entry for each row of the embedding."""

    model: Literal["gpt2", "llama"]
    pre: str
    tokens: list[str]
    types: list[TokenType]
    special: dict[str, int]  # of bos, eos, unk, pad: those that the tokenizer has
    add_bos: bool
    add_eos: bool
    merges: list[str] = field(default_factory=list)  # gpt2: "left right", by rank
    scores: list[float] = field(default_factory=list)  # llama


def gguf_vocabulary(tokenizer_json: Path, *, rows: int | None = None) -> GgufVocabulary:
    """Read a tokenizer.json into the fields of a GGUF.

    Args:
        rows: rows of the model's embedding; those beyond the tokenizer's ids become unused `[PAD<id>]` tokens.

    Raises:
        InputError: the file is missing, is neither of the two styles that llama.cpp repeats exactly, or has more tokens
            than `rows`.
    """
    if not tokenizer_json.is_file():
        raise InputError(f"{tokenizer_json}: no such file. An exported model folder holds its tokenizer.json.")
    text = tokenizer_json.read_text(encoding="utf-8")
    record = json.loads(text)
    style = style_of(text)
    if style is None:
        raise InputError(
            f"{tokenizer_json}: llama.cpp is known to repeat only what `lugha tokenizer train` makes (style bytes or "
            "metaspace); this one has another split or normaliser, and its ids would differ in silence."
        )
    tokens, types = _tokens_and_types(record, rows, tokenizer_json)
    names = {"bos": BOS, "eos": EOS, "unk": UNK, "pad": PAD}
    first, last = _template_ends(record["post_processor"])
    fields: dict[str, Any] = {
        "tokens": tokens,
        "types": types,
        "special": {name: tokens.index(token) for name, token in names.items() if token in tokens},
        "add_bos": first == BOS,
        "add_eos": last == EOS,
    }
    merges = [m if isinstance(m, str) else " ".join(m) for m in record["model"]["merges"]]
    if style == "bytes":
        return GgufVocabulary(model="gpt2", pre="qwen35", merges=merges, **fields)
    return GgufVocabulary(model="llama", pre="default", scores=_scores(tokens, merges), **fields)


def _tokens_and_types(record: dict[str, Any], rows: int | None, origin: Path) -> tuple[list[str], list[TokenType]]:
    vocab: dict[str, int] = record["model"]["vocab"]
    added: list[dict[str, Any]] = record["added_tokens"]
    size = max([*vocab.values(), *(token["id"] for token in added)]) + 1
    if rows is not None and rows < size:
        raise InputError(f"{origin}: has {size} tokens, but the model's embedding only {rows} rows.")
    tokens = [f"[PAD{i}]" for i in range(size if rows is None else rows)]
    types = [TokenType.UNUSED] * len(tokens)
    for token, i in vocab.items():
        tokens[i], types[i] = token, TokenType.NORMAL
    if record["model"]["byte_fallback"]:
        for byte in BYTE_TOKENS:
            types[vocab[byte]] = TokenType.BYTE
    for entry in added:
        tokens[entry["id"]] = entry["content"]
        types[entry["id"]] = TokenType.CONTROL if entry["special"] else TokenType.USER_DEFINED
    unknown = record["model"]["unk_token"]
    if unknown is not None:
        types[vocab[unknown]] = TokenType.UNKNOWN
    return tokens, types


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """-(rank of the first merge that makes the token); below all of these for what no merge makes."""
    rank: dict[str, int] = {}
    for i, merge in enumerate(merges):
        rank.setdefault(merge.replace(" ", ""), i)
    return [-float(rank.get(token, len(merges) + 1)) for token in tokens]


def _template_ends(post_processor: dict[str, Any] | None) -> tuple[str | None, str | None]:
    """First and last special token that the tokenizer puts around one text, None where it puts none."""
    steps = (post_processor or {}).get("processors", [post_processor or {}])
    template: list[dict[str, Any]] = next((step["single"] for step in steps if step.get("type") == "TemplateProcessing"), [])
    ends = [template[i].get("SpecialToken", {}).get("id") for i in (0, -1)] if template else [None, None]
    return ends[0], ends[1]


def import_gguf() -> Any:
    """The package `gguf`.

    Raises:
        InputError: it is not installed; the line says how to.
    """
    try:
        return import_module("gguf")
    except ImportError as error:
        raise InputError("Writing GGUF files needs the package gguf: pip install 'lugha[gguf]'") from error


def add_gguf_vocabulary(writer: Any, vocabulary: GgufVocabulary) -> None:
    """Add the vocabulary to a `gguf.GGUFWriter`."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([int(t) for t in vocabulary.types])
    if vocabulary.model == "llama":
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(True)
        writer.add_remove_extra_whitespaces(False)
    else:
        writer.add_token_merges(vocabulary.merges)
    for name, i in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(i)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(vocabulary.add_eos)
