"""The model that a run begins with: opened from a folder, measured, and fitted into the recipe.

    base = open_base(section, cache=Path("runs/bases"))       a folder of transformers, a lugha checkpoint, or a hub id
    section = fit_section(section, base)                      shape values taken from its config.json
    model = load_base(base, dtype=torch.bfloat16)

What a run depends on is the content: `base.digest` is a SHA-256 over names and SHA-256 of the weight files. A hub id is
resolved to a commit once and stays there (hub.py). A folder that holds an adapter stands for its own base with the adapter
merged into it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from lugha.errors import InputError, RefusedError, nearest
from lugha.models.lora import ADAPTER_WEIGHTS, merge_into
from lugha.recipe import ModelSection
from lugha.runs.files import sha256_file, sha256_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BASE = "base.json"  # in a checkpoint: of which model it is
_KINDS = ("llama", "mistral", "m2m100")


@dataclass(frozen=True)
class Base:
    """An opened base model."""

    folder: Path  # with config.json, weights, tokenizer.json
    id: str  # as a person names it: the hub id or the folder
    revision: str | None  # commit, of a hub id
    digest: str  # SHA-256 over the weights' files
    licence: str | None = None

    def record(self, section: ModelSection) -> dict[str, Any]:
        """What stands in a checkpoint's `base.json`: all that is needed to put an adapter on its base again."""
        return {
            "id": self.id,
            "revision": self.revision,
            "digest": self.digest,
            "licence": self.licence,
            "folder": str(self.folder.resolve()),
            "dtype": section.base_dtype,
            "lora": section.lora.model_dump() if section.lora else None,
        }


def open_base(name: str, revision: str | None, *, cache: Path, say: Callable[[str], None] = lambda _: None) -> Base:
    """Find a base model and read what identifies it; hub ids are downloaded where they are not in the cache.

    Args:
        name: a folder (of transformers, or a lugha checkpoint), or a hub id.
        revision: commit or branch of a hub id.
        cache: folder that remembers to which commit a hub id was resolved.
        say: gets a line before a download.

    Raises:
        InputError: there is no such folder or hub model, or it holds no model; a revision of a folder.
    """
    path = Path(name)
    if path.is_dir():
        if revision is not None:
            raise InputError(
                f"model.revision {revision} belongs to a hub id, but model.base {name} is a folder: leave it out."
            )
        return Base(path, name, None, weights_digest(path))
    from lugha.models.hub import fetch, is_hub_id  # its client is not needed for folders

    if not is_hub_id(name):
        raise InputError(f"model.base {name}: no such folder, and not a hub id either (owner/name).")
    found = fetch(name, revision=revision, cache=cache, say=say)
    return Base(found.folder, name, found.revision, weights_digest(found.folder), found.licence)


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's weight files; of an adapter, with its base's digest.

    Raises:
        InputError: there are none.
    """
    files = weight_files(folder)
    content: list[Any] = [[f.name, sha256_file(f)] for f in files]
    if (folder / ADAPTER_WEIGHTS).is_file():
        content += [[ADAPTER_WEIGHTS, sha256_file(folder / ADAPTER_WEIGHTS)], read_base_record(folder)["digest"]]
    if not content:
        raise InputError(
            f"{folder}: no weights here (*.safetensors or pytorch_model.bin). Name a folder with a whole model."
        )
    return sha256_json(content)


def weight_files(folder: Path) -> list[Path]:
    """The files of a whole model's weights: safetensors, else PyTorch's own format."""
    kept = [f for f in sorted(folder.glob("model*.safetensors")) if f.is_file()]
    return kept or [f for f in sorted(folder.glob("pytorch_model*.bin")) if f.is_file()]


def read_base_record(folder: Path) -> dict[str, Any]:
    """`base.json` of an adapter's folder.

    Raises:
        InputError: an adapter that lugha did not make.
    """
    path = folder / BASE
    if not path.is_file():
        raise InputError(f"{folder}: an adapter without {BASE}, so its base is not known. Merge it and name that folder.")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def fit_section(section: ModelSection, base: Base) -> ModelSection:
    """The section with the base's shape; what the recipe says itself must agree with it.

    Raises:
        InputError: a class of model that lugha does not train, or a recipe value that the base contradicts.
    """
    shape = shape_of(_config_folder(base.folder))
    said = set(section.model_fields_set)
    if section.new_languages or section.new_characters:
        said.discard("vocab_size")  # it grows
    for key, value in shape.items():
        ours = getattr(section, key)
        if key in said and ours != value and not (key == "kv_heads" and ours is None):
            raise InputError(f"model.{key} is {ours}, but the base {base.id} has {value}. Leave it out: the base decides.")
    values = section.model_dump() | shape | {"revision": base.revision}
    try:
        return ModelSection.model_validate(values)
    except ValidationError as error:
        raise InputError(f"model.base {base.id}: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from error


def shape_of(folder: Path) -> dict[str, Any]:
    """The recipe values that a config.json of transformers fixes.

    Raises:
        InputError: no config.json, or a class of model that lugha does not train.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: no model here (config.json is missing).")
    config = json.loads(path.read_text(encoding="utf-8"))
    kind = {"m2m_100": "m2m100"}.get(config["model_type"], config["model_type"])
    if kind not in _KINDS:
        hint = nearest(kind, _KINDS)
        raise InputError(f"{path}: model_type {config['model_type']} is not one that lugha trains.{hint}")
    if kind == "m2m100":
        return {
            "kind": kind,
            "vocab_size": config["vocab_size"],
            "d_model": config["d_model"],
            "layers": config["decoder_layers"],
            "heads": config["decoder_attention_heads"],
            "d_ff": config["decoder_ffn_dim"],
            "max_positions": config["max_position_embeddings"],
        }
    rope = config.get("rope_parameters") or {}
    return {
        "kind": kind,
        "vocab_size": config["vocab_size"],
        "d_model": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "kv_heads": config.get("num_key_value_heads") or config["num_attention_heads"],
        "d_ff": config["intermediate_size"],
        "max_positions": config["max_position_embeddings"],
        "rope_theta": float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
        "norm_eps": config["rms_norm_eps"],
        "tied": bool(config.get("tie_word_embeddings", False)),
        "sliding_window": config.get("sliding_window") if kind == "mistral" else None,
    }


