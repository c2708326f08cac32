"""From pairs or instructions to examples: prompt and response under a template, as token ids in shards.

    split/{train,validation,test}/*.parquet (pairs)  ->  tokens/{train,validation,test}/   build_pair_examples
    *.jsonl (instructions, conversations)            ->  tokens/{train,validation}/        build_instruction_examples
    *.jsonl (preferences)                            ->  tokens/{train,validation}/        build_preferences

Every format of every pair is written: which of them an epoch sees is decided when they are read (`examples.per_pair`), so that
it can change without another encoding. Held-out instructions are told by a hash of their prompt: equal prompts never stand
on both sides.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lugha.corpus.shards import SPLITS, kind_of, open_corpus, read_frames, shard_paths
from lugha.errors import InputError
from lugha.languages.normalise import Normaliser
from lugha.languages.registry import get_language
from lugha.recipe.sections import ExamplesSection, TokensSection
from lugha.runs.manifest import StageManifest, StageOutput, input_digest, read_manifest
from lugha.runs.progress import Progress
from lugha.tokens.example_shards import ExamplesStage
from lugha.tokens.instructions import Conversation, Preference, Row, read_instructions
from lugha.tokens.sample import CORPUS_STAGES
from lugha.tokens.template import Template, load_template

_ROWS_AT_ONCE = 5_000
_COLUMNS = ["source_text", "target_text", "source_lang", "target_lang"]


def build_pair_examples(
    input: Path, tokenizer: Path, output: Path, *, tokens: TokensSection, examples: ExamplesSection
) -> StageManifest:
    """Write every pair of a corpus in each format of a template.

    Args:
        input: a corpus of pairs; its text is already in the form (NFC, normalised) that the tokenizer was trained on.
        tokenizer: a tokenizer.json or a folder with one.
        output: the folder to make; sequence pair * F + f is format f of a pair.
        examples: `template` and `formats`; `per_pair` is for the reader.

    Raises:
        InputError: not a finished corpus of pairs, no such template or format, or no tokenizer.
    """
    corpus = open_corpus(input, CORPUS_STAGES)
    if kind_of(corpus) != "pairs":
        raise InputError(f"{input}: holds {kind_of(corpus)}, but examples are made of pairs (train.road lora).")
    stage = ExamplesStage(tokenizer, output, load_template(examples.template), tokens)
    formats, languages = stage.template.format_names(examples.formats), list(corpus.details["languages"])
    facts = {"languages": languages, "directions": corpus.details.get("directions", []), "formats": formats}
    inputs = {"corpus": input_digest(input)}
    if stage.is_current({"formats": formats}, inputs):
        return read_manifest(output)
    with (
        stage.writing("examples", {"formats": formats}, inputs, facts) as out,
        Progress("examples", "pairs", corpus.rows_out) as progress,
    ):
        for split in SPLITS if corpus.stage == "split" else ("train",):
            paths = shard_paths(input, split if corpus.stage == "split" else None)
            with stage.split(out, split, together=len(formats)) as writer:
                for frame in read_frames(paths, _COLUMNS):
                    rendered, langs = _render_pairs(frame.rows(), stage.template, formats, languages)
                    writer.write(rendered, langs)
                    out.tally.rows_in += len(frame)
                    out.tally.rows_out += len(frame)
                    progress.add(len(frame))
    return read_manifest(output)


def build_instruction_examples(
    tokenizer: Path, output: Path, *, tokens: TokensSection, examples: ExamplesSection
) -> StageManifest:
    """Write instructions and conversations; a conversation of k answers is k sequences, each with all that was said before.

    A preference counts as its prompt with the chosen answer, the usual first step before `dpo`; where several rows share
    both, they are one example.

    Args:
        examples: `data`, `validation_data` or `validation`, `template`, `lang`.

    Raises:
        InputError: no such file, a row that `read_instructions` refuses, or nothing left to train on.
    """
    return _build_jsonl("examples", tokenizer, output, tokens, examples)


def build_preferences(tokenizer: Path, output: Path, *, tokens: TokensSection, examples: ExamplesSection) -> StageManifest:
    """Write preferences: sequences 2i and 2i + 1 are the prompt with the chosen and with the rejected answer of row i.

    Args:
        examples: `data`, `validation_data` or `validation`, `template`, `lang`.

    Raises:
        InputError: as `build_instruction_examples`; or a row that has no chosen and rejected answer.
    """
    return _build_jsonl("preferences", tokenizer, output, tokens, examples)


# --- pairs ------------------------------------------------------------------------------------------------------------


def _render_pairs(
    rows: Sequence[tuple[str, str, str, str]], template: Template, formats: list[str], languages: list[str]
) -> tuple[list[tuple[str, str]], NDArray[np.uint8]]:
    """(prompt, response) of each pair in each format, and the language of each response as its number in `languages`."""
    rendered: list[tuple[str, str]] = []
    langs: list[int] = []
    of_direction: dict[tuple[str, str], list[int]] = {}
    for source_text, target_text, source_lang, target_lang in rows:
        direction = source_lang, target_lang
        if direction not in of_direction:
            asked = template.response_langs(source_lang, target_lang, formats)
            of_direction[direction] = [_language_number(code, languages) for code in asked]
        rendered += template.examples_of_pair(source_text, target_text, source_lang, target_lang, formats)
        langs += of_direction[direction]
    return rendered, np.array(langs, dtype=np.uint8)


def _language_number(code: str, languages: list[str]) -> int:
    if code not in languages:
        raise InputError(f"A row is in {code}, but the corpus' manifest names only {', '.join(languages)}.")
    return languages.index(code)


# --- JSON lines -------------------------------------------------------------------------------------------------------


def _build_jsonl(
    kind: str, tokenizer: Path, output: Path, tokens: TokensSection, examples: ExamplesSection
) -> StageManifest:
    if examples.data is None:
        raise InputError("examples.data is not set: name the JSONL file, or the folder of them, to learn from.")
    stage = ExamplesStage(tokenizer, output, load_template(examples.template), tokens)
    inputs = {"data": input_digest(examples.data)}
    share: float | None = examples.validation
    if examples.validation_data is not None:
        inputs["validation_data"], share = input_digest(examples.validation_data), None
    languages = [get_language(examples.lang).code] if examples.lang else []
    settings = {
        "kind": kind,
        "validation": share,
        "normaliser": Normaliser(examples.lang).digest() if examples.lang else None,
    }
    if stage.is_current(settings, inputs):
        return read_manifest(output)
    facts = {"languages": languages, "directions": [], "formats": ["jsonl"]}
    together = 2 if kind == "preferences" else 1
    with (
        stage.writing(kind, settings, inputs, facts) as out,
        Progress(kind, "rows") as progress,
        stage.split(out, "train", together=together) as training,
        stage.split(out, "validation", together=together) as held_out,
    ):
        writers = {"train": training, "validation": held_out}
        rows = _Rows(kind, examples, stage.template, out)
        for part in _chunks(rows.divided(), _ROWS_AT_ONCE):
            for split, writer in writers.items():
                rendered = [example for where, examples_of_row in part if where == split for example in examples_of_row]
                writer.write(rendered, np.zeros(len(rendered), np.uint8))
            progress.add(len(part))
        if not training.sums["sequences"]:
            raise InputError(
                f"{examples.data}: no row is left to train on, all are held out. Lower examples.validation "
                f"({examples.validation}), or give other rows than those of examples.validation_data."
            )
    return read_manifest(output)


@dataclass(frozen=True)
class _Rows:
    """The rows of the JSONL files, rendered, each in its split."""

    kind: str
    section: ExamplesSection
    template: Template
    out: StageOutput

    def divided(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """(split, its examples) of each row that is kept; all are counted."""
        assert self.section.data is not None
        held_out: set[bytes] = set()
        if self.section.validation_data is not None:
            for key, examples in self._kept(self.section.validation_data):
                held_out.add(key)
                yield "validation", examples
            for key, examples in self._kept(self.section.data):
                if key in held_out:
                    self.out.tally.rows_out -= 1
                    self.out.tally.dropped["prompt is held out"] += 1
                else:
                    yield "train", examples
            return
        for key, examples in self._kept(self.section.data):
            yield "validation" if is_held_out(key, self.section.validation) else "train", examples

    def _kept(self, path: Path) -> Iterator[tuple[bytes, list[tuple[str, str]]]]:
        """(key of the prompt, examples) of each row but those that repeat a chosen answer."""
        chosen: set[bytes] = set()
        for row in read_instructions(path, self.section.lang):
            self.out.tally.rows_in += 1
            examples = self._rendered(row)
            if isinstance(row, Preference) and self.kind == "examples":
                same = _digest("\0".join(examples[0]))
                if same in chosen:
                    self.out.tally.dropped["same chosen answer"] += 1
                    continue
                chosen.add(same)
            self.out.tally.rows_out += 1
            yield _digest(examples[0][0]), examples

    def _rendered(self, row: Row) -> list[tuple[str, str]]:
        if isinstance(row, Conversation):
            if self.kind == "preferences":
                raise InputError(
                    f'{row.where}: is of kind {row.kind} and has no "chosen" and "rejected" answer, which train.road dpo '
                    "needs. Train on such rows with road sft."
                )
            return self.template.conversation(row.system, row.exchanges)
        prompt = self.template.prompt(row.prompt)
        return [(prompt, row.chosen), (prompt, row.rejected)][: 2 if self.kind == "preferences" else 1]


def is_held_out(key: bytes, share: float) -> bool:
    """Whether the prompt with this SHA-256 belongs to the `share` of all prompts that is held out."""
    return int.from_bytes(key[:8], "big") < share * 2.0**64


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk
