"""Weights on their way into a file and back: the files of transformers, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lugha.errors import InputError
from lugha.models.build import build_model
from lugha.models.state import load_weights, weights_of
from lugha.recipe import ModelSection


def section(**values: object) -> ModelSection:
    shape = {"vocab_size": 301, "d_model": 16, "layers": 2, "heads": 2, "d_ff": 32, "max_positions": 64}
    return ModelSection.model_validate(shape | values)


@pytest.mark.parametrize("values", [{}, {"tied": False}, {"kind": "mistral"}, {"kind": "m2m100"}])
def test_the_files_are_those_of_save_pretrained(values: dict[str, object], tmp_path: Path) -> None:
    model = build_model(section(**values), seed=1)
    ours = weights_of(model)  # first: save_pretrained writes into the model's own configuration
    model.save_pretrained(tmp_path / "theirs")
    save_file(ours.tensors, tmp_path / ours.file, metadata={"format": "pt"})
    written = {p.name: p.read_bytes() for p in (tmp_path / "theirs").iterdir()}
    assert written == {ours.file: (tmp_path / ours.file).read_bytes()} | {k: v.encode() for k, v in ours.texts.items()}


@pytest.mark.parametrize("values", [{}, {"tied": False}, {"kind": "m2m100"}])
def test_what_was_kept_comes_back(values: dict[str, object]) -> None:
    model, other = (build_model(section(**values), seed=seed) for seed in (1, 2))
    load_weights(other, weights_of(model).tensors)
    theirs = other.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())


def test_other_weights_are_refused_by_name_and_nothing_is_changed() -> None:
    model = build_model(section(), seed=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    right = weights_of(build_model(section(), seed=2)).tensors
    name = "model.layers.1.mlp.up_proj.weight"
    for wrong in (
        {k: v for k, v in right.items() if k != name},
        right | {name + "s": right[name]},
        right | {name: right[name].T.contiguous()},
    ):
        with pytest.raises(InputError, match=f"The weights do not fit the model \\({name}"):
            load_weights(model, wrong)
    assert all(torch.equal(tensor, before[k]) for k, tensor in model.state_dict().items())
