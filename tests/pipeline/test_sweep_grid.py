"""The grid: what is read from `key=value,value`, and what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.pipeline.sweep_grid import Axis, make_variants, parse_axis


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("train.lr=1e-4,3e-4,1e-3", ("1e-4", "3e-4", "1e-3")),
        ("train.lr=1e-4", ("1e-4",)),
        ("train.betas=[0.9, 0.95],[0.9,0.999]", ("[0.9, 0.95]", "[0.9,0.999]")),
        ("model.lora={r: 8, modules: [q_proj, v_proj]},{r: 16}", ("{r: 8, modules: [q_proj, v_proj]}", "{r: 16}")),
        ("corpus.sources.0.path=\"a,b\",'c]'", ('"a,b"', "'c]'")),
        ("train.schedule= cosine , wsd", ("cosine", "wsd")),
    ],
)
def test_commas_inside_brackets_and_quotes_belong_to_the_value(text: str, values: tuple[str, ...]) -> None:
    assert parse_axis(text) == Axis(text.partition("=")[0], values)


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_is_joined_is_split_again(values: list[list[int]]) -> None:
    assert parse_axis("tokens.x=" + ",".join(map(str, values))).values == tuple(map(str, values))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train.lr", "write it as key=value,value"),
        ("=1,2", "write it as key=value,value"),
        ("train.lr=", "a value is empty"),
        ("train.lr=1,,2", "a value is empty"),
        ("train.betas=[0.9,0.95", "is not YAML"),
        ("seed=1,2", "--seeds"),
        ("name=a,b", "named by the recipe"),
        ("run.root=a,b", "where runs lie"),
        ("evaluate.beam=1,4", "what is measured after the training"),
        ("train.steps=10,20", "--tokens"),
        ("train.epochs=1,2", "--tokens"),
        ("train.beta=0.1,0.5", "part of the loss"),
    ],
)
def test_a_grid_that_makes_no_sweep_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_axis(text)


def variants(*grid: str, overrides: tuple[str, ...] = ()) -> list[dict[str, object]]:
    return [v.values for v in make_variants("swahili-debug", overrides, [parse_axis(g) for g in grid])]


def test_every_combination_once_the_last_axis_fastest() -> None:
    assert variants("train.lr=1e-4,3e-4", "model.kv_heads=1,2,4") == [
        {"train.lr": lr, "model.kv_heads": heads} for lr in (1e-4, 3e-4) for heads in (1, 2, 4)
    ]


def test_a_variant_is_the_recipe_with_its_values() -> None:
    made = make_variants("swahili-debug", ["train.clip=0.5"], [parse_axis("train.betas=[0.9, 0.99]")])
    assert made[0].recipe.train.betas == (0.9, 0.99)
    assert made[0].recipe.train.clip == 0.5
    assert made[0].name == "train.betas=[0.9, 0.99]"


def test_the_final_rate_keeps_its_ratio_to_the_peak() -> None:
    def finals(*grid: str) -> list[float]:
        return [v.recipe.train.min_lr for v in make_variants("swahili-debug", [], [parse_axis(g) for g in grid])]

    assert finals("train.lr=1e-9,1e-3,1e-2") == pytest.approx([1e-10, 1e-4, 1e-3])  # 1e-3 to 1e-4 in the preset
    assert finals("train.lr=1e-2", "train.min_lr=0,1e-5") == [0.0, 1e-5]
    assert finals("train.clip=0.5,1") == [1e-4, 1e-4]


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ((), "at least one --grid"),
        (("train.lrr=1e-4,1e-3",), 'Variant train.lrr=1e-4: .*unknown key "train.lrr".*Did you mean "lr"?'),
        (("train.lr=1e-3,-1",), "Variant train.lr=-1: .*train.lr: .*greater than 0"),
        (
            ("train.lr=1e-3", "model.kv_heads=2,3"),
            "Variant train.lr=1e-3, model.kv_heads=3: .*kv_heads 3 must divide heads 4",
        ),
        (("train.lr=1e-3,0.001",), "Variant train.lr=0.001 is there twice"),
        (("train.lr=1e-3", "train.lr=1e-4"), "train.lr is given twice"),
    ],
)
def test_a_variant_that_does_not_fit_is_named(grid: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        variants(*grid)
