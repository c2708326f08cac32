"""Translation quality of a checkpoint, direction by direction: BLEU and chrF++, degenerate outputs, and what training added.

A checkpoint translates as an encoder-decoder, or as a decoder that is asked in the words of the template it was trained on.
Where it began with a base model, `evaluate.untuned` translates the same rows with that base, asked in the same way: the
difference is what the run was for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from lugha.checkpoints.format import RECIPE, TOKENIZER
from lugha.errors import InputError
from lugha.evaluation.decode import translate
from lugha.evaluation.degenerate import check_outputs
from lugha.evaluation.prompted import translate_prompted
from lugha.evaluation.results import DirectionResult, Evaluation, PublishedBaseline, TranslationSample
from lugha.evaluation.translation import score_translation
from lugha.languages.pairs import language_pairs_of
from lugha.models.base import BASE, DTYPES, base_of_adapter, read_whole
from lugha.models.build import load_model
from lugha.pipeline.layout import Layout
from lugha.recipe import EvaluateSection, Recipe, TokensSection, load_recipe
from lugha.tokens.template import TEMPLATE, load_template
from lugha.tokens.tokenizer import load_tokenizer

Say = Callable[[str], None]
Translator = Callable[[str, str, list[str], int], list[str]]  # source, target, texts, beam -> translations


class Direction(NamedTuple):
    """The test rows of one direction."""

    source_lang: str
    target_lang: str
    sources: list[str]
    references: list[str]


def open_translator(checkpoint: Path, *, max_new_tokens: int, batch: int = 32) -> Translator:
    """The translator in a verified checkpoint, which reads text in the form that its training text had.

    Raises:
        InputError: a decoder that was not trained to be asked (no template), or an adapter whose base is not found.
    """
    recipe = load_recipe(checkpoint / RECIPE)
    model = load_model(checkpoint, cache=Layout.of(recipe).bases)
    amounts = recipe.evaluate.model_copy(update={"max_new_tokens": max_new_tokens, "batch": batch})
    return _translator(checkpoint, model, load_tokenizer(checkpoint / TOKENIZER), recipe, amounts)


def measure_translation(
    found: Evaluation,
    checkpoint: Path,
    model: Any,
    tokenizer: Tokenizer,
    recipe: Recipe,
    section: EvaluateSection,
    frame: pl.DataFrame,
    say: Say,
) -> Evaluation:
    """`found` with results, samples and baselines of every direction that the checkpoint was trained for.

    Raises:
        InputError: `evaluate.untuned` for a run that began with new weights, or whose base is not found.
        RefusedError: the base has other weights now.
    """
    translator = _translator(checkpoint, model, tokenizer, recipe, section)
    directions = list(_directions(frame, recipe.tokens, section.max_rows))
    results: list[DirectionResult] = []
    samples: list[TranslationSample] = []
    for direction in directions:
        for beam in sorted({1, section.beam}):
            result, outputs = _measure(translator, direction, beam, section)
            results.append(result)
            _say_result(result, len(outputs), "", say)
        samples += _samples(direction, outputs, section.samples)
    baselines = [PublishedBaseline.model_validate(b.model_dump()) for b in section.baselines]
    if section.untuned:
        baselines += _untuned(checkpoint, model.device, tokenizer, recipe, section, directions, say)
    return found.model_copy(update={"translation": results, "samples": samples, "baselines": baselines})


def _measure(
    translator: Translator, direction: Direction, beam: int, section: EvaluateSection
) -> tuple[DirectionResult, list[str]]:
    source, target, sources, references = direction
    begun = time.monotonic()
    outputs = translator(source, target, sources, beam)
    seconds = round(time.monotonic() - begun, 1)
    scores = score_translation(outputs, references, lang=target, bootstrap=section.bootstrap)
    checks = check_outputs(outputs, sources=sources, references=references, lang=target, source_lang=source)
    result = DirectionResult(
        source_lang=source, target_lang=target, beam=beam, scores=scores, checks=checks, seconds=seconds
    )
    return result, outputs


def _say_result(result: DirectionResult, rows: int, who: str, say: Say) -> None:
    scores, checks = result.scores, result.checks
    name = f"{who}{result.source_lang}-{result.target_lang} beam {result.beam}"
    say(f"evaluate   {name}, {rows:,} rows: BLEU {scores.bleu}, chrF++ {scores.chrfpp}")
    say(f"           copied {checks.copied}, empty {checks.empty}, wrong language {checks.wrong_language}")


def _samples(direction: Direction, outputs: list[str], count: int) -> list[TranslationSample]:
    source, target, sources, references = direction
    picked = np.linspace(0, len(sources) - 1, min(count, len(sources)), dtype=int)
    return [
        TranslationSample(
            source_lang=source, target_lang=target, source=sources[i], reference=references[i], output=outputs[i]
        )
        for i in picked
    ]


def _untuned(
    checkpoint: Path,
    device: Any,
    tokenizer: Tokenizer,
    recipe: Recipe,
    section: EvaluateSection,
    directions: list[Direction],
    say: Say,
) -> list[PublishedBaseline]:
    """The base on the same rows, as baselines."""
    if not (checkpoint / BASE).is_file():
        raise InputError(f"{checkpoint}: evaluate.untuned compares with a base model, but this run began with new weights.")
    base = base_of_adapter(checkpoint, cache=Layout.of(recipe).bases)
    dtype = recipe.model.base_dtype
    model = read_whole(base.folder, dtype=DTYPES[dtype], quantised=dtype == "nf4", cache=Layout.of(recipe).bases)
    model.requires_grad_(False).train(False)
    model.to(device)
    translator = _translator(checkpoint, model, tokenizer, recipe, section)
    baselines = []
    for direction in directions:
        result, outputs = _measure(translator, direction, section.beam, section)
        _say_result(result, len(outputs), "untuned base, ", say)
        baselines.append(
            PublishedBaseline(
                system="the base before training",
                source_lang=result.source_lang,
                target_lang=result.target_lang,
                bleu=result.scores.bleu.value,
                chrf=result.scores.chrf.value,
                chrfpp=result.scores.chrfpp.value,
                origin=f"{base.id}, asked in the same way, beam {section.beam}, in this evaluation",
            )
        )
    return baselines


def _translator(checkpoint: Path, model: Any, tokenizer: Tokenizer, recipe: Recipe, section: EvaluateSection) -> Translator:
    """How this checkpoint translates: as an encoder-decoder, or asked in the words of its template."""
    amounts = {"max_new_tokens": section.max_new_tokens, "batch": section.batch}
    rules = recipe.tokens.punctuation

    def by_encoder(source: str, target: str, texts: list[str], beam: int) -> list[str]:
        return translate(
            model, tokenizer, texts, source_lang=source, target_lang=target, beam=beam, punctuation=rules, **amounts
        )

    if recipe.model.kind == "m2m100":
        return by_encoder
    if not (checkpoint / TEMPLATE).is_file():
        raise InputError(f"{checkpoint}: a decoder that was trained on text alone does not translate; use `lugha generate`.")
    template = load_template(checkpoint / TEMPLATE)

    def by_prompt(source: str, target: str, texts: list[str], beam: int) -> list[str]:
        return translate_prompted(
            model, tokenizer, template, texts, source_lang=source, target_lang=target, beam=beam, **amounts
        )

    return by_prompt


def _directions(frame: pl.DataFrame, tokens: TokensSection, max_rows: int) -> Iterator[Direction]:
    """The directions that the model was trained for."""
    sides = [("source", "target"), ("target", "source")]
    wanted = language_pairs_of(tokens.language_pairs)
    if tokens.directions != "both" and not wanted:
        sides = sides[:1] if tokens.directions == "forward" else sides[1:]
    for (first, second), part in frame.group_by("source_lang", "target_lang", maintain_order=True):
        part = part.head(max_rows)
        for a, b in sides:
            codes = {"source": str(first), "target": str(second)}
            if not wanted or (codes[a], codes[b]) in wanted:
                yield Direction(codes[a], codes[b], part[f"{a}_text"].to_list(), part[f"{b}_text"].to_list())
