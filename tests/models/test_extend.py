"""New rows: the mean of those they begin like, in every matrix that has rows of tokens, and nothing else moves."""

from __future__ import annotations

import pytest
import torch

from lugha.errors import InputError
from lugha.models.build import build_model
from lugha.models.extend import embedding_matrices, extend_model, is_tied
from lugha.recipe import ModelSection

ROWS = 320
SHAPE = {"vocab_size": ROWS, "d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "max_positions": 64}
MODELS = {
    "m2m100": {"kind": "m2m100"},
    "llama, tied": {"kind": "llama", "tied": True},
    "llama, two matrices": {"kind": "llama", "tied": False},
    "mistral": {"kind": "mistral", "tied": False},
}


def model_of(kind: str):
    return build_model(ModelSection.model_validate(SHAPE | MODELS[kind]), seed=3).eval()


def last_states(model, ids: torch.Tensor) -> torch.Tensor:
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})
    with torch.no_grad():
        return model.model(**inputs).last_hidden_state


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("first", [ROWS, ROWS - 2, ROWS - 1])
def test_new_rows_are_means_and_old_ones_keep_their_bytes(kind: str, first: int) -> None:
    model, before = model_of(kind), model_of(kind)
    like = [[4, 5, 6], [7]]
    extend_model(model, first, like)
    assert is_tied(model) == is_tied(before)
    for new, old in zip(embedding_matrices(model), embedding_matrices(before), strict=True):
        assert new.shape == (max(ROWS, first + 2), 16)
        assert torch.equal(new[:first], old[:first])
        assert torch.equal(new[first], old[[4, 5, 6]].mean(dim=0))
        assert torch.equal(new[first + 1], old[7])
    assert model.config.vocab_size == max(ROWS, first + 2)


@pytest.mark.parametrize("kind", MODELS)
def test_what_the_model_does_with_old_tokens_is_unchanged(kind: str) -> None:
    model, before = model_of(kind), model_of(kind)
    extend_model(model, ROWS, [[4], [5], [6]])
    ids = torch.arange(4, 30).reshape(2, 13)
    assert torch.equal(last_states(model, ids), last_states(before, ids))
    logits = model.get_output_embeddings()(last_states(model, ids))
    assert logits.shape[-1] == ROWS + 3
    torch.testing.assert_close(
        logits[..., :ROWS], before.get_output_embeddings()(last_states(before, ids)), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("kind", MODELS)
def test_a_new_token_that_begins_like_one_other_is_scored_like_it(kind: str) -> None:
    model = model_of(kind)
    extend_model(model, ROWS, [[9]])
    ids = torch.tensor([[4, 9, 5], [4, ROWS, 5]])
    states = last_states(model, ids)
    assert torch.equal(states[0], states[1])
    logits = model.get_output_embeddings()(states)
    assert torch.allclose(logits[..., 9], logits[..., ROWS])


def test_all_four_places_of_m2m100_stay_one_matrix_and_it_still_learns() -> None:
    model = model_of("m2m100")
    extend_model(model, ROWS, [[4], [5]])
    places = [model.model.shared, model.model.encoder.embed_tokens, model.model.decoder.embed_tokens, model.lm_head]
    assert len({id(place.weight) for place in places}) == 1
    assert type(model.model.encoder.embed_tokens) is type(model_of("m2m100").model.encoder.embed_tokens)  # it scales
    ids = torch.tensor([[ROWS, 7, 8, 2]])
    model(input_ids=ids, labels=ids).loss.backward()
    assert model.lm_head.weight.grad is not None
    assert bool(model.lm_head.weight.grad[ROWS].abs().sum() > 0)


def test_a_model_smaller_than_its_tokenizer_is_refused() -> None:
    with pytest.raises(InputError, match="has 400 ids, but the model only 320 rows"):
        extend_model(model_of("m2m100"), 400, [[4]])


def test_half_precision_rows_are_summed_in_full() -> None:
    model = model_of("m2m100").to(torch.bfloat16)
    rows = embedding_matrices(model)[0].detach().clone()
    extend_model(model, ROWS, [list(range(4, 300))])
    assert torch.equal(embedding_matrices(model)[0][ROWS], rows[4:300].float().mean(dim=0).to(torch.bfloat16))
