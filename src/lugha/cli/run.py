"""`lugha run`: a recipe from raw text to an exported model."""

from __future__ import annotations

from typing import Annotated

import typer

from lugha.cli.arguments import RecipeArgument, SetOption
from lugha.cli.language_pairs import LanguagePairsOption, apply_language_pairs


def run(
    recipe: RecipeArgument,
    until: Annotated[str, typer.Option("--until", metavar="STAGE", help="The last stage to run.")] = "export",
    first: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Redo this stage and those after it.", show_default=False)
    ] = None,
    language_pairs: LanguagePairsOption = None,
    set_: SetOption = None,
) -> None:
    """Run a recipe: corpus, tokens, train, evaluate, export; a recipe of road sft or dpo: train, and compare with its base.
    Stages whose inputs are unchanged are skipped; an interrupted run goes on where it was."""
    from lugha.pipeline.run import run_recipe
    from lugha.recipe import load_recipe

    run_recipe(load_recipe(recipe, apply_language_pairs(set_, language_pairs)), until=until, first=first, say=typer.echo)
