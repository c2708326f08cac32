"""A GGUF that llama.cpp loads: one layer of random weights under the vocabulary of a tokenizer.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lugha.export.gguf_vocabulary import add_gguf_vocabulary, gguf_vocabulary, import_gguf

WIDTH = 32


def write_tiny_gguf(path: Path, tokenizer_json: Path, *, rows: int | None = None) -> Path:
    """Write the file and return its path."""
    gguf = import_gguf()
    vocabulary = gguf_vocabulary(tokenizer_json, rows=rows)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_vocab_size(len(vocabulary.tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_gguf_vocabulary(writer, vocabulary)
    random = np.random.default_rng(0)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    shapes = {"token_embd": (len(vocabulary.tokens), WIDTH)}
    shapes |= {f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{part}": (WIDTH, WIDTH) for part in ("gate", "up", "down")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (random.standard_normal(shape) * 0.02).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
