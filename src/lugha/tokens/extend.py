"""Put new language codes and missing characters into a tokenizer that exists, so that all its old ids stay as they are.

    record, new = extend_tokenizer(record, {"efi_Latn": ["ibo_Latn"]}, "ọụ")
    new  ->  [NewToken("efi_Latn", 256204, like=(256072,)), NewToken("ọ", 256205, like=(246,)), ...]

`record` is the content of tokenizer.json. New ids follow the last one, codes first:

    code         a special token like the 202 that NLLB has, which all stay special. (Handing a new list of special tokens to
                 transformers instead replaces the old list.)
    character    a piece of the BPE vocabulary itself that no merge uses: wherever `<unk>` stood, the character stands now, and
                 decoding writes it back between the right blanks. As an "added token" it would cut the text in two before
                 the model sees it, and NLLB's splitter would put a blank before each part: `mt ọ t ọ`.

A tokenizer.json gives ids only to the pieces of its vocabulary; added tokens are numbered again, after the vocabulary, each
time it is read. So all added tokens are written into the vocabulary too, with the ids that they have: a new piece behind
them shifts nothing. No text can spell one of them, since no merge makes it.

`like` names the rows whose mean a new embedding begins with (models/extend.py): the codes of similar languages, or all codes;
the letter without its sign and the sign (ọ: o and U+0323), the letter that Unicode's name derives it from (ɓ: b), or its
other case. Beginning near the others is what makes a new token learnable (Hewitt 2021, "Initializing New Word Embeddings for
Pretrained Language Models").
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from lugha.errors import InputError, nearest
from lugha.languages.registry import get_language
from lugha.tokens.encode import as_plain_text
from lugha.tokens.unknown import name_of_character

_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class NewToken:
    """A token that was added, and the ids of those whose mean its embedding begins as."""

    token: str
    id: int
    like: tuple[int, ...]


def language_code_ids(record: Mapping[str, Any]) -> dict[str, int]:
    """The language codes among the special tokens of a tokenizer.json, with their ids."""
    return {t["content"]: t["id"] for t in record["added_tokens"] if t["special"] and _CODE.fullmatch(t["content"])}


def extend_tokenizer(
    record: Mapping[str, Any], languages: Mapping[str, Sequence[str]], characters: Iterable[str]
) -> tuple[dict[str, Any], list[NewToken]]:
    """A copy of the tokenizer.json `record` with new codes and characters, and what was added, by id.

    Args:
        languages: new code -> codes of similar languages, to begin like their mean; none: like the mean of all.
        characters: single characters; those that the vocabulary has already are passed over.

    Raises:
        InputError: a code of the wrong shape, or that is there already; an unknown similar code; a character for a tokenizer
            that is not BPE, that the tokenizer's normaliser replaces, or that is white space.
    """
    extended: dict[str, Any] = json.loads(json.dumps(record))
    model, added = extended["model"], extended["added_tokens"]
    ids = _ids(record)
    first = max(ids.values()) + 1
    codes = _new_codes(languages, language_code_ids(record), first)
    new = codes + _new_characters(_wanted(characters, record, ids), ids, first + len(codes))
    added += [_special_token(token) for token in codes]
    if model["type"] == "BPE":
        for content, i in sorted(((t["content"], t["id"]) for t in added), key=lambda item: item[1]):
            model["vocab"].setdefault(content, i)
        model["vocab"] |= {token.token: token.id for token in new}
    _check(extended, new)
    return extended, new


def _ids(record: Mapping[str, Any]) -> dict[str, int]:
    """Every token of a tokenizer.json with its id: pieces of the vocabulary and added tokens."""
    vocabulary = record["model"]["vocab"]  # of Unigram a list of (piece, score), in the order of ids
    pieces = vocabulary if isinstance(vocabulary, dict) else {piece: i for i, (piece, _) in enumerate(vocabulary)}
    return {**pieces, **{t["content"]: t["id"] for t in record["added_tokens"]}}


def _new_codes(languages: Mapping[str, Sequence[str]], known: Mapping[str, int], first: int) -> list[NewToken]:
    new = []
    for number, (code, similar) in enumerate(languages.items()):
        if not _CODE.fullmatch(code):
            raise InputError(
                f'New language "{code}": write it as NLLB writes codes, ISO 639-3 and script, such as efi_Latn or tiv_Latn.'
            )
        if code in known:
            raise InputError(f'New language "{code}": the tokenizer has it already (id {known[code]}). Leave it out.')
        for other in similar:
            if other not in known:
                raise InputError(
                    f'New language "{code}": the tokenizer has no "{other}" to begin like.{_right_code(other, known)}'
                )
        like = tuple(known[other] for other in similar) or tuple(known.values())
        if not like:
            raise InputError(f'New language "{code}": the tokenizer has no language codes at all. Is it one of NLLB\'s?')
        new.append(NewToken(code, first + number, like))
    return new


def _right_code(code: str, known: Mapping[str, int]) -> str:
    try:
        meant = get_language(code).nllb
    except InputError:
        meant = ""
    return f' Did you mean "{meant}"?' if meant in known else nearest(code, known)


def _wanted(characters: Iterable[str], record: Mapping[str, Any], ids: Mapping[str, int]) -> list[str]:
    """The characters that the vocabulary lacks, each once, in the order given."""
    wanted = list(dict.fromkeys(characters))
    for character in wanted:
        if len(character) != 1 or character.isspace():
            raise InputError(f'New character "{character}": give single characters that are not white space.')
    model = record["model"]
    bytes_for_all = model.get("byte_fallback") or "ByteLevel" in json.dumps(record["pre_tokenizer"])
    if wanted and (model["type"] != "BPE" or bytes_for_all):
        why = "writes every character, byte by byte if need be" if bytes_for_all else f"is {model['type']}, not BPE"
        raise InputError(f"New characters go into a BPE vocabulary without bytes, as NLLB's is; this tokenizer {why}.")
    return [character for character in wanted if character not in ids]


def _new_characters(characters: Sequence[str], ids: Mapping[str, int], first: int) -> list[NewToken]:
    return [NewToken(c, first + number, similar_pieces(c, ids)) for number, c in enumerate(characters)]


def extend_companion(content: Mapping[str, Any], new: Sequence[NewToken]) -> dict[str, Any]:
    """What transformers keeps beside tokenizer.json (tokenizer_config.json, special_tokens_map.json), with the new codes.

    Its lists of special tokens, under the names of transformers 4 and 5, go on; what holds no such list stays as it is.
    """
    codes = [token for token in new if _CODE.fullmatch(token.token)]
    extended: dict[str, Any] = json.loads(json.dumps(content))
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(extended.get(key), list):
            extended[key] += [token.token for token in codes]
    if "added_tokens_decoder" in extended:
        for token in codes:
            described = _special_token(token)
            extended["added_tokens_decoder"][str(described.pop("id"))] = described
    return extended


def similar_pieces(character: str, ids: Mapping[str, int]) -> tuple[int, ...]:
    """Ids of the known pieces that a character is made of or derived from; of `<unk>`, which stood for it, where none is."""
    parts = unicodedata.normalize("NFKD", character)
    derived = unicodedata.name(character, "").partition(" WITH ")[0]
    try:
        letter = unicodedata.lookup(derived)
    except KeyError:
        letter = ""
    for pieces in (parts, letter, character.swapcase(), unicodedata.normalize("NFKD", character.swapcase())):
        known = tuple(ids[piece] for piece in pieces if piece in ids)
        if known:
            return known
    return (ids["<unk>"],) if "<unk>" in ids else tuple(sorted(ids.values()))


def _special_token(token: NewToken) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token.id, "content": token.token, **plain, "special": True}


def _check(extended: Mapping[str, Any], new: Sequence[NewToken]) -> None:
    """Every new token has its id when the file is read, and every new character is encoded to it and decoded from it."""
    tokenizer = as_plain_text(Tokenizer.from_str(json.dumps(extended)))
    for token in new:
        found = tokenizer.token_to_id(token.token)
        assert found == token.id, f"{token.token} reads as id {found}, not {token.id}"
        if len(token.token) > 1:
            continue
        ids = tokenizer.encode(token.token, add_special_tokens=False).ids
        if token.id not in ids or tokenizer.decode(ids) != token.token:
            met = tokenizer.normalizer.normalize_str(token.token) if tokenizer.normalizer else token.token
            raise InputError(
                f"New character {name_of_character(token.token)}: the tokenizer's own normaliser replaces it "
                f"({' '.join(f'U+{ord(c):04X}' for c in met) or 'by nothing'}), so the model would never see it. Leave it out."
            )
