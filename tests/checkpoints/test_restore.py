"""Restoring: only bytes that match, the newest first, walking back with a reason."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from lugha.checkpoints.format import verify_checkpoint
from lugha.checkpoints.restore import check_same_run, find_checkpoint, load_into, resolve_checkpoint
from lugha.errors import InputError, RefusedError
from lugha.models.build import build_model
from lugha.models.state import load_weights
from tests.checkpoints.conftest import DEPENDS_ON, SECTION, Spoil, Trainee


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


def test_a_thousand_random_damages_are_never_loaded(three: Path) -> None:
    """Byte flips and cuts anywhere in any file of the newest checkpoint: the one before it is taken every time."""
    chance = random.Random(7)
    newest = three / "step-00000003"
    right = verify_checkpoint(newest)
    files = {p: p.read_bytes() for p in sorted(newest.iterdir())}
    for _ in range(1000):
        path = chance.choice(list(files))
        content = bytearray(files[path])
        place = chance.randrange(len(content))
        if chance.random() < 0.5:
            content[place] ^= 1 << chance.randrange(8)
        else:
            del content[place:]
        path.write_bytes(content)
        try:
            manifest = verify_checkpoint(newest)
        except InputError:
            pass
        else:
            # The manifest's own bytes are not hashed: a flip there may hit a blank or a word that proves nothing.
            assert path.name == "manifest.json"
            assert (manifest.files, manifest.step) == (right.files, right.step)
        path.write_bytes(files[path])


def test_a_manifest_with_another_step_is_not_believed(three: Path) -> None:
    path = three / "step-00000003" / "manifest.json"
    path.write_text(path.read_text().replace('"step": 3', '"step": 7'))
    with pytest.raises(InputError, match="step 7 is not that of trainer.json"):
        verify_checkpoint(path.parent)


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


def test_a_manifest_cannot_point_outside(three: Path) -> None:
    path = three / "step-00000003" / "manifest.json"
    path.write_text(path.read_text().replace('"trainer.json"', '"../../secret.json"'))
    with pytest.raises(InputError, match="outside the checkpoint"):
        verify_checkpoint(path.parent)


def test_a_person_may_name_a_checkpoint_its_folder_or_a_run(three: Path) -> None:
    newest = three / "step-00000003"
    for path in (newest, three, three.parent):
        assert resolve_checkpoint(path, say=print) == newest
    with pytest.raises(InputError, match="no checkpoint here"):
        resolve_checkpoint(three.parent / "elsewhere", say=print)
    cut("model.safetensors")(newest)
    with pytest.raises(InputError, match="cut off or altered"):
        resolve_checkpoint(newest, say=print)
