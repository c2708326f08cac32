"""`lugha evaluate`: a checkpoint on its test split, or a file of translations against references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import JsonOption, SetOption


def evaluate(
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint or a run folder.", show_default=False)
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="perplexity, compression, generation, translation, or all that go with the model."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="Output of `lugha corpus split`.", show_default="the recipe's own")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for evaluation.json.", show_default="the run folder")
    ] = None,
    hypotheses: Annotated[Path | None, typer.Option("--hypotheses", help="Translations, a line each.")] = None,
    references: Annotated[Path | None, typer.Option("--references", help="Right translations, a line each.")] = None,
    sources: Annotated[Path | None, typer.Option("--sources", help="What was translated, a line each.")] = None,
    lang: Annotated[str | None, typer.Option("--lang", help="Language of --hypotheses.")] = None,
    source_lang: Annotated[str | None, typer.Option("--source-lang", help="Language of --sources.")] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a checkpoint on its test split, or score --hypotheses against --references."""
    from lugha.errors import InputError

    if checkpoint is not None and hypotheses is None and references is None:
        _checkpoint(checkpoint, metric, split, output, set_ or [], as_json)
    elif checkpoint is None and hypotheses is not None and references is not None:
        _files(hypotheses, references, sources, lang, source_lang, as_json)
    else:
        raise InputError("Give either --checkpoint, or --hypotheses together with --references.")


def _checkpoint(
    path: Path, metrics: list[str] | None, split: Path | None, output: Path | None, overrides: list[str], as_json: bool
) -> None:
    from lugha.checkpoints.format import RECIPE
    from lugha.checkpoints.restore import resolve_checkpoint
    from lugha.cli.printing import print_json
    from lugha.pipeline.evaluating import METRICS_OF_ROAD, evaluate_checkpoint
    from lugha.pipeline.layout import Layout
    from lugha.recipe import load_recipe

    quiet = (lambda _: None) if as_json else typer.echo
    folder = resolve_checkpoint(path, say=quiet)
    chosen = list(metrics or [])
    if "all" in chosen:
        chosen = list(METRICS_OF_ROAD[load_recipe(folder / RECIPE).train.road])
    wanted = [f"evaluate.metrics=[{', '.join(chosen)}]"] if chosen else []
    recipe = load_recipe(folder / RECIPE, [*overrides, *wanted])
    if output is None and folder.parent.name == "checkpoints":
        output = folder.parent.parent
    found = evaluate_checkpoint(
        folder, split=split or Layout.of(recipe).corpus("split"), section=recipe.evaluate, output=output, say=quiet
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
    elif output:
        typer.echo(f"{output / 'evaluation.json'}")


def _files(
    hypotheses: Path, references: Path, sources: Path | None, lang: str | None, source_lang: str | None, as_json: bool
) -> None:
    from lugha.cli.printing import print_json, print_table
    from lugha.evaluation.score_files import score_files

    found = score_files(hypotheses, references, sources=sources, lang=lang, source_lang=source_lang)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    scores, checks = found.scores, found.checks
    rows = [(name, getattr(scores, key), getattr(scores, key).signature) for name, key in _METRICS]
    if scores.normalised is not None:
        rows += [
            (f"{name}, normalised", getattr(scores.normalised, key), getattr(scores.normalised, key).signature)
            for name, key in _METRICS
        ]
    print_table(f"{hypotheses} against {references}, {scores.rows:,} rows", ("metric", "score [95 %]", "signature"), rows)
    named = ("empty", "repetition", "copied", "wrong_language", "length_ratio")
    table = [(n.replace("_", " "), _shown(getattr(checks, n))) for n in named if getattr(checks, n) is not None]
    print_table("Checks", ("check", "rows"), table)


_METRICS = (("BLEU", "bleu"), ("chrF", "chrf"), ("chrF++", "chrfpp"))


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
