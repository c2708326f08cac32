"""Micro-batches of pairs: pairs stay pairs, directions are those asked for, the target's code comes first."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.recipe import TokensSection
from lugha.runs.manifest import stage_output
from lugha.tokens.shards import Sequences, TokenShards, TokenShardWriter
from lugha.tokens.special import OUR_ROLES, Roles
from lugha.training.batches import IGNORED, Batch
from lugha.training.pair_batches import PairBatches
from tests.worlds import World

LANGUAGES = ["eng", "hau", "ibo", "swh"]
CODES = np.array([4, 5, 6, 7])
SIZES = {("ibo", "eng"): 60, ("eng", "swh"): 12, ("hau", "eng"): 3}  # pairs in the shards below
PAD, EOS = OUR_ROLES.pad, OUR_ROLES.eos


@pytest.fixture
def paired(pairs: World) -> PairBatches:
    shards = TokenShards.open(pairs.tokens, "train")
    return PairBatches(shards, np.array([4, 5]), TokensSection(max_length=40), token_budget=200, seed=5, roles=OUR_ROLES)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    """Shards of pairs in three combinations of languages. Side s of all sides holds id 100 + s once or more: it can be told."""
    chance = np.random.default_rng(1)
    langs = [code for pair, count in SIZES.items() for _ in range(count) for code in pair]
    lengths = chance.integers(1, 12, len(langs))
    folder = tmp_path_factory.mktemp("mixed") / "tokens"
    with stage_output(folder, stage="tokens", version=1, parameters={}, inputs={}) as out:
        out.details |= {"kind": "pairs", "languages": LANGUAGES, "width": 2, "vocab_size": 1000, "fingerprint": "made"}
        out.details |= {"directions": [list(pair) for pair in SIZES], "splits": {"train": {}}}
        ids = np.repeat(100 + np.arange(len(langs)), lengths).astype("<u2")
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        numbers = np.array([LANGUAGES.index(code) for code in langs], np.uint8)
        with TokenShardWriter(out, "train", tokens_per_shard=100_000, together=2) as writer:
            writer.write(Sequences(ids, offsets, numbers, lengths.astype(np.int32)))
        out.tally.rows_in = out.tally.rows_out = len(langs) // 2
    return TokenShards.open(folder, "train")


def batches_of(shards: TokenShards, *, seed: int = 5, shuffled: bool = True, **tokens: object) -> PairBatches:
    section = TokensSection.model_validate({"max_length": 40} | tokens)
    return PairBatches(shards, CODES, section, token_budget=120, seed=seed, roles=OUR_ROLES, shuffled=shuffled)


def epoch_of(batches: PairBatches, epoch: int) -> list[Batch]:
    return [batches.micro_batch(epoch, index) for index in range(batches.micro_batches(epoch))]


def seen_in(batches: PairBatches, epoch: int) -> Counter[tuple[int, int]]:
    """How often each (source sequence, target sequence) stands in an epoch, read from the tensors."""
    seen: Counter[tuple[int, int]] = Counter()
    for batch in epoch_of(batches, epoch):
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            seen[ids[1] - 100, labels[1] - 100] += 1
    return seen


def test_every_pair_is_seen_once_in_each_direction_and_stays_a_pair(paired: PairBatches) -> None:
    seen: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for batch in epoch_of(paired, 0):
        assert batch["input_ids"].numel() + batch["labels"].numel() <= 200
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            seen[tuple(i for i in ids if i != PAD), tuple(i for i in labels if i != IGNORED)] += 1
    shards, expected = paired.shards, Counter()
    for pair in range(0, len(shards), 2):
        sides = [(int(paired.codes[shards.langs[s]]), *map(int, shards[s]), EOS) for s in (pair, pair + 1)]
        expected[sides[0], sides[1]] += 1
        expected[sides[1], sides[0]] += 1
    assert seen == expected


def test_the_same_place_gives_the_same_tensors_and_epochs_differ(mixed: TokenShards) -> None:
    for temperature in (1.0, 4.0):
        one, again = (batches_of(mixed, temperature=temperature) for _ in range(2))
        backwards = [again.micro_batch(3, index) for index in reversed(range(again.micro_batches(3)))]
        for a, b in zip(epoch_of(one, 3), reversed(backwards), strict=True):
            assert all(torch.equal(a[k], b[k]) for k in a)
        assert [b["input_ids"].tolist() for b in epoch_of(one, 3)] != [b["input_ids"].tolist() for b in epoch_of(one, 4)]


def test_the_decoder_reads_its_labels_one_step_behind(paired: PairBatches) -> None:
    batch = paired.micro_batch(0, 0)
    for decoder, labels in zip(batch["decoder_input_ids"], batch["labels"], strict=True):
        length = int((labels != IGNORED).sum())
        assert decoder[0] == EOS
        assert torch.equal(decoder[1:length], labels[: length - 1])
        assert labels[0] in (4, 5)
        assert labels[length - 1] == EOS


def test_each_side_begins_with_the_code_of_its_own_language(mixed: TokenShards) -> None:
    for batch in epoch_of(batches_of(mixed), 0):
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            for side in (ids, labels):
                assert side[0] == CODES[mixed.langs[side[1] - 100]]


def test_padding_is_known_by_length_not_by_id(mixed: TokenShards) -> None:
    """A text that holds the id of the padding token is read all the same."""
    roles = Roles(pad=int(mixed[0][0]), bos=1, eos=2, unk=3)
    batches = PairBatches(mixed, CODES, TokensSection(max_length=40), 120, 5, roles)
    for batch in epoch_of(batches, 0):
        for ids, mask in zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True):
            assert sum(mask) == ids.index(EOS) + 1
            assert mask == sorted(mask, reverse=True)


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


@pytest.mark.parametrize(
    ("language_pairs", "sizes"),
    [
        (["ig-en"], {"ibo-eng": 60}),
        (["en-ig"], {"eng-ibo": 60}),
        (["eng_Latn-ibo_Latn", "en-sw", "sw-en"], {"eng-ibo": 60, "eng-swh": 12, "swh-eng": 12}),
        ([], {"ibo-eng": 60, "eng-ibo": 60, "eng-swh": 12, "swh-eng": 12, "hau-eng": 3, "eng-hau": 3}),
    ],
)
def test_language_pairs_are_the_directions_that_are_trained(mixed: TokenShards, language_pairs, sizes) -> None:
    batches = batches_of(mixed, language_pairs=language_pairs)
    assert {str(d): d.examples for d in batches.directions} == sizes
    assert {str(d): d.drawn for d in batches.directions} == sizes
    seen = seen_in(batches, 0)
    assert set(seen.values()) == {1}
    langs = [LANGUAGES[n] for n in mixed.langs]
    assert Counter(f"{langs[a]}-{langs[b]}" for a, b in seen) == sizes


def test_language_pairs_stand_above_directions(mixed: TokenShards) -> None:
    batches = batches_of(mixed, language_pairs=["en-ig"], directions="forward")
    assert [str(d) for d in batches.directions] == ["eng-ibo"]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), temperature=st.floats(1, 50))
def test_at_any_temperature_each_direction_has_its_places_and_its_examples_take_turns(mixed, seed, temperature) -> None:
    batches = batches_of(mixed, seed=seed, temperature=temperature)
    langs = [LANGUAGES[n] for n in mixed.langs]
    over_epochs: Counter[tuple[int, int]] = Counter({tuple(e): 0 for e in batches.examples.tolist()})
    for epoch in range(3):
        seen = seen_in(batches, epoch)
        assert seen.total() == len(batches.examples)
        assert Counter(f"{langs[a]}-{langs[b]}" for a, b in seen.elements()) == {str(d): d.drawn for d in batches.directions}
        over_epochs += seen
        for direction in batches.directions:
            members = [e for e in batches.examples.tolist() if f"{langs[e[0]]}-{langs[e[1]]}" == str(direction)]
            times = [over_epochs[tuple(e)] for e in members]
            assert max(times) - min(times) <= 1


def test_temperature_raises_small_directions_and_its_order_is_not_that_of_the_data(mixed: TokenShards) -> None:
    parts = {str(d): d.drawn for d in batches_of(mixed, temperature=5).directions}
    assert sum(parts.values()) == 150
    assert parts["eng-ibo"] < 60 and parts["eng-swh"] > 12 and parts["hau-eng"] > 3
    assert parts["eng-ibo"] == pytest.approx(150 * 60**0.2 / (2 * (60**0.2 + 12**0.2 + 3**0.2)), abs=1)
    assert batches_of(mixed, temperature=5).tokens_per_epoch == sum(
        int((batch["labels"] != IGNORED).sum()) for batch in epoch_of(batches_of(mixed, temperature=5), 0)
    )


def test_what_is_measured_stands_once_whatever_the_temperature(mixed: TokenShards) -> None:
    batches = batches_of(mixed, temperature=20, shuffled=False)
    assert set(seen_in(batches, 0).values()) == {1}
    assert len(seen_in(batches, 0)) == len(batches.examples)
    assert all(d.drawn == d.examples for d in batches.directions)


def test_a_direction_without_pairs_is_refused_with_those_that_exist(mixed: TokenShards) -> None:
    with pytest.raises(InputError) as error:
        batches_of(mixed, language_pairs=["en-ig", "ha-sw"])
    message = str(error.value)
    assert "no pairs for hau-swh" in message
    assert "eng-hau, eng-ibo, eng-swh, hau-eng, ibo-eng, swh-eng" in message
    with pytest.raises(InputError, match="no pairs for eng-yor"):
        batches_of(mixed, language_pairs=["en-yo"])
    with pytest.raises(InputError, match='"swa_Latn" is not an NLLB code'):
        batches_of(mixed, language_pairs=["eng_Latn-swa_Latn"])
    measured = batches_of(mixed, language_pairs=["en-ig", "ha-sw"], shuffled=False)
    assert [str(d) for d in measured.directions] == ["eng-ibo"]
    with pytest.raises(InputError, match="No pair of hau-swh fits"):
        batches_of(mixed, language_pairs=["ha-sw"], shuffled=False)


def test_a_direction_of_long_pairs_only_is_refused_by_that_reason(mixed: TokenShards) -> None:
    longest = int(mixed.lengths.reshape(-1, 2)[-3:].max(axis=1).min()) + 2  # of each hau-eng pair its longer side
    section = TokensSection.model_construct(max_length=longest - 1, language_pairs=["en-ig", "en-ha"], temperature=1.0)
    with pytest.raises(InputError, match=f"no pair of eng-hau fits tokens.max_length {longest - 1}"):
        PairBatches(mixed, CODES, section, 120, 5, OUR_ROLES)


def test_pairs_that_are_too_long_are_counted_and_none_left_is_an_error(pairs: World) -> None:
    shards = TokenShards.open(pairs.tokens, "train")
    some = PairBatches(shards, np.array([4, 5]), TokensSection(max_length=10), 200, 5, roles=OUR_ROLES)
    assert 0 < some.too_long < len(shards) // 2
    assert len(some.examples) == 2 * (len(shards) // 2 - some.too_long)
    shorter = TokensSection.model_construct(max_length=3, directions="both", language_pairs=[], temperature=1.0)
    with pytest.raises(InputError, match=r"No pair fits tokens\.max_length 3 on both sides"):
        PairBatches(shards, np.array([4, 5]), shorter, 200, 5, roles=OUR_ROLES)


def test_pairs_of_other_directions_are_not_counted_as_too_long(mixed: TokenShards) -> None:
    """`too_long` counts what the run would have trained on."""
    everything = batches_of(mixed, max_length=8).too_long
    parts = [batches_of(mixed, max_length=8, language_pairs=[pair], shuffled=False).too_long for pair in ("en-ig", "en-sw")]
    assert 0 < sum(parts) <= everything
    assert batches_of(mixed, max_length=8, language_pairs=["en-ig", "ig-en"]).too_long == parts[0]


def test_the_world_is_what_the_tests_take_it_for(mixed: TokenShards, tmp_path: Path) -> None:
    assert len(mixed) == 2 * sum(SIZES.values())
    assert mixed[7][0] == 107
