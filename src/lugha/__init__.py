"""lugha takes a low-resource language from raw text to a deployed model.

Whatever a verb of the command line does is one typed function here. They are loaded when first used, so `import lugha` costs
nothing:

    import lugha

    recipe = lugha.load_recipe("demo", ["train.steps=200"])
    outcome = lugha.run_recipe(recipe)
    print(outcome.report)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> module that defines it; `lugha VERB` calls the function on the same line
_HOME = {
    "load_recipe": "lugha.recipe",  # recipe show | check
    "run_recipe": "lugha.pipeline.run",  # run, demo
    "clean_corpus": "lugha.corpus.clean",  # corpus clean
    "dedup_corpus": "lugha.corpus.dedup",  # corpus dedup
    "filter_corpus": "lugha.corpus.filter",  # corpus filter
    "split_corpus": "lugha.corpus.split",  # corpus split
    "train_tokenizer": "lugha.tokens.tokenizer",  # tokenizer train
    "load_tokenizer": "lugha.tokens.tokenizer",  # tokenizer encode | decode
    "build_tokens": "lugha.tokens.build",  # tokens build
    "train_recipe": "lugha.pipeline.training",  # train
    "evaluate_checkpoint": "lugha.pipeline.evaluating",  # evaluate --checkpoint
    "score_files": "lugha.evaluation.score_files",  # evaluate --hypotheses
    "generate_text": "lugha.evaluation.decode",  # generate
    "translate": "lugha.evaluation.decode",  # translate
    "load_model": "lugha.models.build",
    "export_hf": "lugha.export.hf",  # export --format hf
    "get_language": "lugha.languages.registry",  # languages
    "Normaliser": "lugha.languages.normalise",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from lugha.corpus.clean import clean_corpus as clean_corpus
    from lugha.corpus.dedup import dedup_corpus as dedup_corpus
    from lugha.corpus.filter import filter_corpus as filter_corpus
    from lugha.corpus.split import split_corpus as split_corpus
    from lugha.evaluation.decode import generate_text as generate_text
    from lugha.evaluation.decode import translate as translate
    from lugha.evaluation.score_files import score_files as score_files
    from lugha.export.hf import export_hf as export_hf
    from lugha.languages.normalise import Normaliser as Normaliser
    from lugha.languages.registry import get_language as get_language
    from lugha.models.build import load_model as load_model
    from lugha.pipeline.evaluating import evaluate_checkpoint as evaluate_checkpoint
    from lugha.pipeline.run import run_recipe as run_recipe
    from lugha.pipeline.training import train_recipe as train_recipe
    from lugha.recipe import load_recipe as load_recipe
    from lugha.tokens.build import build_tokens as build_tokens
    from lugha.tokens.tokenizer import load_tokenizer as load_tokenizer
    from lugha.tokens.tokenizer import train_tokenizer as train_tokenizer


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'lugha' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
