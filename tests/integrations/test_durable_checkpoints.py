"""`DurableCheckpoints` in scripts that are killed, stopped, misled and started again. The Trainer is the stock one."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.integrations.conftest import Repository
from tests.integrations.scripts import ScriptServer
from tests.integrations.user_scripts import durable, local, published, status, stock, weights
from tests.servers.ports import free_port

EVALUATED = "eval_strategy='steps', eval_steps=4"
DIE_AT_7 = """
import os, pathlib
from transformers import TrainerCallback
class Die(TrainerCallback):
    def on_step_end(self, args, state, control, **rest):
        if state.global_step == 7 and not pathlib.Path("died").exists():
            for place in WAITS_FOR:
                while not list(pathlib.Path(place).glob("**/*4*/VERIFIED.json")):
                    pass
            pathlib.Path("died").touch()
            os._exit(9)
"""
SAY_STEPS = """
from transformers import TrainerCallback
class Say(TrainerCallback):
    def on_step_end(self, args, state, control, **rest):
        print("STEP", state.global_step, flush=True)
    def on_save(self, args, state, control, **rest):
        print("SAVED", state.global_step, flush=True)
    def on_prediction_step(self, args, state, control, **rest):
        print("PREDICTED", state.global_step, flush=True)
"""
SLOW_AT_8 = """
import pathlib, time
rows = type(trainer.eval_dataset).__getitem__
def slow(self, index):
    if self is trainer.eval_dataset and trainer.state.global_step == 8 and not pathlib.Path("second").exists():
        time.sleep(0.05)
    return rows(self, index)
type(trainer.eval_dataset).__getitem__ = slow
"""
WAIT_IN_STEP_7 = """
import pathlib, time
makes_step = trainer.training_step
def waits(*arguments):
    if trainer.state.global_step == 6:
        print("IN STEP 7", flush=True)
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    return makes_step(*arguments)
trainer.training_step = waits
"""
FAILS_AT_5 = """
from transformers import TrainerCallback
class Fails(TrainerCallback):
    def on_step_end(self, args, state, control, **rest):
        if state.global_step == 5:
            raise ValueError("a fault of the script")
trainer.add_callback(Fails())
"""
LOADS = """
from transformers import LlamaForCausalLM
from tests.integrations.tiny import hash_of
for step in (4, 8, 12):
    print("LOADED", step, hash_of(LlamaForCausalLM.from_pretrained("REPOSITORY", subfolder=f"checkpoint-{step}")))
print("ROOT", hash_of(LlamaForCausalLM.from_pretrained("REPOSITORY")))
"""
# A stock evaluation uses up random numbers.
NO_DROPOUT = """
for layer in trainer.model.model.layers:
    layer.self_attn.attention_dropout = 0
"""


@pytest.fixture(scope="module")
def uninterrupted(scripts: ScriptServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a stock training without any evaluation."""
    return weights(scripts.run(stock(), tmp_path_factory.mktemp("stock")).text)


# Going on.


def test_a_wiped_machine_goes_on_from_s3_bit_for_bit(
    scripts: ScriptServer, bucket: Path, tmp_path: Path, uninterrupted: str
) -> None:
    before = DIE_AT_7.replace("WAITS_FOR", repr([str(bucket)]))
    script = durable(f"s3://{bucket.name}/runs", before=before, arguments=EVALUATED, inside="trainer.add_callback(Die())")
    assert scripts.run(script, tmp_path).code == 9
    shutil.rmtree(tmp_path / "out")
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert "going on from out/checkpoint-4 (step 4), every byte of it verified" in again.text
    assert weights(again.text) == uninterrupted
    found = published(bucket / "runs")
    assert found.keys() >= {4, 8, 12}
    runs = {json.loads((folder / "manifest.json").read_bytes())["run"] for folder in found.values()}
    assert len(runs) == 1, "it is the same run"
    promoted = json.loads((bucket / "runs" / runs.pop() / "PROMOTED.json").read_bytes())
    assert promoted["step"] == 12


def test_the_hub_has_the_layout_that_transformers_opens(
    scripts: ScriptServer, repository: Repository, tmp_path: Path, uninterrupted: str
) -> None:
    before = DIE_AT_7.replace("WAITS_FOR", "[]")
    script = durable(repository.address, before=before, inside="trainer.add_callback(Die())")
    assert scripts.run(script, tmp_path).code == 9
    again = scripts.run(script + LOADS.replace("REPOSITORY", repository.name), tmp_path)
    assert again.code == 0, again.text
    assert weights(again.text) == uninterrupted
    assert f"LOADED 12 {uninterrupted}" in again.text
    assert f"ROOT {uninterrupted}" in again.text
    assert len(set(re.findall(r"LOADED \d+ (\w+)", again.text))) == 3
    assert not [name for name in repository.files() if name.endswith("training_args.bin")]
    assert repository.hub.is_private(repository.name)


