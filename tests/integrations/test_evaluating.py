"""Evaluations cost what they may, change nothing, and find the best model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integrations.scripts import ScriptServer
from tests.integrations.snippets import EVALUATED, LINK_AT_FIRST_SAVE, NO_DROPOUT
from tests.integrations.user_scripts import durable, local, published, stock, weights


def test_an_evaluation_of_days_is_refused_behind_a_verified_checkpoint(scripts: ScriptServer, tmp_path: Path) -> None:
    script = durable(tmp_path / "store", arguments=f"{EVALUATED}, eval_rows=40_000, eval_row_seconds=0.002")
    done = scripts.run(script, tmp_path)
    assert done.code == 3, done.text
    last = done.text.splitlines()[-1]
    assert re.search(r"^lugha: Evaluation: 40,000 examples at [\d.,]+/s = \d+ min \d+ s, after every 4 steps of ", last)
    assert published(tmp_path / "store").keys() == {4}


def test_evaluations_that_are_too_frequent_are_left_out(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    script = durable(
        tmp_path / "store",
        before="import lugha.integrations.evaluation_budget as budget\nbudget.FREE_SECONDS = 0.0\nbudget.REFUSED_TIMES = 1e9",
        arguments="eval_strategy='steps', eval_steps=1, eval_rows=40, eval_row_seconds=0.01",
    )
    done = scripts.run(script, tmp_path)
    assert done.code == 0, done.text
    assert re.search(
        r"step 2: evaluation left out, evaluations took \d+% of the time so far \(evaluation_share 5%\)", done.text
    )
    assert done.text.count("'eval_loss'") == 2, "the first, and the last"
    assert weights(done.text) == uninterrupted, "evaluations draw no random numbers of the training"


@pytest.mark.parametrize(
    "strategies",
    [
        "eval_strategy='epoch', save_strategy='epoch'",
        "eval_strategy='epoch', save_strategy='best', metric_for_best_model='loss'",
        "eval_strategy='steps', eval_steps=8, save_steps=8",
    ],
)
def test_the_best_model_is_the_one_that_stock_finds(scripts: ScriptServer, tmp_path: Path, strategies: str) -> None:
    """Without dropout, since a stock evaluation uses up random numbers."""
    arguments = f"{strategies}, load_best_model_at_end=True, num_train_epochs=3, max_steps=-1, save_total_limit=1"
    tail = "\nprint('BEST', trainer.state.best_global_step, trainer.state.best_metric)"
    theirs = scripts.run(stock(arguments=arguments, inside=NO_DROPOUT) + tail, tmp_path / "stock")
    ours = scripts.run(durable(tmp_path / "store", arguments=arguments, inside=NO_DROPOUT) + tail, tmp_path / "ours")
    assert ours.code == theirs.code == 0, ours.text
    best = re.search(r"BEST (\d+) .+", theirs.text)
    assert best and best[0] in ours.text
    assert weights(ours.text) == weights(theirs.text)
    (promoted,) = (tmp_path / "store").glob("*/PROMOTED.json")
    assert json.loads(promoted.read_bytes())["step"] == int(best[1])


def test_a_step_that_is_saved_twice_leaves_alone_what_is_on_its_way(scripts: ScriptServer, tmp_path: Path) -> None:
    """The second time Trainer opens its files by name, and would empty those that the spool has links to."""
    script = durable(
        tmp_path / "store",
        arguments=f"max_steps=4, {EVALUATED}, load_best_model_at_end=True",
        inside=LINK_AT_FIRST_SAVE,
    )
    done = scripts.run(script, tmp_path)
    assert done.code == 0, done.text
    states = [
        json.loads(file.read_bytes()) for file in (tmp_path / "linked", tmp_path / "out/checkpoint-4/trainer_state.json")
    ]
    assert [state["best_global_step"] for state in states] == [None, 4]
    assert [[key for line in state["log_history"] for key in line if "loss" in key] for state in states] == [
        ["loss"],
        ["loss", "eval_loss"],
    ]
    assert len(list((tmp_path / "store").glob("*/step-00000004-*/VERIFIED.json"))) == 2
    assert local(tmp_path) == {"checkpoint-4"}
