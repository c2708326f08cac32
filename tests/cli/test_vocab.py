"""`lugha vocab extend` and the audit, on a small base of NLLB's make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from lugha.cli import vocab
from lugha.errors import InputError, RefusedError
from tests.pipeline.test_extending import IGBO, write_model
from tests.tokens.nllb_tokenizers import nllb_json


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_model(folder, 173)
    (folder / "tokenizer.json").write_text(nllb_json(), encoding="utf-8")
    return folder


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "ibo.txt"
    path.write_text(f"{IGBO}\n“Ọma” nọ\nakwukwo\n", encoding="utf-8")
    return path


def lugha(*words: object) -> Result:
    app = typer.Typer()
    app.add_typer(vocab.app, name="vocab")
    app.command("audit")(vocab.audit)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_extend_by_name_and_from_a_text(base: Path, text: Path, tmp_path: Path) -> None:
    words = ["vocab", "extend", "--base", base, "--language", "efi_Latn", "--like", "ibo_Latn", "--characters", "ṅọ"]
    answer = lugha(*words, "--corpus", text, "--min-count", 2, "-o", tmp_path / "new", "--json")
    assert answer.exit_code == 0, answer.output
    details = json.loads(answer.stdout)
    assert [t["token"] for t in details["tokens"]] == ["efi_Latn", "ṅ", "ọ", "ụ"]
    assert details["load_test"]["tied"] is True
    shown = " ".join(lugha(*words, "-o", tmp_path / "shown").stdout.split())  # a long path wraps the title
    assert "3 new tokens" in shown and "efi_Latn" in shown and "tied as before" in shown


def test_nothing_named_is_an_error_of_use(base: Path, tmp_path: Path) -> None:
    answer = lugha("vocab", "extend", "--base", base, "-o", tmp_path / "new")
    assert isinstance(answer.exception, InputError) and "give --language" in str(answer.exception)
    answer = lugha("vocab", "extend", "--base", base, "--like", "ibo_Latn", "--characters", "ọ", "-o", tmp_path / "new")
    assert isinstance(answer.exception, InputError) and "--like says" in str(answer.exception)
    answer = lugha("vocab", "extend", "--base", base, "--characters", "ọ", "--punctuation", "mosis", "-o", tmp_path / "new")
    assert isinstance(answer.exception, InputError) and 'Did you mean "moses"?' in str(answer.exception)


def test_the_audit_shows_and_refuses(base: Path, text: Path) -> None:
    shown = lugha("audit", "--tokenizer", base, "--input", text)
    assert shown.exit_code == 0 and "U+1ECD" in shown.stdout and "66.67%" in shown.stdout
    figures = json.loads(lugha("audit", "--tokenizer", base, "--input", text, "--punctuation", "moses", "--json").stdout)
    assert figures["und"]["rows_with_unknown"] == 2
    assert "“" not in {c["character"] for c in figures["und"]["characters"]}
    refused = lugha("audit", "--tokenizer", base, "--input", text, "--max-unknown", "0.5")
    assert isinstance(refused.exception, RefusedError) and "model.new_characters: true" in str(refused.exception)
    assert lugha("audit", "--tokenizer", base, "--input", text, "--max-unknown", "0.7").exit_code == 0
