"""Preferences in memory and a decoder for them, so small that a test trains it in a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import LlamaConfig, LlamaForCausalLM

from lugha.tokens.special import OUR_ROLES
from lugha.training.preference_batches import PreferenceBatches

VOCABULARY = 40


@dataclass(frozen=True)
class Stored:
    """Sequences and, for each id, whether it is predicted: what `TokenShards` of kind "preferences" offers."""

    sequences: list[npt.NDArray[np.uint16]]
    answers: list[npt.NDArray[np.bool_]]

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return np.array([len(s) for s in self.sequences], dtype=np.int32)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, number: int) -> npt.NDArray[np.uint16]:
        return self.sequences[number]

    def predicted(self, number: int) -> npt.NDArray[np.bool_]:
        return self.answers[number]


def stored(pairs: list[tuple[list[int], list[int], list[int]]]) -> Stored:
    """From (prompt, chosen, rejected)."""
    sequences, answers = [], []
    for prompt, *both in pairs:
        for answer in both:
            sequences.append(np.array([*prompt, *answer], dtype=np.uint16))
            answers.append(np.arange(len(prompt) + len(answer)) >= len(prompt))
    return Stored(sequences, answers)


def made(count: int, seed: int = 0) -> Stored:
    """Random prompts; a chosen answer is made of even ids, a rejected one of odd ids, of 1 to 9 tokens each."""
    rng = np.random.default_rng(seed)

    def answer(first: int) -> list[int]:
        return rng.choice(np.arange(first, VOCABULARY, 2), rng.integers(1, 10)).tolist()  # type: ignore[no-any-return]

    prompts = [rng.integers(4, VOCABULARY, rng.integers(1, 12)).tolist() for _ in range(count)]
    return stored([(prompt, answer(4), answer(5)) for prompt in prompts])


def batches_of(store: Stored, budget: int = 200, max_length: int = 64, shuffled: bool = True) -> PreferenceBatches:
    """Their batches with a fixed seed."""
    return PreferenceBatches(store, budget, max_length, 5, OUR_ROLES, shuffled)


def untied_decoder(dropout: float = 0.0) -> LlamaForCausalLM:
    """A decoder whose answers differ clearly in probability: weights large enough, head and embedding apart."""
    import torch

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        attention_dropout=dropout,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)
