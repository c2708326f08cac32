"""What there is: the checkpoints of a run folder, a folder or a store, as rows of a table, and whether their bytes are right.

    rows = list_at("s3://bucket/prefix")            # by manifests and markers
    rows = verify_at("runs/demo-...", say=print)    # by every byte

Nothing here needs a recipe or torch: manifest and metrics of a checkpoint say all that is asked.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lugha.checkpoints.format import METRICS, CheckpointManifest, read_manifest_of, verify_files
from lugha.checkpoints.policy import best_of, step_in
from lugha.checkpoints.published import Published, blocks_of, check_published, list_published, no_such_step
from lugha.checkpoints.reaching import reached
from lugha.checkpoints.retention import best_step, final_name, verified_stores
from lugha.errors import InputError
from lugha.pipeline.checkpoint_places import Here, There, place_at
from lugha.runs.folder import RunFolder, run_order

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One checkpoint as `lugha checkpoints list` shows it."""

    step: int | None
    run: str | None
    bytes: int
    where: str  # folder, or full address
    verified: bool | None  # in a store: marked, and marker and manifest agree; here: its bytes are right; None: not read
    stores: list[str]  # of one here: the stores that have it, verified, by the run's ledger
    promoted: bool
    best: bool  # lowest validation loss of its run, among those that there are
    created: str | None
    age_seconds: float | None
    trouble: str | None  # why it cannot be trusted
    lost: bool  # it counted, or should have, and is damaged


def list_at(text: str, *, say: Say = lambda line: None) -> list[Row]:
    """The checkpoints at a place, the newest run first, in it the newest step.

    Raises:
        InputError: no such place, nothing in it, or not that step.
        RefusedError, InterruptedRunError: a store cannot be asked.
    """
    place = place_at(text)
    return _rows_here(place) if isinstance(place, Here) else [row for _, row in _rows_there(place, say)]


def verify_at(text: str, *, say: Say) -> list[Row]:
    """The same rows, after every byte was read of what is not in trouble already.

    Args:
        say: gets a line for each one that is read.
    """
    place = place_at(text)
    if isinstance(place, Here):
        return [_verified_here(row, say) for row in _rows_here(place)]
    return [_verified_there(one, row, say) for one, row in _rows_there(place, say)]


def published_at(place: There, say: Say) -> list[Published]:
    """What a store holds, of the step that was asked for.

    Raises:
        InputError: nothing, or not that step.
        RefusedError, InterruptedRunError: it cannot be asked.
    """
    listed = reached(lambda: list_published(place.store), say=say)
    found = [one for one in listed if place.step in (None, one.step)]
    if not listed:
        raise InputError(f"{place.store.address}: no checkpoint there.")
    if not found:
        raise InputError(no_such_step(place.store.address, place.step, listed))
    return found


def best_in(published: Sequence[Published], run: str) -> int | None:
    """The step of a run with the lowest validation loss, by the metrics that its newest verified checkpoint carries."""
    mine = [one for one in published if one.run == run and one.verified]
    for one in mine:
        record = next((file for file in one.manifest.files if file.path == METRICS), None) if one.manifest else None
        if record is not None:
            with contextlib.suppress(InputError):  # damaged: the one before it carries nearly the same
                lines = b"".join(blocks_of(one, record)).splitlines()
                return best_of(map(json.loads, filter(None, lines)), {other.step for other in mine})
    return None


def _rows_here(place: Here) -> list[Row]:
    stores = verified_stores(place.run) if place.run else {}
    final = final_name(place.run) if place.run else None
    rows = [_row_here(folder, place.run, stores, final) for folder in place.folders]
    if place.run:
        best = best_step(place.run.metrics, {row.step for row in rows if row.step is not None and row.trouble is None})
        rows = [replace(row, best=row.step == best and row.trouble is None) for row in rows]
    return sorted(rows, key=lambda row: (run_order(row.run or ""), row.step or -1, row.where), reverse=True)


def _row_here(folder: Path, run: RunFolder | None, stores: dict[str, list[str]], final: str | None) -> Row:
    try:
        manifest = read_manifest_of(folder)
    except InputError as error:
        step = step_in(folder.name)
        return Row(
            step=step if step >= 0 else None,
            run=run.id if run else None,
            bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            where=str(folder),
            verified=False,
            stores=[],
            promoted=False,
            best=False,
            created=None,
            age_seconds=None,
            trouble=str(error),
            lost=True,
        )
    return Row(
        step=manifest.step,
        run=manifest.run,
        bytes=manifest.bytes,
        where=str(folder),
        verified=None,
        stores=stores.get(folder.name, []),
        promoted=final is not None and final == f"checkpoints/{folder.name}",
        best=False,
        created=manifest.created,
        age_seconds=_age(manifest),
        trouble=None,
        lost=False,
    )


def _rows_there(place: There, say: Say) -> list[tuple[Published, Row]]:
    published = published_at(place, say)
    runs = {one.run for one in published if one.run}
    best = {run: reached(lambda run=run: best_in(published, run), say=say) for run in runs}  # type: ignore[misc]
    return [(one, _row_there(one, best)) for one in published]


def _row_there(one: Published, best: dict[str, int | None]) -> Row:
    step = one.step if one.manifest else step_in(one.name)
    return Row(
        step=step if step >= 0 else None,
        run=one.run,
        bytes=one.bytes,
        where=one.place,
        verified=one.verified,
        stores=[],
        promoted=one.promoted,
        best=one.run is not None and one.verified and best[one.run] == one.step,
        created=one.manifest.created if one.manifest else None,
        age_seconds=_age(one.manifest) if one.manifest else None,
        trouble=one.trouble,
        lost=one.marked and not one.verified,
    )


def _verified_here(row: Row, say: Say) -> Row:
    if row.trouble is not None:
        return row
    say(f"{row.where}: reading {row.bytes / 1e6:,.1f} MB")
    try:
        folder = Path(row.where)
        verify_files(folder, read_manifest_of(folder))
    except InputError as error:
        return replace(row, verified=False, trouble=str(error), lost=True)
    return replace(row, verified=True)


def _verified_there(one: Published, row: Row, say: Say) -> Row:
    if row.trouble is not None:
        return row
    say(f"{row.where}: reading {row.bytes / 1e6:,.1f} MB")
    try:
        reached(lambda: check_published(one), say=say)
    except InputError as error:
        return replace(row, verified=False, trouble=str(error), lost=True)
    return row


def _age(manifest: CheckpointManifest) -> float | None:
    """Seconds since a checkpoint was made, by the clock of the machine that made it; None where it does not say so."""
    try:
        created = datetime.datetime.fromisoformat(manifest.created)
    except ValueError:
        return None
    zoned = created if created.tzinfo else created.replace(tzinfo=datetime.UTC)
    return (datetime.datetime.now(datetime.UTC) - zoned).total_seconds()


def lost_among(rows: Iterable[Row]) -> list[Row]:
    """Those that were to be relied on, and are damaged."""
    return [row for row in rows if row.lost]
