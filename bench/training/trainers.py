"""One run of lugha's loop, of TRL's SFTTrainer or of transformers' Seq2SeqTrainer, with a clock at every step.

    data = packed_data(prepared, recipe)                  what the peer is given: the ids that lugha's batches hold
    lugha_rate(recipe, shards, tokenizer, folder)   ->    Rate(useful, predicted, padding, loss)
    peer_rate(recipe, data, folder, rows, times)    ->    Rate

CPU seconds are read when a step is finished: by lugha's log of steps, by the peer's callback. What the steps held is counted
from the very batches.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from prepared import Prepared

from lugha.models.build import build_model
from lugha.recipe import Recipe
from lugha.runs.folder import RunFolder, new_run, read_jsonl
from lugha.tokens.special import OUR_ROLES
from lugha.tokens.tokenizer import tokenizer_file
from lugha.training.batches import IGNORED, Batch, Batches
from lugha.training.data import open_run_data
from lugha.training.loop import train

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the peers ask no server
WARM_UP = 2  # steps that are not counted


@dataclass(frozen=True)
class Counts:
    """Tokens of a batch or of many."""

    useful: int = 0  # all but padding; of an encoder-decoder, both sides
    predicted: int = 0
    computed: int = 0  # with padding

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.useful + other.useful, self.predicted + other.predicted, self.computed + other.computed)


@dataclass(frozen=True)
class Rate:
    """What a run did, in tokens per CPU second."""

    useful: float
    predicted: float
    padding: float  # share
    loss: float  # nats per token, mean over all steps

    @classmethod
    def of(cls, counts: Counts, seconds: float, loss: float) -> Rate:
        """From the tokens and seconds of the measured steps."""
        return cls(counts.useful / seconds, counts.predicted / seconds, 1 - counts.useful / counts.computed, loss)


@dataclass(frozen=True)
class PeerData:
    """An epoch of examples as plain lists, for a peer to pack or to batch."""

    columns: dict[str, list[Any]]
    total: Counts  # of an epoch of lugha's own batches of them
    tokenizer: Path

    @property
    def packs(self) -> bool:
        """Whether these are examples to pack (trl) or pairs to batch (seq2seq)."""
        return "length" not in self.columns

    @property
    def padded_length(self) -> float:
        """Mean tokens of a pair in lugha's batches, padding included."""
        return self.total.computed / len(self.columns["labels"])


def counted(batch: Batch) -> Counts:
    """Tokens of one batch, of lugha's or a peer's."""
    predicted = int((batch["labels"] != IGNORED).sum())
    if "attention_mask" not in batch:  # packed
        return Counts(int((batch["input_ids"] != OUR_ROLES.pad).sum()), predicted, batch["input_ids"].numel())
    computed = batch["input_ids"].numel() + batch["labels"].numel()
    return Counts(int(batch["attention_mask"].sum()) + predicted, predicted, computed)


def total(batches: Batches, indices: Iterable[int]) -> Counts:
    """Tokens of some micro-batches of epoch 0."""
    return sum((counted(batches.micro_batch(0, i)) for i in indices), Counts())


@dataclass(frozen=True)
class ClockedRun(RunFolder):
    """A run folder that notes the CPU seconds at which a step was logged."""

    stamps: list[float] = field(default_factory=list)

    def log_metrics(self, **values: Any) -> None:
        """Log, then look at the clock."""
        super().log_metrics(**values)
        if values["kind"] == "train":
            self.stamps.append(time.process_time())


def lugha_rate(recipe: Recipe, shards: Path, tokenizer: Path, folder: Path) -> Rate:
    """`lugha train` from new weights."""
    run = ClockedRun(new_run(folder / "runs", recipe.name).path)
    train(recipe, tokens=shards, tokenizer=tokenizer, run=run, say=lambda _: None)
    batches = open_run_data(recipe, shards, tokenizer).training
    losses = [line["loss"] for line in read_jsonl(run.metrics) if line["kind"] == "train"]
    steps = range(WARM_UP, recipe.train.steps)
    return Rate.of(total(batches, steps), run.stamps[-1] - run.stamps[WARM_UP - 1], float(np.mean(losses)))


# --- what the peers are given -------------------------------------------------------------------------------------------


def packed_data(prepared: Prepared, recipe: Recipe) -> PeerData:
    """The examples that fit a row, with -100 for the labels of prompts."""
    batches = open_run_data(recipe, prepared.examples, prepared.tokenizer).training
    shards = prepared.training_examples
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": []}
    for number in batches.sequences(0):
        ids = np.concatenate([[OUR_ROLES.bos], shards[int(number)], [OUR_ROLES.eos]])
        answer = np.concatenate([[False], shards.predicted(int(number)), [True]])
        columns["input_ids"].append(ids.tolist())
        columns["labels"].append(np.where(answer, ids, IGNORED).tolist())
    return PeerData(columns, total(batches, range(batches.micro_batches(0))), tokenizer_file(prepared.tokenizer))


