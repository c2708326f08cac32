"""A Trainer of a Llama with a few thousand parameters, as a user's script would make it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

EXAMPLES = 64


class Sentences(Dataset[dict[str, torch.Tensor]]):
    """Rows of numbers, the same in every process; a slow disk where `seconds` says so."""

    def __init__(self, count: int, seconds: float = 0.0) -> None:
        self._rows = torch.randint(1, 64, (count, 8), generator=torch.Generator().manual_seed(count))
        self._seconds = seconds

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        time.sleep(self._seconds)
        return {"input_ids": self._rows[index], "labels": self._rows[index]}


def tiny_trainer(
    output_dir: str | Path = "out",
    *,
    row_seconds: float = 0.0,
    eval_rows: int = 8,
    eval_row_seconds: float = 0.0,
    adapter: bool = False,
    **arguments: Any,
) -> Trainer:
    """A Trainer whose weights depend on everything: data order, dropout, schedule."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        attention_dropout=0.2,
        pad_token_id=0,
    )
    given = {
        "max_steps": 12,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 4,
        "save_steps": 4,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    model = LlamaForCausalLM(config)
    return Trainer(
        get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.2)) if adapter else model,
        TrainingArguments(str(output_dir), **(given | arguments)),
        train_dataset=Sentences(EXAMPLES, row_seconds),
        eval_dataset=Sentences(eval_rows, eval_row_seconds),
    )


def weights(trainer: Trainer) -> str:
    """SHA-256 of all weights."""
    return hash_of(trainer.model)


def hash_of(model: Any) -> str:
    """SHA-256 of all weights of a model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
