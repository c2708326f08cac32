"""Objectives: the loss is a sum over target tokens, whatever the layout; masks are exact."""

from __future__ import annotations

import pytest
import torch

from lugha.models.build import build_model
from lugha.recipe import TrainSection
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED
from lugha.training.data import open_run_data
from lugha.training.objectives import ROADS, causal_cost, predicted_tokens, seq2seq_cost
from lugha.training.packed_batches import PackedBatches
from tests.worlds import World

PLAIN = TrainSection()


def test_packed_rows_cost_what_their_documents_cost_alone(documents: World) -> None:
    """Equivalence class: one document a row, or many to a row with document masks."""
    model = build_model(documents.recipe.model, seed=1)
    shards = TokenShards.open(documents.tokens, "validation")
    totals = {}
    for row_length in (64, 33):
        batches = PackedBatches(shards, row_length, rows=3, seed=1, shuffled=False, roles=OUR_ROLES)
        every = [batches.micro_batch(0, i) for i in range(batches.micro_batches(0))]
        with torch.no_grad():
            totals[row_length] = sum(float(causal_cost(model, b, PLAIN).nats) for b in every)
    alone = 0.0
    for document in range(len(shards)):
        ids = torch.tensor([[1, *map(int, shards[document]), 2]])
        with torch.no_grad():
            alone += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
    assert totals[64] == pytest.approx(alone, rel=1e-5)
    assert totals[33] == pytest.approx(alone, rel=1e-5)


def test_the_causal_objective_is_that_of_transformers(documents: World) -> None:
    model = build_model(documents.recipe.model, seed=1)
    data = open_run_data(documents.recipe, documents.tokens, documents.tokenizer)
    batch = data.training.micro_batch(0, 0)
    theirs = model(**batch, use_cache=False).loss.detach() * predicted_tokens(batch)
    assert float(causal_cost(model, batch, PLAIN).nats) == pytest.approx(float(theirs), rel=1e-5)


def test_the_seq2seq_objective_is_that_of_transformers(pairs: World) -> None:
    model = build_model(pairs.recipe.model, seed=1).train(False)
    data = open_run_data(pairs.recipe, pairs.tokens, pairs.tokenizer)
    batch = data.training.micro_batch(0, 0)
    theirs = model(**batch).loss.detach() * predicted_tokens(batch)
    assert float(seq2seq_cost(model, batch, PLAIN).nats) == pytest.approx(float(theirs), rel=1e-5)


def test_padding_costs_nothing(pairs: World) -> None:
    model = build_model(pairs.recipe.model, seed=1).train(False)
    data = open_run_data(pairs.recipe, pairs.tokens, pairs.tokenizer)
    batch = data.training.micro_batch(0, 0)
    wider = {
        name: torch.nn.functional.pad(tensor, (0, 5), value=IGNORED if name == "labels" else 0)
        for name, tensor in batch.items()
    }
    assert float(seq2seq_cost(model, wider, PLAIN).nats) == pytest.approx(
        float(seq2seq_cost(model, batch, PLAIN).nats), rel=1e-5
    )
    assert predicted_tokens(wider) == predicted_tokens(batch)


@pytest.mark.parametrize("world", ["documents", "pairs"])
def test_smoothing_is_minimised_and_not_reported(world: str, request: pytest.FixtureRequest) -> None:
    made: World = request.getfixturevalue(world)
    road = ROADS[made.recipe.train.road]
    model = build_model(made.recipe.model, seed=1).train(False)
    batch = open_run_data(made.recipe, made.tokens, made.tokenizer).training.micro_batch(0, 0)
    plain, smoothed = (road.cost(model, batch, TrainSection(label_smoothing=s)) for s in (0.0, 0.1))
    assert float(plain.objective.detach()) == float(plain.nats)
    assert float(smoothed.nats) == float(plain.nats)
    assert float(smoothed.objective.detach()) != float(plain.nats)
    assert not plain.nats.requires_grad
    assert dict(plain.measures) == {}
    assert (road.unit, road.units(batch)) == ("tokens", predicted_tokens(batch))


def test_every_road_of_a_recipe_has_an_objective() -> None:
    assert ROADS.keys() == set(TrainSection.model_fields["road"].annotation.__args__)
    assert {name: road.unit for name, road in ROADS.items() if road.unit != "tokens"} == {"dpo": "pairs"}
