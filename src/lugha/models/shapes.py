"""Parameter counts from shapes alone: no torch, no weights, no allocation.

    parameter_count(recipe.model)  ->  88_099_584 for swahili-base

The counts are those of the classes of transformers that `build.py` builds, and a test holds them equal.
"""

from __future__ import annotations

from lugha.recipe import ModelSection


def parameter_count(model: ModelSection) -> int:
    """Number of trainable parameters; a tied embedding is counted once."""
    return _llama(model) if model.kind == "llama" else _m2m100(model)


def _llama(m: ModelSection) -> int:
    """LlamaForCausalLM: RMSNorm, rotary positions (no parameters), grouped-query attention, SwiGLU, no bias."""
    kv_width = m.d_model // m.heads * (m.kv_heads or m.heads)
    attention = 2 * m.d_model * m.d_model + 2 * m.d_model * kv_width
    feed_forward = 3 * m.d_model * m.d_ff
    layer = attention + feed_forward + 2 * m.d_model
    embeddings = m.vocab_size * m.d_model * (1 if m.tied else 2)
    return embeddings + m.layers * layer + m.d_model


def _m2m100(m: ModelSection) -> int:
    """M2M100ForConditionalGeneration: sinusoidal positions (no parameters), biases, LayerNorm, one shared embedding."""
    attention = 4 * (m.d_model * m.d_model + m.d_model)
    norm = 2 * m.d_model
    feed_forward = 2 * m.d_model * m.d_ff + m.d_ff + m.d_model
    encoder_layer = attention + norm + feed_forward + norm
    decoder_layer = encoder_layer + attention + norm
    return m.vocab_size * m.d_model + m.layers * (encoder_layer + decoder_layer) + 2 * norm
