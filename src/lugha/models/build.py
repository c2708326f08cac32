"""Build the model of a run, or load the one in a checkpoint or an exported folder.

    prepare_model(section, base, seed=42)    what a run begins with: new weights or a base's, and adapters on it
    load_model(folder)                       what a checkpoint or an exported folder holds, for evaluation

Models are plain classes of transformers, so that what lugha trains is loaded by everybody's tools without a conversion:
`llama` is LlamaForCausalLM, `mistral` MistralForCausalLM, `m2m100` M2M100ForConditionalGeneration (the class of NLLB-200).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from lugha.models.base import DTYPES, Base, base_of_adapter, load_base, read_base_record, read_model, read_whole
from lugha.models.lora import ADAPTER_WEIGHTS, add_lora, load_adapter
from lugha.recipe import LoraSection, ModelSection

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Ids that every tokenizer of ours reserves first (tokens/special.py).
PAD, BOS, EOS = 0, 1, 2


def build_model(section: ModelSection, *, seed: int) -> PreTrainedModel:
    """A new model in fp32 on the CPU with weights drawn from `seed` (the same seed gives the same bytes)."""
    torch.manual_seed(seed)
    return _m2m100(section) if section.kind == "m2m100" else _decoder(section)


def prepare_model(section: ModelSection, base: Base | None, *, seed: int) -> PreTrainedModel:
    """The model that a run begins with, on the CPU; what is trained is fp32 and has `requires_grad`.

    Raises:
        InputError: the base does not load, or model.lora names modules that it does not have.
    """
    model = build_model(section, seed=seed) if base is None else load_base(base, section)
    if section.lora is not None:
        add_lora(model, section.lora, seed=seed)
    return model


def _decoder(section: ModelSection) -> PreTrainedModel:
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    values: dict[str, Any] = {
        "vocab_size": section.vocab_size,
        "hidden_size": section.d_model,
        "intermediate_size": section.d_ff,
        "num_hidden_layers": section.layers,
        "num_attention_heads": section.heads,
        "num_key_value_heads": section.kv_heads or section.heads,
        "max_position_embeddings": section.max_positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": section.rope_theta},
        "rms_norm_eps": section.norm_eps,
        "attention_dropout": section.dropout,
        "tie_word_embeddings": section.tied,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    if section.kind == "mistral":
        return MistralForCausalLM(MistralConfig(**values, sliding_window=section.sliding_window))
    return LlamaForCausalLM(LlamaConfig(**values))


def _m2m100(section: ModelSection) -> PreTrainedModel:
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    return M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=section.vocab_size,
            d_model=section.d_model,
            encoder_layers=section.layers,
            decoder_layers=section.layers,
            encoder_attention_heads=section.heads,
            decoder_attention_heads=section.heads,
            encoder_ffn_dim=section.d_ff,
            decoder_ffn_dim=section.d_ff,
            max_position_embeddings=section.max_positions,
            dropout=section.dropout,
            attention_dropout=0.0,
            activation_dropout=0.0,
            encoder_layerdrop=0.0,
            decoder_layerdrop=0.0,
            scale_embedding=True,
            # The class multiplies embeddings by sqrt(d_model); drawn with sd 1 / sqrt(d_model) they have unit variance
            # then, as in the original Transformer (Vaswani et al. 2017, section 3.4). Its own default, 0.02, is for
            # d_model 1024 and trains slowly at small widths.
            init_std=section.d_model**-0.5,
            tie_word_embeddings=section.tied,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
            decoder_start_token_id=EOS,
        )
    )


def load_model(folder: Path, *, cache: Path | None = None) -> PreTrainedModel:
    """The model in a checkpoint's or an exported folder, ready for evaluation: fp32, or an adapter on its base in the type
    that it was trained on.

    Args:
        cache: where the commits of hub ids are remembered; only for adapters on a base from the hub.

    Raises:
        InputError: there is no model, its files do not belong together, or an adapter's base is not found.
        RefusedError: an adapter's base has other weights than it was trained on.
    """
    if (folder / ADAPTER_WEIGHTS).is_file():
        model = _adapted(folder, cache)
    else:
        model = read_model(folder, dtype=torch.float32)
    model.requires_grad_(False).train(False)
    return model


def _adapted(folder: Path, cache: Path | None) -> PreTrainedModel:
    record = read_base_record(folder)
    base = base_of_adapter(folder, cache=cache)
    dtype = record["dtype"]
    model = read_whole(base.folder, dtype=DTYPES[dtype], quantised=dtype == "nf4", cache=cache)
    add_lora(model, LoraSection.model_validate(record["lora"]), seed=0)
    load_adapter(model, load_file(folder / ADAPTER_WEIGHTS))
    return model
