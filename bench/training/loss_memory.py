"""Peak memory of one forward and backward pass of the loss: piece by piece, against the logits as a whole.

    OMP_NUM_THREADS=1 python bench/training/loss_memory.py [--tokens 2048] [--rounds 1]

What is measured is the head alone: hidden states [tokens, width] and a projection [vocabulary, width] in, both gradients out, in
fp32. Each measurement has a process of its own, which makes its inputs, resets the kernel's high-water mark of resident memory,
and reads it afterwards. So the figure holds everything above the inputs: logits, what the backward pass needs, and both
gradients, which no way of computing can save (`gradients` below).

    lugha         lugha.training.cross_entropy.projected_nats
    transformers  the logits of `lm_head` and ForCausalLMLoss, which is what model(labels=...) computes
    trl           the fused head of TRL's SFTTrainer with the outputs that it asks for; where TRL is installed

In training the difference is larger than here: lugha hands only predicted positions to the head, transformers all of them, and so
does TRL without CUDA. Linux only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from prepared import print_header

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def lugha_loss() -> Loss:
    """Piece by piece."""
    from lugha.training.cross_entropy import projected_nats

    return lambda hidden, weight, targets: projected_nats(hidden, weight, targets).objective / len(targets)


def transformers_loss() -> Loss:
    """All logits at once."""
    from transformers.loss.loss_utils import ForCausalLMLoss

    def loss(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = torch.nn.functional.linear(hidden, weight)
        value: torch.Tensor = ForCausalLMLoss(logits, targets, vocab_size=len(weight), shift_labels=targets)
        return value

    return loss


def trl_loss() -> Loss:
    """Tiles of 4,096 tokens and 32,768 columns, computed again in the backward pass."""
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    def loss(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        outputs = ("log_probs", "entropy", "is_top1")  # what SFTTrainer asks for
        log_p = ChunkedLogProbFunction.apply(
            hidden, weight, None, targets, 1.0, _CHUNKED_LOGPROB_CHUNK_SIZE, None, 1.0, outputs
        )
        mean: torch.Tensor = -log_p[0].sum() / len(targets)
        return mean

    return loss


LOSSES: dict[str, Callable[[], Loss]] = {"lugha": lugha_loss, "transformers": transformers_loss, "trl": trl_loss}


def measure(name: str, tokens: int, width: int, vocabulary: int) -> dict[str, float]:
    """In a fresh process: peak bytes above the inputs, CPU seconds, and the loss, which all must agree on."""
    torch.set_num_threads(1)
    loss_of = LOSSES[name]()
    small = torch.zeros(8, 8, requires_grad=True)
    loss_of(small, torch.zeros(16, 8, requires_grad=True), torch.zeros(8, dtype=torch.long)).backward()  # loads kernels
    torch.manual_seed(1)
    hidden = torch.randn(tokens, width, requires_grad=True)
    weight = (torch.randn(vocabulary, width) * width**-0.5).requires_grad_()
    targets = torch.randint(vocabulary, (tokens,))
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM (man 5 proc)
    begun = time.process_time()
    loss = loss_of(hidden, weight, targets)
    loss.backward()
    seconds = time.process_time() - begun
    return {"bytes": _resident("VmHWM") - before, "seconds": seconds, "loss": float(loss)}


def _resident(key: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith(f"{key}:"))
    return int(kilobytes) * 1024


def in_a_process(name: str, *sizes: int) -> dict[str, float]:
    """`measure` in a new Python."""
    command = [sys.executable, __file__, "--measure", name, *map(str, sizes)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Print a line for each size and way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, default=2048, help="predicted tokens of the micro-batch")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--measure", nargs=4, metavar=("WAY", "TOKENS", "WIDTH", "VOCABULARY"), help="for the script itself")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], *map(int, options.measure[1:]))))
        return
    torch.set_num_threads(1)
    ways = [name for name in LOSSES if name != "trl" or importlib.util.find_spec("trl")]
    print_header(*(["trl"] if "trl" in ways else []))
    for vocabulary, width in ((32_000, 256), (32_000, 1024), (256_206, 256), (256_206, 1024)):
        gradients = 4 * width * (vocabulary + options.tokens)
        print(f"vocabulary {vocabulary:,}, width {width:,}, {options.tokens:,} tokens; gradients {gradients / 1e6:,.0f} MB")
        rounds = [
            {name: in_a_process(name, options.tokens, width, vocabulary) for name in ways} for _ in range(options.rounds)
        ]
        losses = [found["loss"] for each in rounds for found in each.values()]
        if max(losses) - min(losses) > 1e-4:
            sys.exit(f"The ways disagree about the loss: {losses}.")
        for name in ways:
            peak, seconds = (statistics.median(each[name][key] for each in rounds) for key in ("bytes", "seconds"))
            ratio = statistics.median(each[name]["bytes"] / each["lugha"]["bytes"] for each in rounds)
            behind = "" if name == "lugha" else f", {ratio:.1f} times lugha's"
            print(f"  {name:<12} {peak / 1e6:8,.0f} MB, {seconds:6.2f} CPU-s{behind}", flush=True)


if __name__ == "__main__":
    main()
