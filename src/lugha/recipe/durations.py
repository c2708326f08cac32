"""Durations with a unit, as people write them in a recipe: 90s, 30m, 2h, 7d, 1h30m. Kept as seconds."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|m|s)")
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


class Seconds(float):
    """A number that was read from a duration: its unit is known."""


def seconds_in(text: str) -> Seconds:
    """Seconds of `1h30m`, as a default of a recipe's key."""
    return Seconds(parse_duration(text))


def parse_duration(text: Any) -> float:
    """Seconds of `1h30m`.

    Raises:
        ValueError: a bare number (its unit could be anything), or no duration.
    """
    if isinstance(text, Seconds):
        return text
    if not isinstance(text, str) or not re.fullmatch(rf"(?:{_PART.pattern})+", text.replace(" ", "")):
        raise ValueError("write a duration with its unit, such as 90s, 30m, 2h, 7d or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text.replace(" ", "")))


def write_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back to `seconds`."""
    for unit in ("h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds}s"


Duration = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(write_duration, return_type=str)]


def _parse_or_auto(text: Any) -> Any:
    return text if text == "auto" else Seconds(parse_duration(text))


def _write_or_auto(value: float | Literal["auto"]) -> str:
    return "auto" if value == "auto" else write_duration(value)


DurationOrAuto = Annotated[
    float | Literal["auto"], BeforeValidator(_parse_or_auto), PlainSerializer(_write_or_auto, return_type=str)
]