def pair_data(prepared: Prepared, recipe: Recipe) -> PeerData:
    """Pairs in both directions, each side with its code and end."""
    batches = open_run_data(recipe, prepared.pairs, prepared.tokenizer).training
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": [], "length": []}
    for index in range(batches.micro_batches(0)):
        batch = batches.micro_batch(0, index)
        for source, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
            columns["input_ids"].append(source[mask.bool()].tolist())
            columns["labels"].append(labels[labels != IGNORED].tolist())
            columns["length"].append(max(len(columns["input_ids"][-1]), len(columns["labels"][-1])))
    return PeerData(columns, total(batches, range(batches.micro_batches(0))), tokenizer_file(prepared.tokenizer))


# --- the peers --------------------------------------------------------------------------------------------------------


class CountingCollator:
    """A collator that counts what passes, and drops the lengths that were for the sampler."""

    def __init__(self, collator: Any) -> None:
        self.collator, self.batches = collator, list[Counts]()

    def __call__(self, features: list[dict[str, Any]]) -> Any:
        """The collator's batch."""
        batch = self.collator([{k: v for k, v in feature.items() if k != "length"} for feature in features])
        self.batches.append(counted(batch))
        return batch


def peer_rate(recipe: Recipe, data: PeerData, folder: Path, rows: int, times: int) -> Rate:
    """A run of the peer from the same weights as lugha's, with `rows` rows a micro-batch and `times` of them a step.

    Raises:
        SystemExit: an epoch of the peer holds other tokens than one of lugha.
    """
    from datasets import Dataset, disable_progress_bars
    from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
    from transformers.utils import logging

    logging.set_verbosity_error()
    disable_progress_bars()
    stamps: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.process_time())

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(data.tokenizer), pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    model = build_model(recipe.model, seed=recipe.seed)
    made = _sft_trainer if data.packs else _seq2seq_trainer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of names that transformers 6 will know under others
        trainer = made(model, tokenizer, Dataset.from_dict(data.columns), _settings(recipe, folder, rows, times))
    held = trainer.train_dataset
    tokens = sum(map(len, held["input_ids"])) + (0 if data.packs else sum(map(len, held["labels"])))
    predicted = sum(label != IGNORED for labels in held["labels"] for label in labels)
    if (tokens, predicted) != (data.total.useful, data.total.predicted):
        raise SystemExit(f"An epoch of the peer holds {tokens, predicted} tokens, one of lugha {data.total}: not compared.")
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock())
    trainer.data_collator = collator = CountingCollator(trainer.data_collator)
    loss = trainer.train().training_loss
    counts = sum(collator.batches[WARM_UP * times : recipe.train.steps * times], Counts())
    return Rate.of(counts, stamps[-1] - stamps[WARM_UP - 1], loss)


def _settings(recipe: Recipe, folder: Path, rows: int, times: int) -> dict[str, Any]:
    """Arguments of the peer's trainer that say what the recipe says."""
    section = recipe.train
    return {
        "output_dir": str(folder / "peer"),
        "max_steps": section.steps,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": times,
        "optim": "adamw_torch_fused",
        "learning_rate": section.lr,
        "lr_scheduler_type": "constant",
        "weight_decay": section.weight_decay,
        "adam_beta1": section.betas[0],
        "adam_beta2": section.betas[1],
        "max_grad_norm": section.clip,
        "bf16": section.precision == "bf16",
        "seed": recipe.seed,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _sft_trainer(model: Any, tokenizer: Any, dataset: Any, settings: dict[str, Any]) -> Any:
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(**settings, packing=True, packing_strategy="bfd", max_length=256)
    return SFTTrainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer)


def _seq2seq_trainer(model: Any, tokenizer: Any, dataset: Any, settings: dict[str, Any]) -> Any:
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

    # By default the column `length` is removed as unused before the sampler sees it, which then goes by the source alone.
    by_length = {"train_sampling_strategy": "group_by_length", "remove_unused_columns": False}
    config = Seq2SeqTrainingArguments(**settings, **by_length)
    collator = DataCollatorForSeq2Seq(tokenizer, model=model)
    return Seq2SeqTrainer(
        model=model, args=config, train_dataset=dataset, data_collator=collator, processing_class=tokenizer
    )
