"""Language pairs: what a person writes for "from this language into that one", and what it stands for.

    parse_language_pair("en-ig")              ->  (English, Igbo)
    parse_language_pair("eng_Latn-ibo_Latn")  ->  (English, Igbo)
    language_pairs_of(["en-ig", "en-sw"])     ->  [("eng", "ibo"), ("eng", "swh")]
    nllb_code("ibo_Latn")                     ->  "ibo_Latn"

A pair is a direction: `en-ig` reads English and writes Igbo. Its sides are codes or names of the registry, or both are NLLB
codes. An NLLB code is taken to the letter: a tokenizer of NLLB-200 knows `ibo_Latn` and nothing else, and reads every other
spelling (`ig`, `ibo`, `swa_Latn`) as `<unk>`, without a word. So what is nearly right is refused here, with the right code.
"""

from __future__ import annotations

from collections.abc import Iterable

from lugha.errors import InputError, nearest
from lugha.languages.registry import LANGUAGES, Language, get_language

_EXAMPLE = "en-ig, or in NLLB codes eng_Latn-ibo_Latn"
_BY_NLLB_CODE = {language.nllb: language for language in LANGUAGES}


def parse_language_pair(text: str) -> tuple[Language, Language]:
    """Source and target language of a pair such as `en-ig` or `eng_Latn-ibo_Latn`.

    Raises:
        InputError: not two codes; a code that the registry does not know; an NLLB code that NLLB does not have, alone or
            beside a short one; the same language twice. The line names the nearest right pair.
    """
    pair = text.strip()
    sides = [side.strip() for side in pair.split("-")]
    if len(sides) == 1:
        raise InputError(_lone_code(pair))
    if len(sides) != 2 or not all(sides):
        raise InputError(f'Language pair "{pair}": write source-target with one hyphen, such as {_EXAMPLE}.')
    in_nllb_codes = [side for side in sides if _looks_like_nllb(side)]
    try:
        for side in in_nllb_codes:  # a wrong code is named before a code of the other kind beside it
            _by_nllb_code(side)
        source, target = (_by_nllb_code(side) if in_nllb_codes else _by_any_code(side) for side in sides)
    except InputError as error:
        raise InputError(f'Language pair "{pair}": {error}') from error
    if source is target:
        raise InputError(
            f'Language pair "{pair}": both sides are {source.name}. A pair has two languages, such as {_EXAMPLE}.'
        )
    return source, target


def language_pairs_of(texts: Iterable[str]) -> list[tuple[str, str]]:
    """(source, target) of each pair, in ISO 639-3 codes, in the order given.

    Raises:
        InputError: as `parse_language_pair`; or a direction stands there twice, under whatever codes.
    """
    found: dict[tuple[str, str], str] = {}
    for text in texts:
        source, target = parse_language_pair(text)
        direction = source.code, target.code
        if direction in found:
            raise InputError(
                f'Language pair "{text}" is the same direction as "{found[direction]}" ({source.name} to {target.name}): '
                f"leave one out. The way back is {target.bcp47}-{source.bcp47}."
            )
        found[direction] = text
    return list(found)


def nllb_code(text: str) -> str:
    """`text`, where it is the NLLB code of a registered language to the letter.

    Raises:
        InputError: it is not; a tokenizer of NLLB would read it as `<unk>`. The line names the right code.
    """
    return _by_nllb_code(text).nllb


def _by_any_code(text: str) -> Language:
    try:
        return get_language(text)
    except InputError:
        short = [language.bcp47 for language in LANGUAGES]
        close = nearest(text, [*short, *(language.code for language in LANGUAGES)])
        hint = close if "Did you mean" in close else nearest("", short)
        raise InputError(f'unknown language "{text}".{hint}') from None


def _by_nllb_code(text: str) -> Language:
    if text in _BY_NLLB_CODE:
        return _BY_NLLB_CODE[text]
    try:
        meant = get_language(text).nllb
    except InputError:
        raise InputError(f'unknown NLLB code "{text}".{nearest(text, _BY_NLLB_CODE)}') from None
    raise InputError(f'"{text}" is not an NLLB code, the model would read <unk> for it. Write {meant}.')


def _looks_like_nllb(side: str) -> bool:
    """Whether this has the shape of NLLB's codes, language_Script."""
    return "_" in side


def _lone_code(text: str) -> str:
    try:
        language = _by_any_code(text)
    except InputError as error:
        return f'"{text}" is no language pair: {error} Write source-target, such as {_EXAMPLE}.'
    other = get_language("ibo") if language.code == "eng" else get_language("eng")
    example = f"{other.bcp47}-{language.bcp47}, or in NLLB codes {other.nllb}-{language.nllb}"
    aside = ""
    if _looks_like_nllb(text) and text != language.nllb:
        aside = f" NLLB has no code {text}: it is {language.nllb}."
    return f'"{text}" is no language pair, only {language.name}: write source-target, such as {example}.{aside}'
