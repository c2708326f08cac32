"""`lugha examples preview` on every road: the micro-batch that the run would train on, told token by token."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lugha.cli import examples
from lugha.errors import InputError
from lugha.pipeline.layout import Layout
from lugha.recipe import Recipe, dump_recipe, load_recipe, parse_recipe
from lugha.tokens.build_examples import build_instruction_examples, build_pair_examples, build_preferences
from lugha.training.batches import IGNORED
from lugha.training.data import open_run_data
from tests.worlds import World, documents_world, pairs_world

ROADS = ["pretrain", "seq2seq", "lora", "sft", "dpo"]
_DECODER = {"kind": "llama", "vocab_size": 400, "d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "max_positions": 256}


def preview(recipe: Path, *options: object) -> Result:
    return CliRunner().invoke(examples.app, ["preview", str(recipe), *map(str, options)], catch_exceptions=True)


def prepared(road: str, folder: Path) -> Path:
    """A recipe file whose tokens stand where `lugha run --until tokens` puts them."""
    world = documents_world(folder) if road == "pretrain" else pairs_world(folder)
    recipe = world.recipe if road in ("pretrain", "seq2seq") else instructed(road, world)
    layout = Layout.of(recipe)
    shutil.copytree(world.tokenizer, layout.tokenizer)
    sections: dict[str, Any] = {"tokens": recipe.tokens, "examples": recipe.examples}
    if road == "lora":
        build_pair_examples(world.split, layout.tokenizer, layout.tokens, **sections)
    elif road == "sft":
        build_instruction_examples(layout.tokenizer, layout.tokens, **sections)
    elif road == "dpo":
        build_preferences(layout.tokenizer, layout.tokens, **sections)
    else:
        shutil.copytree(world.tokens, layout.tokens)
    file = folder / "recipe.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    return file


def instructed(road: str, world: World) -> Recipe:
    """The world's recipe for a decoder that learns from examples."""
    data = world.split.parent / "data.jsonl"
    rows = [
        {"prompt": f"Sema {i}", "chosen": "ndiyo", "rejected": "hapana"}
        if road == "dpo"
        else {"instruction": f"Sema {i}", "response": "ndiyo"}
        for i in range(40)
    ]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    values = world.recipe.model_dump(mode="json")
    values["model"] = _DECODER | ({"lora": {"r": 2}, "base": "a/base"} if road == "lora" else {})  # a preview opens no base
    values["train"] |= {"road": road, "micro_batch": 2, "micro_batch_tokens": 512}
    values["tokens"] |= {"max_length": 256}
    values["evaluate"] = {}
    values["examples"] = {} if road == "lora" else {"data": str(data)}
    return parse_recipe(values, "a test's recipe")


@pytest.fixture(scope="module", params=ROADS)
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, prepared(request.param, tmp_path_factory.mktemp(request.param))


def test_the_json_tells_the_micro_batch_again(ready: tuple[str, Path]) -> None:
    road, file = ready
    found = preview(file, "--json", "--rows", 100, "--epoch", 1, "--index", 1)
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    recipe = load_recipe(file)
    layout = Layout.of(recipe)
    data = open_run_data(recipe, layout.tokens, layout.tokenizer)
    batch = data.training.micro_batch(1, 1)
    assert (told["road"], told["epoch"], told["index"]) == (road, 1, 1)
    assert told["micro_batches"] == data.training.micro_batches(1)
    assert told["predicted"] == int((batch["labels"] != IGNORED).sum())
    decoder_side = [t for t in told["tables"] if not t["title"].endswith("source")]
    assert len(decoder_side) == len(batch["labels"])
    fed = batch.get("decoder_input_ids", batch["input_ids"])
    for table, ids, labels in zip(decoder_side, fed.tolist(), batch["labels"].tolist(), strict=True):
        length = len(ids) - table["padding"]
        assert [t["id"] for t in table["tokens"]] == ids[:length]
        assert [IGNORED if t["label"] is None else t["label"] for t in table["tokens"]] == labels[:length]
    listed = sum(len(t["tokens"]) + t["padding"] for t in told["tables"])
    assert told["tokens"] == listed
    assert told["padding"] == pytest.approx(sum(t["padding"] for t in told["tables"]) / listed, abs=1e-4)


def test_the_table_for_people(ready: tuple[str, Path]) -> None:
    road, file = ready
    found = preview(file, "--set", "train.lr=0.5")
    assert found.exit_code == 0, found.output
    head, legend, *table = found.stdout.split("\n")
    assert head.startswith(f"tiny, road {road}: micro-batch 0 of ")
    assert "% are padding" in head
    assert legend.startswith("label: ")
    assert "\x1b[" not in found.stdout, "no colour where stdout is no terminal"
    titles = {"seq2seq": ["row 0, source", "row 0, target"], "dpo": ["chosen", "rejected"]}.get(road, ["row 0"])
    for title in titles:
        assert any(title in line for line in table)
    assert any("</s>" in line for line in table)
    if road in ("lora", "sft", "dpo"):
        assert any("\\n" in line and line.rstrip(" │").endswith("-") for line in table), "the prompt is not predicted"


def test_a_place_that_does_not_exist_and_data_that_is_not_prepared(ready: tuple[str, Path], tmp_path: Path) -> None:
    _, file = ready
    beyond = preview(file, "--index", 100_000)
    assert isinstance(beyond.exception, InputError)
    assert "--index 100000: epoch 0 has" in str(beyond.exception)
    unprepared = preview(file, "--set", f"run.root={tmp_path}")
    assert isinstance(unprepared.exception, InputError)
    assert str(tmp_path) in str(unprepared.exception)
