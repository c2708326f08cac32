"""What publishing costs the training: throughput with a save every 60 s to a slow store against the same run without saves.

    python -m bench.durability.throughput [--rounds 3] [--minutes 3] [--interval 60s] [--megabytes-per-second 5]

Runs of a model of ten million parameters (a checkpoint of 120 MB) come in turns: without saves, and with a save at every interval
that goes to an S3 server (`rclone serve s3`) behind a line of that speed, both ways, so that it is being sent or read back for
most of the time. Seconds a step are those between the first and the last step that is logged, less what the loop waited for the
local saves. Training has one thread; the server and the line are other processes, on the other core.

The limit: within 2 % of the run without saves.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.training.step_time import TEN_MILLION, made_text, prepare, recipe_for
from tests.servers.faults import FaultyLine
from tests.servers.rclone import RcloneS3

from lugha.recipe import Recipe, dump_recipe
from lugha.recipe.durations import parse_duration
from lugha.runs.folder import find_runs, read_jsonl


def seconds_per_step(recipe: Recipe, folder: Path, minutes: float, environment: dict[str, str]) -> tuple[float, int, float]:
    """Train for some minutes in a process of its own.

    Returns:
        Seconds a step without the local saves, saves, and the share of the time in which a checkpoint was on its way.
    """
    file = folder / f"{recipe.name}.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "lugha", "train", "--config", str(file), "--new"]
    command += ["--tokens", str(folder / "tokens"), "--tokenizer", str(folder / "tokenizer")]
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(timeout=minutes * 60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    run = find_runs(recipe.run.root, recipe.name)[0]
    steps = [line for line in read_jsonl(run.metrics) if line["kind"] == "train"][1:]
    first, last = steps[0], steps[-1]
    lines = [line for line in read_jsonl(run.ledger) if first["time"] < line["time"] < last["time"]]
    saved = [line["seconds"] for line in lines if line["event"] == "saved"]
    on_its_way = sum(line["seconds"] for line in lines if line["event"] == "verified")
    wall = last["time"] - first["time"]
    return (wall - sum(saved)) / (last["step"] - first["step"]), len(saved), on_its_way / wall


def main() -> None:
    """Print one line for each round, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--interval", default="60s")
    parser.add_argument("--megabytes-per-second", type=float, default=5.0)
    parser.add_argument("--line", help=argparse.SUPPRESS)  # the slow line's own process
    options = parser.parse_args()
    if options.line:
        _be_the_line(options.line, options.megabytes_per_second)
    ratios = []
    with tempfile.TemporaryDirectory() as place, RcloneS3(Path(place) / "s3") as server:
        server.bucket("bench")
        folder = Path(place)
        base = recipe_for(TEN_MILLION, 10**6, folder / "runs")
        text = folder / "text.txt"
        text.write_text("\n".join(made_text(40_000)), encoding="utf-8")
        prepare(text, folder, base)
        train = base.train.model_copy(update={"save_every": None, "log_every": 1, "eval_every": 10**6, "threads": 1})
        base = base.model_copy(update={"train": train})
        line = [sys.executable, "-m", "bench.durability.throughput", "--line", server.endpoint]
        line += ["--megabytes-per-second", str(options.megabytes_per_second)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as slow:
            assert slow.stdout is not None
            environment = {**server.environment, "AWS_ENDPOINT_URL": slow.stdout.readline().strip(), "OMP_NUM_THREADS": "1"}
            often = {"interval": parse_duration(options.interval), "keep_newest": 2}
            publishing = base.model_copy(
                update={
                    "name": "publishing",
                    "checkpoints": base.checkpoints.model_copy(update=often),
                    "publish": base.publish.model_copy(update={"stores": ["s3://bench/throughput"]}),
                }
            )
            never = base.checkpoints.model_copy(update={"interval": 1e9})
            alone = base.model_copy(update={"name": "alone", "checkpoints": never})
            for number in range(options.rounds):
                bare, _, _ = seconds_per_step(alone, folder, options.minutes, environment)
                with_saves, saves, busy = seconds_per_step(publishing, folder, options.minutes, environment)
                ratios.append(bare / with_saves)
                print(
                    f"round {number + 1}: {bare:.4f} s/step without saves, {with_saves:.4f} with {saves} saves, a checkpoint "
                    f"on its way {busy:.0%} of the time: throughput {ratios[-1]:.4f}, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            slow.kill()
    spread = f"{min(ratios):.4f} to {max(ratios):.4f}"
    print(f"throughput with saves / without: {statistics.median(ratios):.4f} ({spread}, {len(ratios)} rounds)")


def _be_the_line(endpoint: str, megabytes_per_second: float) -> None:
    """Serve until killed."""
    with FaultyLine(endpoint) as line:
        line.bytes_per_second = megabytes_per_second * 1e6
        print(line.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
