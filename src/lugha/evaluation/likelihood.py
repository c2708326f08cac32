"""Likelihood of held-out text under a decoder: nats, perplexity, and bits per byte.

Perplexity is per token, so it falls when the tokenizer cuts finer and cannot be compared between tokenizers. Bits per byte
can: the same sum of -ln p, divided by ln 2 and by the UTF-8 bytes of the text (`lugha.runs.rates.bits_per_byte`). It is
also the compressed size an arithmetic coder would reach with the model, hence comparable with zstd and xz
(`lugha.evaluation.compression`).

    found = negative_log_likelihood(model, batches, device)
    found.nats, found.tokens, found.perplexity, found.bits_per_byte(text_bytes([...]))

Every document ends in a predicted `</s>`, which costs nats; it stands where a file has its newline. Therefore the byte count
of n documents is that of their text plus n (`text_bytes`): the compressors see the same bytes.

Legend: B rows, T tokens, D width, P predicted tokens of a micro-batch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lugha.errors import InputError
from lugha.runs import rates
from lugha.runs.stopping import stop_if_asked, stopping

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORED = -100
_POSITIONS_AT_ONCE = 512  # logits of this many positions exist together: 32 MB in fp32 at 16,384 tokens


@dataclass(frozen=True)
class Likelihood:
    """Sum of -ln p over all predicted tokens, and how many they are."""

    nats: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean nats per predicted token: what the training log shows."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss), per token of this tokenizer; infinite where the loss exceeds what a float can hold."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    def bits_per_byte(self, byte_count: int) -> float:
        """Bits for each byte of the text that the tokens came from (`text_bytes`)."""
        return rates.bits_per_byte(self.nats, byte_count)


def text_bytes(documents: Iterable[str]) -> int:
    """UTF-8 bytes of the documents, with one byte for the end of each."""
    return sum(len(document.encode()) + 1 for document in documents)


@contextlib.contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout and without gradients inside; training mode as it was after."""
    trained = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(trained)


def negative_log_likelihood(
    model: PreTrainedModel, batches: Iterable[Mapping[str, torch.Tensor]], device: torch.device | str
) -> Likelihood:
    """Sum -ln p(next token) over packed micro-batches of a decoder.

    Args:
        model: a causal LM whose head is a plain projection (Llama and its kin), on `device`; left as it was found.
        batches: `input_ids` and `labels` [B, T], optionally `position_ids` [B, T] that restart at each document (which is
            how transformers knows the document mask). Labels are `input_ids` where they are predicted and -100
            elsewhere: label t is predicted from position t - 1.

    Raises:
        InputError: no label is predicted in any batch.
        InterruptedRunError: the process is asked to stop.
    """
    nats = torch.zeros((), dtype=torch.float64)
    tokens = 0
    with stopping(), evaluating(model):
        for batch in batches:
            stop_if_asked()
            inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
            targets_BT = batch["labels"][:, 1:].to(device)
            predicted_BT = targets_BT != IGNORED
            hidden_BTD = model.base_model(**inputs, use_cache=False).last_hidden_state
            nats += _nats(model, hidden_BTD[:, :-1][predicted_BT], targets_BT[predicted_BT])
            tokens += int(predicted_BT.sum())
    if not tokens:
        raise InputError("No token of the held-out split is predicted: it has no documents. Check corpus.split.")
    return Likelihood(float(nats), tokens)


def _nats(model: PreTrainedModel, hidden_PD: torch.Tensor, targets_P: torch.Tensor) -> torch.Tensor:
    """Sum of cross-entropies; each piece in fp32, the sum in fp64 (a million terms lose digits in fp32)."""
    head = model.get_output_embeddings()
    total = torch.zeros((), dtype=torch.float64)
    for first in range(0, len(targets_P), _POSITIONS_AT_ONCE):
        piece_PD = hidden_PD[first : first + _POSITIONS_AT_ONCE]
        piece_P = targets_P[first : first + _POSITIONS_AT_ONCE]
        total += functional.cross_entropy(head(piece_PD).float(), piece_P, reduction="sum").double().cpu()
    return total
