"""The checkpoint format: a folder that is either whole or not there.

    checkpoints/step-00001000/
        config.json, model.safetensors, generation_config.json   the model, as transformers loads it
          or adapter_model.safetensors, adapter_config.json, ...  an adapter, as PEFT loads it
        optimiser.safetensors      moments of each trained parameter, by its name
        trainer.json               step, place in the data, units seen, loss scale, seconds
        tokenizer.json             the tokenizer of record
        recipe.yaml                the resolved recipe
        metrics.jsonl              what the run logged so far: a machine may be lost with its run folder
        manifest.json              written last: size and SHA-256 of every file above, what the run depends on, the parent

The manifest is sealed: it holds the SHA-256 of itself, and its bytes have one right form (`sealed`, `unsealed`), so that a
single altered bit in it is found as surely as one in the files.

Nothing here is a pickle, and nothing depends on how many processes trained: tensors are whole, and random numbers are a
function of the seed and the micro-batch, not a state. The folder is written under a temporary name, flushed, and renamed;
order among checkpoints is that of (run, step) in their manifests, never of names or modification times.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lugha.errors import InputError
from lugha.runs.files import sha256_file
from lugha.runs.manifest import MANIFEST, FileRecord

FORMAT = "lugha-checkpoint/3"
WEIGHTS = "model.safetensors"
ADAPTER = "adapter_model.safetensors"
OPTIMISER = "optimiser.safetensors"
TRAINER = "trainer.json"
TOKENIZER = "tokenizer.json"
RECIPE = "recipe.yaml"
METRICS = "metrics.jsonl"


class TrainerState(BaseModel):
    """Where a run stands, as plain values: everything of the loop's state that is not a tensor."""

    model_config = ConfigDict(extra="forbid")

    step: int = 0  # updates done
    epoch: int = 0  # place in the data: the next micro-batch is `micro_batch` of `epoch`
    micro_batch: int = 0
    micro_batches: int = 0  # taken since the run began, by all processes together
    units: int = 0  # predicted tokens (dpo: pairs) seen
    train_seconds: float = 0.0  # wall time inside steps, over all attempts
    loss_scale: float = 2.0**16  # fp16: the loss is multiplied by it, so that small gradients are numbers
    growth_steps: int = 0  # fp16: updates since the scale last changed
    skipped: int = 0  # fp16: updates not made because a gradient overflowed
    unlogged_sums: dict[str, float] = {}  # of loss and measures, over the steps since the last line of the log
    unlogged_units: int = 0
    unlogged_seconds: float = 0.0


class CheckpointManifest(BaseModel):
    """What a checkpoint holds, proves, and depends on.

    Stores, publishing and retention know no more of a checkpoint than this: also folders of another format (that of
    transformers' Trainer, integrations/) are published with it.
    """

    model_config = ConfigDict(extra="forbid")

    format: str = FORMAT
    run: str
    step: int
    parent: str | None  # SHA-256 of the parent's manifest; null for the first of a run
    created: str
    files: list[FileRecord]
    depends_on: dict[str, str]  # digests of data, tokenizer, model, training layout: what a resumed run must share
    normalisers: dict[str, str] = {}  # language -> digest of the rules that its text passed: the same must serve the model
    versions: dict[str, str]
    seal: str = ""  # SHA-256 of the manifest's bytes with an empty seal

    @property
    def bytes(self) -> int:
        """Size of the checkpoint's files together."""
        return sum(file.bytes for file in self.files)

    def weights_sha256(self) -> str:
        """SHA-256 of the weights file: of the whole model, or of the adapter."""
        return self._weights().sha256

    def weights_file(self) -> str:
        """Name of the weights file: `WEIGHTS` or `ADAPTER`."""
        return self._weights().path

    def _weights(self) -> FileRecord:
        return next(f for f in self.files if f.path in (WEIGHTS, ADAPTER))


def checkpoint_name(step: int) -> str:
    """Folder name of the checkpoint after `step` updates."""
    return f"step-{step:08d}"


