"""Save a checkpoint: temporary folder, flush, manifest last, one rename.

A process killed at any moment of `save_checkpoint` leaves the checkpoints that were there before, and perhaps a folder named
`.step-….partial` that the next save removes. A full disk does the same and says so in one line.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import save_file
from torch import nn

from lugha.checkpoints.format import (
    OPTIMISER,
    RECIPE,
    TOKENIZER,
    TRAINER,
    CheckpointManifest,
    TrainerState,
    checkpoint_name,
    list_checkpoints,
    sealed,
    versions,
)
from lugha.runs.files import disk_full_is_one_line, fsync_folder, fsync_tree, sha256_file, write_bytes, write_json
from lugha.runs.manifest import MANIFEST, FileRecord
from lugha.runs.weights import Weights, whole


def save_checkpoint(
    checkpoints: Path,
    *,
    run: str,
    weights: Weights,
    optimiser: Mapping[str, torch.Tensor],
    state: TrainerState,
    depends_on: Mapping[str, str],
    normalisers: Mapping[str, str],
    tokenizer: Path,
    recipe_yaml: str,
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write the checkpoint of `state.step` below `checkpoints` and return its folder.

    Args:
        weights: what the model keeps, already gathered.
        optimiser: its state, from `optimiser_tensors`.
        texts: further small files, by name, such as the template of the examples.

    Raises:
        InterruptedRunError: the disk is full; the checkpoints that were there are untouched.
    """
    folder = checkpoints / checkpoint_name(state.step)
    partial = checkpoints / f".{folder.name}.partial"
    older = [path for step, path in list_checkpoints(checkpoints) if 0 <= step < state.step]
    try:
        with disk_full_is_one_line(folder):
            for leftover in checkpoints.glob(".*.partial"):
                shutil.rmtree(leftover)
            partial.mkdir(parents=True)
            # The metadata is that of transformers' own files, which it asks for when it loads one.
            save_file(weights.tensors, partial / weights.file, metadata={"format": "pt"})
            save_file(dict(optimiser), partial / OPTIMISER)
            for name, text in {**weights.texts, **texts}.items():
                (partial / name).write_text(text, encoding="utf-8")
            write_json(partial / TRAINER, state.model_dump())
            shutil.copyfile(tokenizer, partial / TOKENIZER)
            (partial / RECIPE).write_text(recipe_yaml, encoding="utf-8")
            fsync_tree(partial)
            manifest = CheckpointManifest(
                run=run,
                step=state.step,
                parent=sha256_file(older[0] / MANIFEST) if older else None,
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                files=[
                    FileRecord(path=p.name, bytes=p.stat().st_size, sha256=sha256_file(p)) for p in sorted(partial.iterdir())
                ],
                depends_on=dict(depends_on),
                normalisers=dict(normalisers),
                versions=versions(),
            )
            write_bytes(partial / MANIFEST, sealed(manifest))
            _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename; a checkpoint of the same step that is there is whole, under another name, until the new one stands."""
    before = folder.with_name(f"{folder.name}-replaced")
    if folder.exists():
        shutil.rmtree(before, ignore_errors=True)
        folder.rename(before)
    partial.rename(folder)
    fsync_folder(folder.parent)
    if before.exists():
        (before / MANIFEST).unlink(missing_ok=True)  # first the mark, then the files: never a marked folder with holes
        shutil.rmtree(before)


def keep_newest(checkpoints: Path, keep: int) -> list[Path]:
    """Delete all but the `keep` newest whole checkpoints; returns what was deleted. Damaged ones are left for inspection."""
    if keep < 2:
        raise ValueError("fewer than two checkpoints cannot survive a damaged one")
    whole = [path for step, path in list_checkpoints(checkpoints) if step >= 0]
    for path in whole[keep:]:
        (path / MANIFEST).unlink()  # first the mark, then the files: never a marked folder with holes
        shutil.rmtree(path)
    return whole[keep:]


def optimiser_tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state as `<parameter name>|<moment>` -> whole tensor; every process must ask (runs/weights.py)."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        for moment, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{name}|{moment}"] = whole(value)
    return tensors
