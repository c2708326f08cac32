"""The variants of a sweep: every combination of the grid's values, each a whole recipe that the schema has passed.

    axes = [parse_axis("train.lr=1e-4,3e-4"), parse_axis("model.kv_heads=1,2")]
    variants = make_variants("swahili-debug", [], axes)         4 variants; a bad value is refused by the variant's name

A learning rate is the peak of a schedule: where `train.lr` is swept and `train.min_lr` is not, the final rate keeps its
ratio to the peak, else the smallest peaks would end above themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lugha.errors import InputError
from lugha.recipe import Recipe, load_recipe

_REFUSED = {
    "name": "runs are named by the recipe",
    "seed": "seeds are repeated by --seeds",
    "run": "it is where runs lie, not what is trained",
    "evaluate": "it changes what is measured after the training, not what is trained",
    "export": "it changes what is made of the model, not what is trained",
    "train.steps": "steps follow from the token budget: give --tokens",
    "train.epochs": "steps follow from the token budget: give --tokens",
    "train.road": "the losses of two roads do not compare",
    "train.beta": "it is part of the loss itself, so that losses do not compare",
    "model.scale": "sweep the twin: --set model.scale=tiny",
}
_PAIRED = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True)
class Axis:
    """One key of the recipe and the values it takes, each as the text that was given (YAML)."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """One combination of values."""

    number: int  # from 0, in the order of the grid
    values: dict[str, Any]  # key -> value as the schema reads it
    recipe: Recipe

    @property
    def name(self) -> str:
        """`train.lr=0.001, model.kv_heads=2`."""
        return ", ".join(f"{key}={value}" for key, value in self.values.items())


def parse_axis(text: str) -> Axis:
    """Read `key=value,value`; commas inside brackets or quotes belong to a value.

    Raises:
        InputError: no key, no value, an empty one, or one that is not YAML.
    """
    key, sign, listed = text.partition("=")
    key = key.strip()
    if not sign or not key:
        raise InputError(f"--grid {text}: write it as key=value,value, for example --grid train.lr=1e-4,3e-4.")
    values = tuple(part.strip() for part in _split(listed))
    if not all(values):
        raise InputError(f"--grid {text}: a value is empty. Write key=value,value without blanks at the commas.")
    for value in values:
        try:
            yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--grid {text}: the value {value} is not YAML. Quote it, or close its bracket.") from error
    for part, why in _REFUSED.items():
        if key == part or key.startswith(f"{part}."):
            raise InputError(f"--grid {key}: not a key to sweep: {why}.")
    return Axis(key, values)


def make_variants(recipe: str | Path, overrides: Iterable[str], axes: Sequence[Axis]) -> list[Variant]:
    """Every combination of the axes' values, the last axis fastest.

    Raises:
        InputError: no axis, a key twice, an unknown key, a value that the schema refuses (named with its variant), or the
            same value twice.
    """
    if not axes:
        raise InputError("A sweep needs at least one --grid, for example --grid train.lr=1e-4,3e-4,1e-3.")
    keys = [axis.key for axis in axes]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise InputError(f"--grid {twice[0]} is given twice: write all its values in one, key=value,value.")
    overrides = list(overrides)
    base = load_recipe(recipe, overrides)
    found: list[Variant] = []
    for number, combination in enumerate(itertools.product(*(axis.values for axis in axes))):
        given = [f"{key}={value}" for key, value in zip(keys, combination, strict=True)]
        try:
            varied = load_recipe(recipe, [*overrides, *given])
        except InputError as error:
            raise InputError(f"Variant {', '.join(given)}: {error}") from error
        values = {key: _value_at(varied, key) for key in keys}
        if "train.lr" in keys and "train.min_lr" not in keys:
            final = base.train.min_lr * (varied.train.lr / base.train.lr)
            varied = varied.model_copy(update={"train": varied.train.model_copy(update={"min_lr": final})})
        same = next((v for v in found if v.values == values), None)
        if same is not None:
            raise InputError(f"Variant {', '.join(given)} is there twice: every value of a key once.")
        found.append(Variant(number, values, varied))
    return found


def _split(text: str) -> list[str]:
    """At the commas that are neither inside brackets nor inside quotes."""
    parts, begin = [], 0
    open_: list[str] = []
    for place, sign in enumerate(text):
        if open_ and sign == open_[-1]:
            open_.pop()
        elif open_ and open_[-1] in "'\"":
            continue
        elif sign in _PAIRED:
            open_.append(_PAIRED[sign])
        elif sign in "'\"":
            open_.append(sign)
        elif sign == "," and not open_:
            parts.append(text[begin:place])
            begin = place + 1
    return [*parts, text[begin:]]


def _value_at(recipe: Recipe, key: str) -> Any:
    value: Any = recipe.model_dump(mode="json")
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
