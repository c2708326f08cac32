"""What changes checkpoints by hand: fetch one, promote one, remove what need not be kept.

pull_from("hf://user/repo@1500", Path("here"), say=print)
promote_at("s3://bucket/prefix", say=print)
prune_at("runs/demo-...", Wishes(newest=3), dry_run=True, say=print)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.format import checkpoint_name, read_manifest_of, sealed, verify_files
from lugha.checkpoints.marker import promotion_for
from lugha.checkpoints.policy import Decision
from lugha.checkpoints.published import Published, check_published, pull
from lugha.checkpoints.reaching import reached
from lugha.checkpoints.restore import Verified, find_checkpoint
from lugha.checkpoints.retention import prune_local, prune_store
from lugha.checkpoints.stores.open import open_store
from lugha.errors import InputError
from lugha.pipeline.candidates import final_checkpoint
from lugha.pipeline.checkpoint_places import Here, There, place_at
from lugha.pipeline.checkpoints import best_in, published_at
from lugha.recipe import CheckpointsSection, Recipe, load_recipe
from lugha.runs.folder import RunFolder, run_order, split_run_id
from lugha.runs.ledger import Ledger

Say = Callable[[str], None]


def pull_from(text: str, output: Path, *, say: Say) -> Path:
    """Fetch the newest verified checkpoint of a store, or a step of it, into `output/step-XXXXXXXX`.

    Raises:
        InputError: no store, nothing there, not that step, all of it damaged, or `output` lies inside a run folder.
        RefusedError, InterruptedRunError: the store cannot be asked, or the disk is full.
    """
    place = place_at(text)
    if isinstance(place, Here):
        raise InputError(f"{text}: is on this disk already. Give a store: s3://..., hf://..., or a folder that is one.")
    if any(split_run_id(folder.name) for folder in (output.absolute(), *output.absolute().parents)):
        raise InputError(f"{output}: inside a run folder. `lugha train --resume {text}` brings a checkpoint into its run.")
    listed = published_at(place, say)
    tried = [one for one in listed if one.verified]
    tried += [one for one in listed if not one.verified and one.manifest and place.step is not None]
    for one in listed:
        if one not in tried:
            say(f"{one.place}: {one.trouble}. Passed over.")
    for one in tried:
        try:
            found = _there_already(one, output) or reached(lambda one=one: pull(one, output), say=say)  # type: ignore[misc]
        except InputError as error:
            say(f"{error} Trying the checkpoint before it.")
            continue
        if not one.verified:
            say(f"{one.place}: {one.trouble}; but all its bytes are right.")
        return found.folder
    raise InputError(f"{text}: none of its {len(listed)} checkpoints can be used.")


def promote_at(text: str, *, say: Say) -> list[str]:
    """Make a verified checkpoint the result of its run, after every byte of it was read; returns the full addresses.

    Args:
        text: a store (its newest, or @step), or a run folder (its final or newest, in every store of its recipe).

    Raises:
        InputError: no such place, or no verified checkpoint that could be promoted.
        RefusedError, InterruptedRunError: a store cannot be asked, or another process works in the run.
    """
    place = place_at(text)
    if isinstance(place, There):
        one = next((one for one in published_at(place, say) if one.verified), None)
        if one is None:
            raise InputError(f"{text}: no verified checkpoint there; only such a one can be a result.")
        return [_promote(one, say)]
    if place.run is None:
        raise InputError(f"{text}: give the run's folder, or the store in which the checkpoint is to be promoted.")
    recipe = _recipe_of(place.run)
    if recipe is None or not recipe.publish.stores:
        raise InputError(f"{place.run.path}: its recipe names no store (publish.stores). Give one: s3://... or hf://...")
    with place.run.lock():
        return _promote_everywhere(place.run, recipe, say)


def _promote_everywhere(run: RunFolder, recipe: Recipe, say: Say) -> list[str]:
    final = final_checkpoint(run) or find_checkpoint(run.checkpoints, say=say)
    if final is None:
        raise InputError(f"{run.path}: no checkpoint here.")
    done = []
    for address in recipe.publish.stores:
        listed = published_at(There(open_store(address, recipe.publish), None), say)
        one = next((one for one in listed if one.verified and one.manifest == final.manifest), None)
        if one is None:
            raise InputError(f"{address}: {final.folder} is not verified there, so it cannot be promoted.")
        done.append(_promote(one, say))
        Ledger(run.ledger).write("promoted", store=address, step=one.step, name=one.name, bytes=one.bytes)
    return done


def _promote(one: Published, say: Say) -> str:
    assert one.manifest is not None
    manifest = one.manifest
    say(f"{one.place}: reading {one.bytes / 1e6:,.1f} MB")
    reached(lambda: check_published(one), say=say)
    content = promotion_for(one.name, sealed(manifest))
    reached(lambda: one.store.promote(manifest.run, one.name, content), say=say)
    return one.place


@dataclass(frozen=True)
class Wishes:
    """What `lugha checkpoints prune` is told; None: what the run's recipe says, in a store nothing."""

    newest: int | None = None
    every: int | None = None
    budget_gb: float | None = None
    quarantine_age: float | None = None  # seconds

    def over(self, section: CheckpointsSection) -> CheckpointsSection:
        """The section of a recipe, with these wishes in place of its values."""
        given = {"keep_newest": self.newest, "keep_every": self.every, "disk_gb": self.budget_gb}
        return section.model_copy(update={key: value for key, value in given.items() if value is not None})


