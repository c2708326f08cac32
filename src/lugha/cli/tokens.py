"""`lugha tokens build`: a split corpus as token ids in shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import InputOption, JsonOption, OutputOption

app = typer.Typer(no_args_is_help=True, help="Encode a corpus to memory-mapped shards of token ids.")


@app.command()
def build(
    input: InputOption,
    output: OutputOption,
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="Folder or file of tokenizer.json.", show_default=False)],
    tokens_per_shard: Annotated[int, typer.Option("--tokens-per-shard", min=1000)] = 100_000_000,
    as_json: JsonOption = False,
) -> None:
    """Encode every text of a corpus; nothing is cut off, and the manifest names the tokenizer."""
    from lugha.cli.printing import print_manifest
    from lugha.recipe import TokensSection
    from lugha.tokens.build import build_tokens

    section = TokensSection(tokens_per_shard=tokens_per_shard)
    print_manifest(build_tokens(input, tokenizer, output, section=section), as_json)


@app.callback()
def _group() -> None:
    """Keeps `build` a subcommand: Typer would make a single command the group itself."""
