"""The reference: computed once, found again, never another's; the first margin is 0; training does not touch it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lugha.errors import InterruptedRunError
from lugha.recipe import TrainSection
from lugha.runs.files import sha256_file
from lugha.training import reference
from lugha.training.device import Compute
from lugha.training.preference import pairs_in, preference_cost, sequence_log_probs
from lugha.training.reference import ReferencedBatches, reference_log_probs, weights_digest, with_reference
from tests.training.small_preferences import batches_of, made, stored, untied_decoder

FP32 = Compute(torch.device("cpu"), torch.float32, "a test")
BF16 = Compute(torch.device("cpu"), torch.bfloat16, "a test")
DPO = TrainSection(road="dpo", beta=0.5, lr=1e-2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reference" / "train.safetensors"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an entry for every micro-batch that a reference is computed on."""
    calls: list[int] = []

    def counting(model: object, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        calls.append(len(batch["pair"]))
        return sequence_log_probs(model, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(reference, "sequence_log_probs", counting)
    return calls


def test_the_values_are_the_models_own(file: Path) -> None:
    model, batches = untied_decoder(), batches_of(made(20), budget=100)
    found = reference_log_probs(model, batches, FP32, file)
    assert (found.shape, found.dtype) == ((20, 2), np.float32)
    one_by_one = batches_of(made(20), budget=1, shuffled=False)
    for index in range(20):
        batch = one_by_one.micro_batch(0, index)
        with torch.no_grad():
            alone = sequence_log_probs(model, batch).tolist()
        assert found[int(batch["pair"])].tolist() == pytest.approx(alone, rel=1e-5)


def test_they_are_computed_once_and_found_again(file: Path, counted: list[int]) -> None:
    model, batches = untied_decoder(), batches_of(made(20), budget=100)
    first = reference_log_probs(model, batches, FP32, file)
    assert sum(counted) == 20
    written = file.stat().st_mtime_ns
    again = reference_log_probs(untied_decoder(), batches_of(made(20), budget=100), FP32, file)
    assert sum(counted) == 20
    assert file.stat().st_mtime_ns == written
    assert np.array_equal(first, again)
    assert [p.name for p in file.parent.iterdir()] == ["train.safetensors"]


@pytest.mark.parametrize("what", ["weights", "data", "what is predicted", "layout", "compute type"])
def test_values_of_anything_else_are_not_taken(what: str, file: Path, counted: list[int]) -> None:
    model, store, compute = untied_decoder(), made(20), FP32
    before = reference_log_probs(model, batches_of(store, budget=100), compute, file)
    budget = 100
    match what:
        case "weights":
            with torch.no_grad():
                model.lm_head.weight[7, 3] += 1e-3
        case "data":
            store.sequences[3] = store.sequences[3].copy()
            store.sequences[3][-1] = 39
        case "what is predicted":  # another template may give the same ids
            store.answers[3] = np.ones_like(store.answers[3])
        case "layout":
            budget = 120
        case "compute type":
            compute = BF16
    after = reference_log_probs(model, batches_of(store, budget=budget), compute, file)
    assert sum(counted) == 40
    if what != "layout":  # which moves numbers by rounding at most
        assert not np.allclose(before, after, rtol=1e-6)
    assert np.array_equal(after, reference_log_probs(model, batches_of(store, budget=budget), compute, file))
    assert sum(counted) == 40


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "gone"])
def test_a_damaged_file_is_computed_anew(damage: str, file: Path, counted: list[int]) -> None:
    model, batches = untied_decoder(), batches_of(made(20), budget=100)
    first = reference_log_probs(model, batches, FP32, file)
    content = bytearray(file.read_bytes())
    match damage:
        case "cut":
            file.write_bytes(content[:-7])
        case "flipped":
            content[-2] ^= 16  # inside a number: the file still opens
            file.write_bytes(content)
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_text("not a table")
        case "gone":
            file.unlink()
    again = reference_log_probs(model, batches, FP32, file)
    assert sum(counted) == 40
    assert np.array_equal(first, again)


def test_pairs_that_are_too_long_have_no_value(file: Path) -> None:
    store = stored([([7], [8], [9]), ([7] * 30, [8], [9])])
    found = reference_log_probs(untied_decoder(), batches_of(store, max_length=10), FP32, file)
    assert np.isnan(found).tolist() == [[False, False], [True, True]]
    again = reference_log_probs(untied_decoder(), batches_of(store, max_length=10), FP32, file)
    assert np.array_equal(found, again, equal_nan=True)


def test_no_dropout_no_random_numbers_and_the_model_stays_in_training(file: Path) -> None:
    model, batches = untied_decoder(dropout=0.5).train(), batches_of(made(20), budget=100)
    torch.manual_seed(9)
    state = torch.get_rng_state()
    found = reference_log_probs(model, batches, FP32, file)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    without = reference_log_probs(untied_decoder().train(False), batches, FP32, file.with_name("other.safetensors"))
    assert np.array_equal(found, without)


