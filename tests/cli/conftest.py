"""The command line in the test's own process: the same entry point, without two seconds of imports for each command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lugha.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Lugha = Callable[..., Answer]


@pytest.fixture
def lugha(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lugha:
    """Runs `lugha ARGUMENTS...`."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["lugha", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call
