"""`lugha sweep`: which values of a recipe are better, at equal tokens, with repeated seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lugha.cli.arguments import JsonOption, RecipeArgument, SetOption

if TYPE_CHECKING:
    from lugha.pipeline.sweep_record import Sweep, SweepRow


def sweep(
    recipe: RecipeArgument,
    grid: Annotated[
        list[str] | None, typer.Option("--grid", metavar="A.B=C,D", help="Values of one key of the recipe; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each combination. One gives no interval.")] = 3,
    tokens: Annotated[
        int | None, typer.Option("--tokens", help="Target tokens of each run.", show_default="those of the recipe's steps")
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train every combination of the --grid values on the same number of tokens and rank them by validation loss.

    The table shows means with 95 % intervals over the seeds, and whether a difference to the best is more than noise. The
    same command again goes on with an interrupted sweep and trains nothing twice.
    """
    from lugha.cli.printing import print_json
    from lugha.pipeline.sweeping import sweep as run_sweep

    def say(text: str) -> None:
        typer.echo(text, err=as_json)

    found = run_sweep(recipe, grid=grid or [], seeds=seeds, tokens=tokens, overrides=set_ or (), say=say)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


def _print(found: Sweep) -> None:
    from lugha.cli.printing import print_table
    from lugha.pipeline.sweeping import FILE, PLOT

    same_steps = len({row.steps for row in found.rows}) == 1
    columns = ["rank", *found.grid, "parameters", *([] if same_steps else ["steps"]), found.measure, "to the best", "", "s"]
    rows = [_cells(row, list(found.grid), same_steps) for row in found.rows]
    first = found.rows[0]
    length = f"{first.steps:,} steps, {first.tokens:,} tokens" if same_steps else f"about {first.tokens:,} tokens"
    title = (
        f"{found.recipe}: validation after {length}, {len(found.seeds)} seeds; ± is half a 95 % interval; lower is better"
    )
    print_table(title, columns, rows)
    for remark in found.remarks:
        typer.echo(remark)
    typer.echo(f"{found.folder}: {FILE}, {PLOT}")


def _cells(row: SweepRow, keys: list[str], same_steps: bool) -> tuple[str, ...]:
    from lugha.runs.rates import format_count

    verdict = {None: "", True: "worse", False: "within noise"}[row.distinguishable]
    return (
        str(row.rank),
        *(str(row.values[key]) for key in keys),
        format_count(row.parameters) if row.trained == row.parameters else f"{format_count(row.trained)} trained",
        *(() if same_steps else (f"{row.steps:,}",)),
        _estimate(row.mean, row.interval) if row.mean is not None else "diverged",
        "best" if row.rank == 1 and not row.diverged else _estimate(row.difference, row.difference_interval, sign="+"),
        f"{row.diverged} diverged" if row.diverged else verdict,
        "" if row.seconds is None else f"{row.seconds:,.1f}",
    )


def _estimate(value: float | None, interval: tuple[float, float] | None, sign: str = "") -> str:
    """`2.0118 ±0.0374`; the intervals are symmetric (Student's t)."""
    if value is None:
        return ""
    bounds = "" if interval is None else f" ±{(interval[1] - interval[0]) / 2:.4f}"
    return f"{value:{sign}.4f}{bounds}"
