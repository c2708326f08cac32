"""Read a recipe: a preset's name or a YAML file, with `a.b=c` overrides on top.

RECIPE is everywhere one of the two; an unknown key, at any depth, is refused with the nearest right name:

    load_recipe("swahili-debug", ["train.steps=50"]).train.steps  ->  50
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lugha.errors import InputError, nearest
from lugha.recipe.sections import Recipe
from lugha.recipe.tiny import tiny_twin

TINY = "model.scale=tiny"  # the override that turns a recipe into its tiny twin


def preset_names() -> list[str]:
    """Names of the recipes that come with lugha."""
    folder = resources.files("lugha.recipe") / "presets"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The YAML of a preset, with its comments.

    Raises:
        InputError: no preset has this name.
    """
    if name not in preset_names():
        raise InputError(f'No preset "{name}".{nearest(name, preset_names())}')
    return (resources.files("lugha.recipe") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def load_recipe(recipe: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        recipe: a preset's name, or the path of a YAML file.
        overrides: `a.b=c` each, the value read as YAML; list items by their number (`corpus.sources.0.path=...`).
            `model.scale=tiny` among them makes the recipe its tiny twin; the others win over what that changes.

    Raises:
        InputError: no such preset or file, not YAML, an unknown key, a value of the wrong type, or sections that do not
            agree; the message names the file and the key.
    """
    origin, text = _find(str(recipe))
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{origin}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{origin}: a recipe is a YAML mapping that begins with `name:`.")
    overrides = list(overrides)
    for override in overrides:
        _apply(values, override)
    if TINY in overrides:
        demo = yaml.safe_load(preset_text("demo"))
        values = tiny_twin(values, demo["corpus"]["sources"])
        for override in overrides:
            _apply(values, override)
    return parse_recipe(values, origin)


def parse_recipe(values: Mapping[str, Any], origin: str) -> Recipe:
    """Check plain values against the schema; `origin` names them in errors."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{origin}: {_one_line(error)}") from error


def dump_recipe(recipe: Recipe) -> str:
    """The whole resolved recipe as YAML, defaults included; reads back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def _find(recipe: str) -> tuple[str, str]:
    path = Path(recipe)
    looks_like_path = path.suffix in {".yaml", ".yml"} or "/" in recipe
    if path.is_file():
        try:
            return recipe, path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{recipe}: not UTF-8 at byte {error.start}. Save the recipe as UTF-8.") from error
    if looks_like_path:
        raise InputError(f"{recipe}: no such recipe file. Presets: {', '.join(preset_names())}.")
    return f'preset "{recipe}"', preset_text(recipe)


def _apply(values: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise InputError(f"--set {override}: write it as key=value, for example --set train.steps=200.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not YAML.") from error
    node: Any = values
    *parents, last = key.split(".")
    for part in parents:
        node = _descend(node, part, override)
    if isinstance(node, list):
        node[_index(node, last, override)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise InputError(f"--set {override}: {'.'.join(parents)} is a value, not a section.")


def _descend(node: Any, part: str, override: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, part, override)]
    if isinstance(node, dict):
        if node.get(part) is None:
            node[part] = {}
        return node[part]
    raise InputError(f"--set {override}: {part} is below a value, not a section.")


def _index(items: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise InputError(f"--set {override}: the list has items 0 to {len(items) - 1}, not {part}.")
    return int(part)


def _one_line(error: ValidationError) -> str:
    """The first problem of a ValidationError in one line, with the nearest right key."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(p) for p in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *parents, unknown = problem["loc"]
        return f'unknown key "{where}".{nearest(str(unknown), _keys_at(parents))}'
    if problem["type"] == "missing":
        return f'"{where}" is missing.'
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (it is {_without_secrets(repr(problem['input']))})"
    more = f" {error.error_count() - 1} more problems follow." if error.error_count() > 1 else ""
    return (f"{where}: " if where else "") + f"{message}{given}.{more}"


def _without_secrets(text: str) -> str:
    """`s3://key:secret@bucket` is refused, and its refusal must not print it."""
    return re.sub(r"(?<=://)[^/@\s]+(?=@)", "***", text)


def _keys_at(parents: Iterable[str | int]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in parents:
        if isinstance(part, int):
            continue
        inner = _section_in(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section class inside `X`, `list[X]` or `X | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    found = (_section_in(a) for a in typing.get_args(annotation))
    return next((m for m in found if m is not None), None)
