"""Writes the sample corpus as raw files in the formats that real corpora come in, dirt included, with the key of the dirt.

    write_demo_corpus(Path("raw"), pairs_per_language=9000, seed=42)

    raw/swh-eng/train.swh, train.eng     Moses: two files, line by line
    raw/ibo-eng/train.jsonl.gz           one JSON object a line: {"ibo": ..., "eng": ...}
    raw/*/validation.tsv, test.tsv       clean, with a header; their combinations of words are never in train
    raw/key.jsonl                        one planted row a line: id, kind, file, row, of which row it is a copy, clean text
    raw/manifest.json                    stage "demo"

`demo_sources()` are these files as sources of a recipe; the preset `demo` holds the same. Same seed, same bytes.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lugha.demo.dirt import MENDS, Planted, plant
from lugha.demo.grammar import Fold, count_sentences
from lugha.demo.language import LANGUAGES, Language
from lugha.demo.sampling import Pair, Sampler, Sentence, words_of
from lugha.errors import InputError
from lugha.recipe.corpus_sections import Source
from lugha.runs.manifest import StageManifest, StageOutput, is_current, read_manifest, stage_output
from lugha.runs.progress import Progress

STAGE, VERSION = "demo", 1
KEY = "key.jsonl"
LICENCE = "CC0-1.0"
MIN_PAIRS = 300
HELD_OUT: dict[Fold, int] = {"validation": 100, "test": 200}
"""Rows of each language in the held-out sets; fewer where the training set has under 2,000."""


def demo_sources() -> list[Source]:
    """The raw files of the sample corpus as sources of a recipe, relative to its folder."""
    keys: dict[str, Any] = {"kind": "pairs", "target_lang": "eng", "licence": LICENCE}
    sources = []
    for code in LANGUAGES:
        folder, columns = f"{code}-eng", {"source_text": code, "target_text": "eng"}
        train: dict[str, Any] = {"path": f"{folder}/train.jsonl.gz", "format": "jsonl", **columns}
        if code == "swh":
            train = {"path": f"{folder}/train.swh", "target_path": f"{folder}/train.eng", "format": "moses"}
        held_out = {split: {"path": f"{folder}/{split}.tsv", "format": "tsv", **columns} for split in HELD_OUT}
        for split, where in {"train": train, **held_out}.items():
            name = f"{code}-{split}"
            sources.append(Source.model_validate({"name": name, "source_lang": code, "split": split, **where, **keys}))
    return sources


def write_demo_corpus(output: Path, *, pairs_per_language: int, seed: int) -> StageManifest:
    """Write the raw files of the sample corpus and the key of what was planted.

    Args:
        pairs_per_language: clean training pairs of each language; the copies that are planted come on top.

    Raises:
        InputError: fewer pairs than the held-out sentences need to know all words from training.
    """
    if pairs_per_language < MIN_PAIRS:
        raise InputError(
            f"corpus.demo_pairs {pairs_per_language}: the sample corpus needs at least {MIN_PAIRS} pairs for each language."
        )
    parameters = {"pairs_per_language": pairs_per_language, "seed": seed}
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs={}):
        return read_manifest(output)
    with (
        stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs={}) as out,
        Progress("demo", "pairs", len(LANGUAGES) * pairs_per_language) as progress,
    ):
        key: list[dict[str, Any]] = []
        for language in LANGUAGES.values():
            sample = draw_sample(language, pairs_per_language, seed)
            name = _write_train(out, language, sample.rows)
            for fold, sentences in sample.held_out.items():
                _write_held_out(out, language, fold, [sentence.pair for sentence in sentences])
            key += [_key_entry(planted, name, language) for planted in sample.planted]
            progress.add(pairs_per_language)
        _write_lines(out.folder / KEY, [json.dumps(entry, ensure_ascii=False) for entry in key])
        out.tally.rows_in = out.tally.rows_out = sum(out.rows_of_file.values())
        out.details |= {
            "rows": dict(out.rows_of_file),
            "planted": dict(sorted(Counter(entry["kind"] for entry in key).items())),
            "possible_sentences": {code: count_sentences(language) for code, language in LANGUAGES.items()},
        }
    return read_manifest(output)


@dataclass(frozen=True)
class Sample:
    """One language of the sample corpus: clean training sentences, the rows made of them with their key, held-out sets."""

    train: list[Sentence]
    rows: list[Pair]
    planted: list[Planted]
    held_out: dict[Fold, list[Sentence]]


def draw_sample(language: Language, pairs: int, seed: int) -> Sample:
    """Draw the sentences of one language and plant the dirt.

    No combination of words in a held-out sentence is in training; every word of it is, in the same form, and in a row that
    cleaning does not have to drop.
    """
    sampler = Sampler(language, random.Random(f"{seed} sentences {language.code}"))
    train = sampler.take(pairs, "train")
    rows, planted = plant([sentence.pair for sentence in train], random.Random(f"{seed} dirt {language.code}"))
    gone = {entry.clean for entry in planted if MENDS[entry.kind] == "dropped" and entry.original is None}
    words = frozenset().union(*(words_of(s.pair) for s in train if s.pair not in gone))
    held_out = {fold: sampler.take(min(most, pairs * most // 2000), fold, words=words) for fold, most in HELD_OUT.items()}
    return Sample(train, rows, planted, held_out)


def _write_train(out: StageOutput, language: Language, rows: Sequence[Pair]) -> str:
    """Write the training rows in the language's format; returns the name of the file that numbers them."""
    folder = out.folder / f"{language.code}-eng"
    folder.mkdir()
    if language.code == "swh":
        name = "train.swh"
        _write_lines(folder / name, [row.text for row in rows])
        _write_lines(folder / "train.eng", [row.english for row in rows])
    else:
        name = "train.jsonl.gz"
        lines = (json.dumps({language.code: row.text, "eng": row.english}, ensure_ascii=False) for row in rows)
        # No file name and no time in the gzip header: the same rows are the same bytes.
        (folder / name).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    out.rows_of_file[f"{folder.name}/{name}"] = len(rows)
    return name


def _write_held_out(out: StageOutput, language: Language, fold: Fold, pairs: Sequence[Pair]) -> None:
    name = f"{language.code}-eng/{fold}.tsv"
    header = f"{language.code}\teng"
    _write_lines(out.folder / name, [header, *(f"{pair.text}\t{pair.english}" for pair in pairs)])
    out.rows_of_file[name] = len(pairs)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _key_entry(planted: Planted, file: str, language: Language) -> dict[str, Any]:
    source = f"{language.code}-train"
    return {
        "id": f"{source}/{file}:{planted.row}",
        "kind": planted.kind,
        "file": f"{language.code}-eng/{file}",
        "row": planted.row,
        "copy_of": f"{source}/{file}:{planted.original}" if planted.original else None,
        "clean": {language.code: planted.clean.text, "eng": planted.clean.english},
    }
