"""One run on several processes, as `torchrun` starts them; without it this file does nothing and costs nothing.

    torchrun --nproc-per-node 2 -m lugha train --config RECIPE --set train.accumulation=4

    with processes() as ranks:                     # rank, size; Ranks(0, 1, 0) where torchrun did not start us
        run = on_first_rank(choose_run)            # done once; its result, or its error, everywhere
        spread = spread_over(ranks, cost_of, "ddp", device)

`train.accumulation` counts the micro-batches of a step over all W processes: rank r takes places r, r + W, ... Gradients are
summed, and the loss is divided by the units of all, so W processes make the step that one makes.

- ddp: every process holds the model (Li et al. 2020, "PyTorch Distributed", arXiv 2006.15704).
- fsdp: each holds a part of every layer and gathers a layer when its turn comes (FSDP2; Zhao et al. 2023, arXiv 2304.11277).

Every process takes every decision alike: what one alone knows (a signal, its clock, an error) goes through `total` or
`shared_errors` first. The first rank alone writes. A process that dies takes the others with it (torchrun ends them); the last
checkpoint stays. Exit codes are those of errors.py in each process, but torchrun itself returns 1 for any of them, and it gives
processes 30 s to save after a SIGTERM.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lugha.errors import InputError, LughaError
from lugha.recipe import TrainSection
from lugha.runs.folder import Onlooker, RunFolder
from lugha.training.batches import Batch
from lugha.training.objectives import Cost, Road

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from transformers import PreTrainedModel

T = TypeVar("T")

_HEARD_SECONDS = (
    2.0  # torchrun ends all processes when one has ended: the first is given time to print an error that all have
)
# The first process may wait long for a disk or a store while the others wait for it; torch's own limit is half an hour. Of a
# process that dies the others hear at once, through its connection.
_PATIENCE = datetime.timedelta(days=7)
_words: distributed.ProcessGroup | None = None  # for counts, flags, results and errors, from CPU to CPU


@dataclass(frozen=True)
class Ranks:
    """This process among all of the run."""

    rank: int
    size: int
    local: int  # number on its machine: which GPU is its own

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0


@contextlib.contextmanager
def processes() -> Iterator[Ranks]:
    """Join the processes that torchrun started, until the block ends; inside another such block: the same ones.

    Raises:
        InputError: WORLD_SIZE says that there are several, but not which of them this is.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(0, 1, 0)
        return
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise InputError(
                f"WORLD_SIZE is {size}, but {name} is not set. Start with torchrun --nproc-per-node N, or unset WORLD_SIZE."
            )
    ranks = Ranks(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    if distributed.is_initialized():
        yield ranks
        return
    # Gradients on GPUs travel by NCCL; counts, flags and errors always by gloo, from the CPU.
    global _words
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    _words = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    try:
        yield ranks
    except LughaError:
        distributed.destroy_process_group()
        if not ranks.first:
            time.sleep(_HEARD_SECONDS)
        raise
    distributed.destroy_process_group()


def on_first_rank(work: Callable[[], T]) -> T:
    """Do `work` in the first process only, and give its result, which must pickle, or its LughaError to all."""
    if not distributed.is_initialized():
        return work()
    outcome: list[T | LughaError | None] = [None]
    if distributed.get_rank() == 0:
        try:
            outcome[0] = work()
        except LughaError as error:
            outcome[0] = error
    distributed.broadcast_object_list(outcome, src=0, group=_words, device=torch.device("cpu"))
    if isinstance(outcome[0], LughaError):
        raise outcome[0]
    return cast(T, outcome[0])


@contextlib.contextmanager
def shared_errors() -> Iterator[None]:
    """A LughaError inside the block, in whatever process, is raised in all: that of the lowest rank.

    Processes must not wait for each other inside the block.
    """
    if not distributed.is_initialized():
        yield
        return
    mine: LughaError | None = None
    try:
        yield
    except LughaError as error:
        mine = error
    errors: list[LughaError | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(errors, mine, group=_words)
    for first in errors:
        if first is not None:
            raise first


@contextlib.contextmanager
def first_goes_first() -> Iterator[None]:
    """The first process goes through the block, which leaves a file; then the others do, and find it."""
    if distributed.is_initialized() and distributed.get_rank() > 0:
        total([0.0])
    yield
    if distributed.is_initialized() and distributed.get_rank() == 0:
        total([0.0])


def total(values: Sequence[float]) -> list[float]:
    """Each value summed over all processes, in fp64."""
    if not distributed.is_initialized():
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(sums, group=_words)
    return cast(list[float], sums.tolist())


@contextlib.contextmanager
def one_writer(run: RunFolder, ranks: Ranks) -> Iterator[RunFolder]:
    """The run folder, locked and written by the first process; the others get it to read.

    Raises:
        RefusedError: another run works in the folder.
    """
    with contextlib.ExitStack() as held:
        with shared_errors():
            if ranks.first:
                held.enter_context(run.lock())
        yield run if ranks.first else Onlooker(run.path)


def check_accumulation(train: TrainSection, ranks: Ranks) -> None:
    """Refuse a step that cannot be cut into equal shares.

    Raises:
        InputError: with the nearest numbers of micro-batches that can.
    """
    over = train.accumulation % ranks.size
    if over:
        below, above = train.accumulation - over, train.accumulation - over + ranks.size
        nearest = f"{below} or {above}" if below else f"{above}"
        raise InputError(
            f"train.accumulation {train.accumulation} cannot be shared by {ranks.size} processes: it counts the micro-batches "
            f"of a step over all of them. Use --set train.accumulation={nearest}, or another --nproc-per-node."
        )


class CostOf(nn.Module):
    """A road's cost as a module: what DDP and FSDP hook into is a forward, and a cost reaches past that of the model."""

    def __init__(self, model: PreTrainedModel, road: Road, train: TrainSection) -> None:
        super().__init__()
        self.model = model
        self._road, self._train = road, train

    def forward(self, batch: Batch) -> Cost:
        """The cost of a micro-batch on this process."""
        return self._road.cost(self.model, batch, self._train)


def spread_over(ranks: Ranks, cost_of: CostOf, parallel: str, device: torch.device) -> nn.Module:
    """Put the model on the device and, with several processes, connect it with its likes; call the result to train.

    Under fsdp the parameters become DTensors in place, so an optimiser must be built afterwards.

    Args:
        parallel: ddp or fsdp.

    Raises:
        InputError: quantised weights, which FSDP cannot cut.
    """
    if ranks.size == 1:
        return cost_of.to(device)
    if parallel == "ddp":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 renames `broadcast_buffers`; 2.9 knows no other name
            # No buffer changes in training, so there is none to send around.
            return DistributedDataParallel(cost_of.to(device), broadcast_buffers=False, gradient_as_bucket_view=True)
    for name, parameter in cost_of.model.named_parameters():
        if not parameter.is_floating_point():
            raise InputError(f"train.parallel fsdp cannot cut {name}, which is quantised. Use --set train.parallel=ddp.")
    return _shard(cost_of, ranks, device)


def _shard(cost_of: CostOf, ranks: Ranks, device: torch.device) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (ranks.size,))
    stacks = [m for name, m in cost_of.named_modules() if name.endswith(".layers") and isinstance(m, nn.ModuleList)]
    for layer in (layer for stack in stacks for layer in stack):
        fully_shard(layer, mesh=mesh)
    # The rest (embeddings, last norm, projection) is whole while the cost is computed, which reads `lm_head.weight` itself.
    return cast(nn.Module, fully_shard(cost_of, mesh=mesh))


@contextlib.contextmanager
def summed(spread: nn.Module, *, now: bool) -> Iterator[None]:
    """Around a forward and backward: its gradients, and those kept so far, are summed over all processes `now` or later.

    What DDP and FSDP form is the mean; the loop multiplies the loss by the number of processes.
    """
    if isinstance(spread, DistributedDataParallel):
        with contextlib.nullcontext() if now else spread.no_sync():
            yield
    else:
        if hasattr(spread, "set_requires_gradient_sync"):
            cast("FSDPModule", spread).set_requires_gradient_sync(now)
        yield
