"""Each preset's tiny twin goes the whole way, killed on it: the proof that a preset's road works on the machine at hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lugha.checkpoints.format import read_checkpoint
from lugha.pipeline.run import run_recipe
from lugha.recipe import load_recipe, preset_names
from lugha.runs.folder import find_runs, read_jsonl


def changes(root: Path) -> list[str]:
    """More steps than the twin has by itself, so that it can be killed between two saves."""
    more = ["train.steps=60", "train.log_every=1", "train.save_every=15", "evaluate.max_rows=6"]
    return ["model.scale=tiny", f"run.root={root}", *more]


@pytest.mark.slow
@pytest.mark.parametrize("preset", preset_names())
def test_killed_with_9_it_resumes_bit_for_bit_evaluates_and_exports(preset: str, tmp_path: Path) -> None:
    whole = run_recipe(load_recipe(preset, changes(tmp_path / "whole")), until="train", say=lambda _: None)
    assert whole.run is not None
    shutil.copytree(tmp_path / "whole" / f"{preset}-tiny", tmp_path / "killed" / f"{preset}-tiny")

    sets = [word for change in changes(tmp_path / "killed") for word in ("--set", change)]
    command = [sys.executable, "-m", "lugha", "run", preset, *sets]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def step() -> int:
        runs = find_runs(tmp_path / "killed", f"{preset}-tiny")
        lines = read_jsonl(runs[0].metrics) if runs else []
        return int(lines[-1]["step"]) if lines else 0

    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and step() < 20:
            time.sleep(0.002)
        assert process.poll() is None, "the run ended before it was killed"
        process.kill()
    assert 20 <= step() < 60

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = find_runs(tmp_path / "killed", f"{preset}-tiny")
    events = [e["event"] for e in read_jsonl(run.path / "events.jsonl")]
    assert events[0] == "started"
    assert "resumed" in events
    weights = [read_checkpoint(r.checkpoints / "step-00000060").weights_sha256() for r in (run, whole.run)]
    assert weights[0] == weights[1]

    measured = json.loads((run.path / "evaluation.json").read_text())
    assert measured["translation"] or measured["held_out"]
    gate = json.loads((run.path / "export" / "hf" / "manifest.json").read_text())["details"]["gate"]
    assert gate["largest_logit_difference"] == 0.0
    assert gate["ids_differ"] == 0
    assert (run.path / "report.html").is_file()
