"""How the command ends when it is interrupted: with its line and its code, and not when a library's threads let it."""

from __future__ import annotations

import signal
import subprocess
import sys

from lugha.cli import main as cli
from lugha.errors import InterruptedRunError
from tests.cli.conftest import Lugha

_STUCK = """
import sys, threading, time
import lugha.cli.main as cli
from lugha.errors import {error}

def verb(_):
    threading.Thread(target=time.sleep, args=({seconds},)).start()   # an upload that hangs
    sys.stdout.write("what was said before")
    raise {error}("the line")

cli.app = verb
cli.main()
"""


def run(error: str, seconds: float) -> subprocess.CompletedProcess[str]:
    code = _STUCK.format(error=error, seconds=seconds)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_an_interrupted_command_does_not_wait_for_threads_of_libraries() -> None:
    done = run("InterruptedRunError", 1e6)
    assert (done.returncode, done.stdout, done.stderr) == (75, "what was said before", "lugha: the line\n")


def test_any_other_end_does() -> None:
    done = run("InputError", 0.2)
    assert (done.returncode, done.stdout, done.stderr) == (2, "what was said before", "lugha: the line\n")


def test_in_the_process_of_another_program_nothing_but_the_code_is_left(lugha: Lugha, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def verb(_: object) -> None:
        raise InterruptedRunError("the line")

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    monkeypatch.setattr(cli, "app", verb)
    answer = lugha("train")
    assert (answer.code, answer.err) == (75, "lugha: the line\n")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
