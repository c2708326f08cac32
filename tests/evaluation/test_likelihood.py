"""The likelihood against the model's own loss, and packed documents against the same documents alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from lugha.errors import InputError
from lugha.evaluation import likelihood
from lugha.evaluation.likelihood import Likelihood, negative_log_likelihood, text_bytes
from tests.evaluation.tiny_models import LINES, tiny_llama, tiny_tokenizer

Batch = dict[str, torch.Tensor]
TOKENIZER, LLAMA = tiny_tokenizer(), tiny_llama()
PAD, BOS, EOS, IGNORED = 0, 1, 2, -100
DOCUMENTS = [[BOS, *TOKENIZER.encode(line).ids, EOS] for line in LINES]


def _alone() -> Iterator[Batch]:
    for ids in DOCUMENTS:
        yield {"input_ids": torch.tensor([ids]), "labels": torch.tensor([[IGNORED, *ids[1:]]])}


def _packed(padding: int = 5) -> Batch:
    ids = [i for document in DOCUMENTS for i in document] + [PAD] * padding
    labels = [i for document in DOCUMENTS for i in (IGNORED, *document[1:])] + [IGNORED] * padding
    positions = [i for document in DOCUMENTS for i in range(len(document))] + [0] * padding
    tensors = {"input_ids": ids, "labels": labels, "position_ids": positions}
    return {name: torch.tensor([values]) for name, values in tensors.items()}


def test_it_is_the_sum_of_the_models_own_losses() -> None:
    found = negative_log_likelihood(LLAMA, _alone(), "cpu")
    with torch.no_grad():
        own = sum(float(LLAMA(**batch).loss) * (batch["input_ids"].shape[1] - 1) for batch in _alone())
    assert found.tokens == sum(len(document) - 1 for document in DOCUMENTS)
    assert found.nats == pytest.approx(own, rel=1e-5)


def test_packed_documents_do_not_see_each_other() -> None:
    alone, packed = negative_log_likelihood(LLAMA, _alone(), "cpu"), negative_log_likelihood(LLAMA, [_packed()], "cpu")
    assert packed.tokens == alone.tokens
    assert packed.nats == pytest.approx(alone.nats, rel=1e-5)


def test_the_size_of_the_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = negative_log_likelihood(LLAMA, [_packed()], "cpu")
    monkeypatch.setattr(likelihood, "_POSITIONS_AT_ONCE", 7)
    pieces = negative_log_likelihood(LLAMA, [_packed()], "cpu")
    assert pieces.nats == pytest.approx(whole.nats, rel=1e-6)


def test_uniform_predictions_cost_ln_v() -> None:
    model = tiny_llama()
    torch.nn.init.zeros_(model.lm_head.weight)
    found = negative_log_likelihood(model, _alone(), "cpu")
    assert found.loss == pytest.approx(math.log(400), rel=1e-6)
    assert found.perplexity == pytest.approx(400, rel=1e-5)
    byte_count = text_bytes(LINES)
    assert found.bits_per_byte(byte_count) == pytest.approx(found.tokens * math.log2(400) / byte_count, rel=1e-6)


def test_bytes_count_the_end_of_each_document() -> None:
    assert text_bytes(["ụlọ", ""]) == len("ụlọ\n\n".encode())


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_llama().train()
    first = negative_log_likelihood(model, _alone(), "cpu")
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert negative_log_likelihood(model.eval(), _alone(), "cpu") == first
    assert not model.training


def test_no_predicted_token_is_refused() -> None:
    with pytest.raises(InputError, match="no documents"):
        negative_log_likelihood(LLAMA, [], "cpu")


def test_perplexity_of_a_broken_model_is_infinite_not_an_error() -> None:
    assert Likelihood(nats=1e6, tokens=1).perplexity == math.inf
