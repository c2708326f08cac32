"""Build a model from a recipe, or load the one in a checkpoint or an exported folder.

Models are plain classes of transformers, so that what lugha trains is loaded by everybody's tools without a conversion:
`llama` is LlamaForCausalLM, `m2m100` is M2M100ForConditionalGeneration (the class of NLLB-200).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lugha.errors import InputError
from lugha.recipe import ModelSection

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Ids that every tokenizer of ours reserves first (tokens/special.py).
PAD, BOS, EOS = 0, 1, 2


def build_model(section: ModelSection, *, seed: int) -> PreTrainedModel:
    """A new model in fp32 on the CPU with weights drawn from `seed` (the same seed gives the same bytes)."""
    torch.manual_seed(seed)
    return _llama(section) if section.kind == "llama" else _m2m100(section)


def _llama(section: ModelSection) -> PreTrainedModel:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=section.vocab_size,
            hidden_size=section.d_model,
            intermediate_size=section.d_ff,
            num_hidden_layers=section.layers,
            num_attention_heads=section.heads,
            num_key_value_heads=section.kv_heads or section.heads,
            max_position_embeddings=section.max_positions,
            rope_parameters={"rope_type": "default", "rope_theta": section.rope_theta},
            rms_norm_eps=section.norm_eps,
            attention_dropout=section.dropout,
            tie_word_embeddings=section.tied,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )


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


def load_model(folder: Path) -> PreTrainedModel:
    """The model in a checkpoint's or an exported folder, in fp32, ready for evaluation.

    Raises:
        InputError: there is no model, or its files do not belong together.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no model here (config.json is missing). Give a checkpoint or an exported folder.")
    logging.disable_progress_bar()  # a bar for files read in milliseconds
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        cls = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model: PreTrainedModel = cls.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: the model does not load ({' '.join(str(error).split())[:200]}).") from error
    model.requires_grad_(False).train(False)
    return model
