"""Merging an adapter: into its own base and type alone, measured before and after, refused where it loses what was learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lugha.errors import RefusedError
from lugha.export.merge import LARGEST_DIFFERENCE, merge_adapter
from lugha.models.lora import ADAPTER_WEIGHTS
from tests.models.test_base import IDS, adapted, logits, saved

PROBES = [{"input_ids": IDS}, {"input_ids": torch.tensor([[1, 7, 8, 9, 10, 11]])}]


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_the_merged_model_says_what_the_adapter_on_its_base_says(dtype: str, tmp_path: Path) -> None:
    model = adapted(tmp_path / "adapter", saved(tmp_path / "base", "mistral"), "mistral", dtype)
    merged = merge_adapter(tmp_path / "adapter", PROBES)
    assert merged.dtype == dtype
    assert merged.model.dtype == {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    assert not any("lora" in name for name, _ in merged.model.named_parameters())
    before, after = logits(model).float(), logits(merged.model).float()
    seen = float((after - before).abs().max() / before.abs().max())
    assert seen <= LARGEST_DIFFERENCE[dtype]
    assert seen <= merged.difference  # which is the largest of several probes, this one among them
    assert merged.lost < 0.2


def test_an_encoder_decoder_is_merged_too(tmp_path: Path) -> None:
    adapted(tmp_path / "adapter", saved(tmp_path / "base", "m2m100"), "m2m100")
    merged = merge_adapter(tmp_path / "adapter", [{"input_ids": IDS, "decoder_input_ids": IDS}])
    assert merged.difference < 1e-5


def test_an_update_that_the_type_rounds_away_is_refused(tmp_path: Path) -> None:
    """A thousandth of what a bf16 weight can tell apart: trained in fp32 it counts, merged it is gone."""
    adapted(tmp_path / "adapter", saved(tmp_path / "base", "llama"), "llama", "bf16")
    file = tmp_path / "adapter" / ADAPTER_WEIGHTS
    save_file({k: v * 1e-3 for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(RefusedError, match="rounded away in bf16. Not merged"):
        merge_adapter(tmp_path / "adapter", PROBES)


def test_another_base_is_refused_before_anything_is_merged(tmp_path: Path) -> None:
    adapted(tmp_path / "adapter", saved(tmp_path / "base", "llama"), "llama")
    saved(tmp_path / "base", "llama", seed=2)
    with pytest.raises(RefusedError, match="another base is another model"):
        merge_adapter(tmp_path / "adapter", PROBES)


def test_an_adapter_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    adapted(tmp_path / "adapter", saved(tmp_path / "base", "llama"), "llama")
    file = tmp_path / "adapter" / ADAPTER_WEIGHTS
    tensors = load_file(file)
    name = next(k for k in tensors if "lora_B" in k)
    save_file(tensors | {name: tensors[name] * float("nan")}, file, metadata={"format": "pt"})
    with pytest.raises(RefusedError, match="the adapter holds NaN"):
        merge_adapter(tmp_path / "adapter", PROBES)
