"""A Hub that refuses, and a slow one: a stock Trainer ends with exit code 0, and none or 2 of 10 checkpoints are on the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lugha.checkpoints.format import verify_checkpoint
from lugha.checkpoints.restore import find_checkpoint
from lugha.runs.folder import find_runs
from tests.durability.worlds import stored
from tests.servers.hub import MiniHub
from tests.worlds import World, documents_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return documents_world(tmp_path_factory.mktemp("world"), steps=100_000, save_every=50, eval_every=10**6, log_every=1)


def command_for(recipe: Path, world: World) -> list[str]:
    command = [sys.executable, "-m", "lugha", "train", "--config", str(recipe)]
    return [*command, "--tokens", str(world.tokens), "--tokenizer", str(world.tokenizer)]


@pytest.mark.slow
def test_a_token_that_is_revoked_at_the_first_step_ends_the_run_red(world: World, tmp_path: Path) -> None:
    ages = {"max_unverified_age": 1.0, "stop_unverified_age": 2.0}
    with MiniHub() as hub:
        recipe = stored(world, tmp_path / "runs", ["hf://mwalimu/revoked"], publish=ages)
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | hub.environment
        with subprocess.Popen(command_for(recipe, world), env=environment, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None and not _has_begun(tmp_path / "runs"):
                time.sleep(0.002)
            hub.revoke(hub.token)
            _, said = process.communicate(timeout=300)
        assert process.returncode == 75, said
        assert "no checkpoint was verified in hf://mwalimu/revoked" in said.splitlines()[-1], said
        (run,) = find_runs(tmp_path / "runs", "tiny")
        status = json.loads((run.path / "status.json").read_text())
        assert (status["state"], status["health"]) == ("stopped", "red")
        assert any("hf://mwalimu/revoked" in text and "red" in text for text in status["alarms"].values())
        assert not any(path.startswith("checkpoint-") for path in hub.files("mwalimu/revoked"))
        newest = find_checkpoint(run.checkpoints, say=print)
        assert newest
        assert f"Stopped at step {newest.manifest.step:,} " in said  # a last local save

        # The token is given back: the same command publishes what had to wait before it goes on.
        hub.admit(hub.token, user=hub.user, role="write")
        (run.path / "STOP").touch()
        again = subprocess.run(command_for(recipe, world), env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 75, again.stderr
        assert f"checkpoint-{newest.manifest.step}/VERIFIED.json" in hub.files("mwalimu/revoked")


@pytest.mark.slow
def test_every_checkpoint_reaches_a_slow_hub(world: World, tmp_path: Path) -> None:
    with MiniHub() as hub:
        hub.faults.delay(r"POST .*/commit/", 0.4)
        recipe = stored(world, tmp_path / "runs", ["hf://mwalimu/slow"], train={"steps": 40, "save_every": 4})
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | hub.environment
        done = subprocess.run(command_for(recipe, world), env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        arrived = {path for path in hub.files("mwalimu/slow") if path.endswith("/VERIFIED.json")}
        assert arrived == {f"checkpoint-{step}/VERIFIED.json" for step in range(4, 41, 4)}
        (run,) = find_runs(tmp_path / "runs", "tiny")
        assert [verify_checkpoint(path).step for path in sorted(run.checkpoints.glob("step-*"))] == list(range(4, 41, 4))


def _has_begun(root: Path) -> bool:
    runs = find_runs(root, "tiny")
    return bool(runs) and runs[0].metrics.is_file() and runs[0].metrics.stat().st_size > 0
