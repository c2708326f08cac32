"""The evaluate stage: what a checkpoint is worth on the test split, measured and written to `evaluation.json`.

Decoders: likelihood of the held-out documents of each language (perplexity, bits per byte), the same text under xz and zstd,
and sample continuations. Translators, be they encoder-decoders or decoders asked by a prompt: pipeline/translating.py.
Everything is read from the checkpoint's own folder and the split corpus; nothing from the training process.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from tokenizers import Tokenizer

from lugha.checkpoints.format import RECIPE, TOKENIZER, CheckpointManifest, verify_checkpoint
from lugha.corpus.shards import open_corpus, read_frames, shard_paths
from lugha.errors import InputError, nearest
from lugha.evaluation.compression import CompressionBaselines, compression_baselines
from lugha.evaluation.decode import generate_text
from lugha.evaluation.likelihood import negative_log_likelihood, text_bytes
from lugha.evaluation.results import (
    FILE,
    Evaluation,
    GenerationSample,
    HeldOutResult,
    held_out_result,
    read_evaluation,
    write_evaluation,
)
from lugha.models.build import load_model
from lugha.pipeline.layout import Layout
from lugha.pipeline.translating import measure_translation
from lugha.recipe import EvaluateSection, Recipe, load_recipe
from lugha.runs.files import sha256_json
from lugha.runs.progress import Progress
from lugha.tokens.encode import Encoder
from lugha.tokens.special import roles_of
from lugha.tokens.tokenizer import load_tokenizer
from lugha.training.batches import Batch
from lugha.training.device import choose_compute
from lugha.training.packed_batches import PackedBatches

Say = Callable[[str], None]

METRICS_OF_ROAD: dict[str, tuple[str, ...]] = {
    "pretrain": ("perplexity", "compression", "generation"),
    "lora": ("translation", "generation"),
    "seq2seq": ("translation",),
    "sft": ("generation",),
    "dpo": ("generation",),
}
_VERSION = 2


def evaluate_checkpoint(
    checkpoint: Path,
    *,
    split: Path,
    section: EvaluateSection | None = None,
    output: Path | None = None,
    which: str = "test",
    say: Say = print,
) -> Evaluation:
    """Measure a checkpoint on a split of a corpus.

    Args:
        split: output of the split stage.
        section: what to measure; default: the checkpoint's own recipe.
        output: folder for `evaluation.json`; where a current one is there, it is read instead. None: nothing is written.
        which: test or validation.

    Raises:
        InputError: the checkpoint is damaged, the corpus has no such split, or a metric does not go with the model.
    """
    manifest = verify_checkpoint(checkpoint)
    recipe = load_recipe(checkpoint / RECIPE)
    section = section or recipe.evaluate
    corpus = open_corpus(split, ("split",))
    key = sha256_json([manifest.weights_sha256(), section.model_dump(mode="json"), corpus.content_digest(), which, _VERSION])
    path = output / FILE if output else None
    if path and path.is_file() and (before := read_evaluation(path)).key == key:
        say(f"evaluate   {path} is current: nothing to do")
        return before
    _check_metrics(recipe, section)
    started = time.monotonic()
    rows = _Rows(split, which, corpus.details["kind"])
    if rows.frame.is_empty():
        raise InputError(
            f"{split}: the {which} split is empty. Raise corpus.split.{which}, or give a source split: {which}."
        )
    found = _measure(checkpoint, manifest, recipe, section, rows, say)
    evaluation = found.model_copy(
        update={
            "key": key,
            "seconds": round(time.monotonic() - started, 1),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
    )
    if path:
        write_evaluation(path, evaluation)
    return evaluation


@dataclass
class _Rows:
    """The rows of one split."""

    folder: Path
    which: str
    kind: str

    def __post_init__(self) -> None:
        frames = list(read_frames(shard_paths(self.folder, self.which)))
        self.frame = pl.concat(frames) if frames else pl.DataFrame()


@dataclass(frozen=True)
class _Encoded:
    """Documents encoded in memory, as `PackedBatches` reads them."""

    documents: list[npt.NDArray[np.int64]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.array([len(d) for d in self.documents], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, number: int) -> npt.NDArray[np.int64]:
        return self.documents[number]


def _measure(
    checkpoint: Path, manifest: CheckpointManifest, recipe: Recipe, section: EvaluateSection, rows: _Rows, say: Say
) -> Evaluation:
    compute = choose_compute(recipe.train)
    model = load_model(checkpoint, cache=Layout.of(recipe).bases)
    parameters = sum(p.numel() for p in model.parameters())
    model.to(compute.device)
    tokenizer = load_tokenizer(checkpoint / TOKENIZER)
    found = Evaluation(
        key="",
        checkpoint=checkpoint.name,
        step=manifest.step,
        parameters=parameters,
        split=rows.which,
        finished="",
        seconds=0.0,
    )
    if "perplexity" in section.metrics:
        held_out = [_likelihood(model, tokenizer, rows, lang, recipe) for lang in _languages(rows)]
        for one in held_out:
            say(
                f"evaluate   {one.lang}: {one.bits_per_byte:.4f} bits/byte, perplexity {one.perplexity:.2f} per token, "
                f"{one.documents:,} documents, {one.bytes:,} bytes"
            )
        found = found.model_copy(update={"held_out": held_out})
    if "compression" in section.metrics:
        baselines = _compression(rows)
        say(
            f"evaluate   the same text: xz -9e {baselines.xz:.4f}, zstd -19 with a dictionary "
            f"{baselines.zstd_dictionary or baselines.zstd:.4f} bits/byte"
        )
        found = found.model_copy(update={"compression": baselines})
    if "generation" in section.metrics:
        found = found.model_copy(update={"generations": _generations(model, tokenizer, recipe, section, _languages(rows))})
    if "translation" in section.metrics:
        found = measure_translation(found, checkpoint, model, tokenizer, recipe, section, rows.frame, say)
    return found


def _languages(rows: _Rows) -> list[str]:
    return sorted(rows.frame["lang"].unique().to_list())


def _likelihood(model: Any, tokenizer: Tokenizer, rows: _Rows, lang: str, recipe: Recipe) -> HeldOutResult:
    texts = rows.frame.filter(pl.col("lang") == lang)["text"].to_list()
    encoded = Encoder(tokenizer).encode(texts)
    documents = np.split(encoded.ids.astype(np.int64), encoded.offsets[1:-1])
    store = _Encoded(documents)
    roles = roles_of(tokenizer)
    batches = PackedBatches(store, recipe.tokens.max_length, recipe.train.micro_batch, recipe.seed, roles, shuffled=False)
    count = batches.micro_batches(0)
    with Progress(f"likelihood {lang}", "micro-batches", count) as progress:
        every = (_counted(batches.micro_batch(0, i), progress) for i in range(count))
        likelihood = negative_log_likelihood(model, every, next(iter(model.parameters())).device)
    return held_out_result(lang, len(texts), text_bytes(texts), likelihood)


def _counted(batch: Batch, progress: Progress) -> Batch:
    progress.add(1)
    return batch


def _compression(rows: _Rows) -> CompressionBaselines:
    training = (t for frame in read_frames(shard_paths(rows.folder, "train"), ["text"]) for t in frame["text"])
    return compression_baselines(training, rows.frame["text"])


def _generations(
    model: Any, tokenizer: Tokenizer, recipe: Recipe, section: EvaluateSection, languages: list[str]
) -> list[GenerationSample]:
    prompts = (section.prompts or [""])[: section.samples] if section.samples else []
    texts = generate_text(
        model,
        tokenizer,
        prompts,
        max_new_tokens=section.max_new_tokens,
        strategy="top_k",
        seed=recipe.seed,
        lang=languages[0],
    )
    return [
        GenerationSample(prompt=p, text=t, strategy="top_k 50, temperature 0.8") for p, t in zip(prompts, texts, strict=True)
    ]


def _check_metrics(recipe: Recipe, section: EvaluateSection) -> None:
    goes_with = METRICS_OF_ROAD[recipe.train.road]
    for metric in section.metrics:
        if metric not in goes_with:
            raise InputError(f'Metric "{metric}" does not go with road {recipe.train.road}.{nearest(metric, goes_with)}')
