"""`lugha train`: the training stage alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import ConfigOption, SetOption
from lugha.cli.language_pairs import LanguagePairsOption, apply_language_pairs


def train(
    config: ConfigOption,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="auto|PLACE",
            help="Go on: auto (here and in the recipe's stores), a run folder, a checkpoint, s3://... or hf://user/repo@500.",
            show_default=False,
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a new run even where an unfinished one could go on.")] = False,
    tokens: Annotated[
        Path | None, typer.Option("--tokens", help="Output of `lugha tokens build`.", show_default="the recipe's own")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Folder of tokenizer.json.", show_default="the recipe's own")
    ] = None,
    language_pairs: LanguagePairsOption = None,
    set_: SetOption = None,
) -> None:
    """Train a recipe on its tokens. Without --new an unfinished run with the same settings goes on.

    On several GPUs or processes: torchrun --nproc-per-node 2 -m lugha train --config RECIPE.
    """
    from lugha.pipeline.training import train_recipe
    from lugha.recipe import load_recipe

    recipe = load_recipe(config, apply_language_pairs(set_, language_pairs))
    done = train_recipe(recipe, resume=resume, anew=new, tokens=tokens, tokenizer=tokenizer, say=typer.echo)
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        typer.echo(f"{done.checkpoint}: step {done.step:,}, weights SHA-256 {done.weights_sha256}")
