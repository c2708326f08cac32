"""Token shards: what is written is what is read, and damage is seen before the first sequence."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.runs.manifest import StageManifest, read_manifest, stage_output
from lugha.tokens.shards import PREDICTED, Sequences, TokenShards, TokenShardWriter

LENGTHS = st.lists(st.integers(0, 12), max_size=24).map(lambda lengths: lengths[: len(lengths) // 2 * 2])


def made(lengths: list[int], dtype: str = "<u2", start: int = 0) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = (np.arange(offsets[-1]) + start).astype(dtype)
    langs = (np.arange(len(lengths)) % 2).astype(np.uint8)
    return Sequences(ids, offsets, langs, np.array(lengths, dtype=np.int32) * 3)


def write(
    folder: Path,
    parts: list[Sequences],
    *,
    per_shard: int = 1000,
    together: int = 1,
    width: int = 2,
    kind: str = "documents",
) -> StageManifest:
    with stage_output(folder, stage="tokens", version=1, parameters={}, inputs={}) as out:
        with TokenShardWriter(out, "train", tokens_per_shard=per_shard, together=together) as writer:
            for part in parts:
                writer.write(part)
        details = {"kind": kind, "languages": ["ibo", "swh"], "width": width, "vocab_size": 70_000}
        out.details |= details | {"fingerprint": "f", "splits": {"train": {}}}
    return read_manifest(folder)


@settings(max_examples=30)
@given(st.lists(LENGTHS, max_size=4), st.integers(1, 30), st.sampled_from([1, 2]))
def test_reading_gives_every_sequence_back(batches: list[list[int]], per_shard: int, together: int) -> None:
    parts = [made(lengths, start=100 * n) for n, lengths in enumerate(batches)]
    with tempfile.TemporaryDirectory() as folder:
        manifest = write(Path(folder) / "tokens", parts, per_shard=per_shard, together=together)
        shards = TokenShards.open(Path(folder) / "tokens", "train")
        expected = [part.ids[a:b].tolist() for part in parts for a, b in zip(part.offsets, part.offsets[1:], strict=False)]
        assert [shards[i].tolist() for i in range(len(shards))] == expected
        assert shards.lengths.tolist() == [len(ids) for ids in expected]
        assert shards.bytes.tolist() == [3 * len(ids) for ids in expected]
        assert shards.langs.tolist() == [i % 2 for part in parts for i in range(len(part.langs))]
        for record in manifest.files:
            if record.path.endswith(".index.npy"):
                groups = np.diff(np.load(Path(folder) / "tokens" / record.path)[::together])
                assert groups.sum() <= per_shard or np.count_nonzero(groups) == 1
        assert all(record.rows % together == 0 for record in manifest.files if record.rows is not None)


@pytest.mark.parametrize(("dtype", "width"), [("<u2", 2), ("<u4", 4)])
def test_width_and_byte_order_are_those_of_the_manifest(tmp_path: Path, dtype: str, width: int) -> None:
    write(tmp_path / "tokens", [made([3], dtype, start=65_000)], width=width)
    shards = TokenShards.open(tmp_path / "tokens", "train")
    assert shards[0].tolist() == [65_000, 65_001, 65_002]
    assert shards[0].dtype == np.dtype(dtype)
    assert (tmp_path / "tokens/train/00000.bin").read_bytes()[:2] == (65_000).to_bytes(2, "little")


def test_the_reader_knows_what_the_manifest_says(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [made([2, 3])])
    shards = TokenShards.open(tmp_path / "tokens", "train")
    assert (shards.kind, shards.languages, shards.vocab_size, shards.fingerprint) == (
        "documents",
        ["ibo", "swh"],
        70_000,
        "f",
    )


def test_sequences_cannot_be_written_to(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [made([2, 3])])
    sequence = TokenShards.open(tmp_path / "tokens", "train")[1]
    with pytest.raises(ValueError, match="read-only"):
        sequence[0] = 1


@pytest.mark.parametrize("i", [-1, 2])
def test_a_number_out_of_range(tmp_path: Path, i: int) -> None:
    write(tmp_path / "tokens", [made([2, 3])])
    with pytest.raises(IndexError, match="of 2"):
        TokenShards.open(tmp_path / "tokens", "train")[i]


def test_an_empty_split_has_no_sequences(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [])
    shards = TokenShards.open(tmp_path / "tokens", "train")
    assert len(shards) == 0
    assert shards.lengths.size == shards.langs.size == shards.bytes.size == 0


def test_an_unknown_split_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [made([2])])
    with pytest.raises(InputError, match='no split "trian".*"train"'):
        TokenShards.open(tmp_path / "tokens", "trian")


@pytest.mark.parametrize("name", ["00000.bin", "00000.index.npy", "00000.langs.npy", "00000.bytes.npy"])
def test_a_file_that_was_cut_short_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "tokens", [made([5, 6, 7])])
    file = tmp_path / "tokens" / "train" / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{name} has \d+ bytes instead of \d+"):
        TokenShards.open(tmp_path / "tokens", "train")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [made([5])])
    (tmp_path / "tokens/train/00000.langs.npy").unlink()
    with pytest.raises(InputError, match=r"00000\.langs\.npy is missing"):
        TokenShards.open(tmp_path / "tokens", "train")


def test_an_index_of_another_shard_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [made([5, 6])])
    index = tmp_path / "tokens/train/00000.index.npy"
    np.save(index, np.array([0, 5, 12]))  # the same size on disk
    with pytest.raises(InputError, match=r"00000\.bin holds 11 tokens, its index 12"):
        TokenShards.open(tmp_path / "tokens", "train")


def with_predicted(part: Sequences, seed: int) -> Sequences:
    return replace(part, predicted=np.random.default_rng(seed).random(part.ids.size) < 0.5)


@settings(max_examples=30)
@given(st.lists(LENGTHS, max_size=4), st.integers(1, 30), st.sampled_from([1, 2]))
def test_what_is_predicted_is_kept_by_position(batches: list[list[int]], per_shard: int, together: int) -> None:
    parts = [with_predicted(made(lengths, start=100 * n), n) for n, lengths in enumerate(batches)]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "tokens", parts, per_shard=per_shard, together=together, kind="examples")
        shards = TokenShards.open(Path(folder) / "tokens", "train")
        expected = []
        for part in parts:
            assert part.predicted is not None
            expected += [part.predicted[a:b].tolist() for a, b in zip(part.offsets, part.offsets[1:], strict=False)]
        assert [shards.predicted(i).tolist() for i in range(len(shards))] == expected
        assert [len(shards[i]) for i in range(len(shards))] == [len(mask) for mask in expected]
        assert shards.predicted_counts.tolist() == [sum(mask) for mask in expected]


def test_all_of_a_document_is_predicted_and_no_file_says_so(tmp_path: Path) -> None:
    manifest = write(tmp_path / "tokens", [made([2, 0, 3])])
    shards = TokenShards.open(tmp_path / "tokens", "train")
    assert [shards.predicted(i).tolist() for i in range(3)] == [[True] * 2, [], [True] * 3]
    assert shards.predicted_counts.tolist() == [2, 0, 3]
    assert not any(record.path.endswith(PREDICTED) for record in manifest.files)


def test_the_file_of_what_is_predicted_must_fit(tmp_path: Path) -> None:
    write(tmp_path / "tokens", [with_predicted(made([5, 6]), 0)], kind="preferences")
    file = tmp_path / "tokens/train/00000.predicted.bin"
    assert set(file.read_bytes()) == {0, 1}
    manifest = read_manifest(tmp_path / "tokens")
    with pytest.raises(IndexError, match="sequence 2 of 2"):
        TokenShards.open(tmp_path / "tokens", "train").predicted(2)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"00000\.predicted\.bin has 10 bytes instead of 11"):
        TokenShards.open(tmp_path / "tokens", "train")
    with pytest.raises(InputError, match=r"predicted\.bin speaks of 10 tokens, .*00000\.bin holds 11"):
        TokenShards([tmp_path / "tokens/train/00000"], manifest)
