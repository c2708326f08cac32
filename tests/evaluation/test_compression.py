"""Compressors as baselines: whole text comes back, figures are what the commands give, samples keep their bounds."""

from __future__ import annotations

import lzma
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.evaluation.compression import (
    compress_after_prefix,
    compress_with_dictionary,
    compression_baselines,
    spread_sample,
)

WORDS = ["mtoto", "kitabu", "shule", "asubuhi", "ng'ombe", "maji", "anasoma", "ụlọ", "anyị", "n'akụkụ", "habari", "rafiki"]


def _rows(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(3, 12))) for _ in range(count)]


def test_figures_are_sizes_of_what_can_be_read_back() -> None:
    training, held_out = _rows(3000, 1), _rows(400, 2)
    text, prefix = "\n".join(held_out).encode(), "\n".join(training).encode()
    found = compression_baselines(training, held_out)
    assert found.bytes == len(text)
    assert found.prefix_bytes == len(prefix)
    assert lzma.decompress(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) == text
    raw = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    packed = compress_after_prefix(text, prefix)
    assert zstandard.ZstdDecompressor(dict_data=raw).decompress(packed) == text
    assert found.zstd_prefix == 8 * len(packed) / len(text)
    dictionary = zstandard.train_dictionary(4000, [row.encode() for row in training])
    small = compress_with_dictionary(text, dictionary)
    assert zstandard.ZstdDecompressor(dict_data=dictionary).decompress(small) == text


def test_text_seen_in_training_costs_nearly_nothing_behind_its_prefix() -> None:
    rows = [f"{row} {number}" for number, row in enumerate(_rows(3000, 3))]
    found = compression_baselines(rows, rows[1000:1200])
    assert found.zstd_prefix < 0.1 * found.zstd


def test_too_little_text_for_a_dictionary_is_said_not_hidden() -> None:
    found = compression_baselines(["one row"], ["another row"])
    assert found.zstd_dictionary is None
    assert found.xz > 0


@pytest.mark.parametrize(("training", "held_out", "what"), [([], ["a"], "training"), (["a"], [], "held-out")])
def test_nothing_to_compress_is_refused(training: list[str], held_out: list[str], what: str) -> None:
    with pytest.raises(InputError, match=f"No {what} text"):
        compression_baselines(training, held_out)


@given(st.lists(st.text(max_size=20), max_size=200), st.integers(1, 500))
def test_a_sample_is_evenly_spread_and_within_its_bound(rows: list[str], max_bytes: int) -> None:
    kept = spread_sample(rows, max_bytes)
    assert kept == rows[:: next(s for s in (1 << p for p in range(10)) if rows[::s] == kept)]
    assert len(kept) <= 1 or sum(len(row.encode()) for row in kept) <= max_bytes


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd command is not installed")
def test_the_zstd_command_gives_the_same_figures(tmp_path: Path) -> None:
    training, held_out = _rows(3000, 4), _rows(2000, 5)
    text, prefix = "\n".join(held_out).encode(), "\n".join(training).encode()
    dictionary = zstandard.train_dictionary(4000, [row.encode() for row in training])
    for name, content in (("text", text), ("prefix", prefix), ("dictionary", dictionary.as_bytes())):
        (tmp_path / name).write_bytes(content)

    def command(*options: str) -> int:
        done = subprocess.run(["zstd", "-19", "-c", *options, "text"], cwd=tmp_path, capture_output=True, check=True)
        return len(done.stdout)

    # The command adds a checksum of four bytes; the rest may differ between versions of the library.
    assert len(compress_with_dictionary(text, dictionary)) == pytest.approx(command("-D", "dictionary"), rel=0.02)
    assert len(compress_after_prefix(text, prefix)) == pytest.approx(command("--patch-from=prefix"), rel=0.02)
