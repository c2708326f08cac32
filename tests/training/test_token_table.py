"""A micro-batch as tables: the tensors told again in full, for every road."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED, Batch
from lugha.training.packed_batches import Stream, packed_rows
from lugha.training.token_table import Cell, TokenTable, padding_share, token_tables
from tests.tokens.texts import made_tokenizer

TOKENIZER = made_tokenizer("bytes")
PAD, BOS, EOS = OUR_ROLES.pad, OUR_ROLES.bos, OUR_ROLES.eos


def example(prompt: str, response: str) -> Stream:
    given, learned = (TOKENIZER.encode(text).ids for text in (prompt, response))
    ids = np.array([BOS, *given, *learned, EOS])
    return Stream(ids, np.arange(len(ids)) > len(given))


def told(tables: list[TokenTable], row_length: int) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """ids, labels and positions that the tables tell, with their padding."""
    ids, labels, positions = [], [], []
    for table in tables:
        assert len(table.cells) + table.padding == row_length
        ids.append([c.id for c in table.cells] + [PAD] * table.padding)
        labels.append([IGNORED if c.label is None else c.label for c in table.cells] + [IGNORED] * table.padding)
        positions.append([c.position for c in table.cells] + list(range(table.padding)))
    return ids, labels, positions


def test_packed_examples() -> None:
    streams = [[example("Ụlọ\n", "House"), example("maji\n", "water 50%")], [example("ọ́kụ́\n", "fire")]]
    batch = packed_rows(streams, 60, PAD)
    tables = token_tables(batch, TOKENIZER, OUR_ROLES)
    assert [t.title for t in tables] == ["row 0", "row 1"]
    ids, labels, positions = told(tables, 60)
    assert ids == batch["input_ids"].tolist()
    assert labels == batch["labels"].tolist()
    assert positions == batch["position_ids"].tolist()
    assert [t.predicted for t in tables] == [(row != IGNORED).sum() for row in batch["labels"]]
    assert padding_share(tables) == sum(t.padding for t in tables) / 120
    assert token_tables(batch, TOKENIZER, OUR_ROLES, rows=1) == tables[:1]


@pytest.mark.parametrize("style", ["bytes", "metaspace"])
def test_tokens_are_spelled_as_people_write_them(style) -> None:  # type: ignore[no-untyped-def]
    tokenizer: Tokenizer = made_tokenizer(style)
    ids = tokenizer.encode("ọ́kụ́ ng'ombe\n\t😀").ids
    batch = packed_rows([[Stream(np.array([BOS, *ids, EOS]), np.ones(len(ids) + 2, bool))]], len(ids) + 2, PAD)
    (table,) = token_tables(batch, tokenizer, OUR_ROLES)
    first, *cells, last = table.cells
    assert (first.text, first.special, last.text, last.special) == ("<s>", True, "</s>", True)
    assert not any(cell.special for cell in cells)
    spelled = "".join(cell.text for cell in cells)
    assert spelled.removeprefix("▁") == "ọ́kụ́▁ng'ombe\\n\\t\\xf0\\x9f\\x98\\x80"
    assert all(cell.label_text == cell.text for cell in table.cells)


def test_padding_inside_a_row_and_padding_that_is_predicted_are_listed() -> None:
    batch: Batch = {
        "input_ids": torch.tensor([[BOS, PAD, 40, PAD, PAD]]),
        "labels": torch.tensor([[IGNORED, PAD, 40, PAD, IGNORED]]),
        "position_ids": torch.arange(5)[None],
    }
    (table,) = token_tables(batch, TOKENIZER, OUR_ROLES)
    assert [(c.id, c.label) for c in table.cells] == [(BOS, None), (PAD, PAD), (40, 40), (PAD, PAD)]
    assert table.padding == 1


def test_both_sides_of_a_pair() -> None:
    batch: Batch = {
        "input_ids": torch.tensor([[4, 40, EOS, PAD], [5, 41, 42, EOS]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]),
        "decoder_input_ids": torch.tensor([[EOS, 5, 41, 42], [EOS, 4, 40, PAD]]),
        "labels": torch.tensor([[5, 41, 42, EOS], [4, 40, EOS, IGNORED]]),
    }
    tables = token_tables(batch, TOKENIZER, OUR_ROLES)
    assert [t.title for t in tables] == ["row 0, source", "row 0, target", "row 1, source", "row 1, target"]
    assert [(c.id, c.label, c.position) for c in tables[0].cells] == [(4, None, 0), (40, None, 1), (EOS, None, 2)]
    assert [(c.id, c.label) for c in tables[3].cells] == [(EOS, 4), (4, 40), (40, EOS)]
    assert tables[1].cells[0] == Cell("</s>", EOS, 5, TOKENIZER.id_to_token(5), 0, True)
    assert [t.padding for t in tables] == [1, 0, 0, 1]
    assert padding_share(tables) == 2 / 16
    assert token_tables(batch, TOKENIZER, OUR_ROLES, rows=1) == tables[:2]


def test_preferences_come_in_twos() -> None:
    ids = torch.tensor([[BOS, 40, 41, EOS], [BOS, 40, 42, EOS], [BOS, 43, EOS, PAD], [BOS, 44, EOS, PAD]])
    labels = torch.where((ids == BOS) | (ids == PAD) | (ids == 40), IGNORED, ids)
    batch = {"input_ids": ids, "labels": labels, "position_ids": torch.arange(4).repeat(4, 1), "pair": torch.tensor([7, 3])}
    tables = token_tables(batch, TOKENIZER, OUR_ROLES)
    assert [t.title for t in tables] == ["pair 7, chosen", "pair 7, rejected", "pair 3, chosen", "pair 3, rejected"]
    assert token_tables(batch, TOKENIZER, OUR_ROLES, rows=1) == tables[:2]


def test_an_id_that_the_tokenizer_does_not_know_is_shown_as_its_number() -> None:
    size = TOKENIZER.get_vocab_size()
    batch = packed_rows([[Stream(np.array([BOS, size + 5]), np.array([False, True]))]], 2, PAD)
    assert token_tables(batch, TOKENIZER, OUR_ROLES)[0].cells[1].text == f"[{size + 5}]"
