"""`lugha corpus clean | dedup | filter | split`: the corpus stages, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import InputOption, JsonOption, OutputOption

app = typer.Typer(no_args_is_help=True, help="Raw text to clean, deduplicated, filtered, split Parquet.")


@app.command()
def clean(
    input: InputOption,
    output: OutputOption,
    lang: Annotated[str | None, typer.Option("--lang", help="Language of documents.", show_default=False)] = None,
    source_lang: Annotated[str | None, typer.Option("--source-lang", help="Pairs: first side.", show_default=False)] = None,
    target_lang: Annotated[str | None, typer.Option("--target-lang", help="Pairs: second side.", show_default=False)] = None,
    target: Annotated[
        Path | None, typer.Option("--target", help="Pairs in two files: the one aligned with --input.", show_default=False)
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="Licence of the text.")] = "unknown",
    sentences: Annotated[bool, typer.Option("--sentences", help="Cut documents into sentences.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read txt, jsonl, tsv, csv, Parquet or two aligned files; repair and normalise every text."""
    from lugha.cli.printing import print_manifest
    from lugha.corpus.clean import clean_corpus
    from lugha.corpus.find import sources_from_path

    sources = sources_from_path(
        input,
        lang=lang,
        source_lang=source_lang,
        target_lang=target_lang,
        target_path=target,
        licence=licence,
        segment="sentence" if sentences else "none",
    )
    print_manifest(clean_corpus(sources, output, root=Path()), as_json)


@app.command()
def dedup(
    input: InputOption,
    output: OutputOption,
    threshold: Annotated[float, typer.Option("--threshold", min=0.0, max=1.0, help="Jaccard similarity.")] = 0.8,
    num_hashes: Annotated[int, typer.Option("--num-hashes", min=1)] = 120,
    num_bands: Annotated[int, typer.Option("--num-bands", min=1)] = 20,
    as_json: JsonOption = False,
) -> None:
    """Remove exact and near duplicates; every near duplicate is checked by exact Jaccard similarity."""
    from pydantic import ValidationError

    from lugha.cli.printing import print_manifest
    from lugha.corpus.dedup import dedup_corpus
    from lugha.errors import InputError
    from lugha.recipe import DedupSection

    try:
        section = DedupSection(threshold=threshold, num_hashes=num_hashes, num_bands=num_bands)
    except ValidationError as error:
        raise InputError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from error
    print_manifest(dedup_corpus(input, output, section=section), as_json)


@app.command("filter")
def filter_(
    input: InputOption,
    output: OutputOption,
    min_words: Annotated[int, typer.Option("--min-words", min=0)] = 3,
    max_words: Annotated[
        int | None, typer.Option("--max-words", min=1, show_default="200 for pairs, no bound for documents")
    ] = None,
    max_length_ratio: Annotated[float, typer.Option("--max-length-ratio", min=1.0)] = 3.0,
    language_id: Annotated[bool, typer.Option("--language-id/--no-language-id")] = True,
    as_json: JsonOption = False,
) -> None:
    """Drop rows outside the bounds; each keeps its reason in `dropped/`."""
    from lugha.cli.printing import print_manifest
    from lugha.corpus.filter import filter_corpus
    from lugha.recipe import FilterSection

    section = FilterSection(
        min_words=min_words, max_words=max_words, max_length_ratio=max_length_ratio, language_id=language_id
    )
    print_manifest(filter_corpus(input, output, section=section), as_json)


@app.command()
def split(
    input: InputOption,
    output: OutputOption,
    validation: Annotated[float, typer.Option("--validation", min=0.0, max=1.0, help="Share of the rows.")] = 0.01,
    test: Annotated[float, typer.Option("--test", min=0.0, max=1.0, help="Share of the rows.")] = 0.01,
    seed: Annotated[int, typer.Option("--seed")] = 42,
    as_json: JsonOption = False,
) -> None:
    """Divide into train, validation and test by document group and near-duplicate cluster, never by row alone."""
    from lugha.cli.printing import print_manifest
    from lugha.corpus.split import split_corpus
    from lugha.recipe import SplitSection

    print_manifest(split_corpus(input, output, section=SplitSection(validation=validation, test=test), seed=seed), as_json)
