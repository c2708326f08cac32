"""Micro-batches: nothing lost, labels where they belong, the same tensors for the same place."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from lugha.errors import InputError
from lugha.models.build import BOS, EOS, PAD
from lugha.recipe import TokensSection
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED
from lugha.training.packed_batches import PackedBatches
from lugha.training.pair_batches import PairBatches
from tests.worlds import World


@pytest.fixture
def packed(documents: World) -> PackedBatches:
    return PackedBatches(TokenShards.open(documents.tokens, "train"), row_length=16, rows=4, seed=5, roles=OUR_ROLES)


@pytest.fixture
def paired(pairs: World) -> PairBatches:
    shards = TokenShards.open(pairs.tokens, "train")
    return PairBatches(shards, np.array([4, 5]), TokensSection(max_length=40), token_budget=200, seed=5, roles=OUR_ROLES)


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


@pytest.mark.parametrize("kind", ["packed", "paired"])
def test_the_same_place_gives_the_same_tensors_and_epochs_differ(kind: str, request: pytest.FixtureRequest) -> None:
    batches = request.getfixturevalue(kind)
    one, again, later = batches.micro_batch(1, 3), batches.micro_batch(1, 3), batches.micro_batch(2, 3)
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert one["input_ids"].shape != later["input_ids"].shape or not torch.equal(one["input_ids"], later["input_ids"])


def test_every_pair_is_seen_once_in_each_direction_and_stays_a_pair(paired: PairBatches) -> None:
    seen: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for index in range(paired.micro_batches(0)):
        batch = paired.micro_batch(0, index)
        assert batch["input_ids"].numel() + batch["labels"].numel() <= 200
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            seen[tuple(i for i in ids if i != PAD), tuple(i for i in labels if i != IGNORED)] += 1
    shards, expected = paired.shards, Counter()
    for pair in range(0, len(shards), 2):
        sides = [(int(paired.codes[shards.langs[s]]), *map(int, shards[s]), EOS) for s in (pair, pair + 1)]
        expected[sides[0], sides[1]] += 1
        expected[sides[1], sides[0]] += 1
    assert seen == expected


def test_the_decoder_reads_its_labels_one_step_behind(paired: PairBatches) -> None:
    batch = paired.micro_batch(0, 0)
    for decoder, labels in zip(batch["decoder_input_ids"], batch["labels"], strict=True):
        length = int((labels != IGNORED).sum())
        assert decoder[0] == EOS
        assert torch.equal(decoder[1:length], labels[: length - 1])
        assert labels[0] in (4, 5)
        assert labels[length - 1] == EOS


def test_similar_lengths_stand_together(paired: PairBatches) -> None:
    assert paired.padding < 0.15


@pytest.mark.parametrize(("directions", "factor"), [("both", 2), ("forward", 1), ("backward", 1)])
def test_directions(pairs: World, directions: str, factor: int) -> None:
    shards = TokenShards.open(pairs.tokens, "train")
    section = TokensSection.model_validate({"max_length": 40, "directions": directions})
    batches = PairBatches(shards, np.array([4, 5]), section, 200, 5, roles=OUR_ROLES)
    assert len(batches.examples) == factor * len(shards) // 2
    if directions == "backward":
        assert batches.examples[0].tolist() == [1, 0]


def test_pairs_that_are_too_long_are_counted_and_none_left_is_an_error(pairs: World) -> None:
    shards = TokenShards.open(pairs.tokens, "train")
    some = PairBatches(shards, np.array([4, 5]), TokensSection(max_length=10), 200, 5, roles=OUR_ROLES)
    assert 0 < some.too_long < len(shards) // 2
    assert len(some.examples) == 2 * (len(shards) // 2 - some.too_long)
    with pytest.raises(InputError, match=r"No pair fits tokens\.max_length 3 on both sides"):
        _ = PairBatches(
            shards, np.array([4, 5]), TokensSection.model_construct(max_length=3, directions="both"), 200, 5, roles=OUR_ROLES
        )
