"""A micro-batch as a person can read it: token by token, with what is predicted where.

    for table in token_tables(batch, tokenizer, roles, rows=1):
        table.title, [(cell.text, cell.id, cell.label, cell.position) for cell in table.cells]

Most runs that learned the wrong thing would have been stopped by one look at this: a prompt in the loss, no end of text, a
language code on the wrong side, a letter that fell apart into bytes. Padding at the end of a row is counted, not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tokenizers import Tokenizer

from lugha.tokens.special import Roles, special_ids
from lugha.tokens.style import token_bytes
from lugha.training.batches import IGNORED, Batch

_SIGNS = str.maketrans({" ": "▁", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Cell(NamedTuple):
    """One token and its place."""

    text: str  # blanks as ▁; bytes that are no whole character as \\x..
    id: int
    label: int | None  # id that is predicted there; None: nothing is
    label_text: str
    position: int
    special: bool


@dataclass(frozen=True)
class TokenTable:
    """One row of a micro-batch, or one side of it."""

    title: str
    cells: list[Cell]
    padding: int  # tokens of padding behind the cells

    @property
    def predicted(self) -> int:
        """Tokens that are predicted."""
        return sum(cell.label is not None for cell in self.cells)


def token_tables(batch: Batch, tokenizer: Tokenizer, roles: Roles, rows: int | None = None) -> list[TokenTable]:
    """Tables of the first `rows` rows (default: all): one a row for a decoder, source and target for an encoder-decoder.

    Of preferences `rows` counts pairs: each gives a table for the chosen and one for the rejected answer.
    """
    spell = _speller(tokenizer)
    plain = {name: tensor.tolist() for name, tensor in batch.items()}
    if "decoder_input_ids" in plain:
        tables = _both_sides(plain, roles.pad, spell)
    else:
        tables = _packed(plain, roles.pad, spell)
    return tables if rows is None else tables[: rows * (len(tables) // _examples(plain))]


def padding_share(tables: list[TokenTable]) -> float:
    """Share of padding among all tokens of the tables."""
    padding = sum(table.padding for table in tables)
    return padding / (padding + sum(len(table.cells) for table in tables))


def _examples(batch: Mapping[str, list[list[int]]]) -> int:
    return len(batch["pair"] if "pair" in batch else batch["input_ids"])


def _packed(batch: Mapping[str, list[list[int]]], pad: int, spell: Callable[[int], tuple[str, bool]]) -> list[TokenTable]:
    tables = []
    for row, ids in enumerate(batch["input_ids"]):
        labels, positions = batch["labels"][row], batch["position_ids"][row]
        title = f"row {row}"
        if "pair" in batch:
            title = f"pair {batch['pair'][row // 2]}, {('chosen', 'rejected')[row % 2]}"
        tables.append(_table(title, ids, labels, positions, pad, spell))
    return tables


def _both_sides(
    batch: Mapping[str, list[list[int]]], pad: int, spell: Callable[[int], tuple[str, bool]]
) -> list[TokenTable]:
    tables = []
    for row, source in enumerate(batch["input_ids"]):
        decoder, labels = batch["decoder_input_ids"][row], batch["labels"][row]
        tables.append(_table(f"row {row}, source", source, [IGNORED] * len(source), range(len(source)), pad, spell))
        tables.append(_table(f"row {row}, target", decoder, labels, range(len(decoder)), pad, spell))
    return tables


def _table(
    title: str,
    ids: list[int],
    labels: list[int],
    positions: list[int] | range,
    pad: int,
    spell: Callable[[int], tuple[str, bool]],
) -> TokenTable:
    end = len(ids)
    while end and ids[end - 1] == pad and labels[end - 1] == IGNORED:
        end -= 1
    cells = []
    for i, label, position in zip(ids[:end], labels[:end], positions[:end], strict=True):
        text, special = spell(i)
        if label == IGNORED:
            cells.append(Cell(text, i, None, "", position, special))
        else:
            cells.append(Cell(text, i, label, spell(label)[0], position, special))
    return TokenTable(title, cells, len(ids) - end)


def _speller(tokenizer: Tokenizer) -> Callable[[int], tuple[str, bool]]:
    """The function id -> (text, whether it is a special token)."""
    spelled = token_bytes(tokenizer)
    special = {i: text for text, i in special_ids(tokenizer).items()}

    def spell(i: int) -> tuple[str, bool]:
        if i in special:
            return special[i], True
        if i >= len(spelled):  # rows of an embedding that is larger than its tokenizer
            return f"[{i}]", True
        return spelled[i].decode("utf-8", "backslashreplace").translate(_SIGNS), False

    return spell
