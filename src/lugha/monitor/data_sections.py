"""The report's sections about data: what each stage kept, what was planted and caught, what the tokenizer makes of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lugha.errors import InputError
from lugha.languages.registry import get_language
from lugha.monitor.html import Html, join, table, tag
from lugha.runs.manifest import StageManifest
from lugha.runs.rates import format_duration

Stages = Sequence[tuple[str, StageManifest]]


class PlantedRow(Protocol):
    """One kind of dirt in a corpus whose dirt is known: rows planted, caught by the pipeline, and missed."""

    @property
    def kind(self) -> str: ...
    @property
    def planted(self) -> int: ...
    @property
    def caught(self) -> int: ...
    @property
    def missed(self) -> int: ...


class Audit(Protocol):
    """What became of a corpus whose dirt is known: the planted rows by kind, and the rows without dirt."""

    @property
    def kinds(self) -> Sequence[PlantedRow]: ...
    @property
    def clean_rows(self) -> int: ...
    @property
    def clean_altered(self) -> int: ...
    @property
    def clean_dropped(self) -> Mapping[str, int]: ...


def funnel(stages: Stages) -> Html:
    """Rows in and out of each stage, with the reasons of what was dropped."""
    counted = [(name, manifest) for name, manifest in stages if "fertility" not in manifest.details]
    if not counted:
        return tag("p", "No data stage belongs to this report.", class_="note")
    widest = max(1, *(manifest.rows_in for _, manifest in counted))
    rows = [
        (
            join([name, _bar(manifest.rows_in, manifest.rows_out, widest)]),
            f"{manifest.rows_in:,}",
            f"{manifest.rows_out:,}",
            _reasons(manifest.dropped),
            format_duration(manifest.wall_seconds),
        )
        for name, manifest in counted
    ]
    first, last = counted[0][1].rows_in, counted[-1][1].rows_out
    kept = f"{100 * last / first:.1f} % of the rows" if first else "No rows"
    caption = f"{kept} reach the end: {last:,} of {first:,}. A row is dropped by the first reason that applies to it."
    head = ("Stage", "Rows in", "Rows out", "Dropped because", "Time")
    return table(caption, head, rows, text_columns=(0, 3))


def planted_and_caught(audit: Audit) -> Html:
    """The key of a corpus that was dirtied on purpose, against what the pipeline did."""
    rows = audit.kinds
    planted, caught = sum(row.planted for row in rows), sum(row.caught for row in rows)
    listed = [
        (
            join([_words(row.kind), _bar(row.planted, row.caught, max(1, row.planted))]),
            f"{row.planted:,}",
            f"{row.caught:,}",
            f"{row.missed:,}",
        )
        for row in rows
    ]
    caption = (
        f"{caught:,} of {planted:,} faults that were planted in the raw text were repaired or removed. Of {audit.clean_rows:,} "
        f"rows without a fault {audit.clean_altered:,} were altered and {sum(audit.clean_dropped.values()):,} dropped."
    )
    return table(caption, ("Kind of fault", "Planted", "Caught", "Missed"), listed)


def fertility(stages: Stages) -> Html | None:
    """The fertility table of the tokenizer stage, where it measured one."""
    measured: Mapping[str, Mapping[str, Any]] = next(
        (manifest.details["fertility"] for _, manifest in stages if manifest.details.get("fertility")), {}
    )
    if not measured:
        return None
    rows = [
        (
            language_name(lang),
            _figure(values.get("tokens_per_word"), ".3f"),
            _figure(values.get("bytes_per_token"), ".2f"),
            _percent(values.get("byte_split_share")),
            _figure(values.get("words"), ",d"),
        )
        for lang, values in measured.items()
    ]
    head = ("Language", "Tokens per word", "Bytes per token", "Words split into bytes", "Words measured")
    return table("On held-out text. Fewer tokens per word is cheaper; below 1.5 is good.", head, rows)


def language_name(code: str) -> str:
    """English name of a language, or its code where the registry does not know it."""
    try:
        return get_language(code).name
    except InputError:
        return code


def _bar(whole: int, kept: int, widest: int) -> Html:
    """A bar as long as `whole` on the scale of `widest`; the part that was lost is pale."""
    left, lost = (f"width:{100 * part / widest:.2f}%" for part in (kept, whole - kept))
    return tag("span", tag("i", style=left), tag("b", style=lost), class_="bar", aria_hidden="true")


def _reasons(dropped: Mapping[str, int]) -> Html | str:
    named = sorted(((count, reason) for reason, count in dropped.items() if count), reverse=True)
    if not named:
        return "nothing"
    items = (tag("li", tag("span", _words(reason)), tag("span", f"{count:,}")) for count, reason in named)
    return tag("ul", *items, class_="reasons")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def _figure(value: float | int | None, form: str) -> str:
    return "–" if value is None else format(value, form)
