"""A model's weights as a file holds them, and back: what a checkpoint keeps, under the names of transformers.

    weights_of(model)               -> Weights("model.safetensors", tensors, {"config.json": ..., ...})
    load_weights(model, tensors)

Of a model with adapters these are the adapters' (models/lora.py). A folder with these files is what `model.save_pretrained`
writes, byte for byte, and `from_pretrained` loads it; but no process ever writes here, and a model whose parts lie in several
processes is gathered.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lugha.errors import InputError
from lugha.models.lora import ADAPTER_WEIGHTS, adapter_tensors, has_adapter, load_adapter
from lugha.runs.weights import Weights, like, whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WHOLE_MODEL = "model.safetensors"


def weights_of(model: PreTrainedModel) -> Weights:
    """Everything of `model` that a checkpoint keeps: of one with adapters, the adapters alone.

    Every process must ask (runs/weights.py).
    """
    if has_adapter(model):
        return Weights(ADAPTER_WEIGHTS, {name: whole(t) for name, t in adapter_tensors(model).items()}, {})
    state = model.state_dict()
    kept = [name for name in state if name not in _tied(model)]
    return Weights(WHOLE_MODEL, {name: whole(state[name]) for name in kept}, _configurations(model))


def save_whole(model: PreTrainedModel, folder: Path) -> None:
    """Write a whole model as transformers does; 7 B parameters in several files with their index."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for files written in milliseconds
    model.save_pretrained(folder)


def load_weights(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fill `model` from the content of its weights file.

    Raises:
        InputError: a tensor is missing, is too many, or has another shape.
    """
    if has_adapter(model):
        load_adapter(model, tensors)
        return
    state = model.state_dict()
    lost = sorted((state.keys() - _tied(model)) ^ tensors.keys())
    if lost:
        raise InputError(f"The weights do not fit the model ({lost[0]}).")
    for name, tensor in tensors.items():
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(tensor.shape)} instead of {tuple(state[name].shape)}"
            raise InputError(f"The weights do not fit the model ({name}: {shapes}).")
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(like(state[name], tensor))


def _tied(model: PreTrainedModel) -> set[str]:
    """Names of matrices that are another one: a file holds them once."""
    return set(model.all_tied_weights_keys)


def _configurations(model: PreTrainedModel) -> dict[str, str]:
    """`config.json` and `generation_config.json`, as `save_pretrained` words them."""
    config = copy.deepcopy(model.config)
    config.use_cache = True  # training with gradient checkpointing goes without; whoever loads the file generates
    config.dtype = str(model.dtype).removeprefix("torch.")
    config.architectures = [type(model).__name__]
    texts = {"config.json": config.to_json_string(use_diff=True)}
    if model.can_generate():
        texts["generation_config.json"] = model.generation_config.to_json_string(use_diff=True)
    return texts
