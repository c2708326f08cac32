"""What the benches of full-size models share: made-up text of real lengths, the cap of memory, the clock, hours and dollars.

Models have random weights and texts random ids: speed and memory depend on shapes alone. Lengths are drawn from counts that
`bench/training/packing.py --lengths FILE` writes; those of MAFAND en-ibo lie beside this file (counts, no text), under a
tokenizer of 8,192 trained on the same text. A large model's own tokenizer cuts Igbo into more.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from lugha.models.build import build_model
from lugha.recipe import ModelSection
from lugha.training.batches import Batch
from lugha.training.optimiser import clip_gradients

EXAMPLES, EPOCHS = 19_552_104, 3  # of the founding Igbo run
DOLLARS_AN_HOUR = 1.41  # that it paid for an A10G (ml.g5.xlarge)
A10G_MIB = 22_888  # as AWS counts it: EC2 DescribeInstanceTypes
LENGTHS = Path(__file__).with_name("mafand_lengths.json")

# Dense bf16 matrix products with fp32 sums, FLOP/s, from NVIDIA's data sheets (no sparsity; H100: SXM).
PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "A10G": 70e12, "L4": 121e12}


@dataclass(frozen=True)
class Lengths:
    """How long real texts are, in ids without `<s>`, codes and `</s>`."""

    source: str
    examples: np.ndarray  # [examples] prompt with response
    predicted_share: float  # of an example's ids
    pairs: np.ndarray  # [pairs, 2]

    @classmethod
    def read(cls, path: Path) -> Lengths:
        """The counts of packing.py; without a file log-normal ones fitted to MAFAND's.

        The fit: examples of median 85 and log-sd 0.36; sides of median 28, of whose log-sd 0.56 is the pair's and 0.15 each
        side's own.
        """
        if not path.is_file():
            draw = np.random.default_rng(1).lognormal
            examples = draw(np.log(85), 0.36, 20_000)
            sides = draw(np.log(28), 0.56, (20_000, 1)) * draw(0, 0.15, (20_000, 2))
            return cls("log-normal, as MAFAND en-ibo", np.ceil(examples).astype(int), 0.34, np.ceil(sides).astype(int))
        content = json.loads(path.read_text(encoding="utf-8"))
        examples, pairs = np.array(content["examples"]), np.array(content["pairs"])
        source = f"{content['text']}, vocabulary {content['vocabulary']:,}"
        within = np.random.default_rng(1).integers(0, 4, (pairs[:, 2].sum(), 2))  # sides are counted by fours, rounded up
        sides = np.maximum(1, np.repeat(pairs[:, :2], pairs[:, 2], axis=0) - within)
        return cls(source, np.repeat(examples[:, 0], examples[:, 1]), content["predicted_share"], sides)


@dataclass(frozen=True)
class Tokens:
    """What a micro-batch holds.

    Steps are few and lengths differ, so of examples and useful tokens only the one that the shape of the batches fixes is
    counted; the other follows by an example's mean tokens. A padded batch has its examples, a packed one its tokens.
    """

    examples: float
    useful: float  # all but padding
    computed: int  # with padding
    flops: float  # of its matrix products, forward and backward, nothing computed twice
    recomputed: float  # flops that gradient checkpointing adds


@dataclass(frozen=True)
class Measured:
    """What steady training does."""

    tokens: Tokens  # of all measured steps
    seconds: float
    peak_bytes: int


def fits(attempt: Callable[[], Any]) -> bool:
    """Whether the attempt does not run out of memory; leaves none in use either way."""
    try:
        attempt()
        fitted = True
    except torch.cuda.OutOfMemoryError:
        fitted = False
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return fitted


def largest(sizes: list[int], attempt: Callable[[int], Any]) -> int:
    """The largest of growing `sizes` whose attempt does not run out of memory.

    Raises:
        SystemExit: not even the first fits.
    """
    fitting = list(itertools.takewhile(lambda size: fits(lambda: attempt(size)), sizes))
    if not fitting:
        raise SystemExit(f"Not even size {sizes[0]} fits the cap.")
    return fitting[-1]


def new_model(section: ModelSection, device: torch.device, dtype: torch.dtype) -> Any:
    """Random weights made on the device, in `dtype`: nothing is downloaded, and no copy passes through the CPU."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = build_model(section, seed=1)
    finally:
        torch.set_default_dtype(before)
    model.activation_checkpointing_enable({"use_reentrant": False})
    model.config.use_cache = False  # else an encoder warns of it
    return model.train()


