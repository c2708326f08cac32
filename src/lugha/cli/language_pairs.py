"""`--language-pairs en-ig en-sw`: several values after one flag, beside a RECIPE that may stand before or after.

    expand_language_pairs(["run", "--language-pairs", "en-ig", "en-sw", "nllb-600m"])
        ->  ["run", "--language-pairs=en-ig", "--language-pairs=en-sw", "nllb-600m"]

Typer reads one value for each option, so the command line is rewritten before Typer sees it. Where do the values end? What
follows the flag is always a value. After it, everything is a value too, up to the next option, or to a RECIPE: the name of
a preset, a .yaml or .yml file, or any file that is there. So a mistake among the pairs (`ig`, `xx`, `swa_Latn`) is refused
as a language pair, by its name, and never taken for a recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

FLAG = "--language-pairs"
_SPELLINGS = (FLAG, "--language_pairs")  # the second is that of older training scripts

LanguagePairsOption = Annotated[
    list[str] | None,
    typer.Option(
        FLAG,
        metavar="PAIR...",
        help="Directions to train, such as en-ig en-sw or eng_Latn-ibo_Latn; sets tokens.language_pairs.",
        show_default="the recipe's own",
    ),
]


def expand_language_pairs(arguments: Sequence[str]) -> list[str]:
    """The command line with one flag for each language pair; any other command line comes back as it is.

    `--language-pairs=en-ig` holds one value, as with every option; after a bare `--` nothing is an option.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    expanded: list[str] = []
    place = 0
    while place < end:
        word = arguments[place]
        place += 1
        flag, equals, value = word.partition("=")
        if flag not in _SPELLINGS:
            expanded.append(word)
        elif equals:
            expanded.append(f"{FLAG}={value}")
        else:
            values = _values(arguments[place:end])
            place += len(values)
            expanded += [f"{FLAG}={value}" for value in values or [""]]  # "" is refused with the others, by the same line
    return [*expanded, *arguments[end:]]


def apply_language_pairs(overrides: Sequence[str] | None, pairs: Sequence[str] | None) -> list[str]:
    """The overrides of a recipe with `tokens.language_pairs` set to `pairs`, in NLLB codes; as they are without pairs.

    Raises:
        InputError: a pair that does not exist, or one that stands there twice; the line names it and the right value.
    """
    if not pairs:
        return list(overrides or ())
    from lugha.languages.pairs import language_pairs_of
    from lugha.languages.registry import get_language

    in_nllb_codes = [f"{get_language(a).nllb}-{get_language(b).nllb}" for a, b in language_pairs_of(pairs)]
    return [*(overrides or ()), f"tokens.language_pairs=[{', '.join(in_nllb_codes)}]"]


def _values(following: Sequence[str]) -> list[str]:
    """The words after the flag that are its values."""
    from lugha.recipe import preset_names

    presets = preset_names()
    values: list[str] = []
    for word in following:
        is_recipe = word in presets or word.endswith((".yaml", ".yml")) or Path(word).is_file()
        if word.startswith("-") or (values and is_recipe):
            break
        values.append(word)
    return values
