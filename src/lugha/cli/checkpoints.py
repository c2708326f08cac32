"""`lugha checkpoints list | verify | pull | promote | prune`: checkpoints in run folders and in stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lugha.cli.arguments import JsonOption

if TYPE_CHECKING:
    from lugha.pipeline.checkpoints import Row

app = typer.Typer(no_args_is_help=True, help="Look at checkpoints, here and in stores; fetch, promote and prune them.")

PlaceArgument = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        help="A run folder, a checkpoint, s3://bucket/prefix, hf://user/repo or a folder that is a store; @500: that step.",
        show_default=False,
    ),
]
StoreArgument = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS", help="s3://bucket/prefix, hf://user/repo or a folder; @500: that step.", show_default=False
    ),
]


@app.command("list")
def list_(place: PlaceArgument, as_json: JsonOption = False) -> None:
    """What there is, by manifests and markers; no large file is read."""
    from lugha.pipeline.checkpoints import list_at

    _print(list_at(place, say=_remark), as_json)


@app.command()
def verify(place: PlaceArgument, as_json: JsonOption = False) -> None:
    """Read every byte and compare. Exit code 3 when a checkpoint that counted is damaged."""
    from lugha.errors import RefusedError
    from lugha.pipeline.checkpoints import lost_among, verify_at

    rows = verify_at(place, say=_remark)
    _print(rows, as_json)
    if lost := lost_among(rows):
        more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise RefusedError(f"{len(lost)} of {len(rows)} checkpoints are damaged: {lost[0].where}: {lost[0].trouble}{more}")


@app.command()
def pull(
    address: StoreArgument,
    output: Annotated[Path, typer.Option("--output", help="Folder that gets step-XXXXXXXX.", show_default=False)],
) -> None:
    """Fetch the newest verified checkpoint, or one step; every byte is compared on its way."""
    from lugha.pipeline.checkpoint_moves import pull_from

    typer.echo(pull_from(address, output, say=_remark))


@app.command()
def promote(place: PlaceArgument) -> None:
    """Make a verified checkpoint the result of its run: of a store the newest or @step, of a run folder its final one."""
    from lugha.pipeline.checkpoint_moves import promote_at

    for done in promote_at(place, say=_remark):
        typer.echo(f"{done}: promoted")


@app.command()
def prune(
    place: PlaceArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    keep_newest: Annotated[int | None, typer.Option("--keep-newest", min=2, help="So many of the newest verified.")] = None,
    keep_every: Annotated[
        int | None, typer.Option("--keep-every", min=1, help="And the first in every so many steps.")
    ] = None,
    budget_gb: Annotated[float | None, typer.Option("--budget-gb", min=0, help="Of each run; the oldest go.")] = None,
    quarantined_older_than: Annotated[
        str | None,
        typer.Option("--quarantined-older-than", metavar="7d", help="Also what is not marked or damaged, by its age."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what need not be kept: never one of the two newest verified, the best, a milestone, or the promoted one.

    Of a run folder without further options: what its recipe says (checkpoints.keep_newest, keep_every, disk_gb).
    """
    from dataclasses import asdict

    from lugha.cli.printing import print_json, print_table
    from lugha.pipeline.checkpoint_moves import Wishes, prune_at

    wishes = Wishes(keep_newest, keep_every, budget_gb, _seconds(quarantined_older_than))
    decided = prune_at(place, wishes, dry_run=dry_run, say=_remark)
    if as_json:
        print_json([{"run": run, **asdict(one)} for run, one in decided])
        return
    removed = "would go" if dry_run else "removed"
    for run in dict.fromkeys(run for run, _ in decided):
        rows = [
            (one.step, f"{one.bytes:,}", one.name.rpartition("/")[2], "kept" if one.keep else removed, one.why)
            for of, one in decided
            if of == run
        ]
        print_table(run, ("step", "bytes", "name", "", "why"), rows)
    gone = [one for _, one in decided if not one.keep]
    typer.echo(f"{len(gone)} of {len(decided)} {removed}, {sum(one.bytes for one in gone) / 1e6:,.1f} MB")


def _seconds(duration: str | None) -> float | None:
    from lugha.errors import InputError
    from lugha.recipe.durations import parse_duration

    if duration is None:
        return None
    try:
        return parse_duration(duration)
    except ValueError as error:
        raise InputError(f"--quarantined-older-than {duration}: {error}.") from error


def _print(rows: Sequence[Row], as_json: bool) -> None:
    from dataclasses import asdict

    from lugha.cli.printing import print_json, print_table
    from lugha.runs.rates import format_duration

    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for run in dict.fromkeys(row.run for row in rows):
        of_run = [row for row in rows if row.run == run]
        cells = [
            (
                "?" if row.step is None else row.step,
                f"{row.bytes:,}",
                row.where.rpartition("/")[2],
                _verified(row),
                " ".join(word for word, holds in (("promoted", row.promoted), ("best", row.best)) if holds),
                "?" if row.age_seconds is None else format_duration(max(0.0, row.age_seconds)),
            )
            for row in of_run
        ]
        print_table(run or "of unknown runs", ("step", "bytes", "name", "verified", "kept as", "age"), cells)
        for row in of_run:
            if row.trouble:
                typer.echo(f"{row.where}: {row.trouble}" if row.where not in row.trouble else row.trouble)


def _verified(row: Row) -> str:
    """Whether it counts, and by whose word."""
    word = {True: "yes", False: "no", None: "not read"}[row.verified]
    return f"{word}; in {', '.join(row.stores)}" if row.stores else word


def _remark(text: str) -> None:
    """Progress and what is passed over: on stderr, so that stdout holds the result alone."""
    typer.echo(text, err=True)
