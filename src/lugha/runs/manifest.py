"""Stage manifests: what a stage made, from what, and proof that it is whole.

A stage is a function from folders with manifests (or raw files) to one folder with a manifest:

    with stage_output(output, stage="dedup", version=1, parameters={...}, inputs={"cleaned": folder}) as out:
        ...write shards into out.folder, count rows in out.tally...

The body writes into `<output>.partial`; the manifest is written last and the folder is renamed into place, so a folder
without `manifest.json` is not an output, and a killed stage leaves the old output untouched. The manifest says rows in =
rows out + rows dropped by reason, and refuses to be written when the sums do not agree.

    corpus/deduped/
        00000.parquet
        manifest.json     stage, version, parameters, input digests, shards with rows / bytes / SHA-256, tally, seconds
"""

from __future__ import annotations

import contextlib
import datetime
import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lugha.errors import InputError, LughaError
from lugha.runs.files import disk_full_is_one_line, fsync_tree, sha256_file, sha256_json, write_json

MANIFEST = "manifest.json"
_ONLY_CURRENT: ContextVar[str | None] = ContextVar("only_current", default=None)


class FileRecord(BaseModel):
    """One file of a stage's output, by its path relative to the manifest."""

    model_config = ConfigDict(extra="forbid")

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


class StageManifest(BaseModel):
    """The record of one stage; see the module's story."""

    model_config = ConfigDict(extra="forbid")

    stage: str
    version: int
    parameters: dict[str, Any]
    inputs: dict[str, str]
    files: list[FileRecord]
    rows_in: int
    rows_out: int
    dropped: dict[str, int]
    details: dict[str, Any]
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    finished: str

    def content_digest(self) -> str:
        """Digest of what was made, free of times: two runs that made the same bytes have the same digest."""
        return sha256_json([self.stage, self.version, [(f.path, f.sha256) for f in self.files]])


@dataclass
class Tally:
    """Rows that came in, went out, and were dropped by the first reason that applied."""

    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def check(self, stage: str) -> None:
        """Raise unless rows in = rows out + rows dropped."""
        lost = self.rows_in - self.rows_out - self.dropped.total()
        if lost:
            raise LughaError(f"Stage {stage}: {lost} rows are neither kept nor dropped (a fault of lugha, not of the data).")


@dataclass
class StageOutput:
    """What the body of a stage fills in: files below `folder`, counts in `tally`, facts in `details`."""

    folder: Path
    tally: Tally = field(default_factory=Tally)
    details: dict[str, Any] = field(default_factory=dict)
    rows_of_file: dict[str, int] = field(default_factory=dict)


def read_manifest(folder: Path) -> StageManifest:
    """Read the manifest of a stage's output.

    Raises:
        InputError: there is no such folder, it has no manifest (the stage did not finish), or it does not parse.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Run the stage that makes it first.")
    if not path.is_file():
        raise InputError(f"{folder}: no {MANIFEST}, so this is not the finished output of a stage. Run that stage again.")
    try:
        return StageManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path}: not a stage manifest ({error.errors()[0]['msg']}). Run the stage again.") from error


def verify_stage(folder: Path, stages: tuple[str, ...] = ()) -> StageManifest:
    """Read a manifest and check that every file it names is there with its size (hashes are for `verify_bytes`).

    Args:
        stages: the stages that may have made the folder; empty for any.

    Raises:
        InputError: not a finished output, the output of another stage, or a file is missing or has another size.
    """
    manifest = read_manifest(folder)
    if stages and manifest.stage not in stages:
        raise InputError(f"{folder}: made by stage {manifest.stage}, but {' or '.join(stages)} is needed here.")
    for record in manifest.files:
        path = folder / record.path
        size = path.stat().st_size if path.is_file() else None
        if size != record.bytes:
            what = "is missing" if size is None else f"has {size} bytes instead of {record.bytes}"
            raise InputError(f"{path} {what}: the output of stage {manifest.stage} was changed. Run the stage again.")
    return manifest


def input_digest(path: Path) -> str:
    """Digest of a stage's input: of its manifest's content, or of a raw file's or folder's bytes.

    Raises:
        InputError: nothing is there.
    """
    if (path / MANIFEST).is_file():
        return verify_stage(path).content_digest()
    if path.is_file():
        return sha256_file(path)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return sha256_json([(str(p.relative_to(path)), sha256_file(p)) for p in files])
    raise InputError(f"{path}: no such file or folder.")


def is_current(output: Path, *, stage: str, version: int, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
    """Whether `output` is whole and was made by this stage from the same parameters and input digests."""
    try:
        manifest = verify_stage(output, (stage,))
    except InputError:
        return False
    asked = (version, sha256_json(dict(parameters)), dict(inputs))
    return (manifest.version, sha256_json(manifest.parameters), manifest.inputs) == asked


@contextlib.contextmanager
def only_current_stages(hint: str) -> Iterator[None]:
    """Within this block a stage may be skipped because its output is current, but none may run.

    `lugha run --from STAGE` stands on earlier outputs without making them: a stage that would have to run raises an
    InputError that says `<output> is missing or stale` and ends with `hint`.
    """
    token = _ONLY_CURRENT.set(hint)
    try:
        yield
    finally:
        _ONLY_CURRENT.reset(token)


@contextlib.contextmanager
def stage_output(
    output: Path, *, stage: str, version: int, parameters: Mapping[str, Any], inputs: Mapping[str, str]
) -> Iterator[StageOutput]:
    """Run the body of a stage; on success put its folder and manifest in place, on failure leave nothing behind.

    Args:
        output: the folder to make; an older output there is replaced, at the end and in one step.
        parameters: everything beside the inputs that the bytes depend on.
        inputs: name -> digest of each input (`input_digest`).

    Raises:
        InputError: `output` exists and is not the output of a stage (it would be overwritten).
        InterruptedRunError: the disk is full.
    """
    if hint := _ONLY_CURRENT.get():
        state = "stale: it was made from another input or with other settings" if output.exists() else "missing"
        raise InputError(f"{output} is {state}. {hint}")
    if output.exists() and not (output / MANIFEST).is_file() and (output.is_file() or any(output.iterdir())):
        raise InputError(f"{output} exists and was not made by lugha. Give another --output, or move it away.")
    partial = output.with_name(f"{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    started, cpu_started = time.monotonic(), _cpu_seconds()
    try:
        with disk_full_is_one_line(output):
            partial.mkdir(parents=True)
            out = StageOutput(partial)
            yield out
            out.tally.check(stage)
            files = [
                FileRecord(
                    path=str(p.relative_to(partial)),
                    bytes=p.stat().st_size,
                    sha256=sha256_file(p),
                    rows=out.rows_of_file.get(str(p.relative_to(partial))),
                )
                for p in sorted(partial.rglob("*"))
                if p.is_file()
            ]
            manifest = StageManifest(
                stage=stage,
                version=version,
                parameters=dict(parameters),
                inputs=dict(inputs),
                files=files,
                rows_in=out.tally.rows_in,
                rows_out=out.tally.rows_out,
                dropped=dict(sorted(out.tally.dropped.items())),
                details=out.details,
                wall_seconds=round(time.monotonic() - started, 3),
                cpu_seconds=round(_cpu_seconds() - cpu_started, 3),
                peak_memory_bytes=peak_memory_bytes(),
                finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
            fsync_tree(partial)
            write_json(partial / MANIFEST, manifest.model_dump())
        if output.exists():
            shutil.rmtree(output)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far (getrusage(2): kilobytes on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)
