"""Where a Trainer's run goes on from: the newest verified checkpoint of `output_dir` and of all stores.

    found = newest(output_dir, name="igbo", stores=[...], say=print)        # None on a first start
    found = at("hf://user/repo@500", output_dir, section, say=print)        # or s3://..., or a folder

What is found lies in `output_dir/checkpoint-<step>`, every byte of it compared with its sealed manifest. A damaged one is passed
over with a line that says why; a folder that Trainer was killed in is never returned.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.format import CheckpointManifest, differing
from lugha.checkpoints.place import put_in_place
from lugha.checkpoints.published import Published, list_published, pull
from lugha.checkpoints.reaching import reached
from lugha.checkpoints.stores.open import is_store, open_store, parse_address
from lugha.checkpoints.stores.protocol import Store
from lugha.errors import InputError, RefusedError
from lugha.integrations.trainer_folder import (
    FORMAT,
    folder_of,
    folders_in,
    order_of,
    read_sealed,
    settle,
    verify_folder,
)
from lugha.recipe import PublishSection
from lugha.runs.folder import split_run_id
from lugha.runs.manifest import MANIFEST

RUNS = "lugha"  # folder of the runs' own records, below output_dir
_TRAINER_STATE = "trainer_state.json"  # Trainer writes it last

Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A checkpoint on this disk whose every byte was right."""

    folder: Path
    manifest: CheckpointManifest
    is_newest: bool  # of its run, in the place where it was found: the run goes on. From an older one a new run branches off
    copies: tuple[Published, ...] = ()  # the same, verified, in the stores that were looked at


@dataclass(frozen=True)
class _Candidate:
    """A checkpoint that may be fetched or looked at."""

    manifest: CheckpointManifest
    place: Path | Published

    @property
    def order(self) -> tuple[tuple[tuple[str, str], int], bool]:
        """The newest last; of two that are the same, the one on this disk."""
        return order_of(self.manifest), isinstance(self.place, Path)

    def is_behind(self, manifest: CheckpointManifest) -> bool:
        """Whether it is a later state of the same run."""
        return self.manifest.run == manifest.run and self.manifest.step > manifest.step

    def take(self, output_dir: Path, say: Say) -> Found:
        """Read every byte, and fetch what lies in a store.

        Raises:
            InputError: damaged.
            RefusedError, InterruptedRunError: the store cannot be read, or the disk is full.
        """
        if isinstance(self.place, Path):
            return Found(self.place, verify_folder(self.place), is_newest=True)
        folder = folder_of(output_dir, self.manifest.step)
        fetched = reached(functools.partial(pull, self.place, output_dir / RUNS / "pulled"), say=say)
        put_in_place(fetched.folder, folder)
        with contextlib.suppress(OSError):  # it may hold what a killed process left
            fetched.folder.parent.rmdir()
        return Found(folder, fetched.manifest, is_newest=True)


def newest(
    output_dir: Path, *, name: str, stores: Sequence[Store], private: bool, say: Say
) -> tuple[Found | None, set[str]]:
    """The newest verified checkpoint of the runs called `name`, None where there is none yet; and the ids of all runs seen.

    Args:
        private: as the stores are made that may be made.

    Raises:
        InputError: all are damaged, or `output_dir` holds checkpoints of a time before lugha.
        RefusedError, InterruptedRunError: a store cannot be read, so nobody knows what it holds.
    """
    settle(output_dir)
    candidates = _on_disk(output_dir, say)
    damaged = 0
    for store in stores:
        reached(functools.partial(store.prepare, private=private), say=say)
        for one in reached(functools.partial(list_published, store), say=say):
            if not _is_of(one, name):
                continue
            if one.manifest is not None and one.verified:
                candidates.append(_Candidate(one.manifest, one))
            elif one.marked:
                damaged += 1
                say(f"{one.place}: {one.trouble}. Passed over.")
    found, _ = _first_whole(candidates, output_dir, say)
    if found is not None:
        found = dataclasses.replace(found, copies=_copies(found, candidates))
    if found is None and (candidates or damaged):
        raise InputError(
            f"{output_dir} and its stores: all {len(candidates) + damaged} checkpoints of {name} are damaged. "
            "Start anew in another output_dir, or under another name."
        )
    if found is None and not (output_dir / RUNS).is_dir():
        _refuse_strangers(output_dir)
    return found, {candidate.manifest.run for candidate in candidates}


