"""`lugha tokenizer train | encode | decode`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import InputOption, JsonOption, OutputOption

app = typer.Typer(no_args_is_help=True, help="Train a BPE tokenizer, and look at what it does.")
TokenizerOption = Annotated[Path, typer.Option("--tokenizer", help="Folder or file of tokenizer.json.", show_default=False)]


@app.command()
def train(
    input: InputOption,
    output: OutputOption,
    vocab_size: Annotated[int, typer.Option("--vocab-size", min=300, help="With special tokens and bytes.")] = 16_384,
    style: Annotated[str, typer.Option("--style", help="bytes or metaspace.")] = "bytes",
    seed: Annotated[int, typer.Option("--seed")] = 42,
    as_json: JsonOption = False,
) -> None:
    """Train a tokenizer and print tokens per word and bytes per token on held-out text."""
    from lugha.cli.printing import print_json, print_table
    from lugha.errors import InputError, nearest
    from lugha.recipe import TokenizerSection
    from lugha.tokens.tokenizer import train_tokenizer

    if style not in ("bytes", "metaspace"):
        raise InputError(f'No tokenizer style "{style}".{nearest(style, ("bytes", "metaspace"))}')
    section = TokenizerSection(vocab_size=vocab_size, style="bytes" if style == "bytes" else "metaspace")
    manifest = train_tokenizer(input, output, section=section, seed=seed)
    if as_json:
        print_json(manifest.model_dump())
        return
    details = manifest.details
    typer.echo(f"{output}: {details['vocab_size']:,} tokens, fingerprint {details['fingerprint'][:12]}")
    rows = [
        (lang, f"{f['tokens_per_word']:.3f}", f"{f['bytes_per_token']:.2f}", f"{f['words']:,}")
        for lang, f in details["fertility"].items()
    ]
    print_table(f"Fertility on {details['fertility_on']}", ("language", "tokens/word", "bytes/token", "words"), rows)


@app.command()
def encode(tokenizer: TokenizerOption, text: Annotated[str, typer.Option("--text")], as_json: JsonOption = False) -> None:
    """Ids and pieces of a text."""
    from lugha.cli.printing import print_json
    from lugha.tokens.tokenizer import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    ids = loaded.encode(text, add_special_tokens=False).ids
    if as_json:
        print_json({"ids": ids, "pieces": [loaded.decode([i]) for i in ids]})
    else:
        typer.echo(" ".join(map(str, ids)))
        typer.echo("|".join(loaded.decode([i]) for i in ids))


@app.command()
def decode(
    tokenizer: TokenizerOption, ids: Annotated[str, typer.Option("--ids", help="Numbers, separated by blanks or commas.")]
) -> None:
    """Text of ids."""
    from lugha.errors import InputError
    from lugha.tokens.tokenizer import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    numbers = ids.replace(",", " ").split()
    bad = [n for n in numbers if not n.isdigit() or int(n) >= loaded.get_vocab_size()]
    if bad:
        raise InputError(f"--ids: {bad[0]} is not an id of this tokenizer (0 to {loaded.get_vocab_size() - 1}).")
    typer.echo(loaded.decode([int(n) for n in numbers], skip_special_tokens=False))
