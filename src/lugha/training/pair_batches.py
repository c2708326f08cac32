"""Aligned pairs for an encoder-decoder: pairs of similar length under a budget of padded tokens.

A side is `code ids </s>` (the layout of NLLB-200); the decoder starts at `</s>` and predicts the target's code first.
Legend: B rows of a micro-batch, S and U tokens of the padded source and target side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lugha.errors import InputError
from lugha.recipe import TokensSection
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import Roles
from lugha.training.batches import IGNORED, Batch, Ints
from lugha.training.order import permuted


@dataclass(frozen=True, eq=False)
class PairBatches:
    """Examples of aligned pairs, one for each direction; a micro-batch holds at most `token_budget` padded tokens.

    Sequences 2i and 2i + 1 of the shards are the two sides of pair i. Example 2i translates forward, 2i + 1 backward (with
    one direction only: example i). Every epoch has its own order; within a window of examples in that order similar lengths
    are put together, and the micro-batches of an epoch are shuffled again, so lengths do not come in runs.
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
        if len(self.examples) == 0:
            raise InputError(
                f"No pair fits tokens.max_length {self.tokens.max_length} on both sides: nothing to train on. Raise it, "
                "or see in the split stage's manifest.json why there are no pairs."
            )

    @functools.cached_property
    def lengths(self) -> Ints:
        """[sequences] tokens of each side with its code and `</s>`."""
        lengths: Ints = self.shards.lengths.astype(np.int64) + 2
        return lengths

    @functools.cached_property
    def _fitting_pairs(self) -> Ints:
        sides = self.lengths.reshape(-1, 2)
        fits = sides.max(axis=1) <= self.tokens.max_length
        return np.flatnonzero(fits).astype(np.int64)

    @functools.cached_property
    def examples(self) -> Ints:
        """[examples, 2]: source and target sequence of each example."""
        forward = np.stack([2 * self._fitting_pairs, 2 * self._fitting_pairs + 1], axis=1)
        if self.tokens.directions == "forward":
            return forward
        backward = forward[:, ::-1]
        if self.tokens.directions == "backward":
            return np.ascontiguousarray(backward, dtype=np.int64)
        return np.stack([forward, backward], axis=1).reshape(-1, 2)

    @property
    def too_long(self) -> int:
        """Pairs left out because a side is longer than tokens.max_length."""
        return len(self.shards) // 2 - len(self._fitting_pairs)

    @property
    def tokens_per_epoch(self) -> int:
        """Predicted (target) tokens in an epoch."""
        return int(self.lengths[self.examples[:, 1]].sum())

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
        shape = len(pairs)
        input_ids = np.full((shape, source), self.roles.pad, dtype=np.int64)
        labels = np.full((shape, target), IGNORED, dtype=np.int64)
        decoder = np.full((shape, target), self.roles.pad, dtype=np.int64)
        for row, (a, b) in enumerate(pairs):
            x, y = self._side(int(a)), self._side(int(b))
            input_ids[row, : len(x)] = x
            labels[row, : len(y)] = y
            decoder[row, 0] = self.roles.eos
            decoder[row, 1 : len(y)] = y[:-1]
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy((input_ids != self.roles.pad).astype(np.int64)),
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

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the run; the epoch before and this one
    def _plan(self, epoch: int) -> list[Ints]:
        """Members of each micro-batch of an epoch."""
        n = len(self.examples)
        order = np.arange(n)
        if self.shuffled:
            order = permuted(order, n=n, seed=self.seed, epoch=epoch)
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
