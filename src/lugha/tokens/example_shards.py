"""Examples on their way to disk: prompt and response encoded as one text, told apart by position, written as token shards.

    with stage.writing("examples", ...) as out, stage.split(out, "train", together=4) as writer:
        writer.write([(prompt, response), ...], langs)

A sequence is prompt and response encoded whole: the ids that any server gets that encodes the rendered text. Prompts are
encoded too, to find where the response begins. Where the ids of the prompt do not begin those of the whole (a tokenizer that
makes one token of the prompt's end and the response's beginning), the cut goes behind the last id that both have in common,
so the token that straddles is predicted. Such sequences are counted in `details["straddling"]`. Under the templates of lugha
there are none with a tokenizer in which a line break is a token of its own or ends one: those of lugha, and the
SentencePiece tokenizers of Llama and Mistral.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lugha.errors import InputError
from lugha.recipe.sections import TokensSection
from lugha.runs.manifest import StageOutput, is_current, stage_output
from lugha.tokens.encode import Encoder, batches
from lugha.tokens.shards import STAGE, VERSION, Sequences, TokenShardWriter
from lugha.tokens.template import Template
from lugha.tokens.tokenizer import load_tokenizer, tokenizer_fingerprint

_RENDERING = 1  # raised when the same template and texts would give other ids


@dataclass(frozen=True)
class EncodedExamples:
    """Prompts with their responses as ids, end to end: example i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[Any]  # [sum of lengths]
    offsets: NDArray[np.int64]  # [examples + 1]
    predicted: NDArray[np.bool_]  # [sum of lengths]
    straddling: int  # examples in which one token holds the end of the prompt and the beginning of the response


def encode_examples(encoder: Encoder, examples: Sequence[tuple[str, str]]) -> EncodedExamples:
    """Encode (prompt, response) whole, and tell their ids apart.

    Raises:
        InputError: a response adds no id to its prompt under this tokenizer, so nothing would be learned.
    """
    prompts = encoder.encode([prompt for prompt, _ in examples])
    whole = encoder.encode([prompt + response for prompt, response in examples])
    lengths = np.diff(whole.offsets)
    compared = np.minimum(np.diff(prompts.offsets), lengths)
    example, place = np.repeat(np.arange(len(examples)), compared), _places(compared)
    differs = prompts.ids[prompts.offsets[example] + place] != whole.ids[whole.offsets[example] + place]
    # Where both agree on all of the prompt the cut is its length; else the first place that differs.
    cut = np.diff(prompts.offsets)
    straddles = np.bincount(example[differs], minlength=len(examples)) > 0
    first, at = np.unique(example[differs], return_index=True)
    cut[first] = place[differs][at]
    if (cut >= lengths).any():
        prompt, response = examples[int(np.argmax(cut >= lengths))]
        raise InputError(
            f"The response {_quoted(response)} to {_quoted(prompt)} has no token of its own under this tokenizer: "
            "nothing of it can be learned. Remove the row."
        )
    predicted = _places(lengths) >= np.repeat(cut, lengths)
    return EncodedExamples(whole.ids, whole.offsets, predicted, int(straddles.sum()))


class ExamplesStage:
    """The tokens stage with a template: its parameters, its manifest, its writers."""

    def __init__(self, tokenizer: Path, output: Path, template: Template, section: TokensSection) -> None:
        loaded = load_tokenizer(tokenizer)
        self.template, self._output, self._section = template, output, section
        self._fingerprint, self._vocab_size = tokenizer_fingerprint(tokenizer), loaded.get_vocab_size()
        self._encoder = Encoder(loaded)

    def is_current(self, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
        """Whether the output was made from the same inputs with the same settings."""
        parameters, digests = self._parameters(settings), self._inputs(inputs)
        return is_current(self._output, stage=STAGE, version=VERSION, parameters=parameters, inputs=digests)

    @contextlib.contextmanager
    def writing(
        self, kind: str, settings: Mapping[str, Any], inputs: Mapping[str, str], facts: Mapping[str, Any]
    ) -> Iterator[StageOutput]:
        """The stage's output, with all that a reader needs to know in its details."""
        parameters, digests = self._parameters(settings), self._inputs(inputs)
        with stage_output(self._output, stage=STAGE, version=VERSION, parameters=parameters, inputs=digests) as out:
            out.details |= {
                "kind": kind,
                **facts,
                "template": self.template.record(),
                "width": self._encoder.dtype.itemsize,
                "vocab_size": self._vocab_size,
                "fingerprint": self._fingerprint,
                "splits": {},
                "straddling": 0,
            }
            yield out

    @contextlib.contextmanager
    def split(self, out: StageOutput, name: str, *, together: int) -> Iterator[SplitWriter]:
        """A writer of one split; its sums stand in the details afterwards."""
        tokens_per_shard = self._section.tokens_per_shard
        with TokenShardWriter(out, name, tokens_per_shard=tokens_per_shard, together=together) as shards:
            writer = SplitWriter(self._encoder, shards)
            yield writer
        out.details["splits"][name] = writer.sums
        out.details["straddling"] += writer.straddling

    def _parameters(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        common = {"tokens_per_shard": self._section.tokens_per_shard, "rendering": _RENDERING}
        return {**common, "template": self.template.digest, **settings}

    def _inputs(self, inputs: Mapping[str, str]) -> dict[str, str]:
        return {**inputs, "tokenizer": self._fingerprint}


class SplitWriter:
    """Encodes and writes the examples of one split, and sums them up."""

    def __init__(self, encoder: Encoder, shards: TokenShardWriter) -> None:
        self._encoder, self._shards = encoder, shards
        names = ("sequences", "tokens", "predicted_tokens", "bytes", "predicted_bytes", "words", "longest")
        self.sums = dict.fromkeys(names, 0)
        self.straddling = 0

    def write(self, examples: Sequence[tuple[str, str]], langs: NDArray[np.uint8]) -> None:
        """Append (prompt, response) of each sequence, with the language of its response."""
        texts = [prompt + response for prompt, response in examples]
        sizes = np.array([len(response.encode()) for _, response in examples], dtype=np.int32)
        for part in batches(texts, together=self._shards.together):
            encoded = encode_examples(self._encoder, examples[part])
            self._shards.write(Sequences(encoded.ids, encoded.offsets, langs[part], sizes[part], encoded.predicted))
            self.straddling += encoded.straddling
            self.sums["tokens"] += encoded.ids.size
            self.sums["predicted_tokens"] += int(encoded.predicted.sum())
            self.sums["longest"] = max(self.sums["longest"], int(np.diff(encoded.offsets).max()))
        self.sums["sequences"] += len(texts)
        self.sums["bytes"] += sum(len(text.encode()) for text in texts)
        self.sums["predicted_bytes"] += int(sizes.sum())
        self.sums["words"] += sum(len(text.split()) for text in texts)


def _places(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... length - 1 for each of `lengths`, end to end."""
    begins = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(begins, lengths)


def _quoted(text: str) -> str:
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    return '"' + shown.replace("\n", "\\n") + '"'
