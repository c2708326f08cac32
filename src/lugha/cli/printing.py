"""How verbs print: tables for people on stdout, the same figures as JSON with `--json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer


def print_json(value: Any) -> None:
    """Indented JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; columns whose cells are all numbers are set flush right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        numeric = all(str(row[number]).replace(",", "").replace(".", "").rstrip(" %").isdigit() for row in rows)
        table.add_column(column, justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


def print_manifest(manifest: Any, as_json: bool) -> None:
    """What a stage did: one line for people, the whole manifest as JSON."""
    if as_json:
        print_json(manifest.model_dump())
        return
    from lugha.pipeline.prepare import stage_line

    typer.echo(stage_line(manifest))
