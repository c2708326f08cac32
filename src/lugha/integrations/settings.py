"""What a script says to `DurableCheckpoints`, read and checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lugha.checkpoints.stores.open import open_store
from lugha.checkpoints.stores.protocol import Store
from lugha.errors import InputError
from lugha.recipe import PublishSection, RunSection
from lugha.recipe.durations import parse_duration
from lugha.runs.deadline import Deadline, deadline_of

Section = TypeVar("Section", bound=BaseModel)


@dataclass(frozen=True)
class Settings:
    """The settings of one `DurableCheckpoints`; times in seconds."""

    stores: list[Store]
    publish: PublishSection
    every: float
    deadline: Deadline | None
    grace: float
    evaluation_share: float
    allow_changed: tuple[str, ...]


def settings_of(
    *,
    every: str,
    deadline: str | None,
    grace: str,
    evaluation_share: float,
    allow_changed: Sequence[str],
    **publish: Any,
) -> Settings:
    """Check what the script says.

    Args:
        publish: as in a recipe's section of this name.

    Raises:
        InputError: a value is none of its kind; the message names the argument.
        RefusedError: the deadline is over.
    """
    if isinstance(publish["stores"], str):
        raise InputError(f"stores={publish['stores']!r}: write a list, [{publish['stores']!r}].")
    if not 0 < evaluation_share < 1:
        raise InputError(f"evaluation_share={evaluation_share!r}: a share of the time, such as 0.05.")
    try:
        seconds = parse_duration(every)
    except ValueError as error:
        raise InputError(f"every={every!r}: {error}.") from error
    limits = _section(RunSection, deadline=deadline, grace=grace)
    section = _section(PublishSection, **{key: value for key, value in publish.items() if value is not None})
    return Settings(
        stores=[open_store(address, section) for address in section.stores],
        publish=section,
        every=seconds,
        deadline=deadline_of(limits),
        grace=limits.grace,
        evaluation_share=evaluation_share,
        allow_changed=tuple(allow_changed),
    )


def _section(kind: type[Section], **values: Any) -> Section:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        # An address is not repeated: it may hold a password, which is one of the things that are wrong with it.
        value = "" if not where or where.startswith("stores") else f"={first['input']!r}"
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}{value}: {said}." if where else f"{said}.") from None
