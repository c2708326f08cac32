"""Base models from folders: found by content, fitted into the recipe, and refused where they are another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lugha.errors import InputError, RefusedError
from lugha.models.base import BASE, base_of_adapter, fit_section, load_base, open_base, shape_of
from lugha.models.build import build_model, load_model, prepare_model
from lugha.models.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_config_text, adapter_tensors
from lugha.recipe import LoraSection, ModelSection

SHAPE = {"vocab_size": 320, "d_model": 32, "layers": 2, "heads": 4, "d_ff": 48, "max_positions": 32}
KINDS = {
    "llama": ModelSection.model_validate({"kind": "llama", "kv_heads": 2, **SHAPE}),
    "mistral": ModelSection.model_validate({"kind": "mistral", "kv_heads": 2, "tied": False, "sliding_window": 8, **SHAPE}),
    "m2m100": ModelSection.model_validate({"kind": "m2m100", **SHAPE}),
}
IDS = torch.tensor([[1, 40, 41, 42, 2]])


def saved(folder: Path, kind: str, seed: int = 1) -> Path:
    build_model(KINDS[kind], seed=seed).save_pretrained(folder)
    return folder


def logits(model: torch.nn.Module) -> torch.Tensor:
    more = {"decoder_input_ids": IDS} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS, **more).logits
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_decides_the_shape_and_begins_with_its_weights(kind: str, tmp_path: Path) -> None:
    base = open_base(str(saved(tmp_path / "base", kind)), None, cache=tmp_path)
    fitted = fit_section(ModelSection(kind=kind, base=str(base.folder)), base)  # type: ignore[arg-type]
    shape = set(shape_of(base.folder)) - {"norm_eps"}
    assert {k: getattr(fitted, k) for k in shape} == {k: getattr(KINDS[kind], k) for k in shape}
    assert fit_section(fitted, base) == fitted
    model = prepare_model(fitted, base, seed=99)
    assert torch.equal(logits(model), logits(build_model(KINDS[kind], seed=1)))
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())


def test_a_recipe_that_contradicts_its_base_is_refused_by_key(tmp_path: Path) -> None:
    base = open_base(str(saved(tmp_path, "llama")), None, cache=tmp_path)
    with pytest.raises(InputError, match=r"model\.d_model is 64, but the base .* has 32"):
        fit_section(ModelSection(base=str(tmp_path), d_model=64, heads=4), base)


def test_what_is_no_base_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/nowhere/at/all: no such folder, and not a hub id"):
        open_base("/nowhere/at/all", None, cache=tmp_path)
    with pytest.raises(InputError, match="no weights here"):
        open_base(str(tmp_path), None, cache=tmp_path)
    folder = saved(tmp_path / "base", "llama")
    with pytest.raises(InputError, match=r"model\.revision main belongs to a hub id"):
        open_base(str(folder), "main", cache=tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(InputError, match="model_type gpt2 is not one that lugha trains"):
        shape_of(folder)


def test_the_digest_is_of_the_weights_and_of_nothing_else(tmp_path: Path) -> None:
    one, same, other = (
        open_base(str(saved(tmp_path / name, "llama", seed)), None, cache=tmp_path).digest
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other


def test_weights_in_the_old_format_are_read_without_unpickling_code(tmp_path: Path) -> None:
    """facebook/nllb-200-distilled-600M has no other file than pytorch_model.bin."""
    folder = saved(tmp_path / "base", "m2m100")
    (folder / "model.safetensors").unlink()
    torch.save(build_model(KINDS["m2m100"], seed=1).state_dict(), folder / "pytorch_model.bin")
    base = open_base(str(folder), None, cache=tmp_path)
    assert torch.equal(logits(load_base(base, KINDS["m2m100"])), logits(build_model(KINDS["m2m100"], seed=1)))


def test_dropout_is_the_recipe_s_own(tmp_path: Path) -> None:
    for kind in KINDS:
        base = open_base(str(saved(tmp_path / kind, kind)), None, cache=tmp_path)
        section = fit_section(ModelSection(kind=kind, base=str(base.folder), dropout=0.5), base)  # type: ignore[arg-type]
        model = prepare_model(section, base, seed=1).train()
        torch.manual_seed(1)
        more = {"decoder_input_ids": IDS} if kind == "m2m100" else {}
        noisy = model(input_ids=IDS, **more).logits
        assert not torch.allclose(noisy, logits(model))


def adapted(folder: Path, base_folder: Path, kind: str, dtype: str = "fp32") -> torch.nn.Module:
    """An adapter's folder as a checkpoint has it, and the model it was made of."""
    base = open_base(str(base_folder), None, cache=folder)
    section = fit_section(
        ModelSection.model_validate({"kind": kind, "base": str(base_folder), "lora": {"r": 4}, "base_dtype": dtype}), base
    )
    model = prepare_model(section, base, seed=3)
    for parameter in adapter_tensors(model).values():
        torch.nn.init.normal_(parameter, std=0.2)
    folder.mkdir(exist_ok=True)
    tensors = {k: v.detach() for k, v in adapter_tensors(model).items()}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    (folder / BASE).write_text(json.dumps(base.record(section)))
    (folder / ADAPTER_CONFIG).write_text(adapter_config_text(section, base.id, None))
    return model


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["mistral", "m2m100"])
def test_an_adapter_finds_its_base_again(kind: str, dtype: str, tmp_path: Path) -> None:
    model = adapted(tmp_path / "adapter", saved(tmp_path / "base", kind), kind, dtype)
    loaded = load_model(tmp_path / "adapter")
    assert torch.equal(logits(loaded), logits(model))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_an_adapter_on_a_changed_base_is_refused(tmp_path: Path) -> None:
    adapted(tmp_path / "adapter", saved(tmp_path / "base", "llama"), "llama")
    saved(tmp_path / "base", "llama", seed=2)
    with pytest.raises(RefusedError, match="has other weights now"):
        base_of_adapter(tmp_path / "adapter")


def test_an_adapter_is_a_base_too_merged_into_its_own(tmp_path: Path) -> None:
    model = adapted(tmp_path / "adapter", saved(tmp_path / "base", "llama"), "llama")
    base = open_base(str(tmp_path / "adapter"), None, cache=tmp_path)
    section = fit_section(ModelSection(base=str(tmp_path / "adapter")), base)
    begun = prepare_model(section, base, seed=1)
    torch.testing.assert_close(logits(begun), logits(model), rtol=1e-4, atol=1e-5)
    assert all(p.requires_grad for p in begun.parameters())


def test_four_bits_are_refused_without_cuda(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    base = open_base(str(saved(tmp_path, "llama")), None, cache=tmp_path)
    section = fit_section(ModelSection(base=str(tmp_path), lora=LoraSection(), base_dtype="nf4"), base)
    with pytest.raises(InputError, match="nf4 needs CUDA"):
        prepare_model(section, base, seed=1)
