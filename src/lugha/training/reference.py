"""The reference of preference optimisation as a table: log-probabilities under the starting model, computed once and stored.

    training = with_reference(training, model, compute, run.path / "reference" / "train.safetensors")

In: the model before its first update, and the preferences it will see. Out: [pairs, 2] numbers, in memory and in a file. A
second copy of the model is never held, and nothing that trains the model can reach the reference.

Invariants:
- The table is that of the model, the data and the compute type: the file carries a digest of all three, and one that is
  damaged or belongs to others is computed anew. An interrupted run therefore finds its own reference again, or makes the same.
- Nothing here waits for another process: of several, the first computes the file and the others, let in behind it, find it.
- It is computed on the micro-batches of epoch 0 as training will see them, in the same compute type, without dropout: at the
  first step the model's own numbers are the same to the last bit, and every margin is exactly 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lugha.evaluation.likelihood import evaluating
from lugha.runs.files import sha256_json, write_bytes
from lugha.runs.progress import Progress
from lugha.runs.stopping import stop_if_asked, stopping
from lugha.training.batches import Batch, Batches
from lugha.training.device import Compute
from lugha.training.preference import sequence_log_probs
from lugha.training.preference_batches import PreferenceBatches

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LogProbs = npt.NDArray[np.float32]  # [pairs, 2]: of the chosen and the rejected answer; NaN for pairs that are too long
_TENSOR, _FORMAT = "log_probs", "lugha-reference/1"


def reference_log_probs(model: PreTrainedModel, batches: PreferenceBatches, compute: Compute, file: Path) -> LogProbs:
    """Log-probabilities of both answers of every pair under `model`, read from `file` or computed and stored there.

    Args:
        model: the starting model, whole, on `compute.device`; left as it was found, its random generators untouched.
        file: a .safetensors file; replaced in one step where it is damaged or was made from anything else.

    Returns:
        [pairs, 2] fp32, by the pairs' numbers; NaN for pairs that are longer than `batches.max_length`.

    Raises:
        InterruptedRunError: the disk is full.
    """
    key = sha256_json([_FORMAT, weights_digest(model), preferences_digest(batches), str(compute.dtype)])
    stored = _read(file, key)
    if stored is not None:
        return stored
    log_probs = log_probs_of(model, batches, compute)
    _write(file, key, log_probs)
    return log_probs


def log_probs_of(model: PreTrainedModel, batches: PreferenceBatches, compute: Compute) -> LogProbs:
    """Log-probabilities of both answers of every pair under `model`, without dropout, on the micro-batches of epoch 0.

    Returns:
        [pairs, 2] fp32, by the pairs' numbers; NaN for pairs that are longer than `batches.max_length`.
    """
    log_probs = np.full((batches.pairs, 2), np.nan, dtype=np.float32)
    count = batches.micro_batches(0)
    with stopping(), evaluating(model), Progress("preferences", "micro-batches", count) as progress:
        for index in range(count):
            stop_if_asked()
            batch = batches.micro_batch(0, index)
            with compute.autocast():
                found_R = sequence_log_probs(model, compute.moved(batch))
            log_probs[batch["pair"].numpy()] = found_R.cpu().numpy().reshape(-1, 2)
            progress.add(1)
    return log_probs


@dataclass(frozen=True, eq=False)
class ReferencedBatches:
    """Preferences with their reference: micro-batches of `batches` with two more tensors.

    `reference_chosen` and `reference_rejected`, fp32 [n], are the log-probabilities of each pair's answers.
    """

    batches: PreferenceBatches
    log_probs: LogProbs

    @property
    def pairs_per_epoch(self) -> int:
        """Pairs that an epoch sees, each once."""
        return self.batches.pairs_per_epoch

    @property
    def too_long(self) -> int:
        """Pairs left out because a row is too long."""
        return self.batches.too_long

    @property
    def tokens_per_epoch(self) -> int:
        """Predicted tokens in an epoch, of both answers."""
        return self.batches.tokens_per_epoch

    @property
    def padding(self) -> float:
        """Share of padding among the tokens computed."""
        return self.batches.padding

    def micro_batches(self, epoch: int) -> int:
        """Number of micro-batches in `epoch`."""
        return self.batches.micro_batches(epoch)

    def micro_batch(self, epoch: int, index: int) -> Batch:
        """The micro-batch of `batches`, with `reference_chosen` and `reference_rejected`."""
        batch = self.batches.micro_batch(epoch, index)
        chosen, rejected = torch.from_numpy(self.log_probs[batch["pair"].numpy()]).unbind(dim=1)
        return batch | {"reference_chosen": chosen, "reference_rejected": rejected}


@overload
def with_reference(batches: Batches, model: PreTrainedModel, compute: Compute, file: Path) -> Batches: ...


@overload
def with_reference(batches: None, model: PreTrainedModel, compute: Compute, file: Path) -> None: ...


def with_reference(batches: Batches | None, model: PreTrainedModel, compute: Compute, file: Path) -> Batches | None:
    """Preferences with their reference under `model`, the starting model; batches of any other kind as they are.

    Raises:
        InterruptedRunError: the disk is full.
    """
    if not isinstance(batches, PreferenceBatches):
        return batches
    return ReferencedBatches(batches, reference_log_probs(model, batches, compute, file))


def weights_digest(model: PreTrainedModel) -> str:
    """SHA-256 of all parameters: names, types, shapes, bytes. A tied matrix counts once."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        tensor = parameter.detach()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).cpu().numpy())
    return digest.hexdigest()


def preferences_digest(batches: PreferenceBatches) -> str:
    """SHA-256 of the pairs, what is predicted of them (hence of the template), and how epoch 0 lays them out."""
    digest = hashlib.sha256(repr((batches.token_budget, batches.max_length, batches.seed, batches.shuffled)).encode())
    digest.update(repr((batches.roles, batches.window)).encode())
    for sequence in range(len(batches.shards)):
        digest.update(batches.shards[sequence].astype(np.int64).tobytes())
        digest.update(batches.shards.predicted(sequence).tobytes())
        digest.update(b"|")
    return digest.hexdigest()


def _read(file: Path, key: str) -> LogProbs | None:
    """The stored values, or None where there are none for `key` or their bytes are not those that were written."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            log_probs: LogProbs = stored.get_tensor(_TENSOR)
    except SafetensorError:
        return None  # cut off or altered: computed again, from the same model
    whole = metadata.get("sha256") == hashlib.sha256(log_probs.tobytes()).hexdigest()
    return log_probs if whole and metadata.get("key") == key else None


def _write(file: Path, key: str, log_probs: LogProbs) -> None:
    metadata = {"format": _FORMAT, "key": key, "sha256": hashlib.sha256(log_probs.tobytes()).hexdigest()}
    write_bytes(file, save({_TENSOR: log_probs}, metadata=metadata))
