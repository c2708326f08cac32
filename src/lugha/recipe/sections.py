"""The sections of a recipe: one small typed class for each component, together everything that a run depends on.

Every key has a type, a unit in its name or its description, and a default; an unknown key is an error. What follows
from other values (steps, tokens, warm-up) is not a key but computed and shown before the run. The sections of the corpus
stand in `corpus_sections.py`, those of saving and publishing in `durability_sections.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from lugha.recipe.corpus_sections import CorpusSection
from lugha.recipe.durability_sections import CheckpointsSection, PublishSection, RunSection
from lugha.recipe.section import Fraction, Section


class TokenizerSection(Section):
    """The BPE tokenizer, trained on the training split, or one that exists already."""

    path: Path | None = Field(None, description="an existing tokenizer.json; default: train one")
    vocab_size: int = Field(16_384, ge=300, description="with all special tokens and the 256 bytes")
    style: Literal["bytes", "metaspace"] = Field(
        "bytes",
        description="bytes: byte-level BPE, qwen35 split; metaspace: SentencePiece-style, byte fallback",
    )
    min_frequency: int = Field(2, ge=1, description="a merge must occur this often")
    max_train_bytes: int = Field(200_000_000, ge=1, description="text that the trainer sees at most")


class TokensSection(Section):
    """Examples as token ids in memory-mapped shards."""

    max_length: int = Field(256, ge=8, description="tokens in a packed row, or on one side of a pair")
    directions: Literal["both", "forward", "backward"] = Field("both", description="of a pair: source->target and back")
    language_pairs: list[str] = Field(
        [], description="seq2seq: the directions to train, such as en-ig or eng_Latn-ibo_Latn; default: `directions` of all"
    )
    temperature: float = Field(
        1.0, ge=1.0, description="seq2seq: directions are drawn with p ~ examples^(1/temperature); 1: as they are"
    )
    punctuation: Literal["none", "moses"] = Field(
        "none", description="seq2seq. moses: as the text of NLLB-200 was prepared; applied wherever the model reads text"
    )
    max_unknown: Fraction = Field(0.01, description="share of a language's training rows that may hold an unknown character")
    tokens_per_shard: int = Field(100_000_000, ge=1000)


class ExamplesSection(Section):
    """Instruction examples: made of pairs by a template (lora), or read from JSON lines (sft, dpo)."""

    template: str = Field("instruction", description="a template that comes with lugha, or the path of a YAML file")
    formats: list[str] = Field([], description="formats of the template that a pair is written in; default: all")
    per_pair: int | None = Field(
        None, ge=1, description="formats of a pair in one epoch, drawn by (seed, epoch, pair); default: all of them"
    )
    data: Path | None = Field(None, description="sft, dpo: a JSONL file, or a folder of them")
    validation_data: Path | None = Field(None, description="sft, dpo: held-out examples; default: a share of `data`")
    validation: Fraction = Field(0.05, description="share of the prompts of `data` that is held out")
    lang: str | None = Field(None, description="language whose normaliser the examples pass; default: NFC only")


class LoraSection(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685); kept and trained in fp32, whatever the base's type."""

    r: int = Field(16, ge=1, description="rank")
    alpha: int = Field(32, ge=1, description="the update is scaled by alpha / r")
    dropout: Fraction = 0.05
    modules: list[str] = Field(["q_proj", "v_proj"], min_length=1, description="names of the linear layers that get one")


