"""Raw files as numbered lines: newline alone cuts, and what is broken is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lugha.corpus.lines import read_lines
from tests.corpus.raw_files import COMPRESSIONS, documents, refusal, write


def test_zstd_of_several_frames(tmp_path: Path) -> None:
    parts = [zstandard.ZstdCompressor().compress(part) for part in (b"one\ntw", b"", b"o\nthree\n")]
    (tmp_path / "a.txt.zst").write_bytes(b"".join(parts))
    assert [line for _, line in read_lines(tmp_path / "a.txt.zst")] == ["one", "two", "three"]


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")).filter(
            lambda t: not t.endswith("\r") and not t.startswith("\ufeff")
        )
    ),
    st.sampled_from(COMPRESSIONS),
    st.sampled_from(["\n", "\r\n"]),
)
def test_lines_come_back_as_they_were_written(tmp_path_factory, lines, ending, newline) -> None:
    path = tmp_path_factory.mktemp("lines") / f"a.txt{ending}"
    write(path, "".join(line + newline for line in lines).encode())
    assert list(read_lines(path)) == list(enumerate(lines, start=1))


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_invalid_utf_8_names_line_and_byte(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a.txt{ending}", "ọma\n".encode() + "ụk".encode() + b"\xe9 b\n")
    message = refusal(documents(f"a.txt{ending}"), tmp_path)
    assert f"ROOT/a.txt{ending}: line 2: byte 5 (0xe9) is not UTF-8." in message


def test_utf_16_is_recognised(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "habari\n".encode("utf-16"))
    assert "ROOT/a.txt: this is UTF-16" in refusal(documents("a.txt"), tmp_path)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped"])
def test_broken_compression(tmp_path: Path, ending: str, damage: str) -> None:
    path = tmp_path / f"a.txt{ending}"
    write(path, b"".join(b"line %d\n" % n for n in range(100_000)))
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {"cut": data[:-9], "garbage": b"not compressed", "flipped": data[:middle] + b"\0" * 99 + data[middle + 99 :]}[damage]
    )
    message = refusal(documents(path.name), tmp_path)
    assert message.startswith(f"ROOT/a.txt{ending}: the compressed file is broken or cut off after line ")
