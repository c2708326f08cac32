"""A machine that is lost with its disk: killed, the run folder deleted, gone on with from a store, bit for bit, on every road."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lugha.pipeline.run import run_recipe
from lugha.pipeline.training import train_recipe
from lugha.recipe import load_recipe
from lugha.runs.folder import find_runs, read_jsonl
from tests.servers.hub import MiniHub
from tests.servers.rclone import RcloneS3

ROADS = {"swahili-debug": "pretrain", "igbo-mistral-7b": "lora", "nllb-600m": "seq2seq"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which both stores are reached."""
    with RcloneS3(tmp_path_factory.mktemp("s3")) as s3, MiniHub() as hub:
        s3.bucket("lugha")
        yield {**s3.environment, **hub.environment}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ROADS)
def test_killed_and_wiped_it_goes_on_from_s3_and_from_the_hub(preset: str, servers: dict[str, str], tmp_path: Path) -> None:
    def changes(root: Path, stores: list[str]) -> list[str]:
        values = ["train.steps=60", "train.log_every=1", "train.save_every=10", "train.eval_every=15"]
        return ["model.scale=tiny", f"run.root={root}", f"publish.stores={stores}", *values]

    whole_recipe = load_recipe(preset, changes(tmp_path / "whole", []))
    assert whole_recipe.train.road == ROADS[preset]
    whole = run_recipe(whole_recipe, until="train", say=lambda _: None).run
    assert whole is not None
    weights = train_recipe(whole_recipe, say=lambda _: None).weights_sha256
    losses = _losses(whole.metrics)

    for number, store in enumerate((f"s3://lugha/{preset}", f"hf://mwalimu/{preset}")):
        root = tmp_path / f"killed-{number}"
        shutil.copytree(tmp_path / "whole" / f"{preset}-tiny", root / f"{preset}-tiny")
        sets = [word for change in changes(root, [store]) for word in ("--set", change)]
        command = [sys.executable, "-m", "lugha", "train", "--config", preset, "--resume", "auto", *sets]
        _kill_when_verified(command, servers, root, f"{preset}-tiny")
        (killed,) = find_runs(root, f"{preset}-tiny")
        shutil.rmtree(killed.path)

        done = subprocess.run(command, env=_environment(servers), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (run,) = find_runs(root, f"{preset}-tiny")
        assert run.id == killed.id
        events = read_jsonl(run.path / "events.jsonl")
        assert events[0]["event"] == "resumed"
        assert events[0]["step"] > 0
        assert weights in done.stdout
        assert _losses(run.metrics) == losses  # the curves of the lost machine are there as well


def _kill_when_verified(command: list[str], servers: dict[str, str], root: Path, name: str) -> None:
    """`kill -9` once a checkpoint is verified and training has gone on."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=_environment(servers), stdout=quiet, stderr=subprocess.PIPE, text=True) as process:

        def far_enough() -> bool:
            runs = find_runs(root, name)
            return bool(runs) and any(line["event"] == "verified" for line in read_jsonl(runs[0].ledger))

        while process.poll() is None and not far_enough():
            time.sleep(0.005)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        process.kill()


def _environment(servers: dict[str, str]) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"} | servers


def _losses(metrics: Path) -> list[tuple[str, int, float]]:
    return [(line["kind"], line["step"], line["loss"]) for line in read_jsonl(metrics)]
