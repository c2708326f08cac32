"""`--language-pairs` with several values: pairs are pairs, a recipe stays a recipe, mistakes reach the check of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from lugha.cli.language_pairs import FLAG, LanguagePairsOption, apply_language_pairs, expand_language_pairs
from lugha.errors import InputError
from lugha.recipe import load_recipe, preset_names

PRESET = preset_names()[0]


def flags(*pairs: str) -> list[str]:
    return [f"--language-pairs={pair}" for pair in pairs]


@pytest.mark.parametrize(
    ("words", "expanded"),
    [
        ("run X.yaml --language-pairs en-ig en-sw", ["run", "X.yaml", *flags("en-ig", "en-sw")]),
        ("run --language-pairs en-ig en-sw X.yaml", ["run", *flags("en-ig", "en-sw"), "X.yaml"]),
        ("run --language-pairs en-ig en-sw X.yml", ["run", *flags("en-ig", "en-sw"), "X.yml"]),
        (f"run --language-pairs en-ig {PRESET} --until train", ["run", *flags("en-ig"), PRESET, "--until", "train"]),
        ("train --language_pairs en-ig en-sw --new", ["train", *flags("en-ig", "en-sw"), "--new"]),
        ("train --language-pairs en-ig --new --language-pairs en-sw", ["train", *flags("en-ig"), "--new", *flags("en-sw")]),
        ("run --language-pairs=en-ig X.yaml", ["run", *flags("en-ig"), "X.yaml"]),
        ("run --language_pairs=en-ig en-sw", ["run", *flags("en-ig"), "en-sw"]),
        ("run X.yaml --language-pairs ig", ["run", "X.yaml", *flags("ig")]),
        ("run X.yaml --language-pairs en-ig xx swa_Latn", ["run", "X.yaml", *flags("en-ig", "xx", "swa_Latn")]),
        ("run --language-pairs ig X.yaml", ["run", *flags("ig"), "X.yaml"]),
        ("run X.yaml --language-pairs", ["run", "X.yaml", *flags("")]),
        ("run X.yaml --language-pairs --until train", ["run", "X.yaml", *flags(""), "--until", "train"]),
        (
            "run --language-pairs en-ig -- --language-pairs en-sw",
            ["run", *flags("en-ig"), "--", "--language-pairs", "en-sw"],
        ),
        ("run X.yaml --set train.steps=3", ["run", "X.yaml", "--set", "train.steps=3"]),
        ("", []),
    ],
)
def test_values_end_at_an_option_or_a_recipe(words: str, expanded: list[str]) -> None:
    assert expand_language_pairs(words.split()) == expanded


def test_a_file_that_is_there_is_a_recipe_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my-recipe").write_text("name: mine\n")
    assert expand_language_pairs(["run", FLAG, "en-ig", "my-recipe"]) == ["run", *flags("en-ig"), "my-recipe"]
    assert expand_language_pairs(["run", FLAG, "en-ig", "no-recipe"]) == ["run", *flags("en-ig", "no-recipe")]


WORDS = ["run", "X.yaml", PRESET, "--new", "--set", "a.b=c", "en-ig", "xx", FLAG, "--language_pairs", f"{FLAG}=en-sw", "--"]


@given(st.lists(st.sampled_from(WORDS)))
def test_no_word_is_lost_or_moved_and_a_second_time_changes_nothing(words: list[str]) -> None:
    once = expand_language_pairs(words)
    assert expand_language_pairs(once) == once
    before, after = (["--", *w[w.index("--") :]] if "--" in w else ["--"] for w in (words, once))
    assert before == after
    plain = [w.removeprefix(f"{FLAG}=") for w in once[: len(once) - len(after) + 1]]
    given_words = [w.removeprefix(f"{FLAG}=") for w in words[: len(words) - len(before) + 1]]
    assert [w for w in plain if w] == [w for w in given_words if w not in (FLAG, "--language_pairs")]


def test_typer_reads_what_was_expanded() -> None:
    app = typer.Typer()

    @app.command()
    def run(recipe: Annotated[str, typer.Argument()], language_pairs: LanguagePairsOption = None) -> None:
        typer.echo(f"{recipe} {language_pairs}")

    words = [FLAG, "en-ig", "swa_Latn", "X.yaml"]
    assert CliRunner().invoke(app, expand_language_pairs(words)).output == "X.yaml ['en-ig', 'swa_Latn']\n"
    assert CliRunner().invoke(app, ["X.yaml"]).output == "X.yaml None\n"


def test_pairs_become_an_override_in_nllb_codes() -> None:
    overrides = apply_language_pairs(["train.steps=3"], ["en-ig", "sw-en"])
    assert overrides == ["train.steps=3", "tokens.language_pairs=[eng_Latn-ibo_Latn, swh_Latn-eng_Latn]"]
    recipe = load_recipe(PRESET, overrides)
    assert recipe.tokens.language_pairs == ["eng_Latn-ibo_Latn", "swh_Latn-eng_Latn"]
    assert recipe.train.steps == 3


def test_without_pairs_nothing_is_set() -> None:
    assert apply_language_pairs(None, None) == []
    assert apply_language_pairs(["a=b"], []) == ["a=b"]


@pytest.mark.parametrize("wrong", ["", "ig", "swa_Latn", "xx", "eng_Latn-ig"])
def test_a_wrong_pair_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(InputError, match=f'"{wrong}"'):
        apply_language_pairs([], ["en-sw", wrong])
