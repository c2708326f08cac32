"""The local side of an upload."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.stores.source import blocks_of, bytes_in, exactly, opened, same_bytes
from lugha.errors import InputError


@given(
    whole=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=5),
    change=st.sampled_from(["none", "byte", "end", "more"]),
)
def test_blocks_of_any_sizes_are_compared_byte_by_byte(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, cuts: list[int], change: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "source"
    path.write_bytes(whole)
    stored = {
        "none": whole,
        "byte": whole[:-1] + bytes([whole[-1] ^ 1]) if whole else b"x",
        "end": whole[:-1] if whole else b"x",
        "more": whole + b"x",
    }[change]
    edges = [0, *sorted(min(cut, len(stored)) for cut in cuts), len(stored)]
    blocks = [stored[a:b] for a, b in itertools.pairwise(edges)]
    assert same_bytes(path, blocks) == (change == "none")


def test_a_file_in_blocks(tmp_path: Path) -> None:
    whole = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(whole)
    blocks = list(blocks_of(tmp_path / "file"))
    assert len(blocks) > 1
    assert b"".join(blocks) == whole


def test_a_file_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    with opened(path) as stream:
        assert exactly(stream, path, 4) == bytes(4)
        os.truncate(path, 50_000)
        with pytest.raises(InputError, match="became shorter while it was published"):
            exactly(stream, path, 99_996)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for ask in (lambda path: list(blocks_of(path)), bytes_in, lambda path: same_bytes(path, [])):
        with pytest.raises(InputError, match="gone: cannot be published, it cannot be read .No such file"):
            ask(tmp_path / "gone")
    with pytest.raises(InputError, match="it cannot be read .Is a directory"):
        list(blocks_of(tmp_path))