def load_base(base: Base, section: ModelSection) -> PreTrainedModel:
    """The base's model on the CPU (nf4: on CUDA), its weights in `section.base_dtype` where they stay frozen, else fp32.

    Raises:
        InputError: the files do not load; nf4 without CUDA or without bitsandbytes.
        RefusedError: the base is an adapter, and its own base has other weights now.
    """
    check_quantisation(section)
    model = read_whole(
        base.folder,
        dtype=DTYPES[section.base_dtype],
        quantised=section.base_dtype == "nf4",
        dropout=section.dropout,
    )
    return model.requires_grad_(section.base_dtype != "nf4")  # merging an adapter has frozen it


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "nf4": torch.bfloat16}


def read_model(
    folder: Path, *, dtype: torch.dtype, quantised: bool = False, dropout: float | None = None
) -> PreTrainedModel:
    """The model of a folder that transformers reads; nothing is ever unpickled without `weights_only`.

    Args:
        quantised: in 4-bit NormalFloat, computing in `dtype`.
        dropout: of a model that is to be trained; None: as the folder says.

    Raises:
        InputError: there is no model, or its files do not belong together.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no model here (config.json is missing). Give a checkpoint or an exported folder.")
    logging.disable_progress_bar()  # a bar for files read in milliseconds
    more = {"quantization_config": _nf4(), "device_map": "cuda"} if quantised else {}
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if dropout is not None:
            _set_dropout(config, dropout)
        cls = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model: PreTrainedModel = cls.from_pretrained(folder, config=config, local_files_only=True, dtype=dtype, **more)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: the model does not load ({' '.join(str(error).split())[:200]}).") from error
    return model


def _set_dropout(config: Any, dropout: float) -> None:
    """A decoder has dropout in its attention alone; an encoder-decoder's attention keeps its own where that is less."""
    if config.is_encoder_decoder:
        config.dropout, config.attention_dropout = dropout, min(config.attention_dropout, dropout)
    else:
        config.attention_dropout = dropout


def base_of_adapter(folder: Path, *, cache: Path | None = None) -> Base:
    """The base that an adapter's folder was trained on, found again: its folder, else its hub id at the same commit.

    Raises:
        InputError: it is neither on this machine nor on the hub.
        RefusedError: what is there now has other weights.
    """
    record = read_base_record(folder)
    here = Path(record["folder"])
    name = str(here) if here.is_dir() else record["id"]
    revision = None if here.is_dir() else record["revision"]
    found = open_base(name, revision, cache=cache or folder / ".bases")
    if found.digest != record["digest"]:
        raise RefusedError(
            f"{folder}: its base {name} has other weights now ({found.digest[:8]}) than the adapter was trained on "
            f"({record['digest'][:8]}). Put the original back: an adapter on another base is another model."
        )
    return Base(found.folder, record["id"], record["revision"], found.digest, found.licence)


def read_whole(
    folder: Path, *, dtype: torch.dtype, quantised: bool = False, dropout: float | None = None, cache: Path | None = None
) -> PreTrainedModel:
    """The model of a folder: as it is, or, of an adapter's, its base with the adapter merged in fp32, however deep it goes."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        return read_model(folder, dtype=dtype, quantised=quantised, dropout=dropout)
    if quantised:
        raise InputError(
            f"{folder}: an adapter as a base of 4 bits would be quantised after its merge. Use base_dtype bf16."
        )
    underneath = base_of_adapter(folder, cache=cache).folder
    whole = read_whole(underneath, dtype=torch.float32, dropout=dropout, cache=cache)
    return merge_into(whole, folder).to(dtype=dtype)


def _config_folder(folder: Path) -> Path:
    is_adapter = (folder / ADAPTER_WEIGHTS).is_file()
    return _config_folder(base_of_adapter(folder).folder) if is_adapter else folder


def check_quantisation(section: ModelSection) -> None:
    """Refuse a base of 4 bits where there is nothing to compute with it.

    Raises:
        InputError: no CUDA, or no bitsandbytes.
    """
    if section.base_dtype != "nf4":
        return
    if not torch.cuda.is_available():
        raise InputError(
            "model.base_dtype nf4 needs CUDA, and torch sees no CUDA device (on a CPU the quantised weights are repacked at "
            "the first forward pass and can no longer be saved). Use bf16."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError("model.base_dtype nf4 needs bitsandbytes: pip install 'lugha[nf4]'.")


def _nf4() -> Any:
    """4-bit NormalFloat with double quantisation (Dettmers et al. 2023, QLoRA, arXiv 2305.14314)."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
