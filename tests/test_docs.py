"""Docs are run: every command of README.md and docs/commands.md, taken out of the text, in order, in a fresh folder.

Training is shortened by `--set`; RUN and DEMO_RUN become the run folders that the commands before made. Nothing else is changed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lugha.runs.folder import find_runs, read_jsonl
from tests.cli.conftest import Lugha, lugha
from tests.servers.rclone import RcloneS3, point_client_at, rclone_s3
from tests.worlds import sentences

__all__ = ["lugha", "rclone_s3"]  # fixtures
ROOT = Path(__file__).parents[1]
SHORT_DECODER = ["--set", "train.steps=12", "--set", "train.accumulation=1", "--set", "evaluate.max_new_tokens=8"]
SHORT_DEMO = ["--set", "corpus.demo_pairs=700", "--set", "train.steps=40", "--set", "evaluate.max_rows=10"]
NOT_RUN = {"make test": "it is what runs this", "source .venv/bin/activate": "the tests run inside the environment"}


def bash_blocks(text: str) -> Iterator[str]:
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.S):
        yield from (line.split("  #")[0].strip() for line in block.splitlines() if line.strip())


def table_commands(text: str) -> Iterator[str]:
    """`lugha ...` in the second column of the tables."""
    for row in re.findall(r"^\|.*\|$", text, flags=re.M):
        cells = re.split(r"(?<!\\)\|", row)[1:-1]
        yield from (c for c in re.findall(r"`([^`]+)`", cells[1]) if c.startswith("lugha ") and "RECIPE" not in c)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newcomer's folder: some text below data/raw, two small files of translations."""
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        folder = tmp_path / "data" / "raw" / f"site-{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text("\n".join(sentences(120, seed=number)) + "\n", encoding="utf-8")
    (tmp_path / "out.txt").write_text("Mtoto anasoma kitabu.\n", encoding="utf-8")
    (tmp_path / "ref.txt").write_text("Mtoto anasoma kitabu kizuri.\n", encoding="utf-8")
    return tmp_path


def run_command(command: str, lugha: Lugha) -> None:
    words = shlex.split(command)
    if words == ["rm", "-rf", "runs"]:
        shutil.rmtree("runs")
        return
    if words[0] == "torchrun":
        started = [sys.executable, "-m", "torch.distributed.run", "--standalone", *words[1:]]
        done = subprocess.run(
            started, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return
    if words == ["make", "demo"]:
        words = ["lugha", "demo"]
    assert words[0] == "lugha", f"the docs promise a command that no test runs: {command}"
    arguments = [_newest_run(w) for w in words[1:]]
    if arguments[0] == "demo":
        arguments += SHORT_DEMO
    if arguments[0] in ("run", "train") and "model.scale=tiny" not in arguments:
        arguments += SHORT_DECODER
    answer = lugha(*arguments)
    assert answer.code == 0, f"{command}\n{answer.err}"


def _newest_run(word: str) -> str:
    decoders = ("my-swahili", "swahili-debug", "swahili-debug-tiny")
    names = {
        "RUN": decoders,
        "DEMO_RUN": ("demo",),
        "SFT_RUN": ("swahili-debug-tiny-sft",),
        "LORA_RUN": ("igbo-mistral-7b-tiny",),
    }.get(word)
    if names is None:
        return word
    return str(next(run.path for name in names for run in find_runs(Path("runs"), name)))


@pytest.mark.slow
def test_every_command_of_the_readme(workplace: Path, lugha: Lugha) -> None:
    commands = [c for c in bash_blocks((ROOT / "README.md").read_text(encoding="utf-8")) if c not in NOT_RUN]
    assert len(commands) > 10
    for command in commands:
        run_command(command, lugha)
    assert (workplace / "exports" / "hf" / "config.json").is_file()


@pytest.mark.slow
def test_every_command_of_the_command_table(workplace: Path, lugha: Lugha) -> None:
    commands = list(table_commands((ROOT / "docs" / "commands.md").read_text(encoding="utf-8")))
    assert len(commands) > 15
    for command in commands:
        run_command(command, lugha)


@pytest.mark.slow
def test_every_command_of_the_roads(workplace: Path, lugha: Lugha) -> None:
    lines = sentences(60, seed=1)
    examples = [{"instruction": f"Andika: {text}", "response": text} for text in lines]
    preferences = [{"prompt": f"Andika: {text}", "chosen": text, "rejected": text[::-1]} for text in lines]
    for name, rows in (("sft", examples), ("dpo", preferences)):
        (workplace / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    commands = list(bash_blocks((ROOT / "docs" / "roads.md").read_text(encoding="utf-8")))
    assert len(commands) > 10
    for command in commands:
        run_command(command, lugha)


@pytest.mark.slow
def test_every_command_of_durability(
    workplace: Path, lugha: Lugha, rclone_s3: RcloneS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    rclone_s3.bucket("lugha")
    point_client_at(rclone_s3.environment, monkeypatch)
    commands = list(bash_blocks((ROOT / "docs" / "durability.md").read_text(encoding="utf-8")))
    assert len(commands) > 6
    for command in commands:
        run_command(command, lugha)
    (run,) = find_runs(Path("runs"), "swahili-debug-tiny")
    events = [(line["event"], line.get("step")) for line in read_jsonl(run.path / "events.jsonl")]
    assert events[0] == ("resumed", 30)  # of the machine that was wiped
    assert list((workplace / "pulled").glob("step-*/model.safetensors"))


@pytest.mark.slow
def test_the_python_of_the_readme(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "n'ụlọ akwụkwọ" in capsys.readouterr().out


def test_files_that_the_docs_name_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), ROOT / "bench" / "README.md"):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:src|docs|recipes|bench|tests)/[A-Za-z0-9_./-]*[a-z])`", text):
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_every_verb_stands_in_the_docs() -> None:
    from tests.cli.test_main import VERBS

    pages = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("commands", "roads", "durability")))
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for verb in VERBS:
        assert f"lugha {verb}" in text or verb == "demo", verb
