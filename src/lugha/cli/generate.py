"""`lugha generate`: continue a prompt with a decoder."""

from __future__ import annotations

from typing import Annotated

import typer

from lugha.cli.arguments import CheckpointOption


def generate(
    checkpoint: CheckpointOption,
    prompt: Annotated[list[str], typer.Option("--prompt", help="A beginning; may be repeated.", show_default=False)],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1)] = 200,
    strategy: Annotated[str, typer.Option("--strategy", help="greedy, sample, top_k or top_p.")] = "top_p",
    temperature: Annotated[float, typer.Option("--temperature")] = 0.8,
    top_k: Annotated[int, typer.Option("--top-k")] = 50,
    top_p: Annotated[float, typer.Option("--top-p")] = 0.9,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    lang: Annotated[str | None, typer.Option("--lang", help="Language of the prompts, for its normaliser.")] = None,
) -> None:
    """Continue each prompt; the same seed gives the same text."""
    from lugha.checkpoints.format import TOKENIZER
    from lugha.checkpoints.restore import resolve_checkpoint
    from lugha.evaluation.decode import generate_text
    from lugha.models.build import load_model
    from lugha.tokens.tokenizer import load_tokenizer

    folder = resolve_checkpoint(checkpoint, say=typer.echo)
    texts = generate_text(
        load_model(folder),
        load_tokenizer(folder / TOKENIZER),
        prompt,
        max_new_tokens=max_tokens,
        strategy=strategy,  # type: ignore[arg-type]  # checked there, with the nearest right name
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        lang=lang,
    )
    for beginning, text in zip(prompt, texts, strict=True):
        typer.echo(f"{beginning}{text}")