class ModelSection(Section):
    """Architecture: a class of transformers built from these values, or a base model that has them."""

    kind: Literal["llama", "mistral", "m2m100"] = Field(
        "llama", description="llama, mistral: decoders; m2m100: encoder-decoder, the class of NLLB-200"
    )
    scale: Literal["full", "tiny"] = Field(
        "full", description="tiny: the same classes and stages on a small shape and demo text, to prove a recipe in a minute"
    )
    base: str | None = Field(None, description="begin with this model: a folder, or a hub id such as owner/name")
    revision: str | None = Field(None, description="commit of a hub id; without one, the commit found is recorded and kept")
    base_dtype: Literal["fp32", "bf16", "fp16", "nf4"] = Field(
        "fp32", description="type of frozen weights under lora; weights that are trained are always fp32. nf4: CUDA only"
    )
    lora: LoraSection | None = Field(
        None, description="train adapters and keep the base frozen; default: train every weight"
    )
    new_languages: list[str] = Field([], description="NLLB codes that the base lacks, such as efi_Latn; they get embeddings")
    new_characters: bool = Field(False, description="give characters of the corpus that the base lacks an embedding")
    vocab_size: int = Field(16_384, ge=300, description="rows of the embedding; at least the tokenizer's size")
    d_model: int = Field(768, ge=8)
    layers: int = Field(12, ge=1, description="of the decoder; an encoder-decoder has as many in the encoder")
    heads: int = Field(12, ge=1)
    kv_heads: int | None = Field(None, ge=1, description="grouped-query attention (llama); default: heads")
    d_ff: int = Field(2048, ge=8)
    max_positions: int = Field(2048, ge=8)
    sliding_window: int | None = Field(None, ge=1, description="mistral: tokens that attention looks back; default: all")
    rope_theta: float = Field(10_000.0, description="keep 10,000: transformers 4 reads no other value")
    norm_eps: float = Field(1e-6, gt=0)
    dropout: Fraction = 0.0
    tied: bool = Field(True, description="input and output embeddings are one matrix")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.d_model % self.heads:
            raise ValueError(f"heads {self.heads} must divide d_model {self.d_model}")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} must divide heads {self.heads}")
        if self.kind == "m2m100" and self.kv_heads not in (None, self.heads):
            raise ValueError("m2m100 has no grouped-query attention: leave kv_heads out")
        if self.kind == "m2m100" and not self.tied:
            raise ValueError("m2m100 shares one embedding matrix: leave tied at true")
        if self.sliding_window is not None and self.kind != "mistral":
            raise ValueError(f"sliding_window belongs to mistral, not to {self.kind}: leave it out")
        return self

    @model_validator(mode="after")
    def _base_goes_with_the_rest(self) -> Self:
        if self.base_dtype != "fp32" and self.lora is None:
            raise ValueError(
                f"base_dtype {self.base_dtype} without lora: weights that are trained stay fp32 (half-precision weights lose "
                "small updates, and fp16 gradients cannot be unscaled). Leave it out, or add model.lora"
            )
        if self.lora is not None and self.base is None:
            raise ValueError("lora puts adapters on a base model: name it in model.base (a folder or a hub id)")
        if (self.new_languages or self.new_characters) and self.base is None:
            raise ValueError("new_languages and new_characters extend a base model: name it in model.base")
        if (self.new_languages or self.new_characters) and self.lora is not None:
            raise ValueError(
                "new_languages and new_characters need embeddings that are trained, and lora freezes them: leave lora out"
            )
        return self


class TrainSection(Section):
    """The training loop. A step is one optimiser update, a micro-batch one forward and backward."""

    road: Literal["pretrain", "lora", "seq2seq", "sft", "dpo"] = Field(
        "pretrain",
        description="pretrain: documents; lora: examples made of pairs; seq2seq: pairs; sft, dpo: instructions, preferences",
    )
    steps: int = Field(1000, ge=1)
    epochs: float | None = Field(
        None, gt=0, description="passes over the data; replaces `steps`, which then follows from it"
    )
    micro_batch: int = Field(8, ge=1, description="packed rows in a micro-batch (pretrain, lora, sft)")
    micro_batch_tokens: int = Field(
        2048, ge=16, description="padded tokens in a micro-batch: of both sides (seq2seq), of both answers (dpo)"
    )
    accumulation: int = Field(1, ge=1, description="micro-batches in a step, over all processes together")
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    min_lr: float = Field(1e-4, ge=0, description="learning rate at the last step")
    warmup_steps: int = Field(10, ge=0)
    schedule: Literal["cosine", "linear", "wsd"] = "cosine"
    decay_share: Fraction = Field(0.2, description="wsd: share of the steps in which the rate falls, at the end")
    weight_decay: float = Field(0.1, ge=0, description="on matrices only")
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(1e-8, gt=0)
    clip: float = Field(1.0, gt=0, description="global gradient norm")
    label_smoothing: Fraction = 0.0
    beta: float = Field(0.1, gt=0, description="dpo: strength of the tie to the reference model")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="compute type; trained weights stay fp32. auto: bf16 where the device has it in hardware, else fp32. "
        "fp16 scales the loss",
    )
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp", description="under torchrun. ddp: every process holds the model; fsdp: each holds a part (FSDP2)"
    )
    gradient_checkpointing: bool = False
    compile: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads; default: torch's (OMP_NUM_THREADS or cores)")
    log_every: int = Field(10, ge=1, description="steps")
    eval_every: int = Field(500, ge=1, description="steps")
    eval_batches: int = Field(50, ge=1, description="micro-batches of the validation split in each evaluation")
    save_every: int | None = Field(
        None, ge=1, description="steps; a checkpoint also at these, beside those of the clock (checkpoints.interval)"
    )


