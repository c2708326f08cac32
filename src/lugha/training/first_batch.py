"""The first batch, before it costs anything: decoded for a person, checked by rule, and its loss against chance.

Most runs that train on the wrong thing could have been stopped here: labels that begin with the source's language code, no
end of text among the targets, padding in the loss, an embedding of the wrong scale.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from lugha.errors import RefusedError
from lugha.tokens.special import Roles
from lugha.training.batches import IGNORED, Batch

_PROMPTED = ("lora", "sft", "dpo")  # roads whose examples are a prompt, which is given, and a response


def preview(batch: Batch, tokenizer: Tokenizer, roles: Roles, *, rows: int = 3, width: int = 110) -> list[str]:
    """Lines that show what the first rows feed and what they predict; unpredicted tokens of a decoder stand in brackets."""
    lines: list[str] = []
    for row in range(min(rows, len(batch["labels"]))):
        ids, labels = batch["input_ids"][row].tolist(), batch["labels"][row].tolist()
        fed = _text(tokenizer, [i for i in ids if i != roles.pad])
        predicted = _text(tokenizer, [i for i in labels if i != IGNORED])
        lines.append(f"  feeds     {_cut(fed, width)}")
        lines.append(f"  predicts  {_cut(predicted, width)}  ({sum(i != IGNORED for i in labels)} tokens)")
    return lines


def check_first_batch(batch: Batch, *, road: str, codes: npt.NDArray[np.int64], roles: Roles) -> None:
    """Refuse a batch whose labels are certainly wrong.

    Args:
        codes: ids of the language codes (seq2seq); each row's labels must begin with one that is not the source's.

    Raises:
        RefusedError: names the rule and the row.
    """
    labels = batch["labels"].numpy()
    for row, label in enumerate(labels):
        predicted = label[label != IGNORED]
        if len(predicted) == 0:
            raise RefusedError(f"First batch, row {row}: nothing is predicted. Check tokens.max_length and the labels.")
        if (predicted == roles.pad).any():
            raise RefusedError(f"First batch, row {row}: padding is predicted; it must be {IGNORED} in the labels.")
        if road == "seq2seq":
            source_code = int(batch["input_ids"][row, 0])
            if predicted[0] not in codes or predicted[0] == source_code:
                raise RefusedError(f"First batch, row {row}: labels must begin with the target's language code.")
            if predicted[-1] != roles.eos:
                raise RefusedError(f"First batch, row {row}: the end of the text is not predicted (no </s>).")
        elif (predicted == roles.bos).any():
            raise RefusedError(f"First batch, row {row}: <s> is predicted; documents run into each other.")
        if road in _PROMPTED and (_is_text(batch["input_ids"][row].numpy(), roles) & (label == IGNORED)).sum() == 0:
            raise RefusedError(f"First batch, row {row}: the prompt is predicted too; it must be {IGNORED} in the labels.")
    if not (labels == roles.eos).any():
        raise RefusedError("First batch: no row predicts the end of a text, so the model would never learn to stop.")


def _is_text(ids: npt.NDArray[np.int64], roles: Roles) -> npt.NDArray[np.bool_]:
    """Which ids are neither padding nor the begin of a text."""
    text: npt.NDArray[np.bool_] = (ids != roles.pad) & (ids != roles.bos)
    return text


def check_first_loss(nats_per_token: float, vocab_size: int) -> None:
    """Refuse a model that is much worse than chance before its first update: ln V + 1 nats.

    Raises:
        RefusedError: with the loss and the bound.
    """
    bound = math.log(vocab_size) + 1
    if not nats_per_token <= bound:  # also catches NaN
        raise RefusedError(
            f"The loss before the first update is {nats_per_token:.2f} nats per token; chance is ln V = "
            f"{math.log(vocab_size):.2f}, and above {bound:.2f} the labels or the initialisation are wrong."
        )


def _text(tokenizer: Tokenizer, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False)).replace("\n", "\\n")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
