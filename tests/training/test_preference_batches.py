"""Preference micro-batches: nothing lost, what is predicted goes by position, the same tensors for the same place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.tokens.special import OUR_ROLES, Roles
from lugha.training.batches import IGNORED
from lugha.training.preference import sequence_log_probs
from lugha.training.preference_batches import PreferenceBatches
from tests.training.small_preferences import batches_of, made, stored, untied_decoder

PAD, BOS, EOS = OUR_ROLES.pad, OUR_ROLES.bos, OUR_ROLES.eos


def test_a_pair_is_two_rows_that_predict_the_answer_and_the_end() -> None:
    batches = batches_of(stored([([7, 8, 9], [10, 11], [12])]))
    batch = batches.micro_batch(0, 0)
    assert batch["input_ids"].tolist() == [[BOS, 7, 8, 9, 10, 11, EOS], [BOS, 7, 8, 9, 12, EOS, PAD]]
    i = IGNORED
    assert batch["labels"].tolist() == [[i, i, i, i, 10, 11, EOS], [i, i, i, i, 12, EOS, i]]
    assert batch["position_ids"].tolist() == [list(range(7))] * 2
    assert batch["pair"].tolist() == [0]
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_special_ids_inside_an_answer_are_predicted_like_any_other() -> None:
    """Masking by id would drop them: a base model whose padding is a token that text may hold."""
    batches = batches_of(stored([([7, PAD, EOS], [PAD, EOS, BOS], [8])]))
    labels = batches.micro_batch(0, 0)["labels"][0]
    assert labels[labels != IGNORED].tolist() == [PAD, EOS, BOS, EOS]
    assert batches.tokens_per_epoch == 4 + 2


def test_roles_are_those_of_the_tokenizer() -> None:
    roles = Roles(pad=9, bos=20, eos=21, unk=None)
    batch = PreferenceBatches(stored([([7], [10, 11], [12])]), 100, 32, 1, roles).micro_batch(0, 0)
    assert batch["input_ids"].tolist() == [[20, 7, 10, 11, 21], [20, 7, 12, 21, 9]]


@given(count=st.integers(1, 60), seed=st.integers(0, 5), budget=st.integers(16, 600), epoch=st.integers(0, 3))
def test_every_pair_is_seen_once_within_the_budget(count: int, seed: int, budget: int, epoch: int) -> None:
    store = made(count, seed)
    batches = batches_of(store, budget)
    seen: list[int] = []
    predicted = 0
    for index in range(batches.micro_batches(epoch)):
        batch = batches.micro_batch(epoch, index)
        assert batch["input_ids"].numel() <= budget or len(batch["pair"]) == 1
        predicted += int((batch["labels"] != IGNORED).sum())
        for row, sequence in enumerate((2 * batch["pair"][:, None] + torch.tensor([0, 1])).ravel().tolist()):
            ids, labels = batch["input_ids"][row].tolist(), batch["labels"][row].tolist()
            expected, answer = store[sequence].tolist(), store.predicted(sequence)
            assert ids[: len(expected) + 2] == [BOS, *expected, EOS]
            assert set(ids[len(expected) + 2 :]) <= {PAD}
            assert [label for label in labels if label != IGNORED] == [*store[sequence][answer].tolist(), EOS]
        seen += batch["pair"].tolist()
    assert sorted(seen) == list(range(count))
    assert predicted == batches.tokens_per_epoch


def test_the_same_place_gives_the_same_tensors_and_epochs_differ() -> None:
    one, another = batches_of(made(50)), batches_of(made(50))
    for name, tensor in one.micro_batch(1, 2).items():
        assert torch.equal(tensor, another.micro_batch(1, 2)[name])
    orders = [torch.cat([one.micro_batch(e, i)["pair"] for i in range(one.micro_batches(e))]).tolist() for e in (0, 1)]
    assert orders[0] != orders[1]
    straight = batches_of(made(50), shuffled=False)
    assert torch.equal(straight.micro_batch(0, 0)["pair"], straight.micro_batch(1, 0)["pair"])


def test_the_first_micro_batches_of_a_validation_are_not_the_shortest() -> None:
    straight = batches_of(made(300), budget=100, shuffled=False)
    widths = [straight.micro_batch(0, i)["input_ids"].shape[1] for i in range(straight.micro_batches(0))]
    half = len(widths) // 2
    assert abs(np.mean(widths[:half]) - np.mean(widths[half:])) < 0.1 * np.mean(widths)


def test_similar_lengths_stand_together() -> None:
    assert batches_of(made(300), budget=400).padding < 0.25
    together = batches_of(made(300), budget=400).padding
    alone = batches_of(made(300), budget=1).padding  # what is left of padding is the difference within pairs
    assert together < alone + 0.08


def test_pairs_that_are_too_long_are_counted_and_keep_the_numbers_of_the_others() -> None:
    store = stored([([7], [8], [9]), ([7] * 30, [8], [9]), ([7], [8], [9] * 30), ([7], [8, 8], [9])])
    batches = batches_of(store, max_length=10)
    assert (batches.pairs, batches.pairs_per_epoch, batches.too_long) == (4, 2, 2)
    assert sorted(batches.micro_batch(0, 0)["pair"].tolist()) == [0, 3]
    with pytest.raises(InputError, match=r"No preference of 4 fits tokens\.max_length 3 with both answers"):
        batches_of(store, max_length=3)
    with pytest.raises(InputError, match="No preference of 0 fits"):
        batches_of(stored([]))


def test_pairs_of_one_prompt_are_known() -> None:
    batches = batches_of(stored([([7, 8], [9], [10]), ([7], [9], [10]), ([7, 8], [11], [10])]))
    assert batches.prompts.tolist() == [0, 1, 0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_batch_gives_each_row_what_it_gets_alone(attention: str) -> None:
    """Padding and the other rows change nothing, in values and in gradients."""
    model = untied_decoder().train(False)
    model.set_attn_implementation(attention)
    batch = batches_of(made(12), budget=10_000).micro_batch(0, 0)
    assert (batch["input_ids"] == PAD).any()
    together = sequence_log_probs(model, batch)
    torch.autograd.backward(together.sum())
    gradient = model.lm_head.weight.grad.clone(), model.model.embed_tokens.weight.grad.clone()
    model.zero_grad()
    alone = []
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        end = int(np.flatnonzero(labels.numpy() != IGNORED).max()) + 1
        logits = model(input_ids=ids[None, :end]).logits[0].log_softmax(-1)
        predicted = labels[1:end] != IGNORED
        alone.append(logits[:-1][predicted].gather(1, labels[1:end][predicted][:, None]).sum())
    torch.autograd.backward(torch.stack(alone).sum())
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(gradient, (model.lm_head.weight.grad, model.model.embed_tokens.weight.grad), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
