"""Going on from what a person named: a run folder, a checkpoint's folder, or a store, with or without a step.

    resume_from(recipe, depends_on, "hf://user/repo@1500", say)

| named                                            | goes on from                                                        |
|--------------------------------------------------|---------------------------------------------------------------------|
| `runs/demo-20261120T104210Z-3fa9`                | the newest sound checkpoint of that folder                          |
| `RUN/checkpoints/step-00001000`                  | that one                                                            |
| another folder with a checkpoint (`lugha checkpoints pull`) | that one, copied into the folder of its run              |
| `s3://bucket/prefix`, `hf://user/repo`, a folder that is a store | the newest verified one there                       |
| one of these with `@1500` behind it              | step 1500 there, also where it is not marked but all its bytes are right |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lugha.checkpoints.format import FORMAT, checkpoint_name, read_manifest_of, verify_checkpoint
from lugha.checkpoints.published import Published, list_published, no_such_step
from lugha.checkpoints.reaching import reached
from lugha.checkpoints.restore import Verified, check_same_run, find_checkpoint, refuse_other_values
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.open import Address, is_store, open_store, parse_address
from lugha.errors import InputError
from lugha.pipeline.candidates import (
    Candidate,
    Say,
    Start,
    Values,
    first_sound,
    is_same,
    list_own,
    there,
    values_of,
)
from lugha.pipeline.reconciling import reconcile
from lugha.recipe import Recipe
from lugha.runs.folder import RunFolder, run_order, split_run_id
from lugha.runs.manifest import MANIFEST


def resume_from(recipe: Recipe, depends_on: Values, text: str, say: Say) -> Start | None:
    """The run and checkpoint that `text` names, on this disk; None where it is a store of the recipe that holds nothing yet.

    Raises:
        InputError: there is no such place, no checkpoint in it, not that step, or it is damaged.
        RefusedError: it was made with other values, or a store denies access.
        InterruptedRunError: a store cannot be reached for now, or the disk is full.
    """
    path = Path(text)
    if is_store(text) or text in recipe.publish.stores:
        return _from_store(recipe, depends_on, parse_address(text), say)
    if not path.exists():
        address = parse_address(text)
        if address.step is not None and (address.store in recipe.publish.stores or Path(address.store).is_dir()):
            return _from_store(recipe, depends_on, address, say)
        raise InputError(f"{text}: no such run folder, checkpoint or store.")
    if (path / MANIFEST).is_file():
        return _from_checkpoint(recipe, depends_on, path, say)
    run = _run_at(path.parent if path.name == "checkpoints" else path)
    if run and (run.checkpoints.is_dir() or values_of(run) is not None):
        return _from_run(run, depends_on, say)
    if any(path.glob(f"*/step-*/{MANIFEST}")) or any(path.glob(f"step-*/{MANIFEST}")):
        return _from_store(recipe, depends_on, Address(text), say)
    raise InputError(f"{path}: no checkpoint here. Give a run folder, a checkpoint, or a folder that is a store.")


def _from_run(run: RunFolder, depends_on: Values, say: Say) -> Start:
    found = find_checkpoint(run.checkpoints, say=say)
    values = found.manifest.depends_on if found else values_of(run)
    if values is None:
        raise InputError(f"{run.path}: no checkpoint here, and no record of what the run depends on.")
    refuse_other_values(depends_on, values, str(found.folder if found else run.path))
    return Start(run, found)


def _from_checkpoint(recipe: Recipe, depends_on: Values, folder: Path, say: Say) -> Start:
    above = folder.parent if folder.parent.name else folder.absolute().parent
    run = _run_at(above.parent) if above.name == "checkpoints" else None
    if run is None:
        return _from_copy(recipe, depends_on, folder, say)
    folder = run.checkpoints / folder.name
    found = Verified(folder, verify_checkpoint(folder))
    check_same_run(depends_on, found)
    return Start(run, found)


def _from_copy(recipe: Recipe, depends_on: Values, folder: Path, say: Say) -> Start:
    """Start from a checkpoint that lies outside of its run: it is fetched from there as from a store."""
    manifest = read_manifest_of(folder)
    one = Published(FolderStore(folder.parent), folder.name, manifest, manifest.bytes, False, False, None, None)
    if not split_run_id(manifest.run):
        raise InputError(f"{folder}: its run is called {manifest.run!r}, which is no run of `lugha train`.")
    if not is_same(one, depends_on):
        _refuse(depends_on, one)
    run = RunFolder(recipe.run.root / manifest.run)
    found = first_sound(run, depends_on, [*_twins([one], run), there(one)], say)
    if found is None:
        raise InputError(f"{folder}: damaged.")
    return Start(run, found)


def _run_at(path: Path) -> RunFolder | None:
    """The run whose folder has this path, however short it was written."""
    named = path if path.name else path.absolute()
    return RunFolder(named) if split_run_id(named.name) else None


def _from_store(recipe: Recipe, depends_on: Values, address: Address, say: Say) -> Start | None:
    store = open_store(address.store, recipe.publish)
    is_own = address.store in recipe.publish.stores
    listed = list_own(store, recipe, say) if is_own else reached(lambda: list_published(store), say=say)
    if not listed:
        if is_own and address.step is None:
            say(f"{store.address}: nothing there yet, a new run begins")
            return None
        raise InputError(f"{store.address}: no checkpoint here.")
    readable = [one for one in listed if one.run and split_run_id(one.run)]
    if not readable:
        raise InputError(
            f"{store.address}: all {len(listed)} checkpoints are damaged ({listed[0].name}: {listed[0].trouble})."
        )
    meant = [one for one in readable if address.step in (None, one.step)]
    if not meant:
        raise InputError(no_such_step(store.address, address.step, readable))
    same = [one for one in meant if is_same(one, depends_on)]
    if not same:
        _refuse(depends_on, meant[0])
    for id_ in sorted({one.run for one in same if one.run}, key=run_order, reverse=True):
        run = RunFolder(recipe.run.root / id_)
        of_run = [one for one in same if one.run == id_]
        found = first_sound(run, depends_on, [*_twins(of_run, run), *map(there, of_run)], say)
        if found is not None:
            if is_own:
                reconcile(run, store, listed)
            return Start(run, found)
    what = f"step {address.step:,} is" if address.step is not None else f"all {len(same)} checkpoints are"
    raise InputError(f"{store.address}: {what} damaged.")


def _twins(published: Sequence[Published], run: RunFolder) -> list[Candidate]:
    """Those checkpoints of a store that lie in the run's folder as well: they need not be fetched."""
    found = []
    for one in published:
        folder = run.checkpoints / checkpoint_name(one.step)
        try:
            is_twin = read_manifest_of(folder) == one.manifest
        except InputError:
            continue
        if is_twin:
            found.append(Candidate(one.step, folder))
    return found


def _refuse(depends_on: Values, one: Published) -> None:
    """Say why a run cannot go on from the newest that was meant."""
    assert one.manifest is not None
    if one.manifest.format != FORMAT:
        raise InputError(f"{one.place}: format {one.manifest.format}, but `lugha train` goes on from {FORMAT}.")
    refuse_other_values(depends_on, one.manifest.depends_on, one.place)