def at(where: str, output_dir: Path, *, section: PublishSection, say: Say) -> Found:
    """The checkpoint that a person names: a store (its newest), `store@step`, a checkpoint's folder, or a folder of them.

    Raises:
        InputError: there is none, or it is damaged.
        RefusedError, InterruptedRunError: the store cannot be read.
    """
    path, step = Path(where), None
    if not is_store(where) and (path / MANIFEST).is_file():
        step = read_sealed(path).step
        around = [c for c in _on_disk(path.parent, _silent) if c.place != path] + [_Candidate(read_sealed(path), path)]
        wanted = around[-1:]
    elif not is_store(where) and path.is_dir() and folders_in(path):
        around = wanted = _on_disk(path, say)
    else:
        address = parse_address(where)
        if not is_store(where) and not Path(address.store).is_dir():
            raise InputError(f"{where}: no such folder, and no store (s3://bucket/prefix, hf://user/repo).")
        store = open_store(address.store, section)
        around = [
            _Candidate(one.manifest, one)
            for one in reached(functools.partial(list_published, store), say=say)
            if one.manifest is not None and one.manifest.format == FORMAT and one.verified
        ]
        step = address.step
        wanted = [c for c in around if step in (None, c.manifest.step)]
    found, passed_over = _first_whole(wanted, output_dir, say)
    if found is None:
        raise InputError(f"{where}: no whole checkpoint of Trainer here.")
    newer = [c for c in around if c not in passed_over and c.is_behind(found.manifest)]
    return dataclasses.replace(found, is_newest=not newer, copies=_copies(found, around))


def check_same(ours: Mapping[str, str], found: Found, allowed: Sequence[str]) -> list[str]:
    """Refuse a checkpoint that the run as it is now cannot go on from; returns the differences that were allowed.

    Raises:
        RefusedError: a value differs that must not; the message names it.
    """
    theirs = found.manifest.depends_on
    names = differing(dict(ours), theirs)
    if refused := [name for name in names if name not in allowed]:
        pairs = ", ".join(f"{n} ({_short(ours.get(n))} here, {_short(theirs.get(n))} there)" for n in refused[:4])
        raise RefusedError(
            f"{found.folder}: cannot go on from it, it was made with other values: {pairs}. Set them back, "
            f"say that it is meant (allow_changed={refused!r}), or begin another run (name=...)."
        )
    return names


def _short(value: str | None) -> str:
    """A value as it stands, a digest by its first eight letters."""
    if value is None:
        return "absent"
    return value[:8] if len(value) == 64 else value


def _on_disk(output_dir: Path, say: Say) -> list[_Candidate]:
    found = []
    for folder in folders_in(output_dir):
        try:
            found.append(_Candidate(read_sealed(folder), folder))
        except InputError as error:
            say(f"{error} Passed over.")
    return found


def _is_of(one: Published, name: str) -> bool:
    """Whether a folder of a store is a checkpoint of these runs; what nothing is known of may be."""
    if one.manifest is None:
        parts = split_run_id(one.name.partition("/")[0])  # stores of many runs have a folder for each
        return parts is None or parts[0] == name
    parts = split_run_id(one.manifest.run)
    return one.manifest.format == FORMAT and parts is not None and parts[0] == name


def _first_whole(candidates: Sequence[_Candidate], output_dir: Path, say: Say) -> tuple[Found | None, list[_Candidate]]:
    """The newest whole one, and the damaged ones before it."""
    passed_over: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda c: c.order, reverse=True):
        try:
            return candidate.take(output_dir, say), passed_over
        except InputError as error:
            say(f"{error} Passed over.")
            passed_over.append(candidate)
    return None, passed_over


def _copies(found: Found, candidates: Sequence[_Candidate]) -> tuple[Published, ...]:
    return tuple(c.place for c in candidates if isinstance(c.place, Published) and c.manifest == found.manifest)


def _refuse_strangers(output_dir: Path) -> None:
    """A first start must not write over what an earlier script trained."""
    strangers = [folder for folder in folders_in(output_dir) if (folder / _TRAINER_STATE).is_file()]
    if strangers:
        raise InputError(
            f"{strangers[0]}: saved before lugha watched over {output_dir}, so nobody knows whether it is whole. To go on from "
            f"it, train once with resume_from_checkpoint={str(strangers[0])!r}; to start anew, use another output_dir."
        )


def _silent(text: str) -> None:
    """What lies beside a checkpoint that was named is not asked about."""
