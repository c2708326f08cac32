"""The sections of a recipe that keep a run from being lost: where it runs, when it saves, what it keeps, where it publishes."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from lugha.recipe.durations import Duration, DurationOrAuto, parse_duration, seconds_in
from lugha.recipe.section import Section


class RunSection(Section):
    """Where a run lives, and how long and how safely it may run there."""

    root: Path = Field(Path("runs"), description="folder that holds corpora, tokens and run folders")
    deadline: str | None = Field(
        None,
        description="stop by itself, everything saved and published, before this: a duration from the start of the process "
        "(168h), or a time with its zone (2026-11-27T12:00Z)",
    )
    grace: Duration = Field(
        seconds_in("30s"),
        description="time between a notice (SIGTERM) and the kill: SageMaker 120s, RunPod 5s, torchrun 30s",
    )
    time_between_interruptions: Duration | None = Field(
        None, description="mean, at this place (spot: 41h, say); needed for checkpoints.interval auto"
    )

    @field_validator("deadline", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, datetime.date):  # YAML has read it already
            return value.isoformat()
        return str(value) if isinstance(value, int | float) else value  # a bare number has no unit: parse_duration says so

    @field_validator("deadline")
    @classmethod
    def _is_a_time(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if re.match(r"\d{4}-\d\d-\d\d", text):
            try:
                when = datetime.datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError("not a time: write 2026-11-27T12:00Z") from error
            if when.tzinfo is None:
                raise ValueError("a time without its zone: write 2026-11-27T12:00Z, or +01:00 behind it")
            return text
        parse_duration(text)
        return text


class CheckpointsSection(Section):
    """When checkpoints are saved, and which are kept. A checkpoint goes only behind two newer verified ones."""

    interval: DurationOrAuto = Field(
        seconds_in("30m"),
        description="wall time between saves. auto: Young's interval, sqrt(2 x seconds of a save x "
        "run.time_between_interruptions)",
    )
    keep_newest: int | None = Field(
        None, ge=2, description="checkpoints kept beside milestones and the best; default: all while the budgets allow it"
    )
    keep_every: int | None = Field(None, ge=1, description="milestones: the first checkpoint in every so many steps is kept")
    keep_best: bool = Field(True, description="keep the checkpoint with the lowest validation loss at its own step")
    disk_gb: float | None = Field(
        None, gt=0, description="budget of the run's local checkpoints; default: the disk, less room for two more"
    )
    disk_wait: Duration = Field(seconds_in("1h"), description="how long a run waits for room on a full disk before it stops")


class PublishSection(Section):
    """Stores that checkpoints are copied to and read back from, while training goes on."""

    stores: list[str] = Field(
        [], description="s3://bucket/prefix, hf://user/repo or the folder of a mount; every checkpoint goes to each"
    )
    private: bool = Field(True, description="hf: a repository that does not exist yet is made private")
    s3_endpoint: str | None = Field(None, description="URL of an S3-compatible server; default: AWS, or AWS_ENDPOINT_URL")
    s3_region: str | None = Field(None, description="default: that of the environment")
    queue: int = Field(4, ge=1, description="checkpoints that may wait for a store; training waits when it is full")
    spool_gb: float | None = Field(None, gt=0, description="budget of checkpoints that wait; default: the disk")
    max_unverified_age: Duration = Field(
        seconds_in("2h"), description="age of the newest verified state at which the run turns red and warns"
    )
    stop_unverified_age: Duration | None = Field(
        None, description="age at which it stops with a last local save; default: twice max_unverified_age"
    )
    store_gb: float | None = Field(None, gt=0, description="budget in each store; default: everything is kept")

    @field_validator("stores")
    @classmethod
    def _are_addresses(cls, stores: list[str]) -> list[str]:
        for store in stores:
            scheme, sign, rest = store.partition("://")
            if sign and scheme not in ("s3", "hf"):
                raise ValueError(f"no store {scheme}://: write s3://bucket/prefix, hf://user/repo, or a folder")
            if "@" in rest.partition("/")[0]:
                raise ValueError("an address holds no credentials: they come from the environment")
            if scheme == "hf" and sign and len([part for part in rest.split("/") if part]) < 2:
                raise ValueError("write a Hub repository as hf://user/repo")
        if len(set(stores)) < len(stores):
            raise ValueError("a store stands there twice")
        return stores

    @model_validator(mode="after")
    def _warns_before_it_stops(self) -> Self:
        if self.stop_unverified_age is not None and self.stop_unverified_age < self.max_unverified_age:
            raise ValueError("stop_unverified_age is shorter than max_unverified_age: the run would stop before it warns")
        return self

    def for_another_run(self, name: str) -> PublishSection:
        """The same for a run that follows from this one: a Hub repository holds one run, so that gets a folder of its own."""
        stores = [f"{store.rstrip('/')}/{name}" if store.startswith("hf://") else store for store in self.stores]
        return self.model_copy(update={"stores": stores})

    @property
    def stop_age(self) -> float:
        """Seconds after which a run without a newly verified checkpoint stops."""
        return 2 * self.max_unverified_age if self.stop_unverified_age is None else self.stop_unverified_age
