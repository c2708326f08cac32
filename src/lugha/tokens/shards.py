"""Token shards: a corpus as token ids on disk, memory-mapped, every text found by its number.

    tokens/train/00000.bin         ids of all sequences end to end, little-endian, uint16 or uint32
                 00000.index.npy   int64 [n + 1]: sequence i is ids[index[i]:index[i + 1]]
                 00000.langs.npy   uint8 [n]: position in details["languages"]
                 00000.bytes.npy   int32 [n]: UTF-8 bytes of the text that is predicted, for bits per byte
                 00000.predicted.bin   examples and preferences: uint8 for each id, 1 where it is predicted
    tokens/manifest.json           kind, languages, directions, width, vocabulary, tokenizer fingerprint, sums by split

Kind          A sequence is                                                                        Predicted
documents     a document                                                                           all of it
pairs         a side of a pair: sequences 2i and 2i + 1 are source and target of pair i            all of it
examples      a prompt with its response; of F formats, sequence pair * F + f (build_examples.py)  the response
preferences   a prompt with an answer: sequences 2i and 2i + 1 have the chosen and the rejected    the answer

It is stored raw: no special tokens, nothing cut off. Where sequences begin is said by the index, never by an id in the stream;
what is predicted is said by position, never by an id either.

    shards = TokenShards.open(Path("tokens"), "train")
    shards[7], shards.lengths[7], shards.languages[shards.langs[7]]
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from lugha.errors import InputError, nearest
from lugha.runs.manifest import StageManifest, StageOutput, verify_stage

STAGE, VERSION = "tokens", 1
PREDICTED = ".predicted.bin"
WITH_PREDICTED = ("examples", "preferences")


@dataclass(frozen=True)
class Sequences:
    """Consecutive sequences on their way to disk."""

    ids: NDArray[Any]  # [sum of lengths]
    offsets: NDArray[np.int64]  # [n + 1], from 0
    langs: NDArray[np.uint8]  # [n]
    bytes: NDArray[np.int32]  # [n]
    predicted: NDArray[np.bool_] | None = None  # [sum of lengths]; None: all, and no file says so

    def between(self, start: int, stop: int) -> Sequences:
        """Sequences `start` to `stop - 1`, without copying their ids."""
        offsets = self.offsets[start : stop + 1]
        ids = slice(offsets[0], offsets[-1])
        predicted = None if self.predicted is None else self.predicted[ids]
        return Sequences(self.ids[ids], offsets - offsets[0], self.langs[start:stop], self.bytes[start:stop], predicted)


class TokenShardWriter:
    """Writes sequences as numbered shards of one split, each of at most `tokens_per_shard` tokens.

    `together` sequences (2 for pairs) never part: they stand in one shard. What alone is longer has a shard of its own. Either
    all sequences of a split say what is predicted, or none.
    """

    def __init__(self, out: StageOutput, split: str, *, tokens_per_shard: int, together: int) -> None:
        self._out, self._split, self._tokens_per_shard, self.together = out, split, tokens_per_shard, together
        self._bin: BinaryIO | None = None
        self._predicted: BinaryIO | None = None
        self._lengths: list[NDArray[np.int64]] = []  # of the open shard, as are the two below; its ids are on disk already
        self._langs: list[NDArray[np.uint8]] = []
        self._bytes: list[NDArray[np.int32]] = []
        self._shards = self._tokens_in_shard = 0

    def __enter__(self) -> Self:
        (self._out.folder / self._split).mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close_shard()

    def write(self, sequences: Sequences) -> None:
        """Append sequences; their number is a multiple of `together`."""
        ends = sequences.offsets[:: self.together]  # positions where a shard may end
        start = 0
        while start < len(ends) - 1:
            room = self._tokens_per_shard - self._tokens_in_shard
            stop = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
            if stop <= start and self._bin is not None:
                self._close_shard()
                continue
            stop = max(stop, start + 1)
            self._append(sequences.between(start * self.together, stop * self.together))
            start = stop

    def _append(self, part: Sequences) -> None:
        if self._bin is None:
            self._bin = self._path(".bin").open("wb")
        self._bin.write(part.ids.tobytes())
        if part.predicted is not None:
            if self._predicted is None:
                self._predicted = self._path(PREDICTED).open("wb")
            self._predicted.write(part.predicted.astype(np.uint8).tobytes())
        self._tokens_in_shard += part.ids.size
        self._lengths.append(np.diff(part.offsets))
        self._langs.append(part.langs)
        self._bytes.append(part.bytes)

    def _close_shard(self) -> None:
        if self._bin is None:
            return
        self._bin.close()
        if self._predicted is not None:
            self._predicted.close()
            self._predicted = None
        index = np.concatenate([np.zeros(1, np.int64), *self._lengths]).cumsum()
        np.save(self._path(".index.npy"), index)
        np.save(self._path(".langs.npy"), np.concatenate(self._langs))
        np.save(self._path(".bytes.npy"), np.concatenate(self._bytes))
        self._out.rows_of_file[str(self._path(".bin").relative_to(self._out.folder))] = len(index) - 1
        self._bin, self._lengths, self._langs, self._bytes, self._tokens_in_shard = None, [], [], [], 0
        self._shards += 1

    def _path(self, ending: str) -> Path:
        return self._out.folder / self._split / f"{self._shards:05d}{ending}"


class TokenShards:
    """One split of a tokens folder, read only: `len()`, `[i]`, and arrays with one entry for each sequence.

    Attributes:
        lengths: tokens of each sequence, int32 [n].
        langs: position of its language in `languages`, uint8 [n].
        bytes: UTF-8 bytes of its predicted text, int32 [n].
        kind: "documents", "pairs", "examples" or "preferences".
        languages: ISO 639-3 codes.
        vocab_size: of the tokenizer; every id is below it.
        fingerprint: of the tokenizer.
    """

    def __init__(self, stems: list[Path], manifest: StageManifest) -> None:
        details = manifest.details
        self.manifest = manifest
        self.kind: str = details["kind"]
        self.languages: list[str] = details["languages"]
        self.vocab_size: int = details["vocab_size"]
        self.fingerprint: str = details["fingerprint"]
        dtype = np.dtype(f"<u{details['width']}")
        self._ids = [_map(Path(f"{stem}.bin"), dtype) for stem in stems]
        self._index = [np.load(f"{stem}.index.npy", mmap_mode="r") for stem in stems]
        self._first = np.cumsum([0, *(len(index) - 1 for index in self._index)])  # sequence number that begins each shard
        for stem, ids, index in zip(stems, self._ids, self._index, strict=True):
            if index[-1] != len(ids):
                raise InputError(f"{stem}.bin holds {len(ids)} tokens, its index {index[-1]}. Run the tokens stage again.")
        self._predicted: list[NDArray[np.bool_]] | None = None
        if self.kind in WITH_PREDICTED:
            self._predicted = [_map(Path(f"{stem}{PREDICTED}"), np.dtype(np.bool_)) for stem in stems]
            for stem, ids, predicted in zip(stems, self._ids, self._predicted, strict=True):
                if len(predicted) != len(ids):
                    raise InputError(
                        f"{stem}{PREDICTED} speaks of {len(predicted)} tokens, {stem}.bin holds {len(ids)}. "
                        "Run the tokens stage again."
                    )
        self.lengths: NDArray[np.int32] = _join([np.diff(index) for index in self._index], np.int32)
        self.langs: NDArray[np.uint8] = _join([np.load(f"{stem}.langs.npy") for stem in stems], np.uint8)
        self.bytes: NDArray[np.int32] = _join([np.load(f"{stem}.bytes.npy") for stem in stems], np.int32)

    @classmethod
    def open(cls, folder: Path, split: str) -> Self:
        """Map a split of a finished tokens folder; the size of every file is checked against the manifest.

        Raises:
            InputError: not the output of the tokens stage, a file is missing or was cut short, or no such split.
        """
        manifest = verify_stage(folder, (STAGE,))
        splits = manifest.details["splits"]
        if split not in splits:
            raise InputError(f'{folder}: has no split "{split}".{nearest(split, splits)}')
        ending, names = ".index.npy", [record.path for record in manifest.files]
        stems = [name.removesuffix(ending) for name in names if name.startswith(f"{split}/") and name.endswith(ending)]
        return cls([folder / stem for stem in sorted(stems)], manifest)

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, i: int) -> NDArray[Any]:
        """Token ids of sequence `i`, a read-only view of the file: [lengths[i]], uint16 or uint32."""
        shard, place = self._place(i)
        return self._ids[shard][place]

    def predicted(self, i: int) -> NDArray[np.bool_]:
        """Whether each id of sequence `i` is predicted: [lengths[i]], for examples and preferences a view of the file."""
        if self._predicted is None:
            return np.ones(self.lengths[i], np.bool_)
        shard, place = self._place(i)
        return self._predicted[shard][place]

    @functools.cached_property
    def predicted_counts(self) -> NDArray[np.int32]:
        """Predicted ids of each sequence, int32 [n]."""
        if self._predicted is None:
            return self.lengths
        counts = [_sums(mask, index) for mask, index in zip(self._predicted, self._index, strict=True)]
        return _join(counts, np.int32)

    def _place(self, i: int) -> tuple[int, slice]:
        """Shard of sequence `i`, and where its ids stand in it."""
        if not 0 <= i < len(self):
            raise IndexError(f"sequence {i} of {len(self)}")
        shard = int(np.searchsorted(self._first, i, side="right")) - 1
        index, row = self._index[shard], i - self._first[shard]
        return shard, slice(index[row], index[row + 1])


def _map(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    # A file of no bytes cannot be mapped. The view drops np.memmap's own class, whose slices cost four times as much.
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray) if path.stat().st_size else np.zeros(0, dtype)


def _sums(mask: NDArray[np.bool_], index: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number of true values in each `mask[index[i]:index[i + 1]]`."""
    sums = np.zeros(len(index) - 1, np.int32)
    with_ids = np.diff(index) > 0  # reduceat knows no empty part
    if with_ids.any():
        sums[with_ids] = np.add.reduceat(mask, index[:-1][with_ids], dtype=np.int32)
    return sums


def _join(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype)
