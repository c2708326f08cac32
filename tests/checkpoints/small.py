"""Checkpoints of some kilobytes, of no model: what stores, publishing and retention know of one."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

from lugha.checkpoints.format import CheckpointManifest, checkpoint_name, sealed
from lugha.runs.files import sha256_file
from lugha.runs.manifest import MANIFEST, FileRecord

RUN = "small-20261120T104210Z-3fa9"


def content_of(step: int) -> dict[str, bytes]:
    """Files that differ from step to step: one of several blocks, one in a folder, one without a byte."""
    chance = random.Random(step)
    return {
        "model.safetensors": chance.randbytes(3500),
        "optimiser.safetensors": chance.randbytes(1000),
        "deep/er/trainer.json": f'{{"step": {step}}}'.encode(),
        "empty.txt": b"",
    }


def small_checkpoint(
    folder: Path, step: int, *, run: str = RUN, files: Mapping[str, bytes] | None = None, created: str = "2026-11-20"
) -> Path:
    """Write a whole checkpoint below `folder`; the same arguments give the same bytes."""
    place = folder / checkpoint_name(step)
    for name, content in (content_of(step) if files is None else files).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    manifest = CheckpointManifest(
        run=run,
        step=step,
        parent=None,
        created=created,
        files=[
            FileRecord(path=p.relative_to(place).as_posix(), bytes=p.stat().st_size, sha256=sha256_file(p))
            for p in sorted(place.rglob("*"))
            if p.is_file() and p.name != MANIFEST
        ],
        depends_on={},
        versions={},
    )
    (place / MANIFEST).write_bytes(sealed(manifest))
    return place


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
