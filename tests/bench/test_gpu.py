"""bench/gpu: both scripts run on a CPU, and the products that they count for MFU and HFU are those that torch makes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lugha.models.lora import add_lora
from lugha.recipe import Recipe, load_recipe

BENCH = Path(__file__).parents[2] / "bench" / "gpu"


@pytest.fixture(autouse=True)
def _threads_stay() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType, ModuleType]:
    """full_size, mistral_lora and nllb, imported as the scripts import one another."""
    monkeypatch.syspath_prepend(str(BENCH))
    names = ("full_size", "mistral_lora", "nllb")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tuple(__import__(name) for name in names)  # type: ignore[return-value]


@pytest.mark.parametrize("script", ["mistral_lora.py", "nllb.py"])
def test_it_runs_tiny(script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(sys, "argv", [script, "--tiny", "--steps", "1"])
    runpy.run_path(str(BENCH / script), run_name="__main__")
    out = capsys.readouterr().out
    assert "founding: batch" in out and "lugha: " in out and "lugha is faster by" in out


def shape(preset: str, **model: object) -> Recipe:
    recipe = load_recipe(preset, ["model.scale=tiny"])
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=model)})


def products(counter: FlopCounterMode) -> int:
    """Of matrices; attention has operators of its own."""
    counts = counter.get_flop_counts()["Global"]
    return sum(count for operator, count in counts.items() if str(operator) in ("aten.mm", "aten.addmm", "aten.bmm"))


@pytest.mark.parametrize("way", ["founding", "lugha"])
def test_products_of_the_encoder_decoder(way: str, scripts: tuple[ModuleType, ...]) -> None:
    full_size, _, nllb = scripts
    recipe = shape("nllb-600m")
    pairs = nllb.MadePairs(full_size.Lengths.read(full_size.LENGTHS).pairs[:200], recipe.model.vocab_size)
    network = full_size.new_model(recipe.model, torch.device("cpu"), torch.float32)
    measure, size = (nllb.founding, 64) if way == "founding" else (nllb.budgeted, 512)
    with FlopCounterMode(display=False) as twice:
        found = measure(recipe, pairs, network, 1, size)
    with FlopCounterMode(display=False) as warm_up:
        measure(recipe, pairs, network, 0, size)
    counted = found.tokens.flops + found.tokens.recomputed
    assert products(twice) - products(warm_up) == pytest.approx(counted, rel=1e-6)


@pytest.mark.parametrize("way", ["founding", "lugha"])
def test_products_of_the_decoder_with_adapters(way: str, scripts: tuple[ModuleType, ...]) -> None:
    """The adapters' own products, and what the lowest layer saves since nothing below it is trained, are a per cent."""
    full_size, mistral_lora, _ = scripts
    recipe = shape("igbo-mistral-7b", layers=16)
    lengths = full_size.Lengths.read(Path("no file"))
    examples = mistral_lora.MadeExamples(lengths.examples[:200], 0.3, recipe.model.vocab_size)
    network = full_size.new_model(recipe.model, torch.device("cpu"), torch.bfloat16)
    add_lora(network, recipe.model.lora.model_copy(update={"r": 1}), seed=1)
    measure = mistral_lora.founding if way == "founding" else mistral_lora.packed
    with FlopCounterMode(display=False) as twice:
        found = measure(recipe, examples, network, 1, 2)
    with FlopCounterMode(display=False) as warm_up:
        measure(recipe, examples, network, 0, 2)
    counted = found.tokens.flops + found.tokens.recomputed
    assert products(twice) - products(warm_up) == pytest.approx(counted, rel=0.02)
