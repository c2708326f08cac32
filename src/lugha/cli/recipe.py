"""`lugha recipe list | show | check` and `lugha new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import JsonOption, RecipeArgument, SetOption
from lugha.cli.language_pairs import LanguagePairsOption, apply_language_pairs

app = typer.Typer(no_args_is_help=True, help="Look at recipes and check them.")


@app.command("list")
def list_presets() -> None:
    """The recipes that come with lugha."""
    from lugha.cli.printing import print_table
    from lugha.models.shapes import adapter_count, parameter_count, trainable_count
    from lugha.recipe import load_recipe, preset_names

    rows = []
    for r in map(load_recipe, preset_names()):
        parameters = f"{parameter_count(r.model) + adapter_count(r.model):,}"
        if r.model.lora:
            parameters = f"{trainable_count(r.model):,} of {parameters}"
        length = f"{r.train.epochs:g} epochs" if r.train.epochs else f"{r.train.steps:,} steps"
        rows.append((r.name, f"{r.train.road}, {length}", parameters, r.description))
    print_table("Presets", ("name", "road", "trained parameters", "what it is"), rows)


@app.command()
def show(
    recipe: RecipeArgument,
    language_pairs: LanguagePairsOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole resolved recipe, defaults included."""
    from lugha.cli.printing import print_json
    from lugha.recipe import dump_recipe, load_recipe

    resolved = load_recipe(recipe, apply_language_pairs(set_, language_pairs))
    if as_json:
        print_json(resolved.model_dump(mode="json"))
    else:
        typer.echo(dump_recipe(resolved), nl=False)


@app.command()
def check(
    recipe: RecipeArgument,
    language_pairs: LanguagePairsOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a recipe and print what follows from it, from shapes alone: no weights, no data, no account."""
    from lugha.cli.printing import print_json, print_table
    from lugha.languages.pairs import language_pairs_of
    from lugha.models.shapes import adapter_count, parameter_count, trainable_count
    from lugha.recipe import load_recipe

    r = load_recipe(recipe, apply_language_pairs(set_, language_pairs))
    pairs = language_pairs_of(r.tokens.language_pairs)
    facts: dict[str, object] = {"recipe": r.name, "road": r.train.road}
    facts["parameters"] = parameter_count(r.model) + adapter_count(r.model)
    if r.model.base:
        at = f" at {r.model.revision}" if r.model.revision else ""
        facts |= {"base": f"{r.model.base}{at}", "trained_parameters": trainable_count(r.model)}
    if r.model.lora:
        facts["adapter_bytes_in_fp32"] = 4 * adapter_count(r.model)
    if r.train.road in ("pretrain", "lora", "sft"):
        facts["rows_per_step"] = r.train.micro_batch * r.train.accumulation
        facts["tokens_per_step"] = r.train.micro_batch * r.train.accumulation * r.tokens.max_length
    else:
        facts["tokens_per_step"] = r.train.micro_batch_tokens * r.train.accumulation
    if r.train.epochs:
        facts["epochs"] = r.train.epochs
    else:
        facts["steps"] = r.train.steps
        facts["tokens"] = int(str(facts["tokens_per_step"])) * r.train.steps
        if r.train.save_every:
            facts["checkpoints"] = -(-r.train.steps // r.train.save_every)
    if pairs:
        facts["directions"] = [f"{a}-{b}" for a, b in pairs]
    facts["sources"] = [s.name for s in r.corpus.sources]
    if as_json:
        print_json(facts)
        return
    shown = [(k.replace("_", " "), _shown(v)) for k, v in facts.items()]
    print_table(f"{r.name} is a valid recipe", ("", "value"), shown)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def new(
    name: Annotated[str, typer.Argument(help="Name of the new recipe.")],
    preset: Annotated[str, typer.Option("--preset", help="The preset to begin with.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write NAME.yaml, a copy of a preset under a new name, to be changed."""
    import yaml

    from lugha.errors import InputError
    from lugha.recipe import parse_recipe, preset_text
    from lugha.runs.files import write_text

    path = Path(f"{name}.yaml")
    if path.exists() and not force:
        raise InputError(f"{path} exists. Choose another name, or --force to replace it.")
    renamed = preset_text(preset).replace(f"name: {preset}\n", f"name: {name}\n", 1)
    parse_recipe(yaml.safe_load(renamed), str(path))  # a name that no recipe may have is refused before it is written
    write_text(path, renamed)
    typer.echo(f"{path}: a recipe like {preset}. Change it, then: lugha run {path}")
