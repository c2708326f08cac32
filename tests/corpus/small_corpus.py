"""Corpora of a few rows, as the stage "clean" would leave them, for the tests of the stages after it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from lugha.corpus.shards import Kind, ShardWriter, read_frames, shard_paths
from lugha.runs.manifest import stage_output


def documents(texts: Iterable[str], **columns: Any) -> pl.DataFrame:
    """Rows of documents; `columns` replace the defaults, one value for all rows or a list."""
    texts = list(texts)
    defaults = {"lang": "swh", "source": "news", "licence": "CC0-1.0", "group": "news/a.txt", "split": "auto"}
    return _frame({"id": _ids(len(texts)), "text": texts}, {**defaults, **columns}, len(texts))


def pairs(sides: Iterable[tuple[str, str]], **columns: Any) -> pl.DataFrame:
    """Rows of aligned pairs (source text, target text); `columns` as for documents."""
    sides = list(sides)
    texts = {"source_text": [a for a, _ in sides], "target_text": [b for _, b in sides]}
    defaults = {"source_lang": "eng", "target_lang": "swh", "score": None, "source": "news", "licence": "CC0-1.0"}
    defaults |= {"group": "news/a.txt", "split": "auto"}
    return _frame({"id": _ids(len(sides)), **texts}, {**defaults, **columns}, len(sides))


def corpus(folder: Path, rows: pl.DataFrame, *, rows_per_shard: int = 1_000_000) -> Path:
    """Write `rows` as a finished corpus of stage "clean" and return its folder."""
    kind: Kind = "documents" if "text" in rows.columns else "pairs"
    with stage_output(folder, stage="clean", version=1, parameters={}, inputs={}) as out:
        with ShardWriter(out, kind, rows_per_shard=rows_per_shard) as writer:
            for start in range(0, rows.height, rows_per_shard):
                writer.write(rows[start : start + rows_per_shard])
        out.tally.rows_in = out.tally.rows_out = rows.height
        out.details |= {"kind": kind, "languages": ["eng", "swh"]}
    return folder


def read(folder: Path, split: str | None = None) -> pl.DataFrame:
    """All rows of a corpus folder, or of one of its splits; no rows where there is no shard."""
    frames = list(read_frames(shard_paths(folder, split)))
    return pl.concat(frames) if frames else documents([])


def key(text: str) -> str:
    """The dedup key, written a second time."""
    lower = unicodedata.normalize("NFC", text).lower()
    return " ".join("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in lower).split())


def shingles(text: str, n: int = 5) -> set[str]:
    """The n-grams of a text's key; a shorter key is one shingle as a whole."""
    plain = key(text)
    return {plain[i : i + n] for i in range(max(1, len(plain) - n + 1))} if plain else set()


def jaccard(a: set[Any], b: set[Any]) -> float:
    """Jaccard similarity; 0.0 for two empty sets."""
    return len(a & b) / len(a | b) if a | b else 0.0


def _ids(count: int) -> list[str]:
    return [f"news/a.txt:{line}" for line in range(1, count + 1)]


def _frame(texts: dict[str, list[str]], columns: dict[str, Any], height: int) -> pl.DataFrame:
    repeated = {name: value if isinstance(value, list) else [value] * height for name, value in columns.items()}
    return pl.DataFrame({**texts, **repeated}, schema_overrides={"score": pl.Float32} if "score" in columns else None)
