"""Every preset has a tiny twin: the same road and classes, smaller; what is set beside it wins; it reads back as it is."""

from __future__ import annotations

import pytest
import yaml

from lugha.errors import InputError
from lugha.models.shapes import parameter_count
from lugha.recipe import dump_recipe, load_recipe, parse_recipe, preset_names

TINY = "model.scale=tiny"


@pytest.mark.parametrize("name", preset_names())
def test_the_twin_keeps_the_road_and_the_classes(name: str) -> None:
    full, tiny = load_recipe(name), load_recipe(name, [TINY])
    assert tiny.name == f"{name}-tiny"
    assert tiny.train.road == full.train.road
    assert tiny.model.kind == full.model.kind
    assert tiny.model.lora == full.model.lora
    assert (tiny.model.base is None) == (full.model.base is None)
    assert (tiny.model.sliding_window is None) == (full.model.sliding_window is None)
    assert (tiny.model.kv_heads in (None, tiny.model.heads)) == (full.model.kv_heads in (None, full.model.heads))
    assert tiny.tokens.language_pairs == full.tokens.language_pairs
    assert tiny.tokens.punctuation == full.tokens.punctuation
    assert tiny.examples == full.examples
    assert tiny.evaluate.metrics == full.evaluate.metrics
    assert parameter_count(tiny.model) < 300_000
    assert tiny.train.steps <= 30
    assert {s.kind for s in tiny.corpus.sources} == {s.kind for s in full.corpus.sources}
    languages = {s.lang or s.source_lang for s in tiny.corpus.sources}
    assert languages <= {x for s in full.corpus.sources for x in (s.lang, s.source_lang, s.target_lang)}


def test_what_is_set_beside_it_wins_and_the_base_lies_below_the_root() -> None:
    tiny = load_recipe("igbo-mistral-7b", ["train.steps=7", TINY, "run.root=/somewhere", "model.lora.r=2"])
    assert tiny.train.steps == 7
    assert tiny.model.base == "/somewhere/igbo-mistral-7b-tiny/base"
    assert tiny.model.lora is not None
    assert tiny.model.lora.r == 2


def test_a_resolved_twin_reads_back_as_it_is() -> None:
    tiny = load_recipe("nllb-600m", [TINY, "train.steps=7"])
    assert parse_recipe(yaml.safe_load(dump_recipe(tiny)), "dump") == tiny


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model.base_dtype=bf16"], "base_dtype bf16 without lora"),
        (["model.lora={r: 4}"], "lora puts adapters on a base model"),
        (["model.new_languages=[kmb_Latn]"], "extend a base model"),
        (["model.sliding_window=8"], "sliding_window belongs to mistral"),
        (["train.road=lora"], r"add model\.lora"),
        (["train.road=sft"], r"needs examples\.data"),
        (["train.road=seq2seq"], "does not go with model.kind llama"),
        (["train.road=rola"], "lora"),
        (["model.lora.rank=4"], 'unknown key "model.lora.rank"'),
    ],
)
def test_what_cannot_be_is_refused_by_key(changes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe("swahili-debug", changes)