def train_steps(
    model: Any,
    optimiser: torch.optim.Optimizer,
    micro_batch: Callable[[int], tuple[Batch, Tokens]],
    loss: Callable[[Any, Batch], torch.Tensor],
    accumulation: int,
    steps: int,
) -> Measured:
    """One step to warm up, then `steps` steps on the clock: wall time on a GPU, CPU seconds on a CPU."""
    device = next(model.parameters()).device
    optimiser.zero_grad(set_to_none=True)
    held: list[Tokens] = []
    begun = 0.0
    for step in range(-1, steps):
        if step == 0:
            begun, held = _now(device), []
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
        for index in range((step + 1) * accumulation, (step + 2) * accumulation):
            batch, tokens = micro_batch(index)
            held.append(tokens)
            moved = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
            with torch.autocast(device.type, torch.bfloat16):
                value = loss(model, moved) / accumulation
            value.backward()
        clip_gradients(model, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    seconds = _now(device) - begun
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    sums = (sum(getattr(t, name) for t in held) for name in ("examples", "useful", "computed", "flops", "recomputed"))
    return Measured(Tokens(*sums), seconds, peak)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def parse_options(story: str | None) -> argparse.Namespace:
    """What both scripts are asked; `story` is the script's docstring."""
    parser = argparse.ArgumentParser(description=(story or "").split("\n")[0])
    parser.add_argument("--cap-mib", type=int, default=A10G_MIB, help="memory that PyTorch may use")
    parser.add_argument("--steps", type=int, default=4, help="measured steps of each configuration")
    parser.add_argument(
        "--lengths", type=Path, default=LENGTHS, help="counts written by bench/training/packing.py --lengths"
    )
    parser.add_argument("--tiny", action="store_true", help="a small shape on a CPU")
    return parser.parse_args()


def choose_device(tiny: bool, cap_mib: int) -> torch.device:
    """CUDA under the cap, or for `--tiny` the CPU; prints the machine.

    Raises:
        SystemExit: full size without CUDA.
    """
    if tiny:
        torch.set_num_threads(1)
        print(
            f"{platform.machine()}, 1 thread, load {os.getloadavg()[0]:.1f}, {_versions()}: tiny shapes, only to see it run"
        )
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device. With --tiny the same code runs on small shapes on a CPU.")
    memory = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, cap_mib * 2**20 / memory))
    print(f"{torch.cuda.get_device_name()}, capped to {cap_mib:,} of {memory / 2**20:,.0f} MiB, {_versions()}")
    return torch.device("cuda", 0)


def _versions() -> str:
    return f"torch {torch.__version__}, transformers {transformers.__version__}"


def report(name: str, found: Measured, device: torch.device) -> float:
    """Print one configuration; returns its examples per second."""
    tokens, rate = found.tokens, found.tokens.examples / found.seconds
    print(
        f"{name}\n  {tokens.useful / found.seconds:,.0f} useful, {tokens.computed / found.seconds:,.0f} computed tokens/s, "
        f"{rate:,.2f} examples/s, {1 - tokens.useful / tokens.computed:.1%} padding"
    )
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else ""
    peak = next((flops for known, flops in PEAK_BF16.items() if known in gpu.replace("-", " ").split()), None)
    if gpu:
        print(f"  peak memory {found.peak_bytes / 2**20:,.0f} MiB of tensors")
    if peak:
        speed = tokens.flops / found.seconds / peak
        useful = speed * tokens.useful / tokens.computed
        hardware = speed + tokens.recomputed / found.seconds / peak
        print(f"  MFU {speed:.1%} ({useful:.1%} on useful tokens), HFU {hardware:.1%}, of {peak / 1e12:,.0f} TFLOP/s")
    _print_price(rate, peak)
    return rate


def _print_price(rate: float, peak: float | None) -> None:
    hours = EPOCHS * EXAMPLES / rate / 3600
    price = f"{hours:,.0f} h, ${hours * DOLLARS_AN_HOUR:,.0f} at ${DOLLARS_AN_HOUR}/h"
    print(f"  {EPOCHS} epochs of {EXAMPLES:,} examples on this device: {price}", flush=True)
    if peak:
        hours *= peak / PEAK_BF16["A10G"]
        print(
            f"  estimate for an A10G, by peak FLOP/s at equal MFU: {hours:,.0f} h, ${hours * DOLLARS_AN_HOUR:,.0f}",
            flush=True,
        )
