"""`lugha report`: draw a run's report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Write report.html of a run from what its stages left, also while it trains."""
    from lugha.pipeline.reporting import report_run
    from lugha.recipe import load_recipe
    from lugha.runs.folder import open_run

    folder = open_run(run)
    typer.echo(report_run(load_recipe(folder.path / "recipe.yaml"), folder))
