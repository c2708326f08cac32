"""`sweep.json`: the plan of a sweep, the score of each run, the ranking, as plain values.

An unknown key in the file is an error; it is written whole or not at all (sweeping.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lugha.errors import InputError
from lugha.pipeline.sweep_ranking import Interval


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SweepRun(_Record):
    """One variant with one seed."""

    variant: int
    seed: int
    run: str | None = None  # run id; None where it diverged
    score: float | None = None  # in the sweep's measure; None where it diverged
    loss: float | None = None  # nats per token (dpo: per pair)
    seconds: float | None = None  # of training, over all attempts
    diverged: str | None = None  # what was said when the loss became not a number


class SweepRow(_Record):
    """One variant over its seeds, at its rank; intervals are 95 % Student t-intervals."""

    rank: int
    variant: int  # its number in the order of the grid, as in `SweepRun`
    values: dict[str, Any]
    steps: int
    tokens: int  # target tokens trained on: steps x tokens a step
    parameters: int  # of the whole model, without adapters
    trained: int  # parameters that training changes: all, or the adapters'
    seeds: int  # that have a score
    diverged: int  # seeds whose loss became not a number
    mean: float | None
    interval: Interval | None  # None below two seeds
    difference: float | None  # to the best, paired by seed
    difference_interval: Interval | None
    distinguishable: bool | None  # from the best; None: it is the best, or there is no interval
    seconds: float | None  # mean of its runs


class Sweep(_Record):
    """The whole of `sweep.json`."""

    format: str = "lugha-sweep/1"
    recipe: str
    folder: str
    measure: str  # bits/byte, nats/token or nats/pair of the whole validation split; lower is better
    tokens: int  # budget of target tokens for each run
    seeds: list[int]
    grid: dict[str, list[Any]]
    planned: int  # runs
    rows: list[SweepRow] = []
    runs: list[SweepRun] = []
    remarks: list[str] = []


def read_sweep(path: Path) -> Sweep:
    """Read a `sweep.json`.

    Raises:
        InputError: it is not one of this version of lugha.
    """
    try:
        return Sweep.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise InputError(f"{path}: not the record of a sweep ({problem}). Delete it; no run is lost by that.") from error
