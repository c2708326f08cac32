"""Small corpora on disk for the tests of tokens, as the corpus stages leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from lugha.corpus.shards import Kind, ShardWriter
from lugha.runs.manifest import stage_output
from tests.worlds import write_split


def document(text: str, lang: str = "swh", source: str = "made") -> dict[str, Any]:
    """A row of documents."""
    return {"id": f"{source}:1", "text": text, "lang": lang, "source": source, "licence": "CC0-1.0", "group": "g"}


def pair(
    source_text: str, target_text: str, langs: tuple[str, str] = ("ibo", "eng"), source: str = "made"
) -> dict[str, Any]:
    """A row of pairs."""
    row = {"id": f"{source}:1", "source_text": source_text, "target_text": target_text, "score": None}
    row |= {"source_lang": langs[0], "target_lang": langs[1]}
    return row | {"source": source, "licence": "CC0-1.0", "group": "g"}


def split_corpus(folder: Path, kind: Kind, languages: list[str], **rows: list[dict[str, Any]]) -> Path:
    """A split corpus; splits that are not given are empty."""
    every = {split: rows.get(split, []) for split in ("train", "validation", "test")}
    details: dict[str, object] = {"languages": languages}
    if kind == "pairs":
        details["directions"] = [["ibo", "eng"]]
    write_split(folder, {split: members for split, members in every.items() if members}, kind, details)
    return folder


def filtered_corpus(folder: Path, languages: list[str], rows: list[dict[str, Any]]) -> Path:
    """A corpus of documents before it is split."""
    with stage_output(folder, stage="filter", version=1, parameters={}, inputs={}) as out:
        with ShardWriter(out, "documents") as writer:
            writer.write(pl.DataFrame([row | {"split": "auto"} for row in rows]))
        out.tally.rows_in = out.tally.rows_out = writer.rows
        out.details |= {"kind": "documents", "languages": languages}
    return folder