def sealed(manifest: CheckpointManifest) -> bytes:
    """The one right content of `manifest.json`."""
    open_ = _bytes_of(manifest.model_copy(update={"seal": ""}))
    return _bytes_of(manifest.model_copy(update={"seal": hashlib.sha256(open_).hexdigest()}))


def unsealed(content: bytes, origin: Path | str) -> CheckpointManifest:
    """The manifest with these bytes.

    Args:
        origin: names it in errors.

    Raises:
        InputError: a single bit is not as it was written, or a path in it leads out of the checkpoint.
    """
    try:
        manifest = CheckpointManifest.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise InputError(f"{origin}: damaged, or not a checkpoint's manifest ({problem}).") from error
    if sealed(manifest) != content:
        raise InputError(f"{origin}: altered, its bytes are not those that its seal was made of.")
    _check_paths([record.path for record in manifest.files], origin)
    return manifest


def _check_paths(names: list[str], origin: Path | str) -> None:
    """Refuse paths that lead out of the checkpoint, and such as cannot all be files of one folder."""
    parents: set[str] = set()
    for name in names:
        path = PurePosixPath(name)
        if not path.parts or "\\" in name or path.is_absolute() or ".." in path.parts:
            raise InputError(f"{origin}: names a path outside the checkpoint ({name}).")
        if str(path) != name or "\0" in name or name == MANIFEST:
            raise InputError(f"{origin}: names a file that no checkpoint holds ({name!r}).")
        parents |= {str(parent) for parent in path.parents}
    if len(set(names)) < len(names) or parents & set(names):
        raise InputError(f"{origin}: names a file twice, or one as a folder.")


def _bytes_of(manifest: CheckpointManifest) -> bytes:
    return (json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


def read_manifest_of(folder: Path) -> CheckpointManifest:
    """Read the manifest of a checkpoint of any format, without opening its files.

    Raises:
        InputError: there is none (the checkpoint is not whole), or it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: no {MANIFEST}, so this is not a whole checkpoint.")
    return unsealed(path.read_bytes(), path)


def read_checkpoint(folder: Path) -> CheckpointManifest:
    """Read the manifest of a checkpoint that this version of lugha trains on from.

    Raises:
        InputError: as `read_manifest_of`, or another format.
    """
    manifest = read_manifest_of(folder)
    if manifest.format != FORMAT:
        raise InputError(f"{folder / MANIFEST}: format {manifest.format}, but this version of lugha reads {FORMAT}.")
    return manifest


def verify_checkpoint(folder: Path) -> CheckpointManifest:
    """Read every byte of a checkpoint and compare sizes and SHA-256 with its manifest.

    Raises:
        InputError: a file is missing, has another size or another content; the message names it.
    """
    manifest = read_checkpoint(folder)
    verify_files(folder, manifest)
    return manifest


def verify_files(folder: Path, manifest: CheckpointManifest) -> None:
    """Read every file that a manifest names and compare.

    Raises:
        InputError: as `verify_checkpoint`.
    """
    for record in manifest.files:
        path = folder / record.path
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{path}: {'a link' if path.is_symlink() else 'missing'}.")
        size = path.stat().st_size
        if size != record.bytes:
            raise InputError(f"{path}: {size} bytes instead of {record.bytes} (cut off or altered).")
        if sha256_file(path) != record.sha256:
            raise InputError(f"{path}: its SHA-256 is not that of the manifest (altered).")


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of the checkpoints below `folder` that have a readable manifest, newest step first."""
    found: list[tuple[int, Path]] = []
    for path in sorted(folder.glob("*/")):
        if path.name.startswith(".") or not (path / MANIFEST).is_file():
            continue
        try:
            found.append((read_manifest_of(path).step, path))
        except InputError:
            # Damaged: `restore` names it when it walks back; here it only has no place in the order.
            found.append((-1, path))
    return sorted(found, key=lambda entry: (-entry[0], entry[1].name))


def versions() -> dict[str, str]:
    """Versions of what decides the bytes of a run."""
    import importlib.metadata
    import platform

    names = ("lugha", "torch", "transformers", "tokenizers", "safetensors", "numpy")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Names whose digests differ between a run and a checkpoint."""
    return sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