def prune_at(text: str, wishes: Wishes, *, dry_run: bool, say: Say) -> list[tuple[str, Decision]]:
    """Remove what need not be kept: (run, what became of each of its checkpoints), the newest run first.

    Args:
        dry_run: only decide.

    Raises:
        InputError: no such place, one of its steps alone, or a store and nothing that says what is to go.
        RefusedError, InterruptedRunError: a store cannot be asked, or another process works in the run.
    """
    place = place_at(text)
    if isinstance(place, Here):
        return _prune_run(place, wishes, dry_run=dry_run)
    if place.step is not None:
        raise InputError(f"{text}: prune looks at a whole store. Leave @{place.step} away.")
    if wishes == Wishes(every=wishes.every):
        raise InputError(
            f"{text}: say what may go: --keep-newest N, --budget-gb G or --quarantined-older-than 7d. Everything is kept else."
        )
    published = published_at(place, say)
    decided = []
    for run in sorted({one.run for one in published if one.run}, key=run_order, reverse=True):
        decisions = reached(
            lambda run=run: prune_store(  # type: ignore[misc]
                place.store,
                wishes.over(CheckpointsSection()),
                run=run,
                budget_bytes=None if wishes.budget_gb is None else int(wishes.budget_gb * 1e9),
                best=best_in(published, run),
                quarantine_age=wishes.quarantine_age,
                dry_run=dry_run,
            ),
            say=say,
        )
        decided += [(run, one) for one in decisions]
    return decided


def _prune_run(place: Here, wishes: Wishes, *, dry_run: bool) -> list[tuple[str, Decision]]:
    run = place.run
    if run is None:
        raise InputError(f"{place.text}: prune takes a run folder or a store, since what may go depends on the others.")
    recipe = _recipe_of(run)
    section = wishes.over(recipe.checkpoints if recipe else CheckpointsSection())
    stores = recipe.publish.stores if recipe else []
    with run.lock():
        decisions = prune_local(run, section, stores=stores, quarantine_age=wishes.quarantine_age, dry_run=dry_run)
    return [(run.id, one) for one in decisions]


def _recipe_of(run: RunFolder) -> Recipe | None:
    path = run.path / "recipe.yaml"
    return load_recipe(path) if path.is_file() else None


def _there_already(one: Published, output: Path) -> Verified | None:
    """The same checkpoint, whole, where it would be fetched to."""
    folder = output / checkpoint_name(one.step)
    try:
        manifest = read_manifest_of(folder)
        if manifest != one.manifest:
            return None
        verify_files(folder, manifest)
    except InputError:
        return None
    return Verified(folder, manifest)
