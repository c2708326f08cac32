"""A folder that transformers' Trainer saved, made into one that can be proven whole.

    output_dir/
        checkpoint-500/             as Trainer writes it: model, optimizer.pt, scheduler.pt, rng_state.pth, trainer_state.json
            manifest.json           ours, sealed, written last: size and SHA-256 of each file, run, parent, what must not change
        checkpoint-500-replaced/    there only while step 500 is written again
        lugha/<run id>/             status.json, ledger.jsonl, events.jsonl, spool/

A folder without a sealed manifest is not a checkpoint: Trainer was killed while it wrote it, or lugha did not watch. Trainer
never calls a folder finished, orders its folders by modification time when it deletes, and writes over a folder of the same
step in place; here a folder counts when its manifest stands, order is that of (run, step) in the manifests, and what is written
again is moved aside first: it may be on its way to a store under a second name (hard link), and would change there too.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from lugha.checkpoints.format import CheckpointManifest, read_manifest_of, sealed, verify_files, versions
from lugha.checkpoints.place import remove_folder, tidy
from lugha.errors import InputError
from lugha.runs.files import disk_full_is_one_line, fsync_folder, fsync_tree, sha256_file, write_bytes
from lugha.runs.folder import run_order
from lugha.runs.manifest import MANIFEST, FileRecord

FORMAT = "transformers-trainer/1"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_ASIDE = "-replaced"  # as in checkpoints/place.py, which knows what to do with it
# Nothing reads the arguments when a run goes on, and they are a pickle that holds the Hub's token where the script gave one.
_NOT_OURS = ("training_args.bin", "checkpoint-is-incomplete.txt", MANIFEST)


def folder_of(output_dir: Path, step: int) -> Path:
    """Where Trainer saves the checkpoint of a step."""
    return output_dir / f"checkpoint-{step}"


def order_of(manifest: CheckpointManifest) -> tuple[tuple[str, str], int]:
    """What checkpoints are sorted by, the newest last: their run, then their step."""
    return (run_order(manifest.run), manifest.step)


def seal(folder: Path, *, run: str, step: int, parent: str | None, depends_on: Mapping[str, str]) -> CheckpointManifest:
    """Flush a folder that Trainer has finished, and write its manifest: from now on it counts.

    Args:
        parent: SHA-256 of the manifest of the checkpoint before it.
        depends_on: what a run that goes on from it must share.

    Raises:
        InterruptedRunError: the disk is full; the folder does not count.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    with disk_full_is_one_line(folder):
        fsync_tree(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = [(path, path.relative_to(folder).as_posix()) for path in paths]
    files = [
        FileRecord(path=name, bytes=path.stat().st_size, sha256=sha256_file(path))
        for path, name in names
        if name not in _NOT_OURS
    ]
    manifest = CheckpointManifest(
        format=FORMAT,
        run=run,
        step=step,
        parent=parent,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        files=files,
        depends_on=dict(depends_on),
        versions=versions() | {"accelerate": importlib.metadata.version("accelerate")},
    )
    write_bytes(folder / MANIFEST, sealed(manifest))
    fsync_folder(folder.parent)
    return manifest


def read_sealed(folder: Path) -> CheckpointManifest:
    """The manifest of a folder of Trainer, without opening its files.

    Raises:
        InputError: it has none (it was never finished), or one of another format.
    """
    manifest = read_manifest_of(folder)
    if manifest.format != FORMAT:
        raise InputError(f"{folder / MANIFEST}: format {manifest.format}, which Trainer cannot go on from.")
    return manifest


def verify_folder(folder: Path) -> CheckpointManifest:
    """Read every byte of a folder of Trainer and compare it with its manifest.

    Raises:
        InputError: as `read_sealed`, or a file is missing or altered; the message names it.
    """
    manifest = read_sealed(folder)
    verify_files(folder, manifest)
    return manifest


def folders_in(output_dir: Path) -> list[Path]:
    """Trainer's folders below `output_dir`, finished or not, the highest step first."""
    found = [(int(match[1]), path) for path in output_dir.glob("checkpoint-*") if (match := _is_folder(path))]
    return [path for _, path in sorted(found, reverse=True)]


def _is_folder(path: Path) -> re.Match[str] | None:
    return _CHECKPOINT.fullmatch(path.name) if path.is_dir() else None


def set_aside(folder: Path) -> None:
    """Move a folder that is about to be written again out of the way; nothing where there is none."""
    if folder.exists():
        aside = folder.with_name(folder.name + _ASIDE)
        remove_folder(aside)
        folder.rename(aside)


def settle(output_dir: Path) -> None:
    """Drop each folder that was set aside when its successor is whole; put it back when that is not."""
    for aside in output_dir.glob(f"checkpoint-*{_ASIDE}"):
        folder = aside.with_name(aside.name.removesuffix(_ASIDE))
        if (aside / MANIFEST).is_file() and not (folder / MANIFEST).is_file():
            remove_folder(folder)
    tidy(output_dir)


def rotate(output_dir: Path, keep: int, spared: Iterable[Path]) -> list[Path]:
    """Delete all whole checkpoints but the `keep` newest; returns what was deleted, the newest first.

    What has no sealed manifest is neither counted nor touched.

    Args:
        spared: kept whatever their age, such as the best.
    """
    kept = {path.resolve() for path in spared}
    whole: list[tuple[tuple[tuple[str, str], int], Path]] = []
    for path in folders_in(output_dir):
        with contextlib.suppress(InputError):
            whole.append((order_of(read_sealed(path)), path))
    newest_first = [path for _, path in sorted(whole, reverse=True)]
    gone = [path for path in newest_first[keep:] if path.resolve() not in kept]
    for path in gone:
        remove_folder(path)
    return gone
