"""A server of forks: a process that has imported everything once and trains in a child for each order.

    with ForkServer() as forks:
        outcome = forks.train(recipe_file, tokens, tokenizer, die_at=17)

Starting Python with torch takes seconds and a fork milliseconds, so that a process can be ended for real at hundreds of points.
The server itself runs nothing: a fork of a process whose threads run would not be safe.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a child ended."""

    code: int  # exit code, 137 where it was ended at its point or killed
    operations: int  # of a child that was not ended
    kinds: list[str]
    weights: str | None  # SHA-256 of a finished training
    error: str | None


class ForkServer:
    """See the module's story."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | dict(environment or {})

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.durability.forks"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=self._environment
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def train(
        self,
        recipe: Path,
        tokens: Path,
        tokenizer: Path,
        *,
        folders: list[Path],
        die_at: int | None = None,
        kill_after: float | None = None,
        resume: str | None = "auto",
    ) -> Outcome:
        """Train in a child; end it at an operation, or by `kill -9` after some seconds.

        Args:
            folders: changes below these count as operations.
        """
        order = {
            "recipe": str(recipe),
            "tokens": str(tokens),
            "tokenizer": str(tokenizer),
            "folders": [str(folder) for folder in folders],
            "die_at": die_at,
            "kill_after": kill_after,
            "resume": resume,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    import torch

    import lugha.pipeline.training
    import lugha.training.loop
    from tests.durability import points

    torch.set_num_threads(1)
    assert lugha.pipeline.training
    assert points
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work(order, writing)
        os.close(writing)
        if order["kill_after"] is not None:
            time.sleep(order["kill_after"])
            os.kill(child, signal.SIGKILL)
        with os.fdopen(reading) as answer:
            text = answer.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outcome = {"code": 137 if status == -signal.SIGKILL else status, "operations": 0, "kinds": [], "weights": None}
        killed = status == -signal.SIGKILL  # perhaps in the middle of its answer
        outcome |= {"error": None} | (json.loads(text) if text and not killed else {})
        for module in outcome.pop("modules", []):  # what a training imports as it goes: the next one finds it there
            if module not in sys.modules:
                with contextlib.suppress(ImportError):
                    importlib.import_module(module)
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


def _work(order: dict[str, Any], writing: int) -> None:
    """The child: never returns."""
    import traceback

    from lugha.errors import LughaError
    from lugha.pipeline.training import train_recipe
    from lugha.recipe import load_recipe
    from tests.durability.points import Points

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    points = Points([Path(folder) for folder in order["folders"]], order["die_at"])
    found: dict[str, Any] = {}
    code = 0
    try:
        recipe = load_recipe(order["recipe"])
        done = train_recipe(
            recipe,
            resume=order["resume"],
            tokens=Path(order["tokens"]),
            tokenizer=Path(order["tokenizer"]),
            say=lambda _: None,
        )
        found["weights"] = done.weights_sha256
    except LughaError as error:
        found["error"], code = str(error), error.exit_code
    except BaseException:
        found["error"], code = traceback.format_exc(), 1
    found |= {"operations": points.count, "kinds": points.kinds, "modules": sorted(sys.modules)}
    with os.fdopen(writing, "w") as answer:
        answer.write(json.dumps(found))
    os._exit(code)


if __name__ == "__main__":
    _serve()
