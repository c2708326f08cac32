"""The data stages of a recipe, in order: raw files -> corpus -> tokens. Each is skipped when its inputs are unchanged."""

from __future__ import annotations

from collections.abc import Callable

from lugha.corpus.clean import clean_corpus
from lugha.corpus.dedup import dedup_corpus
from lugha.corpus.filter import filter_corpus
from lugha.corpus.find import find_files
from lugha.corpus.shards import open_corpus
from lugha.corpus.split import split_corpus
from lugha.demo.corpus import write_demo_corpus
from lugha.errors import InputError, nearest
from lugha.languages.pairs import language_pairs_of
from lugha.languages.registry import get_language
from lugha.models.base import check_quantisation
from lugha.models.shapes import adapter_count
from lugha.pipeline.auditing import audit_tokenizer
from lugha.pipeline.layout import Layout
from lugha.recipe import Recipe
from lugha.runs.manifest import StageManifest
from lugha.tokens.build import build_tokens
from lugha.tokens.build_examples import build_instruction_examples, build_pair_examples, build_preferences
from lugha.tokens.special import token_id
from lugha.tokens.template import load_template
from lugha.tokens.tokenizer import load_tokenizer, train_tokenizer

Say = Callable[[str], None]


def check_recipe(recipe: Recipe) -> None:
    """Refuse what is certain to fail later, before anything is read or downloaded.

    Raises:
        InputError: a source, template, format, module or direction that does not exist, or 4 bits without CUDA; the line
            names it.
    """
    if not recipe.corpus.demo_pairs:
        for source in recipe.corpus.sources:
            find_files(source, recipe.corpus.root)
    check_language_pairs(recipe)
    adapter_count(recipe.model)
    check_quantisation(recipe.model)
    if recipe.train.road == "lora":
        load_template(recipe.examples.template).format_names(recipe.examples.formats)


def check_language_pairs(recipe: Recipe) -> None:
    """Refuse, before anything is read, a direction that the recipe's sources cannot teach.

    Raises:
        InputError: an unknown code, a direction twice, or one of languages that no source has; the line names it.
    """
    known = set()
    for source in recipe.corpus.sources:
        if source.source_lang and source.target_lang:
            a, b = get_language(source.source_lang).code, get_language(source.target_lang).code
            known |= {(a, b), (b, a)}
    for text, pair in zip(recipe.tokens.language_pairs, language_pairs_of(recipe.tokens.language_pairs), strict=True):
        if pair not in known:
            offered = [f"{get_language(a).bcp47}-{get_language(b).bcp47}" for a, b in sorted(known)]
            raise InputError(f"Language pair {text}: no source of recipe {recipe.name} has it.{nearest('', offered)}")


def prepare_corpus(recipe: Recipe, say: Say) -> None:
    """Clean, dedup, filter and split the recipe's sources.

    Raises:
        InputError: the recipe names no sources, or one of them cannot be read.
    """
    layout, section = Layout.of(recipe), recipe.corpus
    root = section.root
    if section.demo_pairs:
        root = layout.corpus("raw")
        say(stage_line(write_demo_corpus(root, pairs_per_language=section.demo_pairs, seed=recipe.seed)))
    if not section.sources:
        raise InputError(f"Recipe {recipe.name}: corpus.sources is empty. Name at least one source.")
    shard = section.rows_per_shard
    cleaned, deduped = layout.corpus("cleaned"), layout.corpus("deduped")
    filtered, split = layout.corpus("filtered"), layout.corpus("split")
    say(stage_line(clean_corpus(section.sources, cleaned, root=root, section=section.clean, rows_per_shard=shard)))
    say(stage_line(dedup_corpus(cleaned, deduped, section=section.dedup, rows_per_shard=shard)))
    say(stage_line(filter_corpus(deduped, filtered, section=section.filter, rows_per_shard=shard)))
    say(stage_line(split_corpus(filtered, split, section=section.split, seed=recipe.seed, rows_per_shard=shard)))


def prepare_tokens(recipe: Recipe, say: Say) -> None:
    """Train the tokenizer on the training split (or take the base's, or the recipe's own) and encode all splits.

    Raises:
        InputError: the tokenizer lacks a language of the corpus (seq2seq).
        RefusedError: more rows than `tokens.max_unknown` hold a character that the tokenizer cannot write.
    """
    layout = Layout.of(recipe)
    split = layout.corpus("split")
    made = train_tokenizer(split, layout.tokenizer, section=recipe.tokenizer, seed=recipe.seed)
    if recipe.model.base is None:
        say(stage_line(made))
    else:
        say(f"tokenizer  of the base, {made.details['vocab_size']:,} tokens")
    if recipe.train.road == "seq2seq":
        tokenizer = load_tokenizer(layout.tokenizer)
        for code in open_corpus(split, ("split",)).details["languages"]:
            token_id(tokenizer, get_language(code).nllb)  # an unknown code would silently become <unk>
    if recipe.model.base is not None:
        audit_tokenizer(split, layout.tokenizer, layout.audit, section=recipe.tokens, say=say)
    if recipe.train.road == "lora":
        built = build_pair_examples(split, layout.tokenizer, layout.tokens, tokens=recipe.tokens, examples=recipe.examples)
    else:
        built = build_tokens(split, layout.tokenizer, layout.tokens, section=recipe.tokens)
    say(stage_line(built))


def prepare_instructions(recipe: Recipe, say: Say) -> None:
    """Render and encode the JSONL of a recipe of road sft or dpo, with the tokenizer of its base.

    Raises:
        InputError: no such file, or a row that cannot be learned from.
    """
    assert recipe.tokenizer.path is not None  # the base's, where the recipe names none (pipeline/base.py)
    build = build_instruction_examples if recipe.train.road == "sft" else build_preferences
    output = Layout.of(recipe).tokens
    say(stage_line(build(recipe.tokenizer.path, output, tokens=recipe.tokens, examples=recipe.examples)))


def stage_line(manifest: StageManifest) -> str:
    """One line of what a stage did: rows in, rows out, the reasons of the difference."""
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in manifest.dropped.items() if count)
    rows = f"{manifest.rows_in:,} rows in, {manifest.rows_out:,} out"
    return f"{manifest.stage:<10} {rows}{f' (dropped: {dropped})' if dropped else ''}, {manifest.cpu_seconds:.1f} CPU-s"
