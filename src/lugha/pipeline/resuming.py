"""Which run goes on, and from which checkpoint: the newest that verifies, on this disk or in a store, else a new run.

    start = choose_start(recipe, depends_on, resume="auto", anew=False, say=print)
    start.run, start.found                 # found is None: from the beginning

    None                    the newest run of this recipe with the same values, here or in its stores, else a new run
    auto                    the same; but where there are only runs with other values, it refuses
    runs/demo-..., a checkpoint's folder, s3://..., hf://..., a folder that is a store     that (resume_from.py)

Order is by (run, step) of manifests; of equals the one on this disk. What is damaged is passed over with a line that says why.
A run that comes from a store keeps its id, and gets its metrics back from the checkpoint. A store that cannot be asked is an
error: to begin again because a network is down is the very loss that this program is there to prevent.
"""

from __future__ import annotations

from collections.abc import Sequence

from lugha.checkpoints.published import Published, holds_one_run, is_of
from lugha.checkpoints.restore import refuse_other_values
from lugha.checkpoints.stores.open import open_store
from lugha.checkpoints.stores.protocol import Store
from lugha.errors import InputError, RefusedError
from lugha.pipeline.candidates import (
    Say,
    Start,
    Values,
    final_checkpoint,
    first_sound,
    here,
    is_same,
    list_own,
    make_folder,
    there,
    values_of,
)
from lugha.pipeline.reconciling import reconcile
from lugha.pipeline.resume_from import resume_from
from lugha.recipe import Recipe
from lugha.runs.folder import RunFolder, find_runs, new_run, run_order, split_run_id


def choose_start(recipe: Recipe, depends_on: Values, *, resume: str | None, anew: bool, say: Say) -> Start:
    """Choose the run and the checkpoint, and have both on this disk.

    Args:
        depends_on: of the run that the recipe describes.
        resume, anew: as `train_recipe` gets them.
        say: gets a line for everything passed over.

    Raises:
        InputError: what was asked for is not there, or all of it is damaged.
        RefusedError: it was made with other values, or a store denies access, or its place belongs to another run.
        InterruptedRunError: a store cannot be reached for now, or the disk is full.
    """
    if resume not in (None, "auto"):
        assert resume is not None
        if anew:
            raise InputError(f"--new begins a new run, and --resume {resume} goes on with one. Give one of the two.")
        start = resume_from(recipe, depends_on, resume, say)
        return start or begin(recipe, depends_on, [])
    if not anew:
        for run in runs_with(recipe, depends_on)[:1]:
            if (final := final_checkpoint(run)) is not None:
                return Start(run, final, finished=True)
    stores = [open_store(address, recipe.publish) for address in recipe.publish.stores]
    listed = [(store, list_own(store, recipe, say)) for store in stores]
    everywhere = [one for _, found in listed for one in found]
    if not anew:
        if (start := _newest(recipe, depends_on, everywhere, say)) is not None:
            for store, found in listed:
                reconcile(start.run, store, found)
            return start
        if resume == "auto":
            _refuse_other_runs(recipe, depends_on, everywhere)
    for store, found in listed:
        if found and holds_one_run(store):
            _refuse_used_place(store, found[0])
    return begin(recipe, depends_on, everywhere)


def runs_with(recipe: Recipe, depends_on: Values) -> list[RunFolder]:
    """The run folders of this recipe whose weights are a function of the same values, the newest first."""
    return [run for run in find_runs(recipe.run.root, recipe.name) if values_of(run) == depends_on]


def begin(recipe: Recipe, depends_on: Values, elsewhere: Sequence[Published]) -> Start:
    """A new run, newer than those that lie `elsewhere`."""
    run = new_run(recipe.run.root, recipe.name, known=[one.run for one in elsewhere if one.run])
    make_folder(run, depends_on)
    return Start(run, None)


def _newest(recipe: Recipe, depends_on: Values, everywhere: Sequence[Published], say: Say) -> Start | None:
    """The newest run with the same values, and its newest sound checkpoint; an older run only where all newer is damaged."""
    ids = {run.id for run in runs_with(recipe, depends_on)}
    ids |= {one.run for one in everywhere if one.run and is_same(one, depends_on) and _is_named(one.run, recipe)}
    damaged = 0
    for id_ in sorted(ids, key=run_order, reverse=True):
        run = RunFolder(recipe.run.root / id_)
        candidates = [*here(run), *(there(one) for one in everywhere if is_of(one, id_, everywhere))]
        if all(one.is_torn for one in candidates):
            return Start(run, None)
        if (found := first_sound(run, depends_on, candidates, say)) is not None:
            return Start(run, found)
        damaged += len(candidates)
    # A marked one whose manifest cannot be read may be of a run with these values: no reason to begin again unasked.
    lost = [one for one in everywhere if one.marked and one.manifest is None and _may_be_of(one, recipe)]
    if damaged or lost:
        places = ", ".join([str(recipe.run.root), *recipe.publish.stores])
        first = f" ({lost[0].place}: {lost[0].trouble})" if lost else ""
        raise InputError(
            f"{places}: all {damaged or len(lost)} checkpoints are damaged{first}. Begin a new run with --new, without --resume."
        )
    return None


def _refuse_other_runs(recipe: Recipe, depends_on: Values, everywhere: Sequence[Published]) -> None:
    """Refuse to begin anew, unasked, beside runs of this recipe with other values."""
    others: dict[str, tuple[str, Values]] = {}
    for one in reversed(everywhere):  # the newest step of a run last
        if one.run and one.manifest and _is_named(one.run, recipe):
            others[one.run] = (one.place, one.manifest.depends_on)
    for run in find_runs(recipe.run.root, recipe.name):
        if (recorded := values_of(run)) is not None:
            others[run.id] = (str(run.path), recorded)
    if others:
        place, values = others[max(others, key=run_order)]
        refuse_other_values(depends_on, values, place)


def _refuse_used_place(store: Store, used: Published) -> None:
    raise RefusedError(
        f"{store.address} holds checkpoints already ({used.run or used.name}), and those of a new run would take their place. "
        f"Name another repository in publish.stores, or a folder in this one, such as {store.address}/second."
    )


def _is_named(run: str, recipe: Recipe) -> bool:
    parts = split_run_id(run)
    return parts is not None and parts[0] == recipe.name


def _may_be_of(one: Published, recipe: Recipe) -> bool:
    """Whether a folder with an unreadable manifest lies where a run of this recipe would."""
    owner = one.name.rpartition("/")[0]
    return not owner or _is_named(owner, recipe)
