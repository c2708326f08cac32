"""Packed examples: nothing lost, the loss on responses and their ends alone, formats drawn fairly, packing without effect."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

from lugha.errors import InputError
from lugha.recipe import ExamplesSection, TokensSection
from lugha.tokens.build_examples import build_pair_examples
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED, Batch
from lugha.training.example_batches import ExampleBatches
from lugha.training.packed_batches import answered_stream
from tests.worlds import World

PAD, BOS, EOS = OUR_ROLES.pad, OUR_ROLES.bos, OUR_ROLES.eos
F = 4


@dataclass(frozen=True)
class Store:
    """Made-up examples: sequence i has ids 10 + i, the first `given[i]` of them given."""

    sizes: list[int]
    given: list[int]

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return np.array(self.sizes, dtype=np.int32)

    @property
    def predicted_counts(self) -> npt.NDArray[np.int32]:
        return np.array(self.sizes, dtype=np.int32) - np.array(self.given, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> npt.NDArray[np.int64]:
        return np.full(self.sizes[number], 10 + number, dtype=np.int64)

    def predicted(self, number: int) -> npt.NDArray[np.bool_]:
        return np.arange(self.sizes[number]) >= self.given[number]


def made(pairs: int, seed: int = 0, longest: int = 14) -> Store:
    chance = np.random.default_rng(seed)
    sizes = chance.integers(2, longest + 1, pairs * F)
    return Store(sizes.tolist(), (chance.random(pairs * F) * (sizes - 1)).astype(int).tolist())


def batches(store: Store, *, per_pair: int | None = None, row_length: int = 16, shuffled: bool = True) -> ExampleBatches:
    return ExampleBatches(store, F, per_pair, row_length, 4, 5, OUR_ROLES, shuffled)


@pytest.fixture(scope="module")
def real(pairs: World, tmp_path_factory: pytest.TempPathFactory) -> ExampleBatches:
    """Examples of the tiny world's pairs as the tokens stage makes them."""
    folder: Path = tmp_path_factory.mktemp("examples") / "tokens"
    build_pair_examples(pairs.split, pairs.tokenizer, folder, tokens=TokensSection(), examples=ExamplesSection())
    return ExampleBatches(TokenShards.open(folder, "train"), F, None, 256, 4, 5, OUR_ROLES)


def epoch_of(found: ExampleBatches, epoch: int) -> list[Batch]:
    return [found.micro_batch(epoch, i) for i in range(found.micro_batches(epoch))]


def seen(found: ExampleBatches, epoch: int) -> Counter[int]:
    """How often each sequence of a `Store` is begun in an epoch."""
    return Counter(
        int(ids[place + 1]) - 10
        for batch in epoch_of(found, epoch)
        for ids in batch["input_ids"]
        for place in np.flatnonzero(ids.numpy() == BOS)
    )


# --- what is predicted ------------------------------------------------------------------------------------------------


def test_every_token_of_a_response_and_its_end_are_predicted_once_in_an_epoch(real: ExampleBatches) -> None:
    found: Counter[int] = Counter()
    for batch in epoch_of(real, 1):
        found.update(batch["labels"][batch["labels"] != IGNORED].tolist())
    shards, expected = real.shards, Counter({EOS: len(real.shards)})
    for i in range(len(shards)):
        expected.update(shards[i][shards.predicted(i)].tolist())
    assert found == expected
    assert found.total() == real.tokens_per_epoch


def test_each_example_stands_whole_between_its_marks_and_its_prompt_is_never_predicted(real: ExampleBatches) -> None:
    shards = real.shards
    left = Counter((tuple(shards[i].tolist()), tuple(shards.predicted(i).tolist())) for i in range(len(shards)))
    for batch in epoch_of(real, 0):
        for ids, labels, positions in zip(*(batch[k].numpy() for k in ("input_ids", "labels", "position_ids")), strict=True):
            begins, ends = np.flatnonzero(ids == BOS), np.flatnonzero(ids == EOS)
            assert begins[0] == 0
            assert begins[1:].tolist() == (ends[:-1] + 1).tolist()
            for begin, end in zip(begins, ends, strict=True):
                left[tuple(ids[begin + 1 : end].tolist()), tuple((labels[begin + 1 : end] != IGNORED).tolist())] -= 1
                assert labels[begin] == IGNORED
                assert labels[end] == EOS
                assert positions[begin : end + 1].tolist() == list(range(end + 1 - begin))
            assert (ids[ends[-1] + 1 :] == PAD).all()
            assert (labels[ends[-1] + 1 :] == IGNORED).all()
            assert positions[ends[-1] + 1 :].tolist() == list(range(len(ids) - ends[-1] - 1))
            kept = labels != IGNORED
            assert (labels[kept] == ids[kept]).all()
    assert not +left
    assert not -left


