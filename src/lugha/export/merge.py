"""Merge an adapter into the base it was trained on, and measure what the merge changed.

    merged = merge_adapter(checkpoint, probes)
    merged.model, merged.difference, merged.lost

Training saw `W x + (alpha / r) B A x` with W in the base's type and A, B in fp32. Merged, the sum is rounded to the base's
type again, and an update that is small beside W may be rounded away; put into another base than its own, or into one of four
bits, it is lost altogether. So the base is the one whose digest stands beside the adapter, in the type it was trained on (4
bits: dequantised), and the logits before and after are compared, not only with each other but with what the adapter does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lugha.errors import RefusedError
from lugha.models.base import DTYPES, base_of_adapter, read_base_record, read_whole
from lugha.models.build import load_model
from lugha.models.lora import adapter_tensors, merge_into

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Inputs = dict[str, torch.Tensor]

# Largest logit difference / largest logit that rounding explains: some units in the last place of the type.
LARGEST_DIFFERENCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2, "nf4": 5e-2}
MOST_LOST = 0.5


@dataclass(frozen=True)
class Merged:
    """A merged model and how far it is from the adapter on its base."""

    model: PreTrainedModel
    dtype: str  # of the base, and of the merged weights
    difference: float  # largest |logit after - before| / largest |logit before|
    lost: float  # rms(after - before) / rms(before - base): share of the adapter's effect that the merge rounds away

    def figures(self) -> dict[str, float | str]:
        """For a manifest."""
        return {"dtype": self.dtype, "largest_difference": self.difference, "lost": self.lost}


def merge_adapter(checkpoint: Path, probes: Sequence[Inputs], *, cache: Path | None = None) -> Merged:
    """Merge a checkpoint's adapter into its base.

    Args:
        probes: model inputs on which logits are compared.
        cache: where the commits of hub ids are remembered.

    Raises:
        InputError: the base is not found.
        RefusedError: the base has other weights than the adapter was trained on, or the merged model says something else.
    """
    dtype = str(read_base_record(checkpoint)["dtype"])
    folder = base_of_adapter(checkpoint, cache=cache).folder
    base = read_whole(folder, dtype=DTYPES[dtype], quantised=dtype == "nf4", cache=cache)
    base.requires_grad_(False).train(False)
    if dtype == "nf4":
        base = base.dequantize()
    plain = [_logits(base, inputs) for inputs in probes]
    adapted = load_model(checkpoint, cache=cache)
    # The weights, not the logits: a CPU's attention kernel can turn a NaN into an innocent number.
    if not all(tensor.isfinite().all() for tensor in adapter_tensors(adapted).values()):
        raise RefusedError(f"{checkpoint}: the adapter holds NaN. Not merged; export an earlier checkpoint of the run.")
    before = [_logits(adapted, inputs) for inputs in probes]
    merged = merge_into(base, checkpoint)
    after = [_logits(merged, inputs) for inputs in probes]
    difference = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(after, before, strict=True))
    effect = _rms(before, plain)
    lost = _rms(after, before) / effect if effect else 0.0
    if not difference <= LARGEST_DIFFERENCE[dtype]:  # also catches NaN
        raise RefusedError(
            f"{checkpoint}: merged into its base in {dtype}, logits change by {difference:.2g} of the largest (rounding explains "
            f"{LARGEST_DIFFERENCE[dtype]:g}). Not merged; PEFT loads the adapter beside its base without a loss."
        )
    if lost > MOST_LOST:
        raise RefusedError(
            f"{checkpoint}: {lost:.0%} of what the adapter changes would be rounded away in {dtype}. Not merged; train longer, "
            "or load the adapter beside its base with PEFT."
        )
    return Merged(merged, dtype, difference, lost)


def _logits(model: PreTrainedModel, inputs: Inputs) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(**{name: t.to(model.device) for name, t in inputs.items()}).logits
    return logits.float().cpu()


def _rms(ones: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    squares = [(a - b).square().sum() for a, b in zip(ones, others, strict=True)]
    return float((torch.stack(squares).sum() / sum(a.numel() for a in ones)).sqrt())
