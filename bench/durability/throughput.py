"""What publishing costs the training: throughput while a checkpoint is on its way to a slow store, and while none is, in one run.

    python -m bench.durability.throughput [--minutes 6] [--interval 100s] [--megabytes-per-second 5]

A model of ten million parameters (a checkpoint of 122 MB) trains with a save at every interval. Each goes to an S3 server
(`rclone serve s3`) behind a line of that speed, both ways: about 50 s of sending and reading back, then a stretch without. Time
of a step is that between two lines of the log, so that all waiting of the loop is in it, less what the local save took. Stretches
alternate, because two runs one after the other differ by more than the effect on a machine that others use.

The limit: within 2 %. With a save every 60 s a checkpoint is on its way nearly all the time, so the ratio of the two kinds of
steps is what such a run loses at most. Training has one thread; the server and the line are processes on the other core.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.training.step_time import TEN_MILLION, made_text, prepare, recipe_for
from tests.servers.faults import FaultyLine
from tests.servers.rclone import RcloneS3

from lugha.recipe import dump_recipe
from lugha.recipe.durations import parse_duration
from lugha.runs.folder import RunFolder, find_runs, read_jsonl

WARM_UP = 5  # steps


def seconds_of_steps(run: RunFolder) -> tuple[list[float], list[float], list[float]]:
    """Seconds of each step while nothing is on its way and while a checkpoint is; and of each local save."""
    lines = [line for line in read_jsonl(run.metrics) if line["kind"] == "train"][WARM_UP:]
    ledger = read_jsonl(run.ledger)
    begun = [line["time"] for line in ledger if line["event"] == "queued"]
    ended = [line["time"] for line in ledger if line["event"] == "verified"]
    ways = list(zip(begun, [*ended, *[lines[-1]["time"]] * (len(begun) - len(ended))], strict=True))
    saves = [(line["time"], line["seconds"]) for line in ledger if line["event"] == "saved"]
    idle, busy = [], []
    for before, line in itertools.pairwise(lines):
        start, end = before["time"], line["time"]
        seconds = end - start - sum(s for at, s in saves if start < at <= end)
        if any(a <= start and end <= b for a, b in ways):
            busy.append(seconds)
        elif not any(a < end and start < b for a, b in ways):
            idle.append(seconds)
    return idle, busy, [seconds for _, seconds in saves]


def main() -> None:
    """Print both times of a step, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--interval", default="100s")
    parser.add_argument("--megabytes-per-second", type=float, default=5.0)
    parser.add_argument("--line", help=argparse.SUPPRESS)  # the slow line's own process
    options = parser.parse_args()
    if options.line:
        _be_the_line(options.line, options.megabytes_per_second)
    with tempfile.TemporaryDirectory() as place, RcloneS3(Path(place) / "s3") as server:
        server.bucket("bench")
        folder = Path(place)
        base = recipe_for(TEN_MILLION, 10**6, folder / "runs")
        text = folder / "text.txt"
        text.write_text("\n".join(made_text(40_000)), encoding="utf-8")
        prepare(text, folder, base)
        train_values = {"save_every": None, "log_every": 1, "eval_every": 10**6, "threads": 1, "accumulation": 1}
        base = base.model_copy(update={"train": base.train.model_copy(update=train_values)})
        line = [sys.executable, "-m", "bench.durability.throughput", "--line", server.endpoint]
        line += ["--megabytes-per-second", str(options.megabytes_per_second)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as slow:
            assert slow.stdout is not None
            environment = {**server.environment, "AWS_ENDPOINT_URL": slow.stdout.readline().strip(), "OMP_NUM_THREADS": "1"}
            recipe = base.model_copy(
                update={
                    "checkpoints": base.checkpoints.model_copy(
                        update={"interval": parse_duration(options.interval), "keep_newest": 2}
                    ),
                    "publish": base.publish.model_copy(update={"stores": ["s3://bench/throughput"]}),
                }
            )
            file = folder / "publishing.yaml"
            file.write_text(dump_recipe(recipe), encoding="utf-8")
            command = [sys.executable, "-m", "lugha", "train", "--config", str(file)]
            command += ["--tokens", str(folder / "tokens"), "--tokenizer", str(folder / "tokenizer")]
            with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
                time.sleep(options.minutes * 60)
                process.kill()
            slow.kill()
        idle, busy, saves = seconds_of_steps(find_runs(recipe.run.root, recipe.name)[0])
    means = [statistics.fmean(seconds) for seconds in (idle, busy)]
    medians = [statistics.median(seconds) for seconds in (idle, busy)]
    error = math.hypot(*(statistics.stdev(s) / len(s) ** 0.5 / statistics.fmean(s) for s in (idle, busy)))
    print(f"{len(idle)} steps alone: mean {means[0]:.4f} s, median {medians[0]:.4f}; load {os.getloadavg()[0]:.1f}")
    print(f"{len(busy)} steps while a checkpoint is on its way: mean {means[1]:.4f} s, median {medians[1]:.4f}")
    print(f"local saves: {', '.join(f'{s:.2f}' for s in saves)} s")
    print(f"throughput while publishing / alone: {means[0] / means[1]:.4f} +- {2 * error:.4f} (2 standard errors), ", end="")
    print(f"by medians {medians[0] / medians[1]:.4f}")


def _be_the_line(endpoint: str, megabytes_per_second: float) -> None:
    """Serve until killed."""
    with FaultyLine(endpoint) as line:
        line.bytes_per_second = megabytes_per_second * 1e6
        print(line.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
