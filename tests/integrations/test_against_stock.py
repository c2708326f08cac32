"""The cases in which a stock Trainer of the pinned version loses checkpoints, each run both ways as a user's script."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integrations.conftest import Repository
from tests.integrations.scripts import PATIENCE, Done, ScriptServer
from tests.integrations.user_scripts import durable, local, status, stock, weights

PUSH = 'push_to_hub=True, hub_model_id="{name}", hub_strategy="all_checkpoints"'

# At step 1 the script waits for the test, which breaks something meanwhile.
WAIT_AT_STEP_1 = """
import pathlib, time
from transformers import TrainerCallback
class Wait(TrainerCallback):
    def on_step_end(self, args, state, control, **rest):
        if state.global_step == 1:
            print("STEP 1", flush=True)
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
    def on_save(self, args, state, control, **rest):
        print("SAVED", state.global_step, flush=True)
"""


# 1. The token is revoked at step 1.


def test_stock_ends_well_with_an_empty_repository(scripts: ScriptServer, repository: Repository, tmp_path: Path) -> None:
    script = stock(before=WAIT_AT_STEP_1, arguments=PUSH.format(name=repository.name), inside="trainer.add_callback(Wait())")
    child = scripts.start(script, tmp_path)
    child.wait_for("STEP 1")
    repository.hub.faults.answer("POST .*/commit/", 403)
    (tmp_path / "go").touch()
    done = child.wait()
    assert done.code == 0
    assert "403" not in done.text
    assert repository.checkpoints() == set()


def test_a_revoked_token_stops_the_run_in_red(scripts: ScriptServer, repository: Repository, tmp_path: Path) -> None:
    script = durable(
        repository.address,
        before=WAIT_AT_STEP_1,
        arguments="max_steps=100_000, save_steps=4, row_seconds=0.005",
        inside="trainer.add_callback(Wait())",
        options=", max_unverified_age='0.4s', stop_unverified_age='0.8s'",
    )
    child = scripts.start(script, tmp_path)
    child.wait_for("STEP 1")
    repository.hub.faults.answer("POST .*/commit/", 403)
    (tmp_path / "go").touch()
    done = child.wait()
    assert done.code == 75, done.text
    assert "WEIGHTS" not in done.text
    last = done.text.splitlines()[-1]
    assert last.startswith("lugha: Stopped at step ") and "no checkpoint was verified in hf://" in last
    assert status(tmp_path)["health"] == "red"
    assert status(tmp_path)["state"] == "stopped"
    step = int(re.search(r"step ([\d,]+) of", last)[1].replace(",", ""))  # type: ignore[index]
    assert (tmp_path / "out" / f"checkpoint-{step}" / "manifest.json").is_file()


# 2. and 3. The hub is slow, and old checkpoints are rotated away.

EVERY_STEP = "max_steps=4, save_steps=1"


def trained_while_the_hub_is_busy(scripts: ScriptServer, repository: Repository, script: str, folder: Path) -> Done:
    """The first commit of the training takes until its last checkpoint is saved."""
    child = scripts.start(script, folder)
    child.wait_for("STEP 1")
    held = repository.hub.faults.hold("POST .*/commit/")
    (folder / "go").touch()
    child.wait_for("SAVED 4")
    assert held.arrived.wait(PATIENCE)
    held.release.set()
    return child.wait()


def test_stock_leaves_out_checkpoints_of_a_slow_hub(scripts: ScriptServer, repository: Repository, tmp_path: Path) -> None:
    arguments = f"{EVERY_STEP}, {PUSH.format(name=repository.name)}"
    script = stock(before=WAIT_AT_STEP_1, arguments=arguments, inside="trainer.add_callback(Wait())")
    assert trained_while_the_hub_is_busy(scripts, repository, script, tmp_path).code == 0
    assert repository.checkpoints() == {1}


def test_stock_rotates_checkpoints_away_before_they_are_sent(
    scripts: ScriptServer, repository: Repository, tmp_path: Path
) -> None:
    arguments = f"{EVERY_STEP}, save_total_limit=1, hub_always_push=True, {PUSH.format(name=repository.name)}"
    script = stock(before=WAIT_AT_STEP_1, arguments=arguments, inside="trainer.add_callback(Wait())")
    assert trained_while_the_hub_is_busy(scripts, repository, script, tmp_path).code == 0
    assert repository.checkpoints() == {4}


def test_every_checkpoint_reaches_a_slow_hub(scripts: ScriptServer, repository: Repository, tmp_path: Path) -> None:
    arguments = f"{EVERY_STEP}, save_total_limit=1"
    script = durable(repository.address, before=WAIT_AT_STEP_1, arguments=arguments, inside="trainer.add_callback(Wait())")
    done = trained_while_the_hub_is_busy(scripts, repository, script, tmp_path)
    assert done.code == 0, done.text
    assert repository.verified() == {1, 2, 3, 4}
    assert local(tmp_path) == {"checkpoint-4"}
    assert {"PROMOTED.json", "model.safetensors", "config.json"} <= repository.files()
    assert status(tmp_path) | {"state": "finished", "health": "green"} == status(tmp_path)


# 4. The process dies in the middle of a save.

DIE_IN_SAVE = """
import os
def die(folder):
    if trainer.state.global_step == 8 and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(9)
    saves(folder)
