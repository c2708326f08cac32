"""`lugha translate`: sentences through an encoder-decoder."""

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
    """Translate sentences, one line each."""
    from lugha.checkpoints.format import TOKENIZER
    from lugha.checkpoints.restore import resolve_checkpoint
    from lugha.evaluation.decode import translate as translate_texts
    from lugha.models.build import load_model
    from lugha.tokens.tokenizer import load_tokenizer

    folder = resolve_checkpoint(checkpoint, say=typer.echo)
    lines = text or [line.rstrip("\n") for line in sys.stdin]
    answers = translate_texts(
        load_model(folder),
        load_tokenizer(folder / TOKENIZER),
        lines,
        source_lang=source,
        target_lang=target,
        beam=beam,
        max_new_tokens=max_tokens,
    )
    for answer in answers:
        typer.echo(answer)
