"""`lugha align`: its answer in words and as JSON, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lugha.training.loop import TrainResult
from tests.cli.conftest import Lugha
from tests.pipeline.test_aligning import data, start  # noqa: F401 - fixtures


@pytest.fixture
def command(start: TrainResult, data: Path, tmp_path: Path) -> list[object]:  # noqa: F811
    """`--checkpoint ... --data ...` of an alignment that takes a second."""
    return ["--checkpoint", start.run.path, "--data", data / "train.jsonl", "--output", tmp_path / "runs", "--epochs", "0.2"]


def test_the_figures_are_the_same_in_words_and_as_json(lugha: Lugha, command: list[object]) -> None:
    words = lugha("align", "dpo", *command, "--lr", "1e-3", "--beta", "0.2")
    assert words.code == 0, words.err
    assert "ln p(chosen) > ln p(rejected)" in words.out
    found = json.loads(lugha("align", "dpo", *command, "--lr", "1e-3", "--beta", "0.2", "--json").out)
    assert found["weights"] in words.out
    assert f"{found['result']['after']['accuracy']['value']:.3f}" in words.out
    assert set(found["result"]) >= {"before", "after", "accuracy_gain"}


def test_sft_says_the_loss_before_and_after(lugha: Lugha, command: list[object]) -> None:
    done = lugha("align", "sft", *command, "--lang", "sw")
    assert done.code == 0, done.err
    assert "nats/token before" in done.out


def test_bad_input_is_one_line(lugha: Lugha, command: list[object], tmp_path: Path) -> None:
    for arguments, says in (
        (["align", "dppo", *command], 'No alignment "dppo". Did you mean "dpo"?'),
        (["align", "sft", *command, "--beta", "0.1"], "--beta ties dpo"),
        (["align", "dpo", *command, "--validation-data", tmp_path / "none"], "none: no such file or folder"),
        (["align", "dpo", *command, "--lang", "swi"], 'Unknown language "swi"'),
        (["align", "dpo", *command, "--set", "train.betta=1"], 'unknown key "train.betta"'),
    ):
        answer = lugha(*arguments)
        assert answer.code == 2, answer.err
        assert says in answer.err
        assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("tiny-*-*Z-*"))