@pytest.mark.parametrize("compute", [FP32, BF16], ids=["fp32", "bf16"])
def test_every_margin_of_the_first_epoch_is_0_before_the_first_update(compute: Compute, file: Path) -> None:
    model, batches = untied_decoder().train(), batches_of(made(40), budget=150)
    referenced = ReferencedBatches(batches, reference_log_probs(model, batches, compute, file))
    for index in range(referenced.micro_batches(0)):
        batch = referenced.micro_batch(0, index)
        with compute.autocast():
            cost = preference_cost(model, batch, DPO)
        assert float(cost.measures["margin"]) == 0.0
        assert float(cost.measures["chosen_reward"]) == 0.0
        assert cost.objective.item() / pairs_in(batch) == pytest.approx(math.log(2), rel=1e-6)


def test_a_wrapped_batch_is_the_batch_with_its_own_values(file: Path) -> None:
    batches = batches_of(made(20), budget=100)
    values = np.arange(40, dtype=np.float32).reshape(20, 2)
    referenced = ReferencedBatches(batches, values)
    for name in ("tokens_per_epoch", "pairs_per_epoch", "padding", "too_long"):
        assert getattr(referenced, name) == getattr(batches, name)
    assert referenced.micro_batches(3) == batches.micro_batches(3)
    plain, batch = batches.micro_batch(3, 1), referenced.micro_batch(3, 1)
    assert batch.keys() == plain.keys() | {"reference_chosen", "reference_rejected"}
    assert all(torch.equal(batch[name], plain[name]) for name in plain)
    assert batch["reference_chosen"].tolist() == (2.0 * plain["pair"]).tolist()
    assert batch["reference_rejected"].tolist() == (2.0 * plain["pair"] + 1).tolist()


def test_training_grows_the_margin_and_leaves_the_reference_untouched(file: Path) -> None:
    """A plain loop of 3 epochs: held-out pairs follow the rule (even ids are better) that the training pairs show."""
    model = untied_decoder()
    batches, held_out = batches_of(made(150, seed=1), budget=600), batches_of(made(60, seed=2), budget=600)
    start = weights_digest(model)
    values = reference_log_probs(model, batches, FP32, file)
    aside = reference_log_probs(model, held_out, FP32, file.with_name("validation.safetensors"))
    before = sha256_file(file)
    optimiser = torch.optim.AdamW(model.parameters(), lr=DPO.lr)
    referenced, margins = ReferencedBatches(batches, values), []
    for epoch in range(3):
        for index in range(referenced.micro_batches(epoch)):
            batch = referenced.micro_batch(epoch, index)
            cost = preference_cost(model, batch, DPO)
            torch.autograd.backward(cost.objective / pairs_in(batch))
            optimiser.step()
            optimiser.zero_grad()
            margins.append(float(cost.measures["margin"]) / pairs_in(batch))
    assert margins[0] == 0.0
    assert margins[-1] > margins[len(margins) // 2] > 0.5
    assert _accuracy(model, ReferencedBatches(held_out, aside)) > 0.9
    assert weights_digest(model) != start
    assert sha256_file(file) == before
    recomputed = reference_log_probs(untied_decoder(), batches, FP32, file.with_name("again.safetensors"))
    assert np.array_equal(recomputed, values)


def _accuracy(model: torch.nn.Module, batches: ReferencedBatches) -> float:
    right = 0
    with torch.no_grad():
        for index in range(batches.micro_batches(0)):
            right += int(preference_cost(model, batches.micro_batch(0, index), DPO).measures["accuracy"])  # type: ignore[arg-type]
    return right / batches.pairs_per_epoch


def test_the_digest_of_weights_sees_names_types_and_bytes() -> None:
    one = untied_decoder()
    assert weights_digest(one) == weights_digest(untied_decoder())
    assert weights_digest(one) != weights_digest(untied_decoder().to(torch.bfloat16))
    with torch.no_grad():
        one.model.norm.weight[0] = torch.nextafter(one.model.norm.weight[0], torch.tensor(9.0))
    assert weights_digest(one) != weights_digest(untied_decoder())


def test_a_full_disk_leaves_nothing_half_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lugha.runs.files.os.fsync", full)
    with pytest.raises(InterruptedRunError, match=r"No space left on the disk while writing .*train\.safetensors"):
        reference_log_probs(untied_decoder(), batches_of(made(5)), FP32, file)
    assert list(file.parent.iterdir()) == []


def test_only_preferences_get_a_reference(file: Path) -> None:
    batches = batches_of(made(5))
    referenced = with_reference(batches, untied_decoder(), FP32, file)
    assert isinstance(referenced, ReferencedBatches)
    assert np.array_equal(referenced.log_probs, reference_log_probs(untied_decoder(), batches, FP32, file))
    assert with_reference(referenced, untied_decoder(), FP32, file) is referenced
    assert with_reference(None, untied_decoder(), FP32, file) is None
