"""Restore: the newest checkpoint whose every byte is right, walking back over damaged ones and saying why.

    found = find_checkpoint(run / "checkpoints", say=print)     # verified, or None on a first start
    check_same_run(data.depends_on, found)                      # or refuse, naming what differs
    state = load_into(found.folder, model, optimiser, load_weights)

What lies in a store is found and fetched by published.py; which of all places to start from is the pipeline's choice.
torch is imported where tensors are loaded, so that looking for a checkpoint does not wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lugha.checkpoints.format import (
    OPTIMISER,
    TRAINER,
    CheckpointManifest,
    TrainerState,
    differing,
    list_checkpoints,
    read_checkpoint,
    verify_checkpoint,
)
from lugha.errors import InputError, RefusedError
from lugha.runs.manifest import MANIFEST

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Verified:
    """A checkpoint whose bytes were all read and matched."""

    folder: Path
    manifest: CheckpointManifest


def find_checkpoint(checkpoints: Path, *, say: Callable[[str], None]) -> Verified | None:
    """The newest checkpoint below `checkpoints` that verifies; `say` gets one line for each damaged one passed over.

    Returns None where no checkpoint was ever made.

    Raises:
        InputError: there are checkpoints, but every one is damaged.
    """
    listed = list_checkpoints(checkpoints)
    for _, folder in listed:
        try:
            return Verified(folder, verify_checkpoint(folder))
        except InputError as error:
            say(f"{error} Trying the checkpoint before it.")
    if listed:
        raise InputError(f"{checkpoints}: all {len(listed)} checkpoints are damaged. Start anew without --resume.")
    return None


def resolve_checkpoint(path: Path, *, say: Callable[[str], None]) -> Path:
    """The verified checkpoint that a person means by `path`: itself, or the newest of a run or a folder of checkpoints.

    Raises:
        InputError: there is none, or what there is is damaged.
    """
    if (path / MANIFEST).is_file():
        verify_checkpoint(path)
        return path
    for folder in (path / "checkpoints", path):
        if folder.is_dir() and (found := find_checkpoint(folder, say=say)) is not None:
            return found.folder
    raise InputError(f"{path}: no checkpoint here. Give a run folder, or RUN/checkpoints/step-00001000.")


def check_same_run(depends_on: Mapping[str, str], found: Verified) -> None:
    """Refuse a checkpoint that a run cannot go on from.

    Raises:
        RefusedError: data, tokenizer, model or training layout differ; the message names which.
    """
    refuse_other_values(depends_on, found.manifest.depends_on, str(found.folder))


def refuse_other_values(ours: Mapping[str, str], theirs: Mapping[str, str], place: str) -> None:
    """Refuse to go on from what was made with other values.

    Args:
        ours, theirs: `depends_on` of this run and of what lies at `place`.

    Raises:
        RefusedError: they differ; the message says in what.
    """
    names = differing(dict(ours), dict(theirs))
    if names:
        raise RefusedError(
            f"{place}: cannot resume, it was made with other values: {_in_words(names, ours, theirs)}. "
            "Use the recipe.yaml that lies in it, or begin a new run with --new."
        )


def _in_words(names: list[str], ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What differs, at most four things, the weightiest first."""
    ranked = sorted(names, key=lambda name: (list(_MEANS).index(name) if name in _MEANS else len(_MEANS), name))
    told = [f"{_meaning(n)} ({_short(ours.get(n))} here, {_short(theirs.get(n))} there)" for n in ranked[:4]]
    more = f" and {len(ranked) - 4} more" if len(ranked) > 4 else ""
    return ", ".join(told) + more


_BATCH_LAYOUT = "the batch layout: "
_MEANS = {
    "data": "the training data",
    "tokenizer": "the tokenizer",
    "base": "the base model or its revision",
    "tokens.max_length": f"{_BATCH_LAYOUT}tokens.max_length",
    "train.micro_batch": f"{_BATCH_LAYOUT}train.micro_batch",
    "train.micro_batch_tokens": f"{_BATCH_LAYOUT}train.micro_batch_tokens",
    "train.accumulation": f"{_BATCH_LAYOUT}train.accumulation",
}


def _meaning(name: str) -> str:
    """A value that weights depend on, in plain words."""
    return _MEANS.get(name, f"the recipe's {name}")


def _short(value: str | None) -> str:
    """A value as it stands, a digest by its first eight letters."""
    if value is None:
        return "absent"
    return value[:8] if len(value) == 64 else value


def load_into(
    folder: Path,
    model: PreTrainedModel,
    optimiser: torch.optim.Optimizer,
    load_weights: Callable[[PreTrainedModel, Mapping[str, torch.Tensor]], None],
) -> TrainerState:
    """Load a verified checkpoint's weights and optimiser, and return where the run stood.

    Args:
        load_weights: puts the content of the weights file into the model.

    Raises:
        InputError: the checkpoint is of another model.
    """
    from safetensors.torch import load_file

    file = read_checkpoint(folder).weights_file()
    try:
        load_weights(model, load_file(folder / file))
    except InputError as error:
        raise InputError(f"{folder / file}: {error}") from error
    _load_optimiser(folder, model, optimiser)
    return TrainerState.model_validate(json.loads((folder / TRAINER).read_text(encoding="utf-8")))


def _load_optimiser(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Fill the optimiser's state directly: `load_state_dict` would go by position, these tensors go by name."""
    from safetensors.torch import load_file

    from lugha.runs.weights import like

    parameters = dict(model.named_parameters())
    state: dict[torch.Tensor, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(folder / OPTIMISER).items():
        name, moment = key.split("|")
        if name not in parameters:
            raise InputError(f"{folder / OPTIMISER}: holds {name}, which the model does not have.")
        parameter = parameters[name]
        # A count of updates is a scalar that no process holds a part of.
        mine = like(parameter, tensor) if tensor.shape == parameter.shape else tensor.to(parameter.device)
        state.setdefault(parameter, {})[moment] = mine
    optimiser.state.clear()
    optimiser.state.update(state)
