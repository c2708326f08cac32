"""Reads the raw files of a source into frames of rows, piece by piece.

    for frame in read_source(source, root): ...     documents or pairs, in the columns of shards.SCHEMAS

Format      A row is                                                          Row number
txt         a line, that is one document                                      line
moses       line n of one file and line n of the other                        line
jsonl       an object; `text` (or `source_text`, `target_text`) name keys     line
tsv         a line of cells without quoting; the first line names them        line (so the first row is 2)
csv         the same with quoting as in RFC 4180                              line on which the row begins
parquet     a row; the keys name columns                                      row

tsv and csv without a header: name columns by their numbers from 1. A blank line stays a row with empty text and leaves in
cleaning, with its reason and with its other side. `id` is `<source>/<file>:<row>`; `group` is the file, with `:<value>`
for a `group` column or `:<block>` for `group_lines`. Texts are raw: nothing is stripped or decoded but the line itself.

A frame holds at most 50,000 rows and about 16 M characters, so that memory does not grow with the corpus.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lugha.corpus.find import RawFile, find_files
from lugha.corpus.lines import read_lines
from lugha.corpus.shards import ROWS_PER_GROUP
from lugha.errors import InputError, nearest
from lugha.languages.registry import get_language
from lugha.recipe.corpus_sections import Source

MAX_CHARACTERS = 16_000_000
_PARQUET_BATCH = 1024
_CSV_FIELD_LIMIT = (1 << 31) - 1
_STRING_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


class Row(NamedTuple):
    """One raw row: its number, one text or two, and what columns say of it."""

    number: int
    texts: tuple[str, ...]
    score: float | None = None
    group: str | None = None


def read_source(source: Source, root: Path) -> Iterator[pl.DataFrame]:
    """Yield the rows of all files of `source`, in order.

    Args:
        root: what `source.path` is relative to.

    Raises:
        InputError: a file is missing, broken or not UTF-8, a column or key is missing, a value is not text, or two aligned
            files have different numbers of lines; one line that names the file and the row.
    """
    _check(source)
    rows: list[tuple[RawFile, Row]] = []
    characters = 0
    for file in find_files(source, root):
        if file.format not in _READERS:
            raise InputError(f'source "{source.name}": {file.path}: cannot be read as {file.format}.')
        for row in _READERS[file.format](file, source):
            rows.append((file, row))
            characters += sum(map(len, row.texts))
            if len(rows) >= ROWS_PER_GROUP or characters >= MAX_CHARACTERS:
                yield _frame(source, rows)
                rows, characters = [], 0
    if rows:
        yield _frame(source, rows)


def _check(source: Source) -> None:
    """Refuse keys that do not go together, before any file is opened."""
    where = f'source "{source.name}"'
    is_moses = source.target_path is not None
    if is_moses and (source.kind != "pairs" or source.format not in ("auto", "moses")):
        raise InputError(f"{where}: `target_path` goes with `kind: pairs` and `format: moses` alone.")
    if (is_moses or source.format == "txt") and (source.group or source.score):
        raise InputError(f"{where}: `group` and `score` name columns, and its files have none. Leave them out.")
    if source.segment == "sentence" and source.kind == "pairs":
        raise InputError(f"{where}: `segment: sentence` is for documents; pairs are never cut.")


def _frame(source: Source, rows: Sequence[tuple[RawFile, Row]]) -> pl.DataFrame:
    sides = [list(side) for side in zip(*(row.texts for _, row in rows), strict=True)]
    if marks := set(source.empty_marks):
        sides = [["" if text.strip() in marks else text for text in side] for side in sides]
    columns: dict[str, Any] = {"id": [f"{source.name}/{file.name}:{row.number}" for file, row in rows]}
    if source.kind == "documents":
        columns["text"] = sides[0]
        constants = {"lang": get_language(str(source.lang)).code}
    else:
        columns["source_text"], columns["target_text"] = sides
        columns["score"] = pl.Series([row.score for _, row in rows], dtype=pl.Float32)
        constants = {
            "source_lang": get_language(str(source.source_lang)).code,
            "target_lang": get_language(str(source.target_lang)).code,
        }
    columns["group"] = [_group(source, file, row) for file, row in rows]
    constants |= {"source": source.name, "licence": source.licence, "split": source.split}
    return pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in constants.items())


def _group(source: Source, file: RawFile, row: Row) -> str:
    name = f"{source.name}/{file.name}"
    if row.group is not None:
        return f"{name}:{row.group}"
    if source.group_lines:
        return f"{name}:{(row.number - 1) // source.group_lines + 1}"
    return name


# --- one reader for each format --------------------------------------------------------------------------------------


def _text_columns(source: Source) -> tuple[str, ...]:
    return (source.text,) if source.kind == "documents" else (source.source_text, source.target_text)


def _columns(source: Source) -> list[str]:
    return [*_text_columns(source), *(column for column in (source.score, source.group) if column)]


def _read_txt(file: RawFile, source: Source) -> Iterator[Row]:
    if source.kind == "pairs":
        raise InputError(
            f'source "{source.name}": {file.path}: a text file holds one side. Pairs need `target_path`, or a file with columns.'
        )
    for number, line in read_lines(file.path):
        yield Row(number, (line,))


def _read_moses(file: RawFile, source: Source) -> Iterator[Row]:
    assert file.target is not None
    first, second = read_lines(file.path), read_lines(file.target)
    for one, other in zip_longest(first, second):
        if one is None or other is None:
            shorter = (one or other)[0] - 1
            longer = shorter + 1 + sum(1 for _ in (second if one is None else first))
            counts = (shorter, longer) if one is None else (longer, shorter)
            raise InputError(
                f"{file.path} has {counts[0]} lines but {file.target} has {counts[1]}: they are not aligned. "
                "Fetch both again; nothing was cut to the shorter."
            )
        yield Row(one[0], (one[1], other[1]))


def _read_jsonl(file: RawFile, source: Source) -> Iterator[Row]:
    wanted = _text_columns(source)
    for number, line in read_lines(file.path):
        where = f"{file.path}: line {number}"
        if not line.strip():
            yield Row(number, ("",) * len(wanted))
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON ({error.msg}, character {error.pos + 1}).") from error
        if not isinstance(values, dict):
            raise InputError(f'{where}: not a JSON object. A row is written as {{"{wanted[0]}": "..."}}.')
        row = _row_of(values, number, where, source)
        if "\\u" in line:
            _refuse_half_characters(row, where)
        yield row


def _refuse_half_characters(row: Row, where: str) -> None:
    """JSON can write half of a UTF-16 pair alone; no UTF-8 file can hold that."""
    try:
        "".join(row.texts).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: half a character (\\u{ord(error.object[error.start]):04x}) stands alone.") from error


def _read_tsv(file: RawFile, source: Source) -> Iterator[Row]:
    return _read_cells(file, source, ((number, line.split("\t") if line else []) for number, line in read_lines(file.path)))


def _read_csv(file: RawFile, source: Source) -> Iterator[Row]:
    def cells() -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(_CSV_FIELD_LIMIT)  # for the whole process: the default of 128 KB is shorter than a document
        reader = csv.reader((f"{line}\n" for _, line in read_lines(file.path)), strict=True)
        while True:
            begins = reader.line_num + 1
            try:
                yield begins, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise InputError(f"{file.path}: the row that begins on line {begins} is not CSV ({error}).") from error

    return _read_cells(file, source, cells())


def _read_cells(file: RawFile, source: Source, table: Iterator[tuple[int, list[str]]]) -> Iterator[Row]:
    """Rows of a table of cells; its first row names the columns, unless the source names them by number."""
    texts, wanted = _text_columns(source), _columns(source)
    header: list[str] | None = None
    if all(column.isdigit() for column in wanted):
        header = []
    for number, cells in table:
        where = f"{file.path}: line {number}"
        if header is None:
            header = cells
            _require(wanted, header, where)
            continue
        if not cells:
            yield Row(number, ("",) * len(texts))
            continue
        names = header or [str(i) for i in range(1, len(cells) + 1)]
        if len(cells) != len(names):
            raise InputError(f"{where}: has {len(cells)} cells, but the header has {len(names)} columns.")
        yield _row_of(dict(zip(names, cells, strict=True)), number, where, source)


def _read_parquet(file: RawFile, source: Source) -> Iterator[Row]:
    texts, wanted = _text_columns(source), _columns(source)
    number = 0
    try:
        with pq.ParquetFile(file.path) as shard:
            schema = shard.schema_arrow
            _require(wanted, schema.names, str(file.path))
            for column in texts:
                kind = schema.field(column).type
                inner = kind.value_type if pa.types.is_dictionary(kind) else kind
                if not any(is_text(inner) for is_text in _STRING_TYPES):
                    raise InputError(f'{file.path}: column "{column}" holds {kind}, not text.')
            for batch in shard.iter_batches(_PARQUET_BATCH, columns=list(dict.fromkeys(wanted))):
                for values in batch.to_pylist():
                    number += 1
                    yield _row_of(values, number, f"{file.path}: row {number}", source)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise InputError(f"{file.path}: not readable as Parquet ({' '.join(str(error).split())}).") from error


_READERS: dict[str, Callable[[RawFile, Source], Iterator[Row]]] = {
    "txt": _read_txt,
    "moses": _read_moses,
    "jsonl": _read_jsonl,
    "tsv": _read_tsv,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


# --- values -----------------------------------------------------------------------------------------------------------


def _row_of(values: Mapping[str, Any], number: int, where: str, source: Source) -> Row:
    """Pick and check the values of one row; a null text is an empty one."""
    try:
        texts = tuple(_text(values[column], column, where) for column in _text_columns(source))
        score = _score(values[source.score], source.score, where) if source.score else None
        group = _group_value(values[source.group], source.group, where) if source.group else None
    except KeyError:
        _require(_columns(source), list(values), where)
        raise
    return Row(number, texts, score, group)


def _require(wanted: Sequence[str], names: Sequence[str], where: str) -> None:
    for name in wanted:
        if name not in names:
            raise InputError(f'{where}: has no column or key "{name}".{nearest(name, names)}')


def _text(value: Any, column: str, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f'{where}: "{column}" is {_shown(value)}, not text.')
    return value


def _score(value: Any, column: str, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score) or isinstance(value, bool):
        raise InputError(f'{where}: "{column}" is {_shown(value)}, not a number.')
    return score


def _group_value(value: Any, column: str, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InputError(
            f'{where}: "{column}" is {_shown(value)}, but names the group of the row: a text or a whole number.'
        )
    return str(value)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:40]}..."
