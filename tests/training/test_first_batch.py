"""The first batch: each planted fault is refused by its own reason; a right batch passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lugha.errors import RefusedError
from lugha.models.build import BOS, EOS, PAD
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED, Batch
from lugha.training.data import RunData, open_run_data
from lugha.training.first_batch import check_first_batch, check_first_loss, preview
from tests.worlds import World


def opened(world: World) -> tuple[RunData, Batch, str]:
    data = open_run_data(world.recipe, world.tokens, world.tokenizer)
    return data, data.training.micro_batch(0, 0), world.recipe.train.road


def source_code_as_label(batch: Batch) -> None:
    batch["labels"][0, 0] = batch["input_ids"][0, 0]


def end_masked(batch: Batch) -> None:
    batch["labels"][batch["labels"] == EOS] = IGNORED


def padding_predicted(batch: Batch) -> None:
    batch["labels"][0, -1] = PAD


def start_predicted(batch: Batch) -> None:
    batch["labels"][0, 0] = BOS


def nothing_predicted(batch: Batch) -> None:
    batch["labels"][1, :] = IGNORED


def test_right_batches_pass(documents: World, pairs: World) -> None:
    for world in (documents, pairs):
        data, batch, road = opened(world)
        check_first_batch(batch, road=road, codes=data.codes, roles=OUR_ROLES)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (source_code_as_label, "row 0: labels must begin with the target's language code"),
        (end_masked, "the end of the text is not predicted"),
        (padding_predicted, "row 0: padding is predicted"),
        (nothing_predicted, "row 1: nothing is predicted"),
    ],
)
def test_faults_of_pairs(fault: Callable[[Batch], None], says: str, pairs: World) -> None:
    data, batch, road = opened(pairs)
    fault(batch)
    with pytest.raises(RefusedError, match=says):
        check_first_batch(batch, road=road, codes=data.codes, roles=OUR_ROLES)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (end_masked, "no row predicts the end of a text"),
        (padding_predicted, "padding is predicted"),
        (start_predicted, "<s> is predicted"),
    ],
)
def test_faults_of_documents(fault: Callable[[Batch], None], says: str, documents: World) -> None:
    data, batch, road = opened(documents)
    fault(batch)
    with pytest.raises(RefusedError, match=says):
        check_first_batch(batch, road=road, codes=data.codes, roles=OUR_ROLES)


def test_the_preview_shows_text_as_it_is_fed_and_predicted(pairs: World) -> None:
    data, batch, _ = opened(pairs)
    lines = preview(batch, data.tokenizer, OUR_ROLES, rows=2)
    assert len(lines) == 4
    assert any(code in lines[0] for code in ("swh_Latn", "eng_Latn"))
    assert lines[1].strip().startswith("predicts")
    assert "</s>" in lines[1]


@pytest.mark.parametrize("loss", [20.0, float("nan"), float("inf")])
def test_a_start_much_worse_than_chance_is_refused(loss: float) -> None:
    with pytest.raises(RefusedError, match="chance is ln V"):
        check_first_loss(loss, 400)


def test_a_start_at_chance_passes() -> None:
    check_first_loss(float(np.log(400)), 400)


@pytest.mark.parametrize("road", ["lora", "sft", "dpo"])
def test_a_prompt_in_the_loss_is_refused(road: str) -> None:
    codes = np.array([], dtype=np.int64)
    ids = torch.tensor([[BOS, 10, 11, 12, 13, EOS, PAD], [BOS, 20, 21, 22, EOS, PAD, PAD]])
    answers = torch.tensor(
        [[IGNORED, IGNORED, IGNORED, 12, 13, EOS, IGNORED], [IGNORED, IGNORED, 21, 22, EOS, IGNORED, IGNORED]]
    )
    check_first_batch({"input_ids": ids, "labels": answers}, road=road, codes=codes, roles=OUR_ROLES)
    everything = torch.where((ids == PAD) | (ids == BOS), IGNORED, ids)
    with pytest.raises(RefusedError, match="row 0: the prompt is predicted too"):
        check_first_batch({"input_ids": ids, "labels": everything}, road=road, codes=codes, roles=OUR_ROLES)
    with pytest.raises(RefusedError, match="no row predicts the end"):
        without_end = torch.where(answers == EOS, IGNORED, answers)
        check_first_batch({"input_ids": ids, "labels": without_end}, road=road, codes=codes, roles=OUR_ROLES)
