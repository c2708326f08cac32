"""`evaluation.json` in a run folder: everything that was measured on one checkpoint, as plain values.

    held_out      likelihood of held-out text for each language: nats, tokens, bytes, perplexity, bits per byte
    compression   bits per byte of xz and zstd on the same held-out text
    translation   for each direction and decoding (greedy, beam): BLEU, chrF, chrF++ with intervals and signatures, plain and
                  normalised; rates of copies, empty output, loops, wrong language, with denominators
    baselines     published figures on the same test set, each with its origin; shown beside ours, never mixed with them
    samples       source, reference and output of a few rows
    generations   prompts and continuations

Languages are ISO 639-3 codes. The file is written whole or not at all, and an unknown key in it is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lugha.errors import InputError
from lugha.evaluation.compression import CompressionBaselines
from lugha.evaluation.degenerate import OutputChecks
from lugha.evaluation.translation import TranslationScore
from lugha.runs.files import write_text

if TYPE_CHECKING:  # torch is not needed to read results
    from lugha.evaluation.likelihood import Likelihood

FILE = "evaluation.json"


class _Record(BaseModel):
    # A perplexity can be infinite; JSON has no number for that.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class HeldOutResult(_Record):
    """Likelihood of the held-out documents of one language."""

    lang: str
    documents: int
    bytes: int  # UTF-8, with one for the end of each document
    tokens: int
    nats: float  # sum of -ln p over `tokens`
    perplexity: float  # per token
    bits_per_byte: float


class DirectionResult(_Record):
    """Scores of one direction under one way of decoding; beam 1 is greedy search."""

    source_lang: str
    target_lang: str
    beam: int
    scores: TranslationScore
    checks: OutputChecks
    seconds: float  # wall time of the decoding


class PublishedBaseline(_Record):
    """A published system's figures on the same test rows."""

    system: str
    source_lang: str
    target_lang: str
    bleu: float | None
    chrf: float | None
    chrfpp: float | None
    origin: str  # paper, or how the figure was computed


class TranslationSample(_Record):
    """One test row and what the model made of it."""

    source_lang: str
    target_lang: str
    source: str
    reference: str
    output: str


class GenerationSample(_Record):
    """A prompt and its continuation."""

    prompt: str
    text: str
    strategy: str


class Evaluation(_Record):
    """The whole of `evaluation.json`; see the module's story."""

    format: Literal["lugha-evaluation/1"] = "lugha-evaluation/1"
    key: str = ""  # digest of all that the figures are a function of; equal keys, equal figures
    checkpoint: str
    step: int
    parameters: int
    split: str
    finished: str  # UTC, ISO 8601
    seconds: float
    held_out: list[HeldOutResult] = []
    compression: CompressionBaselines | None = None
    translation: list[DirectionResult] = []
    baselines: list[PublishedBaseline] = []
    samples: list[TranslationSample] = []
    generations: list[GenerationSample] = []


def held_out_result(lang: str, documents: int, byte_count: int, found: Likelihood) -> HeldOutResult:
    """The figures of one language; `byte_count` is `likelihood.text_bytes` of its documents."""
    return HeldOutResult(
        lang=lang,
        documents=documents,
        bytes=byte_count,
        tokens=found.tokens,
        nats=found.nats,
        perplexity=found.perplexity,
        bits_per_byte=found.bits_per_byte(byte_count),
    )


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Replace `path` by `evaluation`, in one step."""
    write_text(path, evaluation.model_dump_json(indent=2) + "\n")


def read_evaluation(path: Path) -> Evaluation:
    """Read an `evaluation.json`.

    Raises:
        InputError: no such file, or not an evaluation of this version of lugha.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Run `lugha evaluate` on a checkpoint of this run first.")
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {problem['msg']}. Run `lugha evaluate` again.") from error