class Baseline(Section):
    """A published system's figures on the same test rows, shown beside ours."""

    system: str
    source_lang: str
    target_lang: str
    bleu: float | None = None
    chrf: float | None = None
    chrfpp: float | None = None
    origin: str = Field(description="the paper, or how the figure was computed")


class EvaluateSection(Section):
    """How the model is measured after training."""

    metrics: list[Literal["perplexity", "translation", "generation", "compression"]] = Field(["perplexity"])
    max_rows: int = Field(2000, ge=1, description="rows of the test split for each direction")
    beam: int = Field(4, ge=1, description="beam size; greedy is reported beside it")
    max_new_tokens: int = Field(128, ge=1)
    batch: int = Field(32, ge=1, description="rows decoded together")
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % interval; 0: none")
    prompts: list[str] = Field([], description="beginnings that the model continues (pretrain)")
    samples: int = Field(5, ge=0, description="sample generations or translations in the report")
    untuned: bool = Field(False, description="translation: measure the base model on the same rows, as a baseline")
    baselines: list[Baseline] = Field([])


class ExportSection(Section):
    """What is made of the final checkpoint."""

    formats: list[Literal["hf"]] = Field(["hf"])


class Recipe(Section):
    """Everything about a run, in one YAML file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    description: str = ""
    seed: int = 42
    run: RunSection = RunSection()
    corpus: CorpusSection = CorpusSection()
    tokenizer: TokenizerSection = TokenizerSection()
    tokens: TokensSection = TokensSection()
    examples: ExamplesSection = ExamplesSection()
    model: ModelSection = ModelSection()
    train: TrainSection = TrainSection()
    checkpoints: CheckpointsSection = CheckpointsSection()
    publish: PublishSection = PublishSection()
    evaluate: EvaluateSection = EvaluateSection()
    export: ExportSection = ExportSection()

    @model_validator(mode="after")
    def _interval_can_be_computed(self) -> Self:
        if self.checkpoints.interval == "auto" and self.run.time_between_interruptions is None:
            raise ValueError(
                "checkpoints.interval auto needs run.time_between_interruptions, the mean at your place (spot: 41h, say)"
            )
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        own_tokenizer = self.tokenizer.path is None and self.model.base is None
        if own_tokenizer and self.tokenizer.vocab_size > self.model.vocab_size:
            raise ValueError(
                f"tokenizer.vocab_size {self.tokenizer.vocab_size} is larger than model.vocab_size "
                f"{self.model.vocab_size}: ids would be out of range. Set both to the same number"
            )
        if (self.train.road == "seq2seq") != (self.model.kind == "m2m100"):
            raise ValueError(f"train.road {self.train.road} does not go with model.kind {self.model.kind}")
        if self.train.road != "seq2seq" and (self.tokens.language_pairs or self.tokens.punctuation != "none"):
            raise ValueError("tokens.language_pairs and tokens.punctuation belong to road seq2seq: leave them out")
        if self.train.road == "lora" and self.tokens.directions != "both":
            raise ValueError("tokens.directions has no effect on road lora: choose examples.formats, such as [direct]")
        if self.train.road == "lora" and self.model.lora is None:
            raise ValueError("train.road lora trains adapters: add model.lora, for example `lora: {r: 16, alpha: 32}`")
        if self.train.road in ("sft", "dpo") and self.examples.data is None and self.model.scale == "full":
            raise ValueError(f"train.road {self.train.road} needs examples.data, a JSONL file")
        if self.tokens.max_length > self.model.max_positions:
            raise ValueError(
                f"tokens.max_length {self.tokens.max_length} exceeds model.max_positions {self.model.max_positions}"
            )
        return self
