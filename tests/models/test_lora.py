"""Adapters: the founding counts, fp32 over any base, a base that stays as it was, and files that PEFT itself reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lugha.errors import InputError
from lugha.models.build import build_model
from lugha.models.lora import adapter_config_text, adapter_tensors, add_lora, load_adapter
from lugha.models.shapes import adapter_count, parameter_count, trainable_count
from lugha.recipe import LoraSection, ModelSection, load_recipe

ALL_SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPE = {"vocab_size": 320, "d_model": 32, "layers": 2, "heads": 4, "d_ff": 48, "max_positions": 32}
DECODER = ModelSection.model_validate({"kind": "mistral", "kv_heads": 2, "tied": False, **SHAPE})
PAIRS = ModelSection.model_validate({"kind": "m2m100", **SHAPE})
IDS = torch.tensor([[1, 40, 41, 42, 2]])


@pytest.mark.parametrize(
    ("modules", "count"),
    [(["q_proj", "v_proj"], 6_815_744), (ALL_SEVEN[:4], 13_631_488), (ALL_SEVEN, 41_943_040)],
)
def test_the_founding_counts_of_mistral_7b(modules: list[str], count: int) -> None:
    section = load_recipe("igbo-mistral-7b").model
    assert section.lora is not None
    section = section.model_copy(update={"lora": section.lora.model_copy(update={"modules": modules})})
    assert trainable_count(section) == count
    assert parameter_count(section) + count == 7_241_732_096 + count
    if len(modules) == 2:
        assert parameter_count(section) + count == 7_248_547_840
        assert 4 * count / 2**20 == 26.0  # MiB of the adapter in fp32


def test_the_count_of_nllb_600m() -> None:
    section = load_recipe("nllb-600m").model
    assert trainable_count(section) == parameter_count(section) == 615_073_792
    assert trainable_count(section.model_copy(update={"lora": LoraSection()})) == 2_359_296


@pytest.mark.parametrize("section", [DECODER, PAIRS], ids=["mistral", "m2m100"])
@pytest.mark.parametrize("modules", [["q_proj", "v_proj"], ["k_proj"]])
def test_counts_are_those_of_the_classes(section: ModelSection, modules: list[str]) -> None:
    lora = LoraSection(r=4, modules=modules)
    model = build_model(section, seed=1)
    add_lora(model, lora, seed=1)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == adapter_count(section.model_copy(update={"lora": lora}))
    assert sum(p.numel() for p in model.parameters()) == parameter_count(section) + trained


def test_a_module_that_no_layer_has_is_refused_by_name() -> None:
    with pytest.raises(InputError, match='no linear layer named "q_porj".*q_proj'):
        add_lora(build_model(DECODER, seed=1), LoraSection(modules=["v_proj", "q_porj"]), seed=1)
    with pytest.raises(InputError, match='mistral has no linear layer named "fc1"'):
        adapter_count(DECODER.model_copy(update={"lora": LoraSection(modules=["fc1"])}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_adapters_are_fp32_over_any_base_and_change_nothing_at_first(dtype: torch.dtype) -> None:
    plain = build_model(DECODER, seed=1).to(dtype).eval()
    adapted = build_model(DECODER, seed=1).to(dtype)
    add_lora(adapted, LoraSection(r=4), seed=1)
    adapted.eval()
    for name, parameter in adapted.named_parameters():
        assert parameter.requires_grad == (".lora_" in name)
        assert parameter.dtype == (torch.float32 if ".lora_" in name else dtype)
    assert torch.equal(plain(IDS).logits, adapted(IDS).logits)


def test_the_same_seed_draws_the_same_adapter_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        model = build_model(DECODER, seed=5)
        torch.set_rng_state(before)
        add_lora(model, LoraSection(r=4), seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        drawn.append({k: v.detach().clone() for k, v in adapter_tensors(model).items()})
    assert all(torch.equal(drawn[0][k], drawn[1][k]) for k in drawn[0])
    assert any(not torch.equal(drawn[0][k], drawn[2][k]) for k in drawn[0])


@pytest.mark.parametrize("section", [DECODER, PAIRS], ids=["mistral", "m2m100"])
def test_peft_itself_reads_the_files(section: ModelSection, tmp_path: Path) -> None:
    from peft import PeftModel

    ours = build_model(section, seed=1)
    with_lora = section.model_copy(update={"lora": LoraSection(r=4)})
    add_lora(ours, LoraSection(r=4), seed=1)
    for parameter in adapter_tensors(ours).values():
        torch.nn.init.normal_(parameter, std=0.3)
    tensors = {k: v.detach() for k, v in adapter_tensors(ours).items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    (tmp_path / "adapter_config.json").write_text(adapter_config_text(with_lora, "somewhere", None), encoding="utf-8")
    inputs = {"input_ids": IDS} | ({"decoder_input_ids": IDS} if section.kind == "m2m100" else {})
    theirs = PeftModel.from_pretrained(build_model(section, seed=1), str(tmp_path)).eval()
    assert torch.equal(ours.eval()(**inputs).logits, theirs(**inputs).logits)
    again = build_model(section, seed=1)
    add_lora(again, LoraSection(r=4), seed=9)
    load_adapter(again, tensors)
    assert torch.equal(ours(**inputs).logits, again.eval()(**inputs).logits)


def test_an_adapter_of_another_shape_is_refused() -> None:
    model = build_model(DECODER, seed=1)
    add_lora(model, LoraSection(r=4), seed=1)
    tensors = {k: v.detach() for k, v in adapter_tensors(model).items()}
    other = build_model(DECODER, seed=1)
    add_lora(other, LoraSection(r=8), seed=1)
    with pytest.raises(InputError, match="does not fit the model .*lora_A.weight"):
        load_adapter(other, tensors)
    third = build_model(DECODER, seed=1)
    add_lora(third, LoraSection(r=4, modules=["k_proj"]), seed=1)
    with pytest.raises(InputError, match=r"other model\.lora\.modules"):
        load_adapter(third, tensors)


def test_the_real_shapes_on_the_meta_device_and_the_size_of_the_file(tmp_path: Path) -> None:
    """Mistral-7B itself, without a byte of its weights: counts of the class, and the adapter file that a checkpoint holds."""
    section = load_recipe("igbo-mistral-7b").model
    assert section.lora is not None
    with torch.device("meta"):
        model = build_model(section, seed=1)
        add_lora(model, section.lora, seed=1)
    assert sum(p.numel() for p in model.parameters()) == 7_248_547_840
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 6_815_744
    tensors = {name: torch.zeros_like(t, device="cpu") for name, t in adapter_tensors(model).items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    assert round((tmp_path / "adapter_model.safetensors").stat().st_size / 2**20, 1) == 26.0
