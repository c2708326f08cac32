"""Evaluation of a checkpoint: the figures are those of the test split, once for each change, and bad requests are refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from lugha.corpus.shards import read_frames, shard_paths
from lugha.errors import InputError
from lugha.evaluation.results import read_evaluation
from lugha.models.build import load_model
from lugha.pipeline.evaluating import evaluate_checkpoint
from lugha.recipe import EvaluateSection
from lugha.runs.folder import new_run
from lugha.tokens.tokenizer import load_tokenizer
from lugha.training.loop import TrainResult, train
from tests.worlds import World, documents_world, pairs_world, write_split


def trained(world: World, folder: Path) -> TrainResult:
    run = new_run(folder / "runs", "tiny")
    return train(world.recipe, tokens=world.tokens, tokenizer=world.tokenizer, run=run, say=lambda _: None)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, TrainResult]:
    folder = tmp_path_factory.mktemp("decoder")
    world = documents_world(folder)
    return world, trained(world, folder)


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, TrainResult]:
    folder = tmp_path_factory.mktemp("translator")
    world = pairs_world(folder)
    return world, trained(world, folder)


def test_bits_per_byte_are_those_of_a_plain_loop_over_documents(decoder: tuple[World, TrainResult]) -> None:
    world, done = decoder
    section = EvaluateSection(metrics=["perplexity", "compression", "generation"], prompts=["mtoto"], max_new_tokens=5)
    found = evaluate_checkpoint(done.checkpoint, split=world.split, section=section, say=lambda _: None)
    model, tokenizer = load_model(done.checkpoint), load_tokenizer(world.tokenizer)
    nats, tokens, size = 0.0, 0, 0
    for frame in read_frames(shard_paths(world.split, "test"), ["text"]):
        for text in frame["text"]:
            ids = torch.tensor([[1, *tokenizer.encode(text).ids, 2]])
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
            tokens += ids.shape[1] - 1
            size += len(text.encode()) + 1
    one = found.held_out[0]
    assert (one.lang, one.documents, one.bytes, one.tokens) == ("swh", 40, size, tokens)
    assert one.nats == pytest.approx(nats, rel=1e-5)
    assert one.bits_per_byte == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert one.perplexity == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert found.compression is not None
    assert found.compression.bytes == size - 1  # the same text, joined by newlines
    assert [g.prompt for g in found.generations] == ["mtoto"]


def test_every_direction_is_scored_greedily_and_by_beam(translator: tuple[World, TrainResult], tmp_path: Path) -> None:
    world, done = translator
    section = EvaluateSection(metrics=["translation"], max_rows=6, beam=2, max_new_tokens=8, bootstrap=20, samples=2)
    said: list[str] = []
    found = evaluate_checkpoint(done.checkpoint, split=world.split, section=section, output=tmp_path, say=said.append)
    kinds = [(d.source_lang, d.target_lang, d.beam, d.scores.rows) for d in found.translation]
    assert kinds == [("swh", "eng", 1, 6), ("swh", "eng", 2, 6), ("eng", "swh", 1, 6), ("eng", "swh", 2, 6)]
    assert len(found.samples) == 4
    assert read_evaluation(tmp_path / "evaluation.json") == found
    again = evaluate_checkpoint(done.checkpoint, split=world.split, section=section, output=tmp_path, say=said.append)
    assert again == found
    assert "is current: nothing to do" in said[-1]
    other = section.model_copy(update={"beam": 3})
    changed = evaluate_checkpoint(done.checkpoint, split=world.split, section=other, output=tmp_path, say=said.append)
    assert {d.beam for d in changed.translation} == {1, 3}


def test_a_metric_that_does_not_go_with_the_model_is_refused(
    decoder: tuple[World, TrainResult], translator: tuple[World, TrainResult]
) -> None:
    for (world, done), metric in ((decoder, "translation"), (translator, "perplexity")):
        section = EvaluateSection.model_validate({"metrics": [metric]})
        with pytest.raises(InputError, match=f'Metric "{metric}" does not go with road'):
            evaluate_checkpoint(done.checkpoint, split=world.split, section=section, say=print)


def test_an_empty_test_split_says_what_to_set(decoder: tuple[World, TrainResult], tmp_path: Path) -> None:
    world, done = decoder
    common = {"lang": "swh", "source": "made", "licence": "CC0-1.0", "group": "g"}
    rows: list[dict[str, object]] = [{"id": "a", "text": "mtoto anasoma.", **common}]
    write_split(tmp_path / "split", {"train": rows}, "documents", {"languages": ["swh"]})
    with pytest.raises(InputError, match=r"the test split is empty. Raise corpus\.split\.test"):
        evaluate_checkpoint(done.checkpoint, split=tmp_path / "split", section=world.recipe.evaluate, say=print)
