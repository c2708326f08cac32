"""The base model of a recipe, ready to be trained on: found, fitted into the recipe, and extended where the recipe asks.

    recipe, base = prepare_base(recipe, say)

A hub id is downloaded once and stays at the commit that was found. The tiny twin of a recipe has a base that no hub holds: a
new model of the same class with the tokenizer of the demo text, written here as such a folder would be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lugha.checkpoints.restore import resolve_checkpoint
from lugha.errors import InputError
from lugha.export.hf import write_tokenizer
from lugha.models.base import Base, fit_section, open_base
from lugha.models.build import build_model
from lugha.models.shapes import adapter_count, parameter_count
from lugha.models.state import save_whole
from lugha.pipeline.extending import extend_base, missing_characters
from lugha.pipeline.layout import Layout
from lugha.recipe import Recipe
from lugha.runs.manifest import is_current, stage_output
from lugha.runs.rates import format_count
from lugha.tokens.punctuation import punctuation_of
from lugha.tokens.sample import open_texts
from lugha.tokens.tokenizer import TOKENIZER_JSON, tokenizer_fingerprint, train_tokenizer

Say = Callable[[str], None]


def prepare_base(recipe: Recipe, say: Say = lambda _: None) -> tuple[Recipe, Base | None]:
    """The recipe with its base's shape and tokenizer, and the opened base; the recipe as it is where it has none.

    Raises:
        InputError: the base is not found, cannot be downloaded, is of another shape than the recipe says, or has no
            tokenizer.json.
    """
    section = recipe.model
    if section.base is None:
        return recipe, None
    layout = Layout.of(recipe)
    if section.scale == "tiny" and Path(section.base) == layout.base:
        _make_tiny_base(recipe, Path(section.base))
    base = open_base(_whole_checkpoint(section.base, say), section.revision, cache=layout.bases, say=say)
    if section.new_languages or section.new_characters:
        base = _extended(base, recipe, say)
    fitted = fit_section(section, base)
    tokenizer = recipe.tokenizer
    if tokenizer.path is None:
        file = base.folder / TOKENIZER_JSON
        if not file.is_file():
            raise InputError(
                f"{base.folder}: no {TOKENIZER_JSON}. Save the tokenizer as one "
                "(AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)), or name one in tokenizer.path."
            )
        tokenizer = tokenizer.model_copy(update={"path": file})
    at = f" at {base.revision[:12]}" if base.revision else ""
    licence = f", licence {base.licence}" if base.licence else ""
    trained = format_count(adapter_count(fitted)) + " trained" if fitted.lora else "all trained"
    say(f"base       {base.id}{at}: {format_count(parameter_count(fitted))} parameters, {trained}{licence}")
    return recipe.model_copy(update={"model": fitted, "tokenizer": tokenizer}), base


def _extended(base: Base, recipe: Recipe, say: Say) -> Base:
    """The base with the recipe's new languages, and the characters of its corpus that it lacks, as a folder of its own."""
    layout, section = Layout.of(recipe), recipe.model
    missing: list[str] = []
    if section.new_characters:
        texts = open_texts(layout.corpus("split"))
        missing = missing_characters(base.folder, texts, punctuation_of(recipe.tokens.punctuation), min_count=_MIN_COUNT)
    if not (missing or section.new_languages):
        say("base       knows every character of the corpus: nothing to add")
        return base
    made = extend_base(
        base.folder, layout.extended_base, languages={code: [] for code in section.new_languages}, characters=missing
    )
    added = [token["token"] for token in made.details["tokens"]]
    say(f"base       {len(added)} new tokens: {' '.join(added[:20])}{' ...' if len(added) > 20 else ''}")
    extended = open_base(str(layout.extended_base), None, cache=layout.bases)
    return dataclasses.replace(extended, licence=base.licence)


_MIN_COUNT = 3  # a character that is rarer teaches its embedding nothing


def _whole_checkpoint(name: str, say: Say) -> str:
    """A run folder stands for its newest whole checkpoint."""
    path = Path(name)
    return str(resolve_checkpoint(path, say=say)) if (path / "checkpoints").is_dir() else name


def _make_tiny_base(recipe: Recipe, folder: Path) -> None:
    """A new small model of the recipe's class and a tokenizer for its corpus, as a folder that transformers reads."""
    layout = Layout.of(recipe)
    own = recipe.tokenizer.model_copy(update={"path": None})
    train_tokenizer(layout.corpus("split"), layout.base_tokenizer, section=own, seed=recipe.seed)
    parameters = recipe.model.model_dump(mode="json", include=_SHAPE_KEYS) | {"seed": recipe.seed}
    inputs = {"tokenizer": tokenizer_fingerprint(layout.base_tokenizer)}
    if is_current(folder, stage="tiny-base", version=1, parameters=parameters, inputs=inputs):
        return
    with stage_output(folder, stage="tiny-base", version=1, parameters=parameters, inputs=inputs) as out:
        save_whole(build_model(recipe.model, seed=recipe.seed), out.folder)
        write_tokenizer(layout.base_tokenizer, out.folder, recipe)


_SHAPE_KEYS = {"kind", "vocab_size", "d_model", "layers", "heads", "kv_heads", "d_ff", "max_positions", "sliding_window"}
