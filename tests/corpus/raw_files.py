"""Raw files and sources for the tests of reading."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from lugha.corpus.read import read_source
from lugha.errors import InputError
from lugha.recipe.corpus_sections import Source

COMPRESSIONS = ["", ".gz", ".zst"]


def documents(path: str, **keys: Any) -> Source:
    return Source.model_validate({"name": "news", "path": path, "lang": "ig", **keys})


def pairs(path: str, **keys: Any) -> Source:
    return Source.model_validate(
        {"name": "bitext", "path": path, "kind": "pairs", "source_lang": "en", "target_lang": "ig", **keys}
    )


def rows(source: Source, root: Path) -> pl.DataFrame:
    return pl.concat(read_source(source, root))


def write(path: Path, data: bytes) -> None:
    """Write `data` as the ending of `path` says: plain, gzip or zstd."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)


def refusal(source: Source, root: Path) -> str:
    with pytest.raises(InputError) as error:
        rows(source, root)
    message = str(error.value)
    assert "\n" not in message
    return message.replace(str(root), "ROOT")