def test_a_damaged_checkpoint_is_passed_over_everywhere(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    script = durable(tmp_path / "store")
    assert scripts.run(script, tmp_path).code == 0
    for folder in (tmp_path / "out" / "checkpoint-12", published(tmp_path / "store")[12]):
        weights_file = folder / "model.safetensors"
        content = bytearray(weights_file.read_bytes())
        content[-1] ^= 1
        weights_file.write_bytes(content)
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert "checkpoint-12/model.safetensors: its SHA-256 is not that of the manifest" in again.text
    assert "going on from out/checkpoint-8" in again.text
    assert weights(again.text) == uninterrupted


def test_a_finished_run_takes_no_step_more(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    """A stock Trainer that is told to go on from its last step takes another one."""
    script = durable(tmp_path / "store") + "\nprint('AT', trainer.state.global_step)"
    assert scripts.run(script, tmp_path).code == 0
    again = scripts.run(script, tmp_path)
    assert again.code == 0
    assert "AT 12" in again.text
    assert weights(again.text) == uninterrupted
    more = scripts.run(
        stock(resume="resume_from_checkpoint='out/checkpoint-12'") + "\nprint('AT', trainer.state.global_step)", tmp_path
    )
    assert "AT 13" in more.text


def test_other_values_are_refused_by_name(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(durable(tmp_path / "store"), tmp_path).code == 0
    other = scripts.run(durable(tmp_path / "store", arguments="learning_rate=1e-3, seed=7"), tmp_path)
    assert other.code == 3
    assert "learning_rate (0.001 here, 0.01 there), seed (7 here, 42 there)" in other.text.splitlines()[-1]
    assert "allow_changed=['learning_rate', 'seed']" in other.text.splitlines()[-1]
    allowed = scripts.run(
        durable(tmp_path / "store", arguments="max_steps=16", options=", allow_changed=['max_steps']"), tmp_path
    )
    assert allowed.code == 0, allowed.text
    assert "changed, as allowed: max_steps" in allowed.text
    assert 16 in published(tmp_path / "store")


def test_an_older_checkpoint_that_is_named_begins_a_branch(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(durable(tmp_path / "store"), tmp_path).code == 0
    store = tmp_path / "store"
    branch = scripts.run(durable(store, resume=f"{store}@4"), tmp_path)
    assert branch.code == 0, branch.text
    assert "going on from out/checkpoint-4" in branch.text
    assert len(list(store.glob("out-*"))) == 2
    third = scripts.run(durable(store, resume="out/checkpoint-8"), tmp_path)
    assert third.code == 0, third.text
    assert len(list(store.glob("out-*"))) == 3
    newest = sorted(store.glob("out-*"))[-1].name
    assert json.loads((tmp_path / "out" / "checkpoint-12" / "manifest.json").read_bytes())["run"] == newest


# Stopping.


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


# Evaluation.


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


LINK_AT_FIRST_SAVE = """
import os
from transformers import TrainerCallback
class Link(TrainerCallback):
    def on_save(self, args, state, control, **rest):
        if not os.path.exists("linked"):
            os.link("out/checkpoint-4/trainer_state.json", "linked")
trainer.add_callback(Link())
"""


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


# Wrong use and bad luck.


def test_what_cannot_be_durable_is_one_line(scripts: ScriptServer, tmp_path: Path) -> None:
    store = tmp_path / "store"
    cases = {
        "add_callback(durable) is missing": durable(store).replace("trainer.add_callback(durable)", ""),
        "save_only_model=True": durable(store, arguments="save_only_model=True"),
        "enable_jit_checkpoint=True": durable(store, arguments="enable_jit_checkpoint=True"),
        "every='soon'": durable(store, options=", every='soon'"),
        "no checkpoint": durable(store, resume="s3://no-such-bucket"),
    }
    for says, script in cases.items():
        done = scripts.run(script, tmp_path / "run")
        assert done.code in (2, 3), done.text
        assert "Traceback" not in done.text
        line = done.text.splitlines()[-1]
        assert line.startswith("lugha: ") and (says in line or done.code == 3), line


def test_a_bucket_that_is_not_there_is_refused_before_step_1(scripts: ScriptServer, tmp_path: Path) -> None:
    done = scripts.run(durable("s3://no-such-bucket/runs", before=SAY_STEPS), tmp_path)
    assert done.code == 3, done.text
    assert "no-such-bucket" in done.text and "STEP" not in done.text and "Traceback" not in done.text


def test_checkpoints_of_a_time_before_are_not_written_over(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(stock(), tmp_path).code == 0
    done = scripts.run(durable(tmp_path / "store"), tmp_path)
    assert done.code == 2
    assert "resume_from_checkpoint='out/checkpoint-12'" in done.text.splitlines()[-1]
    assert local(tmp_path) == {"checkpoint-4", "checkpoint-8", "checkpoint-12"}


def test_an_error_of_the_script_still_publishes_what_is_saved(scripts: ScriptServer, tmp_path: Path) -> None:
    done = scripts.run(durable(tmp_path / "store", inside=FAILS_AT_5), tmp_path)
    assert done.code == 1
    assert "a fault of the script" in done.text
    assert "training ended by an error; the newest checkpoint is that of step 4" in done.text
    assert published(tmp_path / "store").keys() == {4}
    assert status(tmp_path)["state"] == "failed"


# Several processes, adapters, no store.

# Two processes, as torchrun would start them; rank 1 alone gets the signal.
TWO_RANKS = """
import atexit, os, signal
from transformers import TrainerCallback
child = os.fork()
rank = "1" if child == 0 else "0"
os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="PORT")
if child:
    atexit.register(lambda: print("RANK 1 ENDED WITH", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
class Signal(TrainerCallback):
    def on_step_end(self, args, state, control, **rest):
        if state.global_step == 6 and rank == "1" and not os.path.exists("signalled"):
            open("signalled", "w").close()
            os.kill(os.getpid(), signal.SIGTERM)
"""
SLOW_RANK_1 = """
import time
saves_random_state = trainer._save_rng_state
def slow(folder):
    time.sleep(0.2 * int(rank))
    saves_random_state(folder)
trainer._save_rng_state = slow
"""


def test_several_processes_stop_and_go_on_together(scripts: ScriptServer, tmp_path: Path) -> None:
    def script(folder: Path, inside: str) -> str:
        before = TWO_RANKS.replace("PORT", str(free_port()))
        return durable(folder / "store", before=before, arguments=EVALUATED + ", row_seconds=0.002", inside=inside)

    uninterrupted = scripts.run(script(tmp_path / "calm", ""), tmp_path / "calm")
    assert uninterrupted.code == 0, uninterrupted.text
    done = scripts.run(script(tmp_path / "run", SLOW_RANK_1 + "trainer.add_callback(Signal())"), tmp_path / "run")
    assert done.code == 75, done.text
    assert "RANK 1 ENDED WITH 75" in done.text
    found = published(tmp_path / "run" / "store")
    assert max(found) in (6, 7)  # the signal is heard at the end of the step, or of the next one
    names = {path.name for path in found[max(found)].iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "model.safetensors"} <= names
    shutil.rmtree(tmp_path / "run" / "out")
    again = scripts.run(script(tmp_path / "run", SLOW_RANK_1 + "trainer.add_callback(Signal())"), tmp_path / "run")
    assert again.code == 0, again.text
    assert "RANK 1 ENDED WITH 0" in again.text
    assert again.text.count("lugha: going on from") == 1
    assert weights(again.text) == weights(uninterrupted.text)


def test_an_adapter_goes_on_too(scripts: ScriptServer, tmp_path: Path) -> None:
    before = DIE_AT_7.replace("WAITS_FOR", repr([str(tmp_path / "run" / "store")]))
    script = durable(
        tmp_path / "run" / "store", before=before, arguments="adapter=True", inside="trainer.add_callback(Die())"
    )
    assert scripts.run(script, tmp_path / "run").code == 9
    shutil.rmtree(tmp_path / "run" / "out")
    again = scripts.run(script, tmp_path / "run")
    assert again.code == 0, again.text
    uninterrupted = scripts.run(stock(arguments="adapter=True"), tmp_path / "calm")
    assert weights(again.text) == weights(uninterrupted.text)
    assert (published(tmp_path / "run" / "store")[12] / "adapter_model.safetensors").is_file()


def test_without_a_store_two_sealed_checkpoints_stay(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    script = durable("x", arguments="save_total_limit=1").replace("['x']", "[]")
    done = scripts.run(script, tmp_path)
    assert done.code == 0, done.text
    assert weights(done.text) == uninterrupted
    assert local(tmp_path) == {"checkpoint-8", "checkpoint-12"}
