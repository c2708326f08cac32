"""Retention: what `policy.decide` says of a run folder or a store is done there, so that a kill at any moment does no harm.

    prune_local(run, recipe.checkpoints, stores=recipe.publish.stores)              # after a save
    prune_published(store, run, recipe.checkpoints, recipe.publish, ledger=ledger)  # after a verification in a store
    prune_store(store, section, run=run_id, budget_bytes=None, best=1750)           # where no run folder is at hand

A checkpoint goes with one rename (here) or its marker first (in a store), then its files. What a killed prune leaves counts for
nothing, and the next one finishes it: here it is known by its name, in a store by the ledger, else it is in quarantine.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from lugha.checkpoints.format import read_manifest_of, verify_files
from lugha.checkpoints.place import remove_folder, tidy
from lugha.checkpoints.policy import FEWEST, QUARANTINE, Candidate, Decision, Policy, best_of, decide, step_in
from lugha.checkpoints.published import Published, is_of, list_published
from lugha.checkpoints.stores.protocol import Store
from lugha.errors import InputError
from lugha.recipe import CheckpointsSection, PublishSection
from lugha.runs.files import sha256_file
from lugha.runs.folder import RunFolder, read_jsonl
from lugha.runs.ledger import LOCAL, Ledger
from lugha.runs.manifest import MANIFEST

GONE = "not verified there any more"  # the ledger's reason where it was not this run that removed a checkpoint


def best_step(metrics: Path, steps: Collection[int] | None = None) -> int | None:
    """The step with the lowest validation loss in a metrics.jsonl, of `steps` alone where they are given."""
    return best_of(read_jsonl(metrics), steps)


def policy_of(section: CheckpointsSection, *, budget: int | None, best: int | None) -> Policy:
    """The policy that a recipe asks for."""
    return Policy(section.keep_newest, section.keep_every, best if section.keep_best else None, budget)


# The run folder.


def prune_local(
    run: RunFolder,
    section: CheckpointsSection,
    *,
    stores: Sequence[str],
    quarantine_age: float | None = None,
    dry_run: bool = False,
) -> list[Decision]:
    """Remove what the recipe does not keep of a run's own folder; the ledger and the events say what went.

    Args:
        stores: those that the recipe names. With any, a checkpoint counts as verified when one of them has it; with none,
            when its bytes are right, and the two newest are read before anything goes.
        quarantine_age: seconds after which what is in quarantine goes; default: it stays.
        dry_run: only decide.

    Raises:
        InterruptedRunError: the disk is so full that what went could not be written down.
    """
    if not dry_run:
        tidy(run.checkpoints)
    candidates = local_candidates(run, stores=stores)
    policy = policy_of(section, budget=_local_budget(run, section, candidates), best=None)
    decisions = _decide_local(
        run, section, candidates, dataclasses.replace(policy, quarantine_age=quarantine_age), stores=stores
    )
    return decisions if dry_run else _remove_local(run, decisions)


def free_local(run: RunFolder, section: CheckpointsSection, *, stores: Sequence[str], needed: int) -> list[Decision]:
    """Remove the oldest unprotected checkpoints of a run until `needed` bytes went: what is done about a full disk.

    Raises:
        InterruptedRunError: as `prune_local`.
    """
    tidy(run.checkpoints)
    candidates = local_candidates(run, stores=stores)
    total = sum(one.bytes for one in candidates if one.trouble is None)
    policy = policy_of(section, budget=max(0, total - max(1, needed)), best=None)
    policy = dataclasses.replace(policy, newest=None)  # the two newest stay; more of them are not worth the run
    return _remove_local(run, _decide_local(run, section, candidates, policy, stores=stores))


def local_candidates(run: RunFolder, *, stores: Sequence[str]) -> list[Candidate]:
    """The checkpoints of a run folder, whether whole or not, without reading their large files."""
    known, final = verified_stores(run), final_name(run)
    found = []
    for folder in sorted(run.checkpoints.glob("*/")):
        if folder.name.startswith("."):
            continue
        try:
            manifest = read_manifest_of(folder)
        except InputError as error:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            changed = datetime.datetime.fromtimestamp(folder.stat().st_mtime, datetime.UTC)
            trouble = str(error).removeprefix(f"{folder}").lstrip("/: ").rstrip(".")
            found.append(Candidate(folder.name, step_in(folder.name), size, False, trouble=trouble, changed=changed))
            continue
        is_verified = not stores or bool(set(stores) & set(known.get(folder.name, [])))
        promoted = final == str(folder.relative_to(run.path))
        found.append(Candidate(folder.name, manifest.step, manifest.bytes, is_verified, promoted))
    return found


def verified_stores(run: RunFolder) -> dict[str, list[str]]:
    """Name of each checkpoint folder of a run -> the stores that have these very bytes, verified, by the run's ledger."""
    sent = {
        store: {line.get("manifest") for line in names.values()} for store, names in Ledger(run.ledger).verified().items()
    }
    digests = {path.parent.name: sha256_file(path) for path in run.checkpoints.glob(f"*/{MANIFEST}")} if sent else {}
    return {name: sorted(store for store in sent if digest in sent[store]) for name, digest in digests.items()}


