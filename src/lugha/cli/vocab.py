"""`lugha vocab extend` and `lugha tokenizer audit`: what a base's vocabulary lacks, and how it gets it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lugha.cli.arguments import InputOption, JsonOption

if TYPE_CHECKING:
    from lugha.tokens.punctuation import Punctuation

app = typer.Typer(no_args_is_help=True, help="Give a base model the languages and characters that it lacks.")

PunctuationOption = Annotated[
    str,
    typer.Option("--punctuation", help="none, or moses: as the text of NLLB-200 was prepared, before the model reads it."),
]


@app.callback()
def _group() -> None:
    """Keeps `extend` a subcommand: Typer would make a single command the group itself."""


@app.command()
def extend(
    base: Annotated[str, typer.Option("--base", help="Folder of a whole model, or a hub id.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    language: Annotated[
        list[str] | None,
        typer.Option("--language", metavar="CODE", help="New NLLB code, such as efi_Latn; may be repeated."),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            "--like",
            metavar="CODE",
            help="Similar language that it begins like; may be repeated.",
            show_default="all languages",
        ),
    ] = None,
    characters: Annotated[str, typer.Option("--characters", help="New characters, one after the other.")] = "",
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Add what the base reads as <unk> in this corpus or .txt file.")
    ] = None,
    min_count: Annotated[int, typer.Option("--min-count", min=1, help="Times that it stands in --corpus, at least.")] = 3,
    punctuation: PunctuationOption = "none",
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add language codes and characters to a base: every old id, row and score stays as it is, and a load test proves it."""
    from lugha.cli.printing import print_json, print_table
    from lugha.errors import InputError
    from lugha.models.base import open_base
    from lugha.pipeline.extending import extend_base, missing_characters
    from lugha.tokens.punctuation import punctuation_of
    from lugha.tokens.sample import open_texts

    if like and not language:
        raise InputError("--like says what a new language begins like: name one with --language, or leave it out.")
    if not (language or characters or corpus):
        raise InputError("Nothing to add: give --language, --characters or --corpus.")
    prepare = punctuation_of(_punctuation(punctuation))
    folder = open_base(base, revision, cache=Path("runs/bases")).folder
    wanted = list(dict.fromkeys(characters))
    if corpus is not None:
        wanted += [
            c for c in missing_characters(folder, open_texts(corpus), prepare, min_count=min_count) if c not in wanted
        ]
    manifest = extend_base(folder, output, languages={code: like or [] for code in language or []}, characters=wanted)
    if as_json:
        print_json(manifest.details)
        return
    rows = [(token["token"], token["id"], len(token["like"])) for token in manifest.details["tokens"]]
    print_table(f"{output}: {len(rows)} new tokens", ("token", "id", "begins as the mean of"), rows)
    test = manifest.details["load_test"]
    tied = "tied as before" if test["tied"] else "not tied, as before"
    typer.echo(
        f"load test: {test['probes']} texts have their old ids and states, old logits differ by at most "
        f"{test['largest_logit_difference']:g}; embeddings {tied}, rows {test['rows_before']:,} -> {test['rows_after']:,}"
    )


def audit(
    input: InputOption,
    tokenizer: Annotated[
        Path, typer.Option("--tokenizer", help="Folder or file of tokenizer.json, or a base's folder.", show_default=False)
    ],
    punctuation: PunctuationOption = "none",
    max_unknown: Annotated[
        float | None,
        typer.Option("--max-unknown", min=0, max=1, help="Refuse (exit 3) above this share of a language's rows."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Characters of a corpus that a tokenizer reads as <unk>, by language, before a model is trained on the holes."""
    from lugha.cli.printing import print_json, print_table
    from lugha.tokens.punctuation import punctuation_of
    from lugha.tokens.sample import open_texts
    from lugha.tokens.tokenizer import load_tokenizer
    from lugha.tokens.unknown import audit_texts, check_unknown, name_of_character

    audits = audit_texts(load_tokenizer(tokenizer), open_texts(input), punctuation_of(_punctuation(punctuation)))
    if as_json:
        print_json({language: found.as_dict() for language, found in audits.items()})
    else:
        shares = [(code, f"{a.rows:,}", f"{a.rows_with_unknown:,}", f"{a.share:.2%}") for code, a in audits.items()]
        print_table("Rows with an unknown character", ("language", "rows", "with <unk>", "share"), shares)
        for code, found in audits.items():
            if found.characters:
                rows = [(name_of_character(c), f"{n:,}", found.examples[c]) for c, n in found.characters.items()]
                print_table(f"Unknown characters in {code}", ("character", "times", "for example"), rows)
    if max_unknown is not None:
        check_unknown(audits, max_unknown)


def _punctuation(name: str) -> Punctuation:
    from lugha.errors import InputError, nearest

    if name not in ("none", "moses"):
        raise InputError(f'No punctuation "{name}".{nearest(name, ("none", "moses"))}')
    return "moses" if name == "moses" else "none"