def test_an_end_that_ends_no_response_is_not_predicted() -> None:
    store = Store([5] * F, [2] * F)
    cut_off = replace(store)
    object.__setattr__(cut_off, "predicted", lambda number: np.array([False, True, True, False, False]))
    (batch,) = epoch_of(ExampleBatches(cut_off, F, None, 28, 4, 5, OUR_ROLES), 0)
    assert not (batch["labels"] == EOS).any()
    assert (batch["labels"] != IGNORED).sum() == 2 * F


def test_ids_that_look_like_padding_or_marks_are_told_by_position() -> None:
    class Odd(Store):
        def __getitem__(self, number: int) -> npt.NDArray[np.int64]:
            return np.array([PAD, EOS, BOS, PAD, EOS])[: self.sizes[number]]

    (batch,) = epoch_of(ExampleBatches(Odd([5] * F, [2] * F), F, None, 28, 4, 5, OUR_ROLES), 0)
    one = [IGNORED, IGNORED, IGNORED, BOS, PAD, EOS, EOS]
    assert batch["labels"].tolist() == [one * F]


# --- order and draw ---------------------------------------------------------------------------------------------------


def test_the_same_place_gives_the_same_tensors_and_epochs_differ() -> None:
    store = made(60)
    for per_pair in (None, 2):
        one, again = batches(store, per_pair=per_pair), batches(store, per_pair=per_pair)
        for _ in epoch_of(again, 3):  # what was read before makes no difference
            pass
        first, second = one.micro_batch(1, 3), again.micro_batch(1, 3)
        assert all(torch.equal(first[k], second[k]) for k in first)
        assert not torch.equal(first["input_ids"], one.micro_batch(2, 3)["input_ids"])
        other_seed = ExampleBatches(store, F, per_pair, 16, 4, 6, OUR_ROLES)
        assert not torch.equal(first["input_ids"], other_seed.micro_batch(1, 3)["input_ids"])


def test_in_the_order_of_the_shards_where_nothing_is_shuffled() -> None:
    store = made(40)
    found = batches(store, shuffled=False)
    assert found.sequences(0).tolist() == list(range(len(store)))
    assert found.sequences(5).tolist() == list(range(len(store)))
    assert torch.equal(found.micro_batch(0, 1)["input_ids"], found.micro_batch(9, 1)["input_ids"])
    assert found.micro_batch(0, 0)["input_ids"][0, 1] == 10


