"""The tiny twin of a recipe: the same classes, stages and options on a small shape and demo text, in about a minute.

    lugha run igbo-mistral-7b --set model.scale=tiny

A recipe that passes its tiny twin has shown every step of its own road on this machine: a base model that is opened, adapters
that are saved and put back, directions that are trained and scored, an export that says the same. Only sizes, amounts and
text differ. A base model's twin is a new one of the same class, which the pipeline makes (pipeline/base.py).

Values given by `--set` beside `model.scale=tiny` win over those here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

_PAIRS = 600  # demo sentences for each language

_SHAPE = {"vocab_size": 1024, "d_model": 64, "layers": 2, "heads": 4, "d_ff": 128, "max_positions": 256}
_TRAIN = {
    "steps": 30,
    "epochs": None,
    "micro_batch": 4,
    "micro_batch_tokens": 1024,
    "accumulation": 2,
    "warmup_steps": 5,
    "precision": "fp32",
    "device": "cpu",
    "threads": 1,
    "compile": False,
    "log_every": 5,
    "eval_every": 15,
    "eval_batches": 2,
    "save_every": 10,
}
_EVALUATE = {"max_rows": 20, "beam": 2, "max_new_tokens": 32, "batch": 20, "bootstrap": 100, "samples": 2, "baselines": []}


def tiny_twin(values: Mapping[str, Any], demo_sources: list[dict[str, Any]]) -> dict[str, Any]:
    """The values of a recipe's tiny twin.

    Args:
        values: a recipe as plain values.
        demo_sources: the sources of the preset `demo`, relative to the folder that its corpus is written to.
    """
    tiny = copy.deepcopy(dict(values))
    tiny["name"] = f"{values['name']}-tiny"
    model, corpus = tiny.setdefault("model", {}), tiny.setdefault("corpus", {})
    model |= _SHAPE | {"scale": "tiny"}
    if model.get("kv_heads"):
        model["kv_heads"] = 2
    if model.get("sliding_window"):
        model["sliding_window"] = 32  # shorter than a row, so that it matters
    if model.get("base"):
        root = tiny.get("run", {}).get("root", "runs")
        model |= {"base": f"{root}/{tiny['name']}/base", "revision": None}
    if model.get("base_dtype") == "nf4":
        model["base_dtype"] = "bf16"  # a CPU cannot train on four bits
    tiny["tokenizer"] = {"vocab_size": _SHAPE["vocab_size"]}
    tokens = tiny.setdefault("tokens", {})
    tokens["max_length"] = min(128, tokens.get("max_length", 128))
    corpus["demo_pairs"] = _PAIRS
    corpus["sources"] = _sources(corpus.get("sources", []), demo_sources)
    corpus["split"] = {"validation": 0, "test": 0}
    train = tiny.setdefault("train", {})
    # A rate that is right for 7 B parameters teaches so small a model nothing. (float: YAML reads 1e-3 as text.)
    train |= _TRAIN | {"lr": max(3e-3, float(train.get("lr", 0.0))), "min_lr": 1e-4}
    tiny["checkpoints"] = {}
    # Its checkpoints would stand among those of the real run.
    tiny.setdefault("publish", {})["stores"] = []
    evaluate = tiny.setdefault("evaluate", {})
    evaluate |= _EVALUATE
    return tiny


def _sources(wanted: list[dict[str, Any]], demo: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The demo's sources in the languages that the recipe reads: as pairs, or as documents of one side."""
    languages = {s.get(key) for s in wanted for key in ("lang", "source_lang", "target_lang")}
    pairs = [s for s in demo if s["source_lang"] in languages] or demo
    if any(s.get("kind") == "pairs" for s in wanted):
        return copy.deepcopy(pairs)
    return [_documents(source) for source in pairs]


def _documents(pairs: dict[str, Any]) -> dict[str, Any]:
    """The side of a source of pairs that is not English, as documents."""
    kept = {k: v for k, v in pairs.items() if k in ("name", "path", "split", "licence", "format")}
    if pairs["format"] == "moses":
        return kept | {"kind": "documents", "format": "txt", "lang": pairs["source_lang"]}
    return kept | {"kind": "documents", "text": pairs["source_text"], "lang": pairs["source_lang"]}
