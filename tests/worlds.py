"""Tiny worlds for tests: a corpus, a tokenizer and token shards that a test makes in a second.

Text is made of a few words in fixed patterns, so that a model of a few thousand parameters learns something within steps.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lugha.corpus.shards import ShardWriter
from lugha.recipe import Recipe, TokenizerSection, TokensSection, parse_recipe
from lugha.runs.manifest import stage_output
from lugha.tokens.build import build_tokens
from lugha.tokens.tokenizer import train_tokenizer

_SUBJECTS = ["mtoto", "mwalimu", "mkulima", "daktari", "mama", "ng'ombe"]
_VERBS = ["anasoma", "ananunua", "anapenda", "anauza"]
_OBJECTS = ["kitabu", "mkate", "maji", "samaki", "chungwa"]
_ENGLISH = {
    **dict(zip(_SUBJECTS, ["child", "teacher", "farmer", "doctor", "mother", "cow"], strict=True)),
    **dict(zip(_VERBS, ["reads", "buys", "likes", "sells"], strict=True)),
    **dict(zip(_OBJECTS, ["book", "bread", "water", "fish", "orange"], strict=True)),
}


@dataclass(frozen=True)
class World:
    """Folders of a prepared corpus and its tokens, and a recipe that trains on them."""

    split: Path
    tokenizer: Path
    tokens: Path
    recipe: Recipe


def sentences(count: int, seed: int) -> list[str]:
    """Swahili sentences of one to three clauses."""
    chance = random.Random(seed)

    def clause() -> str:
        return f"{chance.choice(_SUBJECTS)} {chance.choice(_VERBS)} {chance.choice(_OBJECTS)}"

    return [" na ".join(clause() for _ in range(chance.randint(1, 3))) + "." for _ in range(count)]


def english(swahili: str) -> str:
    """Word for word."""
    return " ".join("and" if w == "na" else _ENGLISH.get(w.strip("."), w) for w in swahili.split(" ")) + "."


def write_split(folder: Path, rows: dict[str, list[dict[str, object]]], kind: str, details: dict[str, object]) -> None:
    """A finished split corpus with these rows."""
    with stage_output(folder, stage="split", version=1, parameters={}, inputs={}) as out:
        out.details |= {"kind": kind, **details}
        for split, members in rows.items():
            with ShardWriter(out, kind, subfolder=split) as writer:  # type: ignore[arg-type]
                writer.write(pl.DataFrame(members))
                out.tally.rows_in += len(members)
                out.tally.rows_out += len(members)


def documents_world(folder: Path, *, train: int = 400, **overrides: object) -> World:
    """Swahili sentences and a recipe for a decoder of some thousand parameters."""

    def rows(count: int, seed: int) -> list[dict[str, object]]:
        common = {"lang": "swh", "source": "made", "licence": "CC0-1.0", "group": "g"}
        return [{"id": f"made:{i}", "text": t, **common} for i, t in enumerate(sentences(count, seed))]

    split = {"train": rows(train, 1), "validation": rows(40, 2), "test": rows(40, 3)}
    write_split(folder / "split", split, "documents", {"languages": ["swh"]})
    model = {"vocab_size": 400, "d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "max_positions": 64}
    return _world(folder, {"model": model, "tokens": {"max_length": 32}}, {"road": "pretrain", "micro_batch": 4}, overrides)


def pairs_world(folder: Path, *, train: int = 300, **overrides: object) -> World:
    """Swahili-English pairs and a recipe for an encoder-decoder of some thousand parameters."""

    def rows(count: int, seed: int) -> list[dict[str, object]]:
        common = {"source_lang": "swh", "target_lang": "eng", "score": None}
        common |= {"source": "made", "licence": "CC0-1.0", "group": "g"}
        return [
            {"id": f"made:{i}", "source_text": t, "target_text": english(t), **common}
            for i, t in enumerate(sentences(count, seed))
        ]

    split = {"train": rows(train, 1), "validation": rows(30, 2), "test": rows(30, 3)}
    details: dict[str, object] = {"languages": ["eng", "swh"], "directions": [["swh", "eng"]]}
    write_split(folder / "split", split, "pairs", details)
    model = {"kind": "m2m100", "vocab_size": 400, "d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "max_positions": 64}
    train_section = {"road": "seq2seq", "micro_batch_tokens": 256}
    more = {"model": model | {"dropout": 0.1}, "tokens": {"max_length": 40}, "evaluate": {"metrics": ["translation"]}}
    return _world(folder, more, train_section, overrides)


def _world(folder: Path, sections: dict[str, object], train: dict[str, object], overrides: dict[str, object]) -> World:
    steady = {
        "steps": 12,
        "save_every": 4,
        "eval_every": 6,
        "eval_batches": 2,
        "log_every": 1,
        "lr": 3e-3,
        "warmup_steps": 2,
    }
    steady |= {"precision": "fp32", "threads": 1, "device": "cpu"}
    values = {"name": "tiny", "run": {"root": str(folder / "runs")}, "tokenizer": {"vocab_size": 400}, **sections}
    recipe = parse_recipe({**values, "train": steady | train | overrides}, "a test's recipe")
    train_tokenizer(folder / "split", folder / "tokenizer", section=TokenizerSection(vocab_size=400), seed=1)
    build_tokens(folder / "split", folder / "tokenizer", folder / "tokens", section=TokensSection())
    return World(folder / "split", folder / "tokenizer", folder / "tokens", recipe)
