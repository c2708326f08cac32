"""What several real processes do in `test_distributed.py`: started by torchrun, once for all cases, since a start takes seconds.

    python -m torch.distributed.run --standalone --nproc-per-node 2 tests/training/ranks.py FOLDER

FOLDER holds a subfolder for each world, with `recipe.yaml`, `paths.json` and the run `one/` of a single process. Each process
writes what it found to FOLDER/found-RANK.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from lugha.checkpoints.format import TrainerState, read_checkpoint
from lugha.checkpoints.restore import Verified
from lugha.errors import InputError, RefusedError
from lugha.models.build import build_model
from lugha.models.lora import add_lora
from lugha.recipe import LoraSection, ModelSection, Recipe, TrainSection, load_recipe
from lugha.runs.folder import RunFolder
from lugha.training.device import Compute
from lugha.training.distributed import CostOf, Ranks, on_first_rank, processes, shared_errors, spread_over, summed, total
from lugha.training.loop import train
from lugha.training.objectives import ROADS
from lugha.training.optimiser import build_optimiser, clip_gradients, loss_scaler, scaler_state
from lugha.training.randomness import draw_for

CASES = {"documents": ("ddp", "fsdp"), "pairs": ("ddp", "fsdp"), "preferences": ("fsdp",)}


def train_cases(folder: Path, ranks: Ranks) -> None:
    """Each world by each way to spread it; and once gone on with from the checkpoint of one process."""
    for world, ways in CASES.items():
        paths = {name: Path(path) for name, path in json.loads((folder / world / "paths.json").read_text()).items()}
        recipe = load_recipe(folder / world / "recipe.yaml")
        for way in ways:
            train(changed(recipe, parallel=way), run=made(folder / world / way, ranks), say=print, **paths)
        checkpoint = folder / world / "one" / "checkpoints" / "step-00000004"
        resume = Verified(checkpoint, read_checkpoint(checkpoint))
        train(changed(recipe, parallel=ways[-1]), run=made(folder / world / "after-one", ranks), resume=resume, **paths)


def changed(recipe: Recipe, **values: object) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=values)})


def made(path: Path, ranks: Ranks) -> RunFolder:
    if ranks.first:
        (path / "checkpoints").mkdir(parents=True)
    return RunFolder(path)


def adapters_on_a_bf16_base(ranks: Ranks, way: str) -> list[float]:
    """Losses and gradient norms of a few steps with dropout: frozen bf16 and trained fp32 parameters in one layer."""
    section = ModelSection(kind="mistral", vocab_size=301, d_model=16, layers=2, heads=2, d_ff=32, max_positions=64)
    model = build_model(section, seed=1).to(torch.bfloat16)
    add_lora(model, LoraSection(r=4, alpha=8, dropout=0.1), seed=1)
    settings = TrainSection(lr=1e-2, road="lora", gradient_checkpointing=True)
    model.activation_checkpointing_enable({"use_reentrant": False})
    spread = spread_over(ranks, CostOf(model, ROADS["lora"], settings), way, torch.device("cpu"))
    optimiser = build_optimiser(model, settings)
    spread.train()
    found = []
    for step in range(3):
        nats, mine = 0.0, range(4 * step, 4 * step + 4)[ranks.rank :: ranks.size]
        for number in mine:
            ids = torch.randint(3, 301, (2, 8), generator=torch.Generator().manual_seed(number))
            batch = {"input_ids": ids, "labels": ids.clone(), "position_ids": torch.arange(8).expand(2, 8)}
            draw_for(1, number, torch.device("cpu"))
            with summed(spread, now=number == mine[-1]):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    cost = spread(batch)
                (cost.objective * ranks.size / 56).backward()
            nats += float(cost.nats)
        found += [total([nats])[0] / 56, clip_gradients(model, 1.0)]
        optimiser.step()
        optimiser.zero_grad()
    return found


def overflow_in_one_part(ranks: Ranks) -> list[float]:
    """An fp16 step in which one process alone holds a gradient that overflowed: its norm, the scale after, what changed."""
    model = build_model(ModelSection(vocab_size=301, d_model=16, layers=1, heads=2, d_ff=32, max_positions=64), seed=1)
    settings = TrainSection(parallel="fsdp")
    spread = spread_over(ranks, CostOf(model, ROADS["pretrain"], settings), "fsdp", torch.device("cpu"))
    optimiser = build_optimiser(model, settings)
    scaler = loss_scaler(Compute(torch.device("cpu"), torch.float16, "a test"), TrainerState(loss_scale=8.0))
    ids = torch.randint(3, 301, (2, 8), generator=torch.Generator().manual_seed(1))
    batch = {"input_ids": ids, "labels": ids.clone(), "position_ids": torch.arange(8).expand(2, 8)}
    with torch.autocast("cpu", dtype=torch.float16):
        cost = spread(batch)
    torch.autograd.backward(scaler.scale(cost.objective / 14))
    if ranks.rank == 1:
        model.model.embed_tokens.weight.grad.to_local()[-1, -1] = float("inf")
    scaler.unscale_(optimiser)
    norm, before = clip_gradients(model, 1.0), whole_sum(model)
    scaler.step(optimiser)
    scaler.update()
    return [norm, scaler_state(scaler)["loss_scale"], whole_sum(model) - before]


def whole_sum(model: torch.nn.Module) -> float:
    return total([sum(float(p.detach().to_local().double().sum()) for p in model.parameters())])[0]


def what_is_shared(ranks: Ranks) -> dict[str, object]:
    """How results and errors of one process reach the other."""
    found: dict[str, object] = {"total": total([1.0, ranks.rank]), "first": on_first_rank(lambda: f"rank {ranks.rank}")}
    try:
        on_first_rank(lambda: _fail(InputError("only the first process looked")))
    except InputError as error:
        found["first_error"] = str(error)
    try:
        with shared_errors():
            if ranks.rank == 1:
                raise RefusedError("only the second process saw it")
    except RefusedError as error:
        found["other_error"] = str(error)
    return found


def _fail(error: Exception) -> None:
    raise error


if __name__ == "__main__":
    root = Path(sys.argv[1])
    with processes() as these:
        results = what_is_shared(these)
        results["overflow"] = overflow_in_one_part(these)
        results |= {way: adapters_on_a_bf16_base(these, way) for way in ("ddp", "fsdp")}
        train_cases(root, these)
    (root / f"found-{these.rank}.json").write_text(json.dumps(results))
