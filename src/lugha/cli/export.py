"""`lugha export`: a checkpoint in another format, behind its parity gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import CheckpointOption, JsonOption


def export(
    checkpoint: CheckpointOption,
    output: Annotated[Path, typer.Option("--output", help="Folder to write.")] = Path("exports/hf"),
    format_: Annotated[str, typer.Option("--format", help="hf (also huggingface).")] = "hf",
    as_json: JsonOption = False,
) -> None:
    """Export a checkpoint; it is loaded again and must say exactly the same, else nothing is kept."""
    from lugha.checkpoints.restore import resolve_checkpoint
    from lugha.cli.printing import print_json
    from lugha.errors import InputError, nearest
    from lugha.export.hf import export_hf

    known = {"hf", "huggingface"}
    if format_ not in known:
        raise InputError(f'No export format "{format_}".{nearest(format_, known)}')
    manifest = export_hf(resolve_checkpoint(checkpoint, say=typer.echo), output)
    if as_json:
        print_json(manifest.model_dump())
    else:
        gate = manifest.details["gate"]
        typer.echo(
            f"{output}: largest logit difference {gate['largest_logit_difference']}, ids differ on {gate['ids_differ']} of "
            f"{gate['texts']} texts"
        )
