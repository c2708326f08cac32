"""What the corpus stages made of the planted dirt: planted and caught by kind, and what they did to clean rows.

    audit = audit_cleaning(raw, cleaned, deduped, filtered)
    for kind in audit.kinds: print(kind.kind, kind.planted, kind.caught)

`raw` is a folder of `write_demo_corpus`, the others are outputs of the stages clean, dedup and filter on its sources. Rows
are matched by their ids, so the audit knows the fate of each one:

    planted, to be repaired   caught: the row is in `filtered` with exactly the clean text
    planted, to be dropped    caught: the row is not in `filtered` (of a copy: not beside its original);
                              markup is caught too when it was taken off and the clean text is left
    clean                     right: in `filtered`, unchanged
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lugha.corpus.read import read_source
from lugha.corpus.shards import read_frames, shard_paths
from lugha.demo.corpus import KEY, demo_sources
from lugha.demo.dirt import MENDS, SHARES, Kind, Mend
from lugha.errors import InputError
from lugha.runs.manifest import verify_stage

STAGES = ("clean", "dedup", "filter")
_COLUMNS = ["id", "source_text", "target_text"]
_Rows = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class PlantedKind:
    """One kind of dirt: planted = caught + left + lost.

    left: rows still dirty in the output. lost: rows dropped whose clean text could have been had back.
    dropped_by: of the rows that are gone, how many went in which stage.
    """

    kind: Kind
    mend: Mend
    planted: int
    caught: int
    left: int
    lost: int
    dropped_by: dict[str, int]

    @property
    def missed(self) -> int:
        """Rows that were not caught."""
        return self.left + self.lost


@dataclass(frozen=True)
class CleaningAudit:
    """The kinds in the order of `dirt.SHARES`, and the fate of all rows without dirt."""

    kinds: tuple[PlantedKind, ...]
    clean_rows: int
    clean_altered: int
    clean_dropped: dict[str, int]

    @property
    def planted(self) -> int:
        """Planted rows of all kinds."""
        return sum(kind.planted for kind in self.kinds)

    @property
    def caught(self) -> int:
        """Caught rows of all kinds."""
        return sum(kind.caught for kind in self.kinds)

    def as_json(self) -> dict[str, Any]:
        """The audit as plain JSON values."""
        return asdict(self)


def audit_cleaning(raw: Path, cleaned: Path, deduped: Path, filtered: Path) -> CleaningAudit:
    """Compare the key of the sample corpus with what came out of the stages.

    Raises:
        InputError: a folder is not the finished output of its stage.
    """
    verify_stage(raw, ("demo",))
    texts = dict(_raw_rows(raw))
    outputs: list[_Rows] = []
    for stage, folder in zip(STAGES, (cleaned, deduped, filtered), strict=True):
        verify_stage(folder, (stage,))
        outputs.append({row: (text, english) for row, text, english in _stage_rows(folder)})
    key = [json.loads(line) for line in (raw / KEY).read_text(encoding="utf-8").splitlines()]

    fates: dict[Kind, Counter[str]] = {kind: Counter() for kind in SHARES}
    gone: dict[Kind, Counter[str]] = {kind: Counter() for kind in SHARES}
    final = outputs[-1]
    stood_in_for: set[str] = set()
    for entry in key:
        if entry["id"] not in texts:
            raise InputError(f"{raw / KEY}: row {entry['id']} is in no raw file. Write the sample corpus again.")
        kind: Kind = entry["kind"]
        fates[kind][_fate(entry, final)] += 1
        if entry["id"] not in final:
            gone[kind][_stage_that_dropped(entry["id"], outputs)] += 1
        elif entry["copy_of"]:
            stood_in_for.add(entry["copy_of"])

    dirty = {entry["id"] for entry in key}
    # Of an original and its copy one may stay; a cleaning that keeps the copy has dropped no clean row.
    clean = {row: text for row, text in texts.items() if row not in dirty and not (row in stood_in_for and row not in final)}
    dropped = Counter(_stage_that_dropped(row, outputs) for row in clean if row not in final)
    return CleaningAudit(
        kinds=tuple(
            PlantedKind(
                kind=kind,
                mend=MENDS[kind],
                planted=fate.total(),
                caught=fate["caught"],
                left=fate["left"],
                lost=fate["lost"],
                dropped_by={stage: gone[kind][stage] for stage in STAGES if gone[kind][stage]},
            )
            for kind, fate in fates.items()
        ),
        clean_rows=len(clean),
        clean_altered=sum(row in final and final[row] != text for row, text in clean.items()),
        clean_dropped={stage: dropped[stage] for stage in STAGES if dropped[stage]},
    )


def _fate(entry: dict[str, Any], final: _Rows) -> str:
    row, mend = entry["id"], MENDS[entry["kind"]]
    if row not in final:
        return "caught" if mend == "dropped" else "lost"
    is_right = final[row] == tuple(entry["clean"].values())
    if entry["copy_of"]:
        return "left" if entry["copy_of"] in final else "caught"
    return "caught" if is_right and (mend == "repaired" or entry["kind"] == "markup") else "left"


def _stage_that_dropped(row: str, outputs: list[_Rows]) -> str:
    return next(stage for stage, rows in zip(STAGES, outputs, strict=True) if row not in rows)


def _raw_rows(raw: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    for source in demo_sources():
        for frame in read_source(source, raw):
            for row, text, english in frame.select(_COLUMNS).iter_rows():
                yield row, (text, english)


def _stage_rows(folder: Path) -> Iterator[tuple[str, str, str]]:
    for frame in read_frames(shard_paths(folder), _COLUMNS):
        yield from frame.select(_COLUMNS).iter_rows()
