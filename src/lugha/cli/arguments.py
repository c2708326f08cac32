"""Arguments that several verbs share, so that they are named and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="A preset's name or a YAML file.", show_default=False)]
ConfigOption = Annotated[str, typer.Option("--config", metavar="RECIPE", help="A preset's name or a YAML file.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key of the recipe; may be repeated.")
]
InputOption = Annotated[Path, typer.Option("--input", help="Folder or file to read.", show_default=False)]
OutputOption = Annotated[Path, typer.Option("--output", help="Folder to write.", show_default=False)]
CheckpointOption = Annotated[
    Path, typer.Option("--checkpoint", help="A checkpoint's folder, or a run folder (its newest).", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
