"""Recipes: presets, files, overrides, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lugha.errors import InputError
from lugha.recipe import Recipe, dump_recipe, load_recipe, parse_recipe, preset_names, preset_text


def test_every_preset_loads_and_bears_its_own_name() -> None:
    assert {"demo", "swahili-debug", "swahili-base", "swahili-large"} <= set(preset_names())
    for name in preset_names():
        assert load_recipe(name).name == name


def test_every_shipped_recipe_file_loads() -> None:
    files = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    assert files
    for file in files:
        assert load_recipe(file).name == file.stem


@pytest.mark.parametrize("name", preset_names())
def test_a_resolved_recipe_reads_back_equal(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    file = tmp_path / "resolved.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(file) == recipe


def test_overrides_reach_every_depth() -> None:
    recipe = load_recipe(
        "swahili-debug", ["train.steps=7", "train.betas=[0.8, 0.9]", "corpus.sources.0.path=elsewhere", "run.root=x"]
    )
    assert recipe.train.steps == 7
    assert recipe.train.betas == (0.8, 0.9)
    assert recipe.corpus.sources[0].path == Path("elsewhere")
    assert recipe.run.root == Path("x")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.stepz=3", 'unknown key "train.stepz". Did you mean "steps"?'),
        ("corpus.sources.0.pth=a", 'unknown key "corpus.sources.0.pth". Did you mean "path"?'),
        ("tokenizer.vocab_size=8192", "tokenizer.vocab_size 8192 is larger than model.vocab_size 4096"),
        ("model.heads=3", "heads 3 must divide d_model 128"),
        ("train.road=seq2seq", "train.road seq2seq does not go with model.kind llama"),
        ("tokens.max_length=512", "tokens.max_length 512 exceeds model.max_positions 256"),
        ("train.lr=fast", "train.lr: Input should be a valid number"),
        ("corpus.sources.4.path=a", "the list has items 0 to 0, not 4"),
        ("train.steps", "write it as key=value"),
        ("name.x=1", "is a value, not a section"),
        ("train.steps=[", "the value is not YAML"),
    ],
)
def test_a_bad_override_is_one_line_that_names_it(override: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("swahili-debug", [override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match='No preset "swahili-bse". Did you mean "swahili-base"?'):
        load_recipe("swahili-bse")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name: [", "not YAML"),
        (b"- a\n- b\n", "a recipe is a YAML mapping"),
        (b"description: x\n", '"name" is missing'),
        (b"name: caf\xe9\n", "not UTF-8 at byte 9"),
        (b"name: Big Name\n", "name: String should match pattern"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_recipe(file)
    assert str(file) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_presets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such recipe file. Presets: demo"):
        load_recipe(tmp_path / "none.yaml")


def test_two_sources_of_one_name_are_refused() -> None:
    source = {"name": "a", "path": "x", "lang": "swh"}
    with pytest.raises(InputError, match="two sources are named a"):
        parse_recipe({"name": "r", "corpus": {"sources": [source, source]}}, "r")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"name": "a", "path": "x"}, "needs `lang`"),
        ({"name": "a", "path": "x", "kind": "pairs", "source_lang": "eng"}, "needs `source_lang` and `target_lang`"),
        ({"name": "a", "path": "x", "format": "moses", "lang": "swh"}, "`kind: pairs` and `target_path`"),
    ],
)
def test_a_source_says_its_languages(source: dict[str, str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe({"name": "r", "corpus": {"sources": [source]}}, "r")
    assert says in str(caught.value)


def test_the_founding_values_of_swahili_debug_stand() -> None:
    """Requirements X-010: the debug configuration of Swahili-100."""
    r = load_recipe("swahili-debug")
    m, t = r.model, r.train
    assert (m.vocab_size, m.d_model, m.layers, m.heads, m.kv_heads, m.d_ff) == (4096, 128, 4, 4, 2, 256)
    assert (r.tokens.max_length, t.steps, t.micro_batch, t.accumulation) == (256, 100, 4, 4)
    assert (t.lr, t.min_lr, t.warmup_steps) == (1e-3, 1e-4, 10)
    assert (t.save_every, r.checkpoints.keep_newest, t.eval_every, t.eval_batches) == (50, 2, 25, 10)
    assert (t.weight_decay, t.clip, t.precision, t.betas, t.eps, t.schedule) == (
        0.1,
        1.0,
        "fp32",
        (0.9, 0.95),
        1e-8,
        "cosine",
    )
    assert (m.rope_theta, m.norm_eps, m.dropout, m.tied) == (10_000.0, 1e-6, 0.0, True)


def test_the_founding_values_of_swahili_base_and_large_stand() -> None:
    """Requirements X-011 and X-012."""
    base, large = load_recipe("swahili-base"), load_recipe("swahili-large")
    m, t = base.model, base.train
    assert (m.vocab_size, m.d_model, m.layers, m.heads, m.kv_heads, m.d_ff) == (16384, 768, 12, 12, 4, 2048)
    assert (t.steps, t.micro_batch, t.accumulation, t.lr, t.min_lr, t.warmup_steps) == (20000, 8, 16, 3e-4, 3e-5, 500)
    assert (t.save_every, base.checkpoints.keep_newest, t.eval_every, t.eval_batches, t.gradient_checkpointing) == (
        2000,
        3,
        500,
        50,
        True,
    )
    m, t = large.model, large.train
    assert (m.vocab_size, m.d_model, m.layers, m.heads, m.kv_heads, m.d_ff) == (16384, 1024, 24, 16, 4, 4096)
    assert (t.steps, t.micro_batch, t.accumulation, t.lr, t.min_lr, t.warmup_steps) == (30000, 4, 32, 2e-4, 2e-5, 750)
    for r in (base, large):
        assert (r.tokens.max_length, r.train.precision, r.train.betas, r.train.clip) == (2048, "bf16", (0.9, 0.95), 1.0)


def test_a_recipe_cannot_be_changed_after_reading() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("swahili-debug").train.steps = 3  # type: ignore[misc]


def test_preset_text_keeps_its_comments() -> None:
    assert "# Swahili-100, debug" in preset_text("swahili-debug")
    assert isinstance(load_recipe("demo"), Recipe)
