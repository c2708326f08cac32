"""A tiny run with stores: prepared once, trained many times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lugha.recipe import Recipe, dump_recipe
from lugha.runs.files import write_text
from tests.worlds import World


def stored(world: World, folder: Path, stores: Sequence[str], **sections: dict[str, object]) -> Path:
    """A recipe file of the world: its runs below `folder`, its checkpoints to `stores`.

    Args:
        sections: further values, by section.
    """
    changes: dict[str, dict[str, object]] = {"run": {"root": folder}, "publish": {"stores": list(stores)}}
    recipe: Recipe = world.recipe
    for name in changes.keys() | sections.keys():
        values = changes.get(name, {}) | sections.get(name, {})
        recipe = recipe.model_copy(update={name: getattr(recipe, name).model_copy(update=values)})
    path = folder.with_suffix(".yaml")
    write_text(path, dump_recipe(recipe))
    return path
