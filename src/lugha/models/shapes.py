"""Parameter counts from shapes alone: no torch, no weights, no allocation.

    parameter_count(recipe.model)  ->  88_099_584 for swahili-base

    trainable_count(load_recipe("igbo-mistral-7b").model)  ->  6_815_744

The counts are those of the classes of transformers that `build.py` builds, and a test holds them equal.
"""

from __future__ import annotations

from lugha.errors import InputError, nearest
from lugha.recipe import ModelSection


def parameter_count(model: ModelSection) -> int:
    """Number of parameters without adapters; a tied embedding is counted once."""
    return _m2m100(model) if model.kind == "m2m100" else _decoder(model)


def adapter_count(model: ModelSection) -> int:
    """Number of parameters of the adapters: r (in + out) for each adapted layer; 0 without `model.lora`.

    Raises:
        InputError: a module name that the class has no linear layer for.
    """
    if model.lora is None:
        return 0
    shapes = linear_shapes(model)
    total = 0
    for name in model.lora.modules:
        if name not in shapes:
            raise InputError(f'model.lora.modules: {model.kind} has no linear layer named "{name}".{nearest(name, shapes)}')
        width_in, width_out, count = shapes[name]
        total += model.lora.r * (width_in + width_out) * count
    return total


def trainable_count(model: ModelSection) -> int:
    """Number of parameters that training changes: the adapters', or all."""
    return adapter_count(model) if model.lora else parameter_count(model)


def linear_shapes(m: ModelSection) -> dict[str, tuple[int, int, int]]:
    """Name of each kind of linear layer -> (inputs, outputs, how many the model has)."""
    if m.kind == "m2m100":
        attention = 3 * m.layers  # the encoder's, the decoder's, and the decoder's to the encoder
        square = (m.d_model, m.d_model, attention)
        names: dict[str, tuple[int, int, int]] = dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), square)
        return names | {"fc1": (m.d_model, m.d_ff, 2 * m.layers), "fc2": (m.d_ff, m.d_model, 2 * m.layers)}
    kv_width = m.d_model // m.heads * (m.kv_heads or m.heads)
    return {
        "q_proj": (m.d_model, m.d_model, m.layers),
        "k_proj": (m.d_model, kv_width, m.layers),
        "v_proj": (m.d_model, kv_width, m.layers),
        "o_proj": (m.d_model, m.d_model, m.layers),
        "gate_proj": (m.d_model, m.d_ff, m.layers),
        "up_proj": (m.d_model, m.d_ff, m.layers),
        "down_proj": (m.d_ff, m.d_model, m.layers),
    }


def _decoder(m: ModelSection) -> int:
    """LlamaForCausalLM, MistralForCausalLM: RMSNorm, rotary positions (no parameters), grouped-query attention, SwiGLU."""
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
