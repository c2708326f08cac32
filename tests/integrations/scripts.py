"""Scripts of users, run as real processes: a server that has imported torch and transformers once, and forks for each.

    with ScriptServer(environment) as server:
        done = server.run(SCRIPT, folder, "--steps", "20")      # its exit code, what it wrote
        child = server.start(SCRIPT, folder); child.kill(signal.SIGTERM); child.wait()

Starting Python with transformers takes four seconds, a fork some milliseconds. The child runs the script as `__main__`, in its
folder, and ends as any interpreter does. The server itself trains nothing: a fork of a process whose threads run is not safe.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds that a test waits for what must happen


@dataclass(frozen=True)
class Done:
    """How a script ended."""

    code: int  # negative: killed by that signal
    text: str  # all that it wrote


class Child:
    """A script that runs."""

    def __init__(self, server: ScriptServer, pid: int, output: Path) -> None:
        self._server, self.pid, self._output = server, pid, output

    def written(self) -> str:
        """What it wrote so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until it writes `text`."""
        end = time.monotonic() + PATIENCE
        while text not in self.written():
            assert time.monotonic() < end, f"{text!r} never came:\n{self.written()}"
            assert Path(f"/proc/{self.pid}").exists(), f"it ended before {text!r}:\n{self.written()}"
            time.sleep(0.02)

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> Done:
        """Its end."""
        self._server._running = None
        return Done(self._server._read(), self.written())


class ScriptServer:
    """See the module's story; one script at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        quiet = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        self._environment = os.environ | quiet | dict(environment)
        self._running: Child | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.integrations.scripts"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=self._environment
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end_what_a_failed_test_left()
        self._process.kill()
        self._process.wait()

    def start(self, script: str, folder: Path, environment: Mapping[str, str] | None = None) -> Child:
        """Run a script in `folder`."""
        self._end_what_a_failed_test_left()
        folder.mkdir(parents=True, exist_ok=True)
        file, output = folder / "train.py", folder / "output.txt"
        file.write_text(textwrap.dedent(script), encoding="utf-8")
        order = {"script": str(file), "output": str(output), "environment": dict(environment or {})}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._running = Child(self, self._read(), output)
        return self._running

    def run(self, script: str, folder: Path, environment: Mapping[str, str] | None = None) -> Done:
        """Run a script in `folder` to its end."""
        return self.start(script, folder, environment).wait()

    def _end_what_a_failed_test_left(self) -> None:
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self._running.kill(signal.SIGKILL)
            self._running.wait()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def _serve() -> None:
    """Answer orders."""
    import torch
    import transformers

    import lugha.integrations.transformers
    from tests.integrations import tiny

    torch.set_num_threads(1)
    assert lugha.integrations.transformers
    assert tiny
    assert transformers.Trainer
    for line in sys.stdin:
        order = json.loads(line)
        Path(order["output"]).write_bytes(b"")
        child = os.fork()
        if child == 0:
            _work(order["script"], order["output"], order["environment"])
        _say(child)
        _say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _work(script: str, output: str, environment: dict[str, str]) -> None:
    """The child: never returns. It ends as an interpreter does, but for tidying up its memory, which takes a second."""
    target = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.environ.update(environment)
    os.chdir(Path(script).parent)
    sys.argv = [script]
    code = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
