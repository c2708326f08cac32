"""Aligned pairs for an encoder-decoder: chosen directions, pairs of similar length under a budget of padded tokens.

A side is `code ids </s>` (the layout of NLLB-200); the decoder starts at `</s>` and predicts the target's code first.

An example is a pair read in one direction. All directions are trained together, in one epoch of N examples:

    tokens.language_pairs   which directions; without them `tokens.directions` of every pair
    tokens.temperature T    direction d, of n_d examples, is drawn with p_d ~ n_d^(1/T). T = 1: each example once in an epoch;
                            T -> infinity: as many examples of each direction. The epoch keeps its length N = sum n_d

What stands where is a function of (seed, epoch, index); temperature.py says how.

Legend: B rows of a micro-batch, S and U tokens of the padded source and target side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lugha.errors import InputError
from lugha.languages.pairs import language_pairs_of
from lugha.recipe import TokensSection
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import Roles
from lugha.training.batches import IGNORED, Batch, Ints
from lugha.training.order import permuted
from lugha.training.temperature import draws, turns


@dataclass(frozen=True)
class Direction:
    """One direction of the data, and its part of every epoch."""

    source: str  # ISO 639-3
    target: str
    examples: int  # that exist
    drawn: int  # in each epoch

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True, eq=False)
class PairBatches:
    """Examples of aligned pairs; a micro-batch holds at most `token_budget` padded tokens.

    Sequences 2i and 2i + 1 of the shards are the two sides of pair i. Examples stand in the order of pairs; of a pair, forward
    (2i to 2i + 1) before backward. Every epoch has its own order; within a window of examples in that order similar lengths
    are put together, and the micro-batches of an epoch are shuffled again, so lengths do not come in runs.

    Batches that are not `shuffled` are read to measure: in the order of the data, each example once whatever the temperature,
    and a direction may be absent from them.
    """

    shards: TokenShards
    codes: npt.NDArray[np.int64]  # token id of each language in shards.languages
    tokens: TokensSection
    token_budget: int
    seed: int
    roles: Roles
    shuffled: bool = True
    window: int = 16_384

    def __post_init__(self) -> None:
        if self.shuffled:
            self._check_language_pairs()
        if len(self.examples) == 0:
            of_these = f" of {', '.join('-'.join(pair) for pair in self._wanted)}" if self._wanted else ""
            raise InputError(
                f"No pair{of_these} fits tokens.max_length {self.tokens.max_length} on both sides: nothing to "
                f"{'train on' if self.shuffled else 'measure'}. Raise it, or see in the split stage's manifest.json why there "
                "are no pairs."
            )

    @functools.cached_property
    def lengths(self) -> Ints:
        """[sequences] tokens of each side with its code and `</s>`."""
        lengths: Ints = self.shards.lengths.astype(np.int64) + 2
        return lengths

    @functools.cached_property
    def _wanted(self) -> list[tuple[str, str]]:
        return language_pairs_of(self.tokens.language_pairs)

    @functools.cached_property
    def _of_any_length(self) -> Ints:
        """[.., 2]: source and target sequence of each example, also of those that are too long."""
        forward = np.arange(len(self.shards), dtype=np.int64).reshape(-1, 2)
        backward = np.ascontiguousarray(forward[:, ::-1])
        both = np.stack([forward, backward], axis=1).reshape(-1, 2)
        if self._wanted:
            numbers = {code: i for i, code in enumerate(self.shards.languages)}
            known = [numbers[a] * len(numbers) + numbers[b] for a, b in self._wanted if a in numbers and b in numbers]
            return both[np.isin(self._keys(both), known)]
        return {"forward": forward, "backward": backward, "both": both}[self.tokens.directions]

    @functools.cached_property
    def examples(self) -> Ints:
        """[examples, 2]: source and target sequence of each example."""
        longer_side = self.lengths[self._of_any_length].max(axis=1, initial=0)
        examples: Ints = self._of_any_length[longer_side <= self.tokens.max_length]
        return examples

    @property
    def too_long(self) -> int:
        """Pairs left out because a side is longer than tokens.max_length."""
        pairs, fitting = (np.unique(e[:, 0] // 2) for e in (self._of_any_length, self.examples))
        return len(pairs) - len(fitting)

    @functools.cached_property
    def directions(self) -> list[Direction]:
        """The directions that are trained, by their languages, with their parts of an epoch."""
        languages, members = self.shards.languages, self._members
        sizes = [len(m) for m in members.values()]
        temperature = self.tokens.temperature if self.shuffled else 1.0
        return [
            Direction(languages[key // len(languages)], languages[key % len(languages)], size, int(drawn))
            for key, size, drawn in zip(members, sizes, draws(sizes, temperature), strict=True)
        ]

    @functools.cached_property
    def _members(self) -> dict[int, Ints]:
        """Numbers of the examples of each direction, by its key."""
        keys = self._keys(self.examples)
        by_key = np.argsort(keys, kind="stable")
        found, first = np.unique(keys[by_key], return_index=True)
        return dict(zip(found.tolist(), np.split(by_key, first)[1:], strict=True))

    def _keys(self, examples: Ints) -> Ints:
        """[examples]: a number for the direction of each, source * languages + target."""
        langs = self.shards.langs.astype(np.int64)
        keys: Ints = langs[examples[:, 0]] * len(self.shards.languages) + langs[examples[:, 1]]
        return keys

    def _check_language_pairs(self) -> None:
        """Every direction asked for has pairs that fit."""
        found = {(d.source, d.target) for d in self.directions}
        missing = next((pair for pair in self._wanted if pair not in found), None)
        if missing is None:
            return
        languages, sides = self.shards.languages, self.shards.langs.reshape(-1, 2)
        rows = [(languages[a], languages[b]) for a, b in np.unique(sides, axis=0).tolist()]
        if missing in rows or missing[::-1] in rows:
            raise InputError(
                f"tokens.language_pairs: no pair of {'-'.join(missing)} fits tokens.max_length {self.tokens.max_length} on both "
                "sides. Raise it, or leave this direction out."
            )
        there = sorted({"-".join(pair) for a, b in rows for pair in ((a, b), (b, a))})
        raise InputError(
            f"tokens.language_pairs: the training split has no pairs for {'-'.join(missing)}. It has {', '.join(there)}. "
            "Name one of these, or add a source with this pair to corpus.sources."
        )

    @functools.cached_property
    def tokens_per_epoch(self) -> int:
        """Predicted (target) tokens in an epoch; with a temperature above 1, of epoch 0 (others differ a little)."""
        return int(self.lengths[self.examples[self._drawn(0)][:, 1]].sum())

    @property
    def padding(self) -> float:
        """Share of the tokens of epoch 0 that are padding."""
        real = padded = 0
        for members in self._plan(0):
            sides = self.lengths[self.examples[members]]
            real += int(sides.sum())
            padded += len(members) * int(sides[:, 0].max() + sides[:, 1].max())
        return 1.0 - real / padded

    def micro_batches(self, epoch: int) -> int:
        """Number of micro-batches in `epoch`; it differs a little between epochs."""
        return len(self._plan(epoch))

    def micro_batch(self, epoch: int, index: int) -> Batch:
        """`input_ids` and `attention_mask` [B, S], `decoder_input_ids` and `labels` [B, U], all int64."""
        pairs = self.examples[self._plan(epoch)[index]]
        source, target = self.lengths[pairs].max(axis=0)
        rows = len(pairs)
        input_ids = np.full((rows, source), self.roles.pad, dtype=np.int64)
        attention = np.zeros((rows, source), dtype=np.int64)
        labels = np.full((rows, target), IGNORED, dtype=np.int64)
        decoder = np.full((rows, target), self.roles.pad, dtype=np.int64)
        for row, (a, b) in enumerate(pairs):
            x, y = self._side(int(a)), self._side(int(b))
            input_ids[row, : len(x)] = x
            attention[row, : len(x)] = 1  # by length: what a text holds is never taken for padding
            labels[row, : len(y)] = y
            decoder[row, 0] = self.roles.eos
            decoder[row, 1 : len(y)] = y[:-1]
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention),
            "decoder_input_ids": torch.from_numpy(decoder),
            "labels": torch.from_numpy(labels),
        }

    def _side(self, sequence: int) -> Ints:
        ids = self.shards[sequence]
        out = np.empty(len(ids) + 2, dtype=np.int64)
        out[0] = self.codes[self.shards.langs[sequence]]
        out[1:-1] = ids
        out[-1] = self.roles.eos
        return out

    def _drawn(self, epoch: int) -> Ints:
        """[N]: the examples of an epoch, before they are put into its order."""
        if all(d.drawn == d.examples for d in self.directions):
            return np.arange(len(self.examples))
        parts = [
            members[turns(epoch * d.drawn, d.drawn, n=d.examples, seed=self.seed + 2 + number)]
            for number, (d, members) in enumerate(zip(self.directions, self._members.values(), strict=True))
        ]
        return np.concatenate(parts)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the run; the epoch before and this one
    def _plan(self, epoch: int) -> list[Ints]:
        """Members of each micro-batch of an epoch."""
        order = self._drawn(epoch)
        n = len(order)
        if self.shuffled:
            order = order[permuted(np.arange(n), n=n, seed=self.seed, epoch=epoch)]
        batches: list[Ints] = []
        for begin in range(0, n, self.window):
            part = order[begin : begin + self.window]
            source, target = self.lengths[self.examples[part]].T
            by_length = np.lexsort((source, target))
            batches += self._cut(part[by_length], source[by_length], target[by_length])
        if self.shuffled:
            mixed = permuted(np.arange(len(batches)), n=len(batches), seed=self.seed + 1, epoch=epoch)
            batches = [batches[i] for i in mixed]
        return batches

    def _cut(self, members: Ints, source: Ints, target: Ints) -> list[Ints]:
        batches, begin, widest_source, widest_target = [], 0, 0, 0
        for place, (s, t) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
            wider_source, wider_target = max(widest_source, s), max(widest_target, t)
            if place > begin and (place + 1 - begin) * (wider_source + wider_target) > self.token_budget:
                batches.append(members[begin:place])
                begin, wider_source, wider_target = place, s, t
            widest_source, widest_target = wider_source, wider_target
        batches.append(members[begin:])
        return batches
