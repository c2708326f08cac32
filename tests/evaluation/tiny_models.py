"""A tokenizer and two models small enough for a unit test: random weights, real layout."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, M2M100Config, M2M100ForConditionalGeneration

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "eng_Latn", "ibo_Latn", "swh_Latn"]
LINES = [
    "Habari ya asubuhi, rafiki yangu.",
    "Mtoto anasoma kitabu shuleni.",
    "Ụlọ anyị dị n'akụkụ ụzọ.",
    "The child reads a book at school.",
    "Our house stands by the road.",
    "Ng'ombe wanakunywa maji mtoni kila siku jioni.",
]


def tiny_tokenizer() -> Tokenizer:
    """Byte-level BPE of 400 tokens with the special tokens of lugha's layout."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LINES * 4, trainer)
    return tokenizer


def tiny_llama(vocab_size: int = 400, seed: int = 0) -> LlamaForCausalLM:
    """A decoder of two layers, with weights large enough that its choices are not ties."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def tiny_m2m100(vocab_size: int = 400, seed: int = 0) -> M2M100ForConditionalGeneration:
    """An encoder-decoder of one layer each, with weights large enough that its choices are not ties."""
    torch.manual_seed(seed)
    config = M2M100Config(
        vocab_size=vocab_size,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=128,
        init_std=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    return M2M100ForConditionalGeneration(config).eval()
