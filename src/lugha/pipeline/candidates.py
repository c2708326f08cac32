"""Checkpoints that a run could go on from, here and in stores, and how the first sound one of them comes into the run's folder.

    found = first_sound(run, depends_on, [*here(run), *map(there, published)], say)

In: the run folder that the checkpoints belong to, which need not exist yet. Out: a verified checkpoint in it, with the record of
what the run depends on, and with the metrics that were logged before that checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lugha.checkpoints.format import FORMAT, list_checkpoints, verify_checkpoint
from lugha.checkpoints.policy import step_in
from lugha.checkpoints.published import Published, list_published, pull
from lugha.checkpoints.reaching import reached
from lugha.checkpoints.restore import Verified
from lugha.checkpoints.stores.protocol import Store
from lugha.errors import InputError
from lugha.recipe import Recipe
from lugha.runs.files import fsync_folder, write_json
from lugha.runs.folder import RunFolder

Say = Callable[[str], None]
Values = Mapping[str, str]  # what the weights of a run are a function of: `depends_on`
RUN_RECORD = "run.json"


@dataclass(frozen=True)
class Start:
    """Where a training begins."""

    run: RunFolder
    found: Verified | None  # None: from the beginning
    finished: bool = False  # nothing is left to do


@dataclass(frozen=True)
class Candidate:
    """A checkpoint here or in a store."""

    step: int  # of its manifest; where that cannot be read, what its name claims
    place: Path | Published
    trouble: str | None = None  # why it cannot be trusted; for one here, that is seen when it is read

    @property
    def is_torn(self) -> bool:
        """Whether it is an upload that never had a manifest, let alone a marker: nothing was lost with it."""
        return isinstance(self.place, Published) and self.place.manifest is None and not self.place.marked


def here(run: RunFolder) -> list[Candidate]:
    """The checkpoints of a run's own folder."""
    listed = list_checkpoints(run.checkpoints)
    return [Candidate(step if step >= 0 else step_in(folder.name), folder) for step, folder in listed]


def there(one: Published) -> Candidate:
    """A checkpoint of a store."""
    trouble = one.trouble
    if trouble is None and one.manifest and one.manifest.format != FORMAT:
        trouble = f"format {one.manifest.format}, not {FORMAT}"
    return Candidate(one.step if one.manifest else step_in(one.name), one, trouble and f"{one.place}: {trouble}.")


def list_own(store: Store, recipe: Recipe, say: Say) -> list[Published]:
    """The checkpoints of a store that the recipe names; the place is made where it is not there yet.

    Raises:
        RefusedError, InterruptedRunError: it cannot be asked.
    """
    reached(lambda: store.prepare(private=recipe.publish.private), say=say)
    return reached(lambda: list_published(store), say=say)


def first_sound(run: RunFolder, depends_on: Values, candidates: Sequence[Candidate], say: Say) -> Verified | None:
    """The newest candidate whose every byte is right, in the run's folder; of equals the one that is there already.

    What is not marked comes last: if all its bytes are right, it lacks the mark alone.

    Args:
        say: gets a line for each one passed over.

    Raises:
        RefusedError, InterruptedRunError: a store cannot be asked, or another process works in the run.
    """
    ranked = sorted(candidates, key=lambda one: (-one.step, isinstance(one.place, Published)))
    unmarked: list[Published] = []
    for one in ranked:
        try:
            if one.trouble is not None:
                raise InputError(one.trouble)
            return _taken(run, depends_on, one.place, say)
        except InputError as error:
            say(f"{error} Trying the checkpoint before it.")
        if one.trouble is not None and isinstance(one.place, Published) and is_same(one.place, depends_on):
            unmarked.append(one.place)
    for published in unmarked:
        try:
            found = _taken(run, depends_on, published, say)
        except InputError as error:
            say(f"{error} Trying the checkpoint before it.")
        else:
            say(f"{published.place}: not verified there, but all its bytes are right: it is used.")
            return found
    return None


def _taken(run: RunFolder, depends_on: Values, place: Path | Published, say: Say) -> Verified:
    """A checkpoint, verified and in its run's folder.

    Raises:
        InputError: a byte of it is wrong.
    """
    if isinstance(place, Path):
        return Verified(place, verify_checkpoint(place))
    make_folder(run, depends_on)
    with run.lock():
        say(f"{place.place}: fetching step {place.step:,}, {place.bytes / 1e6:,.1f} MB")
        return reached(lambda: pull(place, run.checkpoints), say=say)


def final_checkpoint(run: RunFolder) -> Verified | None:
    """The last checkpoint of a finished run, if every byte of it is right."""
    try:
        folder = run.path / json.loads(run.finished.read_bytes())["checkpoint"]
        return Verified(folder, verify_checkpoint(folder))
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None


def is_same(one: Published, depends_on: Values) -> bool:
    """Whether a run with these values can go on from it."""
    return one.manifest is not None and one.manifest.format == FORMAT and one.manifest.depends_on == depends_on


def make_folder(run: RunFolder, depends_on: Values) -> None:
    """The folder of a run, with the record of what it depends on; what is there stays."""
    if not run.checkpoints.is_dir():
        run.checkpoints.mkdir(parents=True)
        fsync_folder(run.path.parent)
    if not (run.path / RUN_RECORD).is_file():
        write_json(run.path / RUN_RECORD, {"depends_on": dict(depends_on)})


def values_of(run: RunFolder) -> dict[str, str] | None:
    """What a run depends on, by its own record; None where there is none."""
    try:
        record: dict[str, Any] = json.loads((run.path / RUN_RECORD).read_bytes())
        return dict(record["depends_on"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
