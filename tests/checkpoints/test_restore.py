"""Restoring: only bytes that match, the newest first, walking back with a reason."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from lugha.checkpoints.format import read_checkpoint, sealed, verify_checkpoint
from lugha.checkpoints.restore import (
    check_same_run,
    find_checkpoint,
    load_into,
    refuse_other_values,
    resolve_checkpoint,
)
from lugha.errors import InputError, RefusedError
from lugha.models.build import build_model
from lugha.models.state import load_weights
from lugha.runs.manifest import FileRecord
from tests.checkpoints.conftest import DEPENDS_ON, SECTION, Spoil, Trainee
from tests.checkpoints.small import small_checkpoint

Key = TypeVar("Key", bound=object)


def cut(name: str) -> Spoil:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def flip(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 0x40
        (folder / name).write_bytes(content)

    return spoil


def remove(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def test_a_restored_trainee_goes_on_as_if_never_stopped(tmp_path: Path, trainee: Trainee) -> None:
    for _ in range(2):
        trainee.step()
    folder = trainee.save(tmp_path / "c")
    for _ in range(3):
        trainee.step()
    expected = trainee.weights()

    torch.manual_seed(999)  # a fresh process has another random state, on which nothing may depend
    again = Trainee()
    again.state = load_into(folder, again.model, again.optimiser, load_weights)
    assert again.state.step == 2
    for _ in range(3):
        again.step()
    assert all(torch.equal(v, expected[k]) for k, v in again.weights().items())


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimiser.safetensors", "trainer.json", "tokenizer.json", "recipe.yaml"]
)
@pytest.mark.parametrize(("spoil", "says"), [(cut, "instead of"), (flip, "SHA-256"), (remove, "missing")])
def test_every_kind_of_damage_is_found_named_and_walked_over(spoil, says: str, name: str, three: Path) -> None:  # type: ignore[no-untyped-def]
    spoil(name)(three / "step-00000003")
    said: list[str] = []
    found = find_checkpoint(three, say=said.append)
    assert found is not None
    assert found.manifest.step == 2
    assert len(said) == 1
    assert says in said[0]
    assert name in said[0]


def test_a_damaged_manifest_is_walked_over_too(three: Path) -> None:
    (three / "step-00000003" / "manifest.json").write_text('{"format": "lugha-ch')
    said: list[str] = []
    found = find_checkpoint(three, say=said.append)
    assert found is not None
    assert found.manifest.step == 2


def test_a_thousand_random_damages_are_never_loaded(tmp_path: Path) -> None:
    """Flips, cuts and missing files anywhere in the newest two checkpoints: the newest good one is taken every time."""
    chance = random.Random(7)
    folders = {step: small_checkpoint(tmp_path / "c", step) for step in (1, 2, 3)}
    files = {path: path.read_bytes() for folder in folders.values() for path in folder.rglob("*") if path.is_file()}
    taken: Counter[int] = Counter()
    for number in range(1000):
        damaged = {3} if number % 2 else {3, 2}
        altered = {step: damage(chance, step_files(files, folders[step])) for step in damaged}
        for path, content in (change for changes in altered.values() for change in changes.items()):
            path.unlink() if content is None else path.write_bytes(content)
        said: list[str] = []
        found = find_checkpoint(tmp_path / "c", say=said.append)
        assert found is not None
        assert found.manifest.step == 3 - len(damaged), altered
        taken[found.manifest.step] += 1
        assert {path: path.read_bytes() for path in step_files(files, found.folder)} == step_files(files, found.folder)
        for changes in altered.values():
            for path in changes:
                path.write_bytes(files[path])
    assert taken == {2: 500, 1: 500}


def step_files(files: dict[Path, bytes], folder: Path) -> dict[Path, bytes]:
    return {path: content for path, content in files.items() if folder in path.parents}


def damage(chance: random.Random, files: Mapping[Key, bytes]) -> dict[Key, bytes | None]:
    """One to three of some files, each with a flipped bit, cut off, longer, or missing (None); at least a byte is another."""
    altered: dict[Key, bytes | None] = {}
    for key in chance.sample(sorted(files, key=str), chance.randint(1, 3)):
        content = bytearray(files[key])
        kind = chance.choice(["flip", "cut", "longer", "missing"])
        if kind == "missing":
            altered[key] = None
            continue
        if kind == "flip" and content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif kind == "cut" and content:
            del content[chance.randrange(len(content)) :]
        else:
            content += b"0"
        altered[key] = bytes(content)
    return altered


def test_all_damaged_is_an_error_and_none_is_a_first_start(three: Path, tmp_path: Path) -> None:
    for folder in three.iterdir():
        cut("model.safetensors")(folder)
    with pytest.raises(InputError, match="all 3 checkpoints are damaged"):
        find_checkpoint(three, say=lambda _: None)
    assert find_checkpoint(tmp_path / "empty", say=print) is None


def test_another_run_is_refused_by_the_name_of_what_differs(three: Path) -> None:
    found = find_checkpoint(three, say=print)
    assert found is not None
    check_same_run(DEPENDS_ON, found)
    with pytest.raises(RefusedError, match=r"train\.lr \(0\.02 here, 0\.01 there\)"):
        check_same_run(DEPENDS_ON | {"train.lr": "0.02"}, found)
    with pytest.raises(RefusedError, match=r"data \(bbbbbbbb here, aaaaaaaa there\)"):
        check_same_run(DEPENDS_ON | {"data": "b" * 64}, found)


def test_a_checkpoint_of_another_model_is_refused_by_file_and_tensor(three: Path, trainee: Trainee) -> None:
    other = build_model(SECTION.model_copy(update={"d_ff": 32}), seed=1)
    says = r"step-00000003/model\.safetensors: .* \(model\.layers\.0\.mlp\.\w+\.weight: .* instead of"
    with pytest.raises(InputError, match=says):
        load_into(three / "step-00000003", other, trainee.optimiser, load_weights)


def test_a_manifest_cannot_point_outside_even_where_its_seal_is_right(three: Path) -> None:
    path = three / "step-00000003" / "manifest.json"
    manifest = read_checkpoint(path.parent)
    secret = FileRecord(path="../../secret.json", bytes=2, sha256="a" * 64)
    path.write_bytes(sealed(manifest.model_copy(update={"files": [*manifest.files, secret]})))
    with pytest.raises(InputError, match="outside the checkpoint"):
        verify_checkpoint(path.parent)


def test_an_altered_manifest_is_not_believed(three: Path) -> None:
    path = three / "step-00000003" / "manifest.json"
    path.write_text(path.read_text().replace('"step": 3', '"step": 7'))
    with pytest.raises(InputError, match="altered, its bytes are not those that its seal was made of"):
        verify_checkpoint(path.parent)


def test_what_differs_is_said_in_plain_words() -> None:
    ours = {"data": "a" * 64, "base": "b" * 64, "tokenizer": "c" * 64, "train.accumulation": "16", "model.d_model": "32"}
    for name, words in {
        "data": r"the training data (dddddddd here, aaaaaaaa there)",
        "tokenizer": r"the tokenizer (dddddddd here, cccccccc there)",
        "base": r"the base model or its revision (dddddddd here, bbbbbbbb there)",
        "train.accumulation": r"the batch layout: train.accumulation (dddddddd here, 16 there)",
        "model.d_model": r"the recipe's model.d_model (dddddddd here, 32 there)",
    }.items():
        with pytest.raises(RefusedError) as refused:
            refuse_other_values(ours | {name: "d" * 64}, ours, "s3://b/p/step")
        assert f"s3://b/p/step: cannot resume, it was made with other values: {words}. " in str(refused.value)
        assert "--new" in str(refused.value)
    with pytest.raises(RefusedError, match=r"the training data \(.*\), the tokenizer \(.* and 1 more"):
        refuse_other_values(dict.fromkeys(ours, "1"), ours, "x")
    with pytest.raises(RefusedError, match=r"base model or its revision \(absent here, bbbbbbbb there\)"):
        refuse_other_values({k: v for k, v in ours.items() if k != "base"}, ours, "x")


def test_looking_for_checkpoints_imports_no_torch() -> None:
    modules = "published retention room policy place restore".split()
    code = "import sys\n" + "".join(f"import lugha.checkpoints.{name}\n" for name in modules)
    code += "print(sorted({'torch', 'safetensors', 'boto3', 'huggingface_hub', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_person_may_name_a_checkpoint_its_folder_or_a_run(three: Path) -> None:
    newest = three / "step-00000003"
    for path in (newest, three, three.parent):
        assert resolve_checkpoint(path, say=print) == newest
    with pytest.raises(InputError, match="no checkpoint here"):
        resolve_checkpoint(three.parent / "elsewhere", say=print)
    cut("model.safetensors")(newest)
    with pytest.raises(InputError, match="cut off or altered"):
        resolve_checkpoint(newest, say=print)
