"""Parts of scripts: callbacks and patches that end, slow down or watch a training at a known place."""

from __future__ import annotations

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
DIE_BEFORE_THE_SPOOL = """
import os
from lugha.checkpoints.publisher import Publisher
def dies(self, checkpoint, **rest):
    if checkpoint.name == "checkpoint-12" and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(9)
    submits(self, checkpoint, **rest)
submits, Publisher.submit = Publisher.submit, dies
"""
COUNTED = """
import os
from pathlib import Path
from tests.durability.points import Points
points = Points([Path("out"), Path("../store")], int(os.environ.get("DIE_AT", "0")) or None)
"""
LINK_AT_FIRST_SAVE = """
import os
from transformers import TrainerCallback
class Link(TrainerCallback):
    def on_save(self, args, state, control, **rest):
        if not os.path.exists("linked"):
            os.link("out/checkpoint-4/trainer_state.json", "linked")
trainer.add_callback(Link())
"""
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
