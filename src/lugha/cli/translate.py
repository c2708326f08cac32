"""`lugha translate`: sentences through a trained model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lugha.cli.arguments import CheckpointOption


def translate(
    checkpoint: CheckpointOption,
    source: Annotated[str, typer.Option("--from", help="Language of the text, any code (sw, swh, swh_Latn).")],
    target: Annotated[str, typer.Option("--to", help="Language to translate into.")],
    text: Annotated[list[str] | None, typer.Argument(help="Sentences; default: the lines of stdin.")] = None,
    beam: Annotated[int, typer.Option("--beam", min=1, help="1: greedy.")] = 4,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1)] = 128,
) -> None:
    """Translate sentences, one line each: with an encoder-decoder, or a decoder in the words of its template."""
    from lugha.checkpoints.restore import resolve_checkpoint
    from lugha.pipeline.translating import open_translator

    folder = resolve_checkpoint(checkpoint, say=typer.echo)
    lines = text or [line.rstrip("\n") for line in sys.stdin]
    translator = open_translator(folder, max_new_tokens=max_tokens)
    for answer in translator(source, target, lines, beam):
        typer.echo(answer)
