"""What must be the same when a Trainer's run goes on, as plain values.

Trainer itself goes on with another batch size (other data in every step, one warning), another data set (no word) or another
learning rate (the old one stays, no word). Here the checkpoint's manifest holds what follows, and a difference is refused by
name.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from lugha.runs.files import sha256_json

if TYPE_CHECKING:
    from transformers import Trainer

# Whatever decides the order of the data, the size of a step, or the update that a step makes.
_ARGUMENTS = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "world_size",
    "seed",
    "data_seed",
    "train_sampling_strategy",
    "dataloader_drop_last",
    "max_steps",
    "num_train_epochs",
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "optim",
    "optim_args",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "label_smoothing_factor",
    "neftune_noise_alpha",
    "bf16",
    "fp16",
)


def depends_on(trainer: Trainer) -> dict[str, str]:
    """Name -> value, of the arguments, the data set's length and the model's parameters (a digest of names and shapes)."""
    return {
        **{name: _plain(getattr(trainer.args, name, None)) for name in _ARGUMENTS},
        "dataset_length": _length(trainer.train_dataset),
        "model": _shapes(trainer.model),
    }


def _plain(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _length(dataset: Any) -> str:
    try:
        return str(len(dataset))
    except TypeError:
        return "unknown"  # an endless stream


def _shapes(model: Any) -> str:
    return sha256_json([(n, list(p.shape), str(p.dtype), p.requires_grad) for n, p in model.named_parameters()])
