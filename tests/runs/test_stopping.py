"""Asking to stop: from signals, files, a deadline, any thread; and the second signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lugha.errors import InterruptedRunError
from lugha.recipe import RunSection
from lugha.runs.deadline import deadline_of
from lugha.runs.stopping import SAVE, STOP, Stop, limited, stop_if_asked, stopping


def wait_for(stop: Stop) -> str:
    """The reason, once there is one."""
    while (why := stop.reason()) is None:
        time.sleep(0.001)
    return why


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_and_handlers_are_as_they_were_after(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(InterruptedRunError, match=f"Stopped by signal {number.name}; nothing half-written"):  # noqa: SIM117
        with stopping(grace=7.0) as stop:
            assert stop.reason() is None
            assert stop.seconds_left() == float("inf")
            os.kill(os.getpid(), number)
            assert wait_for(stop) == f"signal {number.name}"
            assert 0 < stop.seconds_left() < 7.0
            stop_if_asked()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
    stop_if_asked()  # outside of a block nobody is asked


def test_a_signal_that_nobody_obeyed_is_not_lost() -> None:
    with pytest.raises(InterruptedRunError, match="Stopped by signal SIGTERM. The same command goes on with what is left"):  # noqa: SIM117
        with stopping():
            os.kill(os.getpid(), signal.SIGTERM)


def test_blocks_share_one_stop_and_the_inner_adds_what_it_knows(tmp_path: Path) -> None:
    with stopping(grace=5.0) as outer:
        with stopping(run=tmp_path) as inner:
            assert inner is outer
            assert (inner.run, inner.grace) == (tmp_path, 5.0)
            threading.Thread(target=inner.ask, args=("a thread",)).start()
            assert wait_for(inner) == "a thread"
        assert outer.run is None
        inner.ask("another")
        assert outer.reason() == "a thread"  # the first stands
    with stopping() as new:
        assert new.reason() is None


def test_limits_are_known_below_and_signals_are_left_alone_until_somebody_asks(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with limited(run=tmp_path, grace=3.0) as around:
        assert signal.getsignal(signal.SIGTERM) is before
        for _ in range(2):
            with stopping() as stop:
                assert stop is around
                assert (stop.run, stop.grace) == (tmp_path, 3.0)
                assert signal.getsignal(signal.SIGTERM) is not before
            assert signal.getsignal(signal.SIGTERM) is before
        (tmp_path / STOP).touch()
        with pytest.raises(InterruptedRunError, match=f"Stopped by the file {tmp_path / STOP}"):
            while True:
                stop_if_asked()
        assert not (tmp_path / STOP).exists()  # obeyed once
    stop_if_asked()


def test_the_files_of_a_run_are_looked_at_once_a_second(tmp_path: Path) -> None:
    now = 100.0
    stop = Stop(lambda: now)
    assert stop.reason() is None  # no run, no files
    stop.run = tmp_path
    assert not stop.save_asked()
    (tmp_path / SAVE).touch()
    (tmp_path / STOP).touch()
    now += 0.9
    assert not stop.save_asked()
    now += 0.2
    assert stop.save_asked()
    assert stop.reason() == f"the file {tmp_path / STOP}"
    stop.saved()
    assert not stop.save_asked()
    stop.obeyed()
    assert list(tmp_path.iterdir()) == []
    assert stop.reason()  # what was asked stays asked


def test_the_shortest_time_left_holds() -> None:
    now = 0.0
    stop = Stop(lambda: now)
    stop.ask("a notice", within=120.0)
    now = 20.0
    assert stop.seconds_left() == pytest.approx(0.9 * 120.0 - 20.0)  # a tenth of the notice is for the way out
    stop.ask("a later one", within=10.0)
    assert stop.seconds_left() == pytest.approx(9.0)
    assert stop.reason() == "a notice"
    now = 500.0
    assert stop.seconds_left() == 0.0


def test_the_deadline_asks_when_its_margin_and_the_reserve_begin() -> None:
    deadline = deadline_of(RunSection(deadline="1000h"))
    assert deadline is not None
    with stopping(deadline=deadline) as stop:
        assert stop.reason(deadline.left() - deadline.margin - 60) is None
        assert stop.reason(deadline.left() - deadline.margin) == "run.deadline 1000h"


def test_signals_so_close_together_are_one_wish(capfd: pytest.CaptureFixture[str]) -> None:
    """A terminal's Ctrl-C reaches a process and its parent, which passes it on."""
    now = 0.0
    stop = Stop(lambda: now)
    stop.hear(signal.SIGINT)
    now = 0.5
    stop.hear(signal.SIGTERM)
    assert stop.reason() == "signal SIGINT"
    assert capfd.readouterr().err.count("lugha: ") == 1


_DEEP = """
import hashlib, sys
from lugha.runs.stopping import stopping

with stopping():
    print("ready", flush=True)
    {work}
"""


@pytest.mark.parametrize("work", ["while True: pass", "hashlib.pbkdf2_hmac('sha256', b'x', b'x', 2_000_000_000)"])
def test_a_second_signal_ends_the_process_at_once(work: str) -> None:
    """Also in the middle of a call into C that lasts for ever."""
    command = [sys.executable, "-c", _DEEP.format(work=work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert "a second signal ends the process at once" in process.stderr.readline()
        while process.poll() is None:
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 75
        assert "SIGTERM again: ended at once" in process.stderr.read()


_FORKED = """
import os, signal, sys, time
from lugha.runs.stopping import stopping

with stopping() as stop:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), stop.reason())
"""


def test_a_child_that_is_ended_does_not_stop_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKED], capture_output=True, text=True, check=True)
    assert done.stdout == "-15 None\n"


def test_outside_of_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found: list[object] = []

    def work() -> None:
        with stopping() as stop:
            found.extend([signal.getsignal(signal.SIGTERM), stop.reason()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before, None]
