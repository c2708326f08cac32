"""A script is asked to stop, or reaches its end: exit codes, deadline, clock."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.integrations.conftest import Repository
from tests.integrations.scripts import PATIENCE, ScriptServer
from tests.integrations.snippets import EVALUATED, SAY_STEPS, WAIT_IN_STEP_7
from tests.integrations.user_scripts import durable, local, published, weights


def test_sigterm_in_a_step_ends_with_75_and_a_verified_checkpoint(scripts: ScriptServer, tmp_path: Path) -> None:
    script = durable(
        tmp_path / "store",
        arguments=f"save_total_limit=1, load_best_model_at_end=True, {EVALUATED}",
        inside=WAIT_IN_STEP_7 + "trainer._load_best_model = lambda: print('LOADS THE BEST')",
    )
    child = scripts.start(script, tmp_path)
    child.wait_for("IN STEP 7")
    child.kill(signal.SIGTERM)
    child.wait_for("SIGTERM: stopping as soon as nothing is lost by it")
    (tmp_path / "go").touch()
    done = child.wait()
    assert done.code == 75, done.text
    assert "WEIGHTS" not in done.text and "LOADS THE BEST" not in done.text
    assert "Stopped at step 7 of 12 by signal SIGTERM; saved out/checkpoint-7." in done.text
    assert 7 in published(tmp_path / "store")
    assert "checkpoint-7" in local(tmp_path), "a stock Trainer's last act would be to delete it: it is not the best"
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert "going on from out/checkpoint-7" in again.text


def test_sigterm_in_an_evaluation_saves_that_moment(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    script = durable(
        tmp_path / "store",
        before=SAY_STEPS,
        arguments=f"{EVALUATED}, eval_rows=400, eval_row_seconds=EVAL_ROW_SECONDS",
        inside="trainer.add_callback(Say())",
    )
    # The second evaluation is known to be short, so the step before it is not saved.
    script = (
        script.replace("from tests", "import pathlib\nEVAL_ROW_SECONDS = 0\nfrom tests", 1)
        .replace(
            "trainer.train(",
            """
import time
rows = type(trainer.eval_dataset).__getitem__
def slow(self, index):
    if self is trainer.eval_dataset and trainer.state.global_step == 8:
        time.sleep(0.05)
    return rows(self, index)
if not pathlib.Path("second").exists():
    type(trainer.eval_dataset).__getitem__ = slow
trainer.train(""",
        )
        .replace("tiny_trainer(", "tiny_trainer(save_strategy='no', ")
    )
    child = scripts.start(script, tmp_path)
    child.wait_for("PREDICTED 8")
    assert "checkpoint-8" not in local(tmp_path)
    child.kill(signal.SIGTERM)
    done = child.wait()
    assert done.code == 75, done.text
    assert "Stopped at step 8 of 12 by signal SIGTERM; saved out/checkpoint-8." in done.text
    assert published(tmp_path / "store").keys() == {4, 8}
    (tmp_path / "second").touch()
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert weights(again.text) == uninterrupted


def test_a_signal_while_the_end_waits_for_its_stores(scripts: ScriptServer, repository: Repository, tmp_path: Path) -> None:
    script = durable(
        repository.address,
        before=SAY_STEPS,
        arguments="max_steps=4",
        inside="trainer.add_callback(Say())\n" + WAIT_IN_STEP_7.replace("== 6", "== 3").replace("STEP 7", "STEP 4"),
    )
    child = scripts.start(script, tmp_path)
    child.wait_for("IN STEP 4")
    held = repository.hub.faults.hold("POST .*/commit/")
    (tmp_path / "go").touch()
    assert held.arrived.wait(PATIENCE)
    child.wait_for("SAVED 4")
    child.kill(signal.SIGTERM)
    child.wait_for("SIGTERM: stopping")
    held.release.set()
    done = child.wait()
    assert done.code == 75, "what stands behind trainer.train() was not run"
    assert "WEIGHTS" not in done.text
    assert repository.verified() == {4}
    assert scripts.run(script, tmp_path).code == 0


def test_a_run_of_days_ends_before_its_deadline(scripts: ScriptServer, tmp_path: Path) -> None:
    script = durable(
        tmp_path / "store", arguments="max_steps=1_000_000, save_strategy='no', row_seconds=0.002", options=", deadline='6s'"
    )
    done = scripts.run(script, tmp_path)
    assert done.code == 75, done.text
    last = done.text.splitlines()[-1]
    assert re.search(r"Stopped at step [\d,]+ of 1,000,000 by run\.deadline 6s; saved out/checkpoint-\d+\. The same", last)
    step = int(re.search(r"checkpoint-(\d+)", last)[1])  # type: ignore[index]
    assert step in published(tmp_path / "store")


def test_the_files_stop_and_save(scripts: ScriptServer, tmp_path: Path) -> None:
    script = durable(
        tmp_path / "store",
        before=SAY_STEPS,
        arguments="max_steps=1_000_000, save_strategy='no', row_seconds=0.005",
        inside="trainer.add_callback(Say())",
    )
    child = scripts.start(script, tmp_path)
    child.wait_for("STEP 2")
    (run,) = (tmp_path / "out" / "lugha").glob("out-*")
    (run / "SAVE").touch()
    child.wait_for("SAVED")
    assert local(tmp_path)
    (run / "STOP").touch()
    done = child.wait()
    assert done.code == 75
    assert "by the file" in done.text
    assert not (run / "STOP").exists() and not (run / "SAVE").exists()


def test_saves_go_by_the_clock(scripts: ScriptServer, tmp_path: Path) -> None:
    script = durable(
        tmp_path / "store", arguments="max_steps=12, save_strategy='no', row_seconds=0.01", options=", every='0.1s'"
    )
    done = scripts.run(script, tmp_path)
    assert done.code == 0, done.text
    assert len(published(tmp_path / "store")) >= 3
    assert 12 in published(tmp_path / "store")