saves = trainer._save_optimizer_and_scheduler
trainer._save_optimizer_and_scheduler = die
"""


def test_stock_cannot_start_again_after_a_torn_save(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(stock(inside=DIE_IN_SAVE), tmp_path).code == 9
    assert local(tmp_path) == {"checkpoint-4", "checkpoint-8"}
    again = scripts.run(stock(inside=DIE_IN_SAVE, resume="resume_from_checkpoint=True"), tmp_path)
    assert again.code == 1
    assert "FileNotFoundError" in again.text


def test_a_torn_save_is_passed_over(scripts: ScriptServer, tmp_path: Path) -> None:
    script = durable(str(tmp_path / "store"), inside=DIE_IN_SAVE)
    assert scripts.run(script, tmp_path / "run").code == 9
    assert local(tmp_path / "run") == {"checkpoint-4", "checkpoint-8"}
    again = scripts.run(script, tmp_path / "run")
    assert again.code == 0, again.text
    assert "checkpoint-8: no manifest.json" in again.text
    assert "going on from out/checkpoint-4" in again.text
    uninterrupted = scripts.run(durable(str(tmp_path / "other")), tmp_path / "uninterrupted")
    assert weights(again.text) == weights(uninterrupted.text)


# 5. Clocks of machines and file systems differ.

FROM_THE_FUTURE = """
import os, time
from transformers import TrainerCallback
class Skew(TrainerCallback):
    def on_save(self, args, state, control, **rest):
        if state.global_step == 4:
            os.utime("out/checkpoint-4", (time.time() + 9e6,) * 2)
"""
SKEWED = {"before": FROM_THE_FUTURE, "arguments": "save_total_limit=1", "inside": "trainer.add_callback(Skew())"}


def test_stock_deletes_what_is_new_when_dates_are_wrong(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(stock(**SKEWED), tmp_path).code == 0
    assert local(tmp_path) == {"checkpoint-4"}


def test_dates_decide_nothing(scripts: ScriptServer, tmp_path: Path) -> None:
    done = scripts.run(durable(str(tmp_path / "store"), **SKEWED), tmp_path)
    assert done.code == 0, done.text
    assert local(tmp_path) == {"checkpoint-12"}
    names = {path.name[:13] for path in (tmp_path / "store").glob("out-*/step-*")}
    assert names == {"step-00000004", "step-00000008", "step-00000012"}


# 6. The process dies in an evaluation.

DIE_IN_EVALUATION = """
import os
rows = type(trainer.eval_dataset).__getitem__
def die(self, index):
    if self is trainer.eval_dataset and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(9)
    return rows(self, index)
type(trainer.eval_dataset).__getitem__ = die
"""
EVALUATED = "eval_strategy='steps', eval_steps=4"


def test_stock_evaluates_before_it_saves(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(stock(arguments=EVALUATED, inside=DIE_IN_EVALUATION), tmp_path).code == 9
    assert local(tmp_path) == set()


def test_a_step_is_saved_before_it_is_evaluated(scripts: ScriptServer, tmp_path: Path) -> None:
    script = durable(str(tmp_path / "store"), arguments=EVALUATED, inside=DIE_IN_EVALUATION)
    assert scripts.run(script, tmp_path).code == 9
    assert local(tmp_path) == {"checkpoint-4"}
    again = scripts.run(script, tmp_path)
    assert again.code == 0
    assert "going on from out/checkpoint-4" in again.text
    assert again.text.count("eval_loss") == 3  # that of step 4 too
