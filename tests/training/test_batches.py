"""Packed micro-batches: nothing lost, labels where they belong, the same tensors for the same place."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from lugha.models.build import BOS, EOS, PAD
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED
from lugha.training.packed_batches import PackedBatches
from tests.worlds import World


@pytest.fixture
def packed(documents: World) -> PackedBatches:
    return PackedBatches(TokenShards.open(documents.tokens, "train"), row_length=16, rows=4, seed=5, roles=OUR_ROLES)


def test_an_epoch_predicts_every_token_of_every_document_once(packed: PackedBatches) -> None:
    predicted: Counter[int] = Counter()
    for index in range(packed.micro_batches(0)):
        labels = packed.micro_batch(0, index)["labels"]
        predicted.update(labels[labels != IGNORED].tolist())
    shards = packed.shards
    expected: Counter[int] = Counter()
    for document in range(len(shards)):
        expected.update(np.asarray(shards[document]).tolist())
    expected[EOS] += len(shards)
    assert predicted == expected
    assert predicted.total() == packed.tokens_per_epoch


def test_positions_restart_where_documents_begin_and_at_padding(packed: PackedBatches) -> None:
    batch = packed.micro_batch(0, 0)
    for ids, labels, positions in zip(batch["input_ids"], batch["labels"], batch["position_ids"], strict=True):
        for place in range(1, len(ids)):
            if ids[place] == BOS:
                assert positions[place] == 0
                assert labels[place] == IGNORED  # the last token of one document never predicts the next
            if ids[place] == PAD:
                assert labels[place] == IGNORED
        assert positions[0] == 0
        steps = np.diff(positions.numpy())
        assert set(steps[steps != 1] <= 0) <= {True}


def test_the_same_place_gives_the_same_tensors_and_epochs_differ(packed: PackedBatches) -> None:
    one, again, later = packed.micro_batch(1, 3), packed.micro_batch(1, 3), packed.micro_batch(2, 3)
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert not torch.equal(one["input_ids"], later["input_ids"])
