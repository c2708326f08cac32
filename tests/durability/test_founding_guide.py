"""The founding guide's promise: saves at 500, 1000, 1500; killed at 1750; resumed from the Hub at 1500, 250 steps lost.

Its own recipe could not keep it: `hub_strategy="checkpoint"` overwrites one folder, and resuming from USER/REPO raises.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lugha.checkpoints.restore import find_checkpoint
from lugha.runs.folder import find_runs, read_jsonl
from tests.durability.worlds import stored
from tests.servers.hub import MiniHub, point_client_at
from tests.worlds import documents_world

REPO = "mwalimu/fine-tuned-nllb-600M"


@pytest.mark.slow
def test_saves_at_500_1000_1500_killed_at_1750_resumes_at_1500(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = documents_world(tmp_path / "world", steps=2000, save_every=500, eval_every=2000, log_every=50)
    with MiniHub() as hub:
        root = tmp_path / "machine"
        recipe = stored(world, root, [f"hf://{REPO}"])
        command = [sys.executable, "-m", "lugha", "train", "--config", str(recipe)]
        command += ["--tokens", str(world.tokens), "--tokenizer", str(world.tokenizer)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | hub.environment
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None and not (_step(root) >= 1750 and _verified(root) >= {500, 1000, 1500}):
                time.sleep(0.002)
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            process.kill()

        point_client_at(hub, tmp_path / "cache", monkeypatch, token=hub.token)
        from huggingface_hub import HfApi

        paths = HfApi(endpoint=hub.url).list_repo_files(REPO)
        folders = sorted({path.split("/")[0] for path in paths if "/" in path}, key=lambda name: int(name.split("-")[1]))
        assert folders == ["checkpoint-500", "checkpoint-1000", "checkpoint-1500"]
        assert all(f"{folder}/VERIFIED.json" in paths for folder in folders)
        _transformers_opens_each(folders)

        killed = find_runs(root, "tiny")[0]
        shutil.rmtree(root)  # the Space restarted: its disk is empty
        resumed = subprocess.run(
            [*command, "--resume", f"hf://{REPO}"], env=environment, capture_output=True, text=True, check=False
        )
        assert resumed.returncode == 0, resumed.stderr
        (run,) = find_runs(root, "tiny")
        assert run.id == killed.id
        events = read_jsonl(run.path / "events.jsonl")
        assert (events[0]["event"], events[0]["step"]) == ("resumed", 1500)

        whole = stored(world, tmp_path / "whole", [])
        done = subprocess.run(
            [*command[:4], "--config", str(whole), *command[6:]],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == resumed.stdout.split()[-1]  # SHA-256 of the weights

        from transformers import AutoModelForCausalLM

        final = AutoModelForCausalLM.from_pretrained(REPO)  # promoted: at the root of the repository
        found = find_checkpoint(run.checkpoints, say=print)
        assert found is not None
        local = AutoModelForCausalLM.from_pretrained(found.folder)
        assert all(torch.equal(a, b) for a, b in zip(final.parameters(), local.parameters(), strict=True))


def _transformers_opens_each(folders: list[str]) -> None:
    from transformers import AutoModelForCausalLM

    weights = set()
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(REPO, subfolder=folder)
        weights.add(float(model.get_input_embeddings().weight.detach().double().sum()))
    assert len(weights) == len(folders)


def _step(root: Path) -> int:
    runs = find_runs(root, "tiny")
    lines = read_jsonl(runs[0].metrics) if runs else []
    return int(lines[-1]["step"]) if lines else 0


def _verified(root: Path) -> set[int]:
    runs = find_runs(root, "tiny")
    if not runs or not runs[0].ledger.is_file():
        return set()
    lines = [json.loads(line) for line in runs[0].ledger.read_text().splitlines() if line.endswith("}")]
    return {line["step"] for line in lines if line["event"] == "verified"}
