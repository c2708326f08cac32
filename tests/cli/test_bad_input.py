"""Bad input by hand: one clear line each, the right exit code, nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lugha.recipe import dump_recipe
from tests.cli.conftest import Answer, Lugha
from tests.worlds import documents_world


def refused(answer: Answer, code: int, *says: str) -> None:
    """One line on stderr that holds every one of `says`; progress lines of long work may stand above it."""
    assert answer.code == code, answer.err
    last = answer.err.rstrip("\n").split("\n")[-1]
    assert last.startswith("lugha: ")
    for text in says:
        assert text in last
    assert "Traceback" not in answer.err


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def clean(lugha: Lugha, source: Path, output: Path, *more: str) -> Answer:
    language = () if "--source-lang" in more else ("--lang", "swh")
    return lugha("corpus", "clean", "--input", source, "--output", output, *language, *more)


def test_a_missing_file(lugha: Lugha, tmp_path: Path) -> None:
    refused(clean(lugha, tmp_path / "none.txt", tmp_path / "out"), 2, "none.txt", "no such file or folder")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder(lugha: Lugha, raw: Path, tmp_path: Path) -> None:
    refused(clean(lugha, raw, tmp_path / "out"), 2, str(raw))
    assert not (tmp_path / "out").exists()


def test_invalid_utf8_names_file_and_line(lugha: Lugha, raw: Path, tmp_path: Path) -> None:
    (raw / "a.txt").write_bytes(b"Habari za asubuhi.\nMtoto \xff anasoma.\n")
    refused(clean(lugha, raw, tmp_path / "out"), 2, "a.txt", "line 2", "UTF-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw"]


def test_two_moses_files_of_different_length(lugha: Lugha, raw: Path, tmp_path: Path) -> None:
    (raw / "t.en").write_text("One.\nTwo.\nThree.\n")
    (raw / "t.sw").write_text("Moja.\nMbili.\n")
    answer = clean(
        lugha, raw / "t.en", tmp_path / "out", "--source-lang", "eng", "--target-lang", "swh", "--target", str(raw / "t.sw")
    )
    refused(answer, 2, "t.en", "t.sw", "3", "2")
    assert not (tmp_path / "out").exists()


def test_an_unknown_key(lugha: Lugha) -> None:
    refused(lugha("run", "demo", "--set", "train.stepz=3"), 2, 'unknown key "train.stepz"', 'Did you mean "steps"?')


def test_an_unknown_language_code(lugha: Lugha, raw: Path, tmp_path: Path) -> None:
    (raw / "a.txt").write_text("Habari.\n")
    answer = lugha("corpus", "clean", "--input", raw, "--output", tmp_path / "out", "--lang", "swi")
    refused(answer, 2, 'Unknown language "swi"', "Did you mean")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_too_large_for_the_model(lugha: Lugha, tmp_path: Path) -> None:
    refused(lugha("recipe", "check", "swahili-debug", "--set", "tokenizer.vocab_size=16384"), 2, "16384", "4096")
    world = documents_world(tmp_path / "world")
    file = tmp_path / "tiny.yaml"
    file.write_text(dump_recipe(world.recipe), encoding="utf-8")
    answer = lugha(
        *("train", "--config", file, "--tokens", world.tokens, "--tokenizer", world.tokenizer),
        *("--set", "model.vocab_size=300", "--set", f"tokenizer.path={world.tokenizer}"),
    )
    refused(answer, 2, "tokens, but model.vocab_size is 300", "Set model.vocab_size")
    assert not (tmp_path / "world" / "runs").exists()


def test_a_truncated_checkpoint(lugha: Lugha, tmp_path: Path) -> None:
    world = documents_world(tmp_path / "world")
    file = tmp_path / "tiny.yaml"
    file.write_text(dump_recipe(world.recipe), encoding="utf-8")
    train = ("train", "--config", file, "--tokens", world.tokens, "--tokenizer", world.tokenizer)
    assert lugha(*train).code == 0
    run = next((tmp_path / "world" / "runs").iterdir())
    newest = run / "checkpoints" / "step-00000012"
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(lugha(*train, "--resume", newest), 2, "model.safetensors", "1000 bytes instead of", "cut off")
    refused(lugha("generate", "--checkpoint", newest, "--prompt", "x"), 2, "cut off")
    walked = lugha(*train, "--resume", "auto")  # goes back to step 8 and on to the end
    assert walked.code == 0
    assert "Trying the checkpoint before it" in walked.out + walked.err
    shutil.rmtree(run / "checkpoints" / "step-00000008")
    shutil.rmtree(run / "checkpoints" / "step-00000004")
    weights.write_bytes(b"")
    refused(lugha(*train, "--resume", "auto"), 2, "all 1 checkpoints are damaged")


def test_no_disk_space(raw: Path, tmp_path: Path) -> None:
    """A real small file system where the test may mount one, else a file-size limit of the kernel."""
    (raw / "a.txt").write_text(
        "".join(f"Mtoto namba {i * 7919 % 100_003} anasoma kitabu cha {i}.\n" for i in range(200_000))
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    limit = "" if mounted.returncode == 0 else "ulimit -f 100; "
    try:
        command = f"{limit}exec {sys.executable} -m lugha corpus clean --input {raw} --output {disk}/out --lang swh"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        refused(
            Answer(done.returncode, done.stdout, done.stderr), 75, "No space left on the disk", "out", "run the same command"
        )
        assert list(disk.iterdir()) == []
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(disk)], check=True)


def test_stages_refuse_what_is_not_their_input(lugha: Lugha, raw: Path, tmp_path: Path) -> None:
    refused(lugha("corpus", "dedup", "--input", raw, "--output", tmp_path / "out"), 2, "manifest.json")
    refused(lugha("corpus", "filter", "--input", tmp_path / "no", "--output", tmp_path / "out"), 2, "no such folder")
    (raw / "a.txt").write_text("Mtoto anasoma kitabu kizuri.\n\n")
    assert clean(lugha, raw, tmp_path / "cleaned").code == 0
    refused(
        lugha("tokens", "build", "--input", tmp_path / "cleaned", "--output", tmp_path / "o", "--tokenizer", raw),
        2,
        "tokenizer.json",
    )
    shard = tmp_path / "cleaned" / "00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-10])
    refused(lugha("corpus", "dedup", "--input", tmp_path / "cleaned", "--output", tmp_path / "out"), 2, "was changed")
    assert not (tmp_path / "out").exists()


def test_evaluate_needs_one_of_two_things(lugha: Lugha, tmp_path: Path) -> None:
    refused(lugha("evaluate"), 2, "--checkpoint", "--hypotheses")
    (tmp_path / "h").write_text("a\nb\n")
    (tmp_path / "r").write_text("a\n")
    refused(lugha("evaluate", "--hypotheses", tmp_path / "h", "--references", tmp_path / "r"), 2, "2", "1")