@settings(max_examples=25)
@given(st.integers(1, 12), st.sampled_from([None, 1, 2, 3, 4]), st.integers(0, 5), st.integers(0, 9))
def test_an_epoch_holds_its_examples_once_each(pairs: int, per_pair: int | None, epoch: int, seed: int) -> None:
    store = made(pairs, seed)
    found = batches(store, per_pair=per_pair)
    counted = seen(found, epoch)
    assert set(counted.values()) == {1}
    assert Counter(sequence // F for sequence in counted) == dict.fromkeys(range(pairs), per_pair or F)
    assert sorted(counted) == sorted(found.sequences(epoch).tolist())


@pytest.mark.parametrize("begin", [0, 1, 6])
def test_as_many_epochs_as_formats_show_each_format_of_each_pair_once(begin: int) -> None:
    store = made(50)
    found = batches(store, per_pair=1)
    total: Counter[int] = Counter()
    for epoch in range(begin, begin + F):
        total += seen(found, epoch)
    assert total == dict.fromkeys(range(len(store)), 1)


def test_every_epoch_has_its_share_of_each_format() -> None:
    store = Store([3] * 4000 * F, [1] * 4000 * F)
    found = batches(store, per_pair=1)
    for epoch in (0, 1):
        formats = np.bincount(found.sequences(epoch) % F, minlength=F)
        assert formats.sum() == 4000
        assert abs(formats - 1000).max() < 150  # five standard deviations
    orders = Counter(tuple(order) for order in found._format_order.tolist())
    assert len(orders) == 24
    assert min(orders.values()) > 100


def test_the_formats_of_a_pair_do_not_stand_side_by_side() -> None:
    found = batches(Store([3] * 400, [1] * 400), row_length=20)
    together = [
        len({(int(ids[place + 1]) - 10) // F for place in np.flatnonzero(ids.numpy() == BOS)})
        for batch in epoch_of(found, 0)
        for ids in batch["input_ids"]
    ]
    assert np.mean(together) > 3.8


def test_long_and_short_examples_come_in_no_runs() -> None:
    """The mean length in the first tenth of an epoch is that of all, within five standard errors."""
    store = made(2000)
    found = batches(store)
    first = np.concatenate([np.flatnonzero(found.micro_batch(0, i)["input_ids"] == BOS) for i in range(200)]).size
    tokens = sum(int((found.micro_batch(0, i)["input_ids"] != PAD).sum()) for i in range(200))
    spread = float(np.std(store.sizes)) / first**0.5
    assert abs(tokens / first - 2 - np.mean(store.sizes)) < 5 * spread


def test_rows_are_full() -> None:
    found = batches(made(500), row_length=64)
    real_tokens = padded = 0
    for batch in epoch_of(found, 0):
        real_tokens += int((batch["input_ids"] != PAD).sum())
        padded += batch["input_ids"].numel()
    assert found.padding == pytest.approx(1 - real_tokens / padded)
    assert found.padding < 0.01
    sizes = [len(batch["input_ids"]) for batch in epoch_of(found, 0)]
    assert set(sizes[:-1]) == {4}
    assert 1 <= sizes[-1] <= 4


def test_examples_that_are_too_long_are_left_out_and_counted() -> None:
    store = made(50, longest=20)
    found = batches(store)
    expected = {i for i, size in enumerate(store.sizes) if size + 2 <= 16}
    assert 0 < found.too_long == len(store) - len(expected)
    assert set(seen(found, 0)) == expected
    drawn = batches(store, per_pair=1)
    assert set().union(*(seen(drawn, epoch) for epoch in range(F))) == expected
    assert found.tokens_per_epoch == sum(store.sizes[i] - store.given[i] + 1 for i in expected)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(InputError, match=r"None of 8 examples fits tokens\.max_length 16; the shortest has 18 tokens"):
        batches(Store([16] * 8, [2] * 8))
    with pytest.raises(InputError, match="The split has no examples"):
        batches(Store([], []))
    with pytest.raises(InputError, match=r"examples\.per_pair 5 exceeds the number of formats, 4"):
        batches(made(2), per_pair=5)


# --- packing changes nothing ------------------------------------------------------------------------------------------

_SHAPE = {"vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_SHAPE |= {"max_position_embeddings": 256, "initializer_range": 0.3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**_SHAPE, attn_implementation="sdpa"))


def mistral(window: int | None = 40, attention: str = "sdpa") -> PreTrainedModel:
    config = MistralConfig(**_SHAPE, num_key_value_heads=2, sliding_window=window, attn_implementation=attention)
    return MistralForCausalLM(config)


def loss_and_gradients(model: PreTrainedModel, rows: list[Batch]) -> tuple[float, dict[str, torch.Tensor]]:
    """Sum of -ln p over the labels of all micro-batches, as the road of decoders feeds the model."""
    model.zero_grad()
    total = 0.0
    for batch in rows:
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum"
        )
        loss.backward()
        total += loss.item()
    return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def alone(found: ExampleBatches, epoch: int) -> list[Batch]:
    """Every example of an epoch in a micro-batch of its own, without padding or neighbours."""
    rows = []
    for number in found.sequences(epoch).tolist():
        ids, labels = answered_stream(found.shards, number, found.roles)
        row = torch.from_numpy(ids)[None]
        masked = torch.where(torch.from_numpy(labels)[None], row, IGNORED)
        rows.append({"input_ids": row, "labels": masked, "position_ids": torch.arange(len(ids))[None]})
    return rows


@pytest.mark.parametrize("make", [llama, mistral, lambda: mistral(None), lambda: mistral(40, "eager")])
@pytest.mark.parametrize("training", [False, True])
def test_the_loss_of_packed_examples_is_that_of_each_alone(real: ExampleBatches, make, training: bool) -> None:  # type: ignore[no-untyped-def]
    """Longer than the sliding window, several in a row: attention stays within the example, and positions begin anew."""
    torch.manual_seed(0)
    model = make().train(training)
    few = ExampleBatches(_First(real.shards, 24), F, None, 256, 4, 5, OUR_ROLES)
    packed, packed_gradients = loss_and_gradients(model, epoch_of(few, 0))
    unpacked, gradients = loss_and_gradients(model, alone(few, 0))
    assert max(len(batch["input_ids"][0]) for batch in alone(few, 0)) > 60, "longer than Mistral's window"
    assert packed == pytest.approx(unpacked, rel=1e-5)
    for name, gradient in gradients.items():
        assert torch.allclose(packed_gradients[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max())), name


@pytest.mark.parametrize("make", [llama, mistral])
def test_the_proof_sees_attention_across_examples(real: ExampleBatches, make) -> None:  # type: ignore[no-untyped-def]
    """Positions that run on through a row let examples see one another: the loss then differs by far more than 1e-5."""
    torch.manual_seed(0)
    model = make()
    rows = epoch_of(ExampleBatches(_First(real.shards, 24), F, None, 256, 4, 5, OUR_ROLES), 0)
    doctored = [batch | {"position_ids": torch.arange(256).expand(batch["input_ids"].shape)} for batch in rows]
    right, wrong = loss_and_gradients(model, rows)[0], loss_and_gradients(model, doctored)[0]
    assert abs(right - wrong) / right > 3e-4


@dataclass(frozen=True)
class _First:
    """The first sequences of a store."""

    store: TokenShards
    count: int

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return self.store.lengths[: self.count]

    @property
    def predicted_counts(self) -> npt.NDArray[np.int32]:
        return self.store.predicted_counts[: self.count]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> npt.NDArray[np.int64]:
        return self.store[number]

    def predicted(self, number: int) -> npt.NDArray[np.bool_]:
        return self.store.predicted(number)
