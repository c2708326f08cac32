"""What a person means by `lugha checkpoints list PLACE`: a run, a folder of checkpoints, or a store; perhaps one step of it.

place_at("runs/demo-20261120T104210Z-3fa9")      Here, with its run
place_at("pulled"), place_at("RUN/checkpoints/step-00000500")     Here
place_at("s3://bucket/prefix@500"), place_at("/mnt/drive/lugha")  There
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.open import is_store, open_store, parse_address
from lugha.checkpoints.stores.protocol import MARKER, Store
from lugha.errors import InputError
from lugha.runs.folder import RunFolder, run_order, split_run_id
from lugha.runs.manifest import MANIFEST


@dataclass(frozen=True)
class Here:
    """Checkpoints in a folder of this disk."""

    folders: tuple[Path, ...]  # each a checkpoint, or what is left of one
    run: RunFolder | None  # whose they are, where its folder was named
    text: str


@dataclass(frozen=True)
class There:
    """A store."""

    store: Store
    step: int | None


Place = Here | There


def place_at(text: str) -> Place:
    """The place that `text` names; a store is not asked anything yet.

    Raises:
        InputError: nothing is there, or no checkpoint in it.
    """
    if is_store(text) or "://" in text:
        address = parse_address(text)
        return There(open_store(address.store), address.step)
    path = Path(text)
    if not path.exists():
        address = parse_address(text)
        if address.step is None or not Path(address.store).is_dir():
            raise InputError(f"{text}: no such run folder, checkpoint or store.")
        return _only(place_at(address.store), address.step)
    if (path / MANIFEST).is_file():
        return Here((path,), None, text)
    named = path if path.name else path.absolute()
    run = RunFolder(named)
    if split_run_id(named.name) and run.checkpoints.is_dir():
        return Here(_folders_in(run.checkpoints), run, text)
    if any(path.glob(f"step-*/{MARKER}")) or any(path.glob(f"*/step-*/{MANIFEST}")):
        return There(FolderStore(path), None)
    if any(path.glob(f"step-*/{MANIFEST}")):
        return Here(_folders_in(path), None, text)
    runs = sorted(
        (p for p in path.glob("*/checkpoints") if split_run_id(p.parent.name)), key=lambda p: run_order(p.parent.name)
    )
    hint = (
        f"{runs[-1].parent}, say" if runs else "a run folder, a checkpoint, s3://..., hf://..., or a folder that is a store"
    )
    raise InputError(f"{text}: no checkpoint here. Give {hint}.")


def _folders_in(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.glob("*/") if not path.name.startswith(".")))


def _only(place: Place, step: int) -> Place:
    """One step of a place."""
    if isinstance(place, There):
        return There(place.store, step)
    from lugha.checkpoints.format import read_manifest_of

    found = []
    steps = []
    for folder in place.folders:
        try:
            steps.append(read_manifest_of(folder).step)
        except InputError:
            continue
        if steps[-1] == step:
            found.append(folder)
    if not found:
        near = min(steps, key=lambda other: abs(other - step), default=None)
        there = f"Nearest: {near}." if near is not None else "None can be read."
        raise InputError(f"{place.text}: no step {step} there. {there}")
    return Here(tuple(found), place.run, place.text)
