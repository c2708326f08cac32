"""Save a checkpoint: temporary folder, flush, manifest last, one rename.

A process killed at any moment of `save_checkpoint` leaves the checkpoints that were there before, and perhaps what the next
save clears away (place.py). A full disk does the same and says so in one line.
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
from lugha.checkpoints.place import partial_folder, put_in_place
from lugha.runs.files import disk_full_is_one_line, fsync_tree, sha256_file, write_bytes, write_json
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
    with disk_full_is_one_line(folder), partial_folder(folder) as partial:
        older = [path for step, path in list_checkpoints(checkpoints) if 0 <= step < state.step]
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
        put_in_place(partial, folder)
    return folder


def optimiser_tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state as `<parameter name>|<moment>` -> whole tensor; every process must ask (runs/weights.py)."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        for moment, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{name}|{moment}"] = whole(value)
    return tensors
