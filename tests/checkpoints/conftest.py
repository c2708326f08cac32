"""A tiny model that has trained two steps, and its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lugha.checkpoints.format import TrainerState
from lugha.checkpoints.save import optimiser_tensors, save_checkpoint
from lugha.models.build import build_model
from lugha.models.state import weights_of
from lugha.recipe import ModelSection, TrainSection
from lugha.training.optimiser import build_optimiser

SECTION = ModelSection(vocab_size=300, d_model=16, layers=1, heads=2, d_ff=24, max_positions=16)
DEPENDS_ON = {"data": "a" * 64, "train.lr": "0.01"}


class Trainee:
    """A model, its optimiser, and one honest update."""

    def __init__(self) -> None:
        self.model = build_model(SECTION, seed=1)
        self.optimiser = build_optimiser(self.model, TrainSection(lr=0.01))
        self.state = TrainerState()

    def step(self) -> None:
        ids = torch.randint(0, 300, (2, 8), generator=torch.Generator().manual_seed(self.state.step))
        self.model(input_ids=ids, labels=ids).loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.state = self.state.model_copy(update={"step": self.state.step + 1})

    def save(self, folder: Path) -> Path:
        tokenizer = folder.parent / "tokenizer.json"
        tokenizer.write_text("{}")
        return save_checkpoint(
            folder,
            run="run",
            weights=weights_of(self.model),
            optimiser=optimiser_tensors(self.model, self.optimiser),
            state=self.state,
            depends_on=DEPENDS_ON,
            normalisers={"swh": "n" * 64},
            tokenizer=tokenizer,
            recipe_yaml="name: x\n",
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return {k: v.clone() for k, v in self.model.state_dict().items()}


@pytest.fixture
def trainee() -> Trainee:
    torch.manual_seed(3)
    return Trainee()


@pytest.fixture
def three(tmp_path: Path, trainee: Trainee) -> Path:
    """A folder with the checkpoints of steps 1, 2 and 3."""
    for _ in range(3):
        trainee.step()
        trainee.save(tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


Spoil = Callable[[Path], None]
