"""Durable files: whole or not there; a full disk is one line."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lugha.errors import InterruptedRunError
from lugha.runs.files import sha256_file, sha256_json, write_json, write_text


def test_equal_values_have_equal_digests_whatever_their_order() -> None:
    assert sha256_json({"a": 1, "b": [1, 2]}) == sha256_json({"b": [1, 2], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"x": "ụ"})
    write_json(path, {"x": "ọ"})
    assert path.read_text(encoding="utf-8") == '{\n  "x": "ọ"\n}\n'
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "e").write_bytes(b"")
    assert sha256_file(tmp_path / "e") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A real file-size limit: the kernel refuses the bytes as it does on a full disk."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    code = (
        "import resource, signal, sys; from pathlib import Path; from lugha.runs.files import write_text\n"
        "from lugha.errors import InterruptedRunError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "try: write_text(Path(sys.argv[1]), 'x' * 5000)\n"
        "except InterruptedRunError as error: print(error); sys.exit(error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == InterruptedRunError.exit_code == 75
    assert "No space left on the disk while writing" in done.stdout
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_other_errors_are_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_text(tmp_path / "folder", "x")