def final_name(run: RunFolder) -> str | None:
    """The checkpoint that a finished run names, relative to its folder."""
    try:
        return str(json.loads(run.finished.read_bytes())["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _local_budget(run: RunFolder, section: CheckpointsSection, candidates: Sequence[Candidate]) -> int:
    """Bytes that the checkpoints may take: what the recipe says, else the disk less room for two more."""
    if section.disk_gb is not None:
        return int(section.disk_gb * 1e9)
    sizes = [one.bytes for one in candidates if one.trouble is None]
    free = shutil.disk_usage(run.checkpoints).free if run.checkpoints.is_dir() else 0
    return max(0, free + sum(sizes) - 2 * max(sizes, default=0))


def _decide_local(
    run: RunFolder, section: CheckpointsSection, candidates: Sequence[Candidate], policy: Policy, *, stores: Sequence[str]
) -> list[Decision]:
    decisions = decide(candidates, policy)
    if all(one.keep for one in decisions):
        return decisions
    if section.keep_best:
        steps = {one.step for one in candidates if one.trouble is None}
        policy = dataclasses.replace(policy, best=best_step(run.metrics, steps))
    return decide(candidates, policy) if stores else _decide_on_bytes(run.checkpoints, candidates, policy)


def _remove_local(run: RunFolder, decisions: Sequence[Decision]) -> list[Decision]:
    ledger = Ledger(run.ledger)
    for gone in (one for one in decisions if not one.keep):
        remove_folder(run.checkpoints / gone.name)  # first: on a full disk there is room for the line only then
        ledger.write("deleted", store=LOCAL, step=gone.step, name=gone.name, bytes=gone.bytes, why=gone.why)
        run.log_event("deleted", checkpoint=gone.name)
    return list(decisions)


def _decide_on_bytes(checkpoints: Path, candidates: Sequence[Candidate], policy: Policy) -> list[Decision]:
    """Decide; where something would go, the two newest that it goes behind are read first, and a damaged one does not count."""
    known = {one.name: one for one in candidates}
    read: set[str] = set()
    while True:
        decisions = decide(known.values(), policy)
        verified = [known[one.name] for one in decisions if known[one.name].verified and known[one.name].trouble is None]
        unread = [one for one in verified[:FEWEST] if one.name not in read]
        if all(one.keep for one in decisions) or not unread:
            return decisions
        for one in unread:
            read.add(one.name)
            try:
                verify_files(checkpoints / one.name, read_manifest_of(checkpoints / one.name))
            except InputError as error:
                known[one.name] = dataclasses.replace(one, verified=False, trouble=str(error))


# A store.


def prune_published(
    store: Store, run: RunFolder, section: CheckpointsSection, publish: PublishSection, *, ledger: Ledger
) -> list[Decision]:
    """Remove what the recipe does not keep of a run in a store; for the end of every verification there.

    Raises:
        StoreError: the store failed; what was begun is finished by the next call.
    """
    budget = None if publish.store_gb is None else int(publish.store_gb * 1e9)
    if section.keep_newest is None and budget is None:
        return []
    best = best_step(run.metrics, ledger.verified_steps().get(store.address, set()))
    return prune_store(store, section, run=run.id, budget_bytes=budget, best=best, ledger=ledger)


def prune_store(
    store: Store,
    section: CheckpointsSection,
    *,
    run: str,
    budget_bytes: int | None,
    best: int | None,
    quarantine_age: float | None = None,
    ledger: Ledger | None = None,
    dry_run: bool = False,
) -> list[Decision]:
    """Remove what is not to be kept of one run in a store. Other runs, and what is of no run, are never touched.

    Args:
        budget_bytes: of this run's checkpoints in the store.
        best: step of the best by validation loss.
        quarantine_age: seconds after which what is in quarantine goes; default: it stays.
        ledger: of the run, where its folder is here: it says what goes before it goes, so that the next call finishes what a
            killed one had begun.
        dry_run: only decide.

    Returns what became of each; nothing where there is room for all, since then none is looked at.

    Raises:
        StoreError: the store failed.
    """
    policy = dataclasses.replace(policy_of(section, budget=budget_bytes, best=best), quarantine_age=quarantine_age)
    begun = _begun(ledger, store.address) if ledger else set()
    if not begun and not dry_run and quarantine_age is None and _is_roomy(store, policy):
        return []
    decisions = []
    for one in decide(candidates_in(list_published(store), run), policy):
        if one.name in begun and one.why.startswith(QUARANTINE):
            one = dataclasses.replace(one, keep=False, why="its removal had begun")
        decisions.append(one)
    for gone in decisions if not dry_run else ():
        if not gone.keep:
            if ledger:
                ledger.write("deleted", store=store.address, step=gone.step, name=gone.name, bytes=gone.bytes, why=gone.why)
            store.unmark(gone.name)
            store.remove(gone.name)
    return decisions


def _is_roomy(store: Store, policy: Policy) -> bool:
    """Whether all of a store can stay: seen from sizes alone, since a look at every manifest after every save would add up."""
    if policy.newest is not None or policy.budget is None:
        return policy.newest is None
    return sum(sum(entry.files.values()) for entry in store.entries()) <= policy.budget


def candidates_in(listed: Sequence[Published], run: str) -> list[Candidate]:
    """The checkpoints of one run among those of a store."""
    return [
        Candidate(one.name, step, one.bytes, one.verified, one.promoted, one.trouble, one.changed)
        for one in listed
        if is_of(one, run, listed)
        for step in [one.step if one.manifest else step_in(one.name)]
    ]


def _begun(ledger: Ledger, address: str) -> set[str]:
    """Names whose last line in the ledger says that this run removes them."""
    last = {line["name"]: line for line in ledger.lines() if line["store"] == address}
    return {name for name, line in last.items() if line["event"] == "deleted" and line.get("why") != GONE}
