"""Low-rank adapters on a frozen base: PEFT's layers, put into the model in place.

    add_lora(model, section, seed=42)      q_proj becomes q_proj + (alpha / r) B A, in every layer that has one
    adapter_tensors(model)                 what a checkpoint holds, under the names of PEFT's own files
    load_adapter(model, tensors)

The model stays an instance of its transformers class, so nothing downstream knows of adapters; only their parameters have
`requires_grad`. They are fp32 whatever the base's type: an update of 1e-4 of a weight is lost in bf16. A draws from `seed`, B
begins at zero, so before the first step the adapted model is the base, to the last bit.

Source: Hu et al. 2021, LoRA (arXiv 2106.09685); the file format is that of PEFT 0.18 and newer.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lugha.errors import InputError, nearest
from lugha.recipe import LoraSection, ModelSection
from lugha.runs.weights import like

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."  # PEFT's own wrapper, in whose names its files are written
_ADAPTER = "default"


def add_lora(model: PreTrainedModel, section: LoraSection, *, seed: int) -> None:
    """Put adapters into `model` and freeze everything else.

    Raises:
        InputError: a module name that no linear layer of the model has; the message names the nearest.
    """
    from peft import inject_adapter_in_model

    linear = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for name in section.modules:
        if name not in linear:
            raise InputError(f'model.lora.modules: the base has no linear layer named "{name}".{nearest(name, linear)}')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = lora_config(section, encoder_decoder=model.config.is_encoder_decoder)
        with _without_warnings_of_peft():
            inject_adapter_in_model(config, model, adapter_name=_ADAPTER)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def lora_config(section: LoraSection, *, encoder_decoder: bool) -> Any:
    """PEFT's configuration of the section."""
    from peft import LoraConfig

    return LoraConfig(
        r=section.r,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        target_modules=list(section.modules),
        task_type="SEQ_2_SEQ_LM" if encoder_decoder else "CAUSAL_LM",
        bias="none",
    )


def has_adapter(model: nn.Module) -> bool:
    """Whether `add_lora` was called on the model."""
    return hasattr(model, "peft_config")


def adapter_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The adapter's parameters under the names of `adapter_model.safetensors`; the tensors are the model's own."""
    return {_file_name(name): p for name, p in model.named_parameters() if ".lora_" in name}


def load_adapter(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fill the adapter from the content of an `adapter_model.safetensors`.

    Raises:
        InputError: the file belongs to other modules or another rank.
    """
    ours = adapter_tensors(model)
    lost = sorted(ours.keys() ^ tensors.keys())
    if lost:
        raise InputError(f"The adapter does not fit the model ({lost[0].removeprefix(_PREFIX)}): other model.lora.modules.")
    with torch.no_grad():
        for name, parameter in ours.items():
            if parameter.shape != tensors[name].shape:
                shapes = f"{tuple(tensors[name].shape)} instead of {tuple(parameter.shape)}"
                raise InputError(f"The adapter does not fit the model ({name.removeprefix(_PREFIX)}: {shapes}).")
            parameter.copy_(like(parameter, tensors[name]))


def merge_into(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """`base` with the adapter in `folder` merged into its weights, in their type; PEFT does both."""
    from peft import PeftModel

    with _without_warnings_of_peft():
        merged: PreTrainedModel = PeftModel.from_pretrained(base, str(folder)).merge_and_unload(safe_merge=True)
    return merged


@contextlib.contextmanager
def _without_warnings_of_peft() -> Iterator[None]:
    """PEFT asks transformers for a property under a name that is going to change; nothing that a person could act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield


def adapter_config_text(section: ModelSection, base: str, revision: str | None) -> str:
    """`adapter_config.json` of the section's adapter on `base`, as `PeftModel.from_pretrained` reads it."""
    assert section.lora is not None
    config = lora_config(section.lora, encoder_decoder=section.kind == "m2m100").to_dict()
    config |= {"base_model_name_or_path": base, "revision": revision, "inference_mode": True}
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    return json.dumps(plain, indent=2, sort_keys=True, default=lambda v: getattr(v, "value", str(v))) + "\n"


def _file_name(parameter: str) -> str:
    return _PREFIX + parameter.replace(f".{_ADAPTER}.", ".")
