"""`lugha examples preview`: what a recipe trains on, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lugha.cli.arguments import JsonOption, RecipeArgument, SetOption

if TYPE_CHECKING:
    from lugha.training.token_table import TokenTable

app = typer.Typer(no_args_is_help=True, help="Look at the examples that a recipe trains on.")

_DECODER = "label: this token is predicted, from those above it since position 0; -: it is given and costs nothing"
_ENCODER_DECODER = "label: what is predicted behind this token; -: it is given and costs nothing"


@app.command()
def preview(
    recipe: RecipeArgument,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows of the micro-batch to show.")] = 1,
    epoch: Annotated[int, typer.Option("--epoch", min=0, help="Epoch, from 0.")] = 0,
    index: Annotated[int, typer.Option("--index", min=0, help="Number of the micro-batch in its epoch, from 0.")] = 0,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decode a micro-batch of the prepared training data with its labels. Prepare it first: lugha run RECIPE --until tokens."""
    from lugha.cli.printing import print_json
    from lugha.errors import InputError
    from lugha.pipeline.layout import Layout
    from lugha.recipe import load_recipe
    from lugha.training.data import open_run_data
    from lugha.training.token_table import padding_share, token_tables

    r = load_recipe(recipe, set_ or ())
    layout = Layout.of(r)
    data = open_run_data(r, layout.tokens, layout.tokenizer)
    count = data.training.micro_batches(epoch)
    if index >= count:
        raise InputError(f"--index {index}: epoch {epoch} has {count:,} micro-batches, numbered 0 to {count - 1}.")
    batch = data.training.micro_batch(epoch, index)
    every, shown = (token_tables(batch, data.tokenizer, data.roles, wanted) for wanted in (None, rows))
    facts: dict[str, object] = {"recipe": r.name, "road": r.train.road, "epoch": epoch, "index": index}
    facts |= {"micro_batches": count, "tokens": sum(len(t.cells) + t.padding for t in every)}
    facts |= {"predicted": sum(t.predicted for t in every), "padding": round(padding_share(every), 4)}
    if as_json:
        tables = [{"title": t.title, "padding": t.padding, "tokens": [c._asdict() for c in t.cells]} for t in shown]
        print_json(facts | {"tables": tables})
        return
    typer.echo(
        f"{r.name}, road {r.train.road}: micro-batch {index} of {count:,} in epoch {epoch}; {facts['predicted']:,} of "
        f"{facts['tokens']:,} tokens are predicted, {padding_share(every):.1%} are padding"
    )
    typer.echo(_ENCODER_DECODER if r.train.road == "seq2seq" else _DECODER)
    for table in shown:
        _print(table)


def _print(table: TokenTable) -> None:
    """Predicted tokens in green, given ones dim, special ones bold, where stdout is a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=table.title, title_justify="left", caption_justify="left", header_style="bold")
    grid.add_column("position", justify="right")
    grid.add_column("token", overflow="fold")
    grid.add_column("id", justify="right")
    grid.add_column("label")
    for cell in table.cells:
        style = ("bold " if cell.special else "") + ("dim" if cell.label is None else "green")
        label = "-" if cell.label is None else str(cell.label)
        if cell.label not in (None, cell.id):
            label = f"{label} {cell.label_text}"
        grid.add_row(*(Text(text, style) for text in (str(cell.position), cell.text, str(cell.id), label)))
    if table.padding:
        grid.caption = f"and {table.padding} of padding"
    Console().print(grid)


@app.callback()
def _group() -> None:
    """Keeps `preview` a subcommand: Typer would make a single command the group itself."""
