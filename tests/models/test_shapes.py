"""Parameter counts from shapes alone, against the founding figures and against the classes themselves."""

from __future__ import annotations

import pytest
import torch

from lugha.models.build import build_model
from lugha.models.shapes import parameter_count
from lugha.recipe import ModelSection, load_recipe


@pytest.mark.parametrize(
    ("preset", "count"), [("swahili-debug", 1_115_264), ("swahili-base", 88_099_584), ("swahili-large", 381_731_840)]
)
def test_the_founding_sizes(preset: str, count: int) -> None:
    assert parameter_count(load_recipe(preset).model) == count


def test_the_shape_of_nllb_600m() -> None:
    nllb = ModelSection(kind="m2m100", vocab_size=256_206, d_model=1024, layers=12, heads=16, d_ff=4096)
    assert parameter_count(nllb) == 615_073_792


@pytest.mark.parametrize(("kind", "tied"), [("llama", True), ("llama", False), ("m2m100", True)])
def test_counts_are_those_of_the_classes(kind: str, tied: bool) -> None:
    shape = {"vocab_size": 320, "d_model": 24, "layers": 2, "heads": 4, "d_ff": 40, "max_positions": 32}
    section = ModelSection.model_validate({"kind": kind, "tied": tied, **shape, "kv_heads": 2 if kind == "llama" else None})
    model = build_model(section, seed=1)
    assert sum(p.numel() for p in model.parameters()) == parameter_count(section)


def test_the_same_seed_gives_the_same_weights() -> None:
    section = ModelSection(vocab_size=320, d_model=24, layers=1, heads=4, d_ff=40, max_positions=32)
    one, same, other = (build_model(section, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
