"""Saving: whole or not there, and nothing else is touched."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lugha.checkpoints.format import FORMAT, list_checkpoints, read_checkpoint, verify_checkpoint
from lugha.checkpoints.place import partial_folder
from lugha.checkpoints.save import save_checkpoint
from lugha.models.build import load_model
from lugha.runs.files import sha256_file
from lugha.runs.weights import Weights
from tests.checkpoints.conftest import DEPENDS_ON, Trainee


def test_a_checkpoint_holds_what_the_format_says(three: Path) -> None:
    folder = three / "step-00000003"
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        "generation_config.json",
        "manifest.json",
        "model.safetensors",
        "optimiser.safetensors",
        "recipe.yaml",
        "tokenizer.json",
        "trainer.json",
    }
    manifest = verify_checkpoint(folder)
    assert (manifest.format, manifest.run, manifest.step, manifest.depends_on) == (FORMAT, "run", 3, DEPENDS_ON)
    assert manifest.normalisers == {"swh": "n" * 64}
    assert {f.path for f in manifest.files} == {p.name for p in folder.iterdir()} - {"manifest.json"}
    assert json.loads((folder / "trainer.json").read_text())["step"] == 3
    assert load_file(folder / "optimiser.safetensors")["model.embed_tokens.weight|exp_avg"].shape == (300, 16)


def test_parents_form_a_chain(three: Path) -> None:
    parents = [read_checkpoint(folder).parent for _, folder in list_checkpoints(three)]
    assert parents[-1] is None
    assert len({*parents}) == 3


def test_the_model_loads_by_transformers_alone(three: Path, trainee: Trainee) -> None:
    loaded = load_model(three / "step-00000003").state_dict()
    assert all((loaded[k] == v).all() for k, v in trainee.weights().items())


def test_an_adapter_is_kept_without_its_base(tmp_path: Path, trainee: Trainee) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    adapter = Weights("adapter_model.safetensors", {"a": torch.ones(2)}, {"adapter_config.json": "{}"})
    folder = save_checkpoint(
        tmp_path / "c",
        run="run",
        weights=adapter,
        optimiser={"a|exp_avg": torch.zeros(2)},
        state=trainee.state,
        depends_on=DEPENDS_ON,
        normalisers={},
        tokenizer=tokenizer,
        recipe_yaml="name: x\n",
        texts={"template.yaml": "name: ours\n"},
    )
    manifest = verify_checkpoint(folder)
    assert manifest.weights_file() == adapter.file
    assert manifest.weights_sha256() == sha256_file(folder / adapter.file)
    assert (folder / "template.yaml").read_text() == "name: ours\n"
    assert (folder / "adapter_config.json").read_text() == "{}"
    assert not (folder / "model.safetensors").exists()


def test_saving_a_step_again_replaces_it(tmp_path: Path, trainee: Trainee) -> None:
    trainee.step()
    first = read_checkpoint(trainee.save(tmp_path / "c")).weights_sha256()
    trainee.model.model.norm.weight.data += 1
    second = read_checkpoint(trainee.save(tmp_path / "c")).weights_sha256()
    assert first != second
    assert [step for step, _ in list_checkpoints(tmp_path / "c")] == [1]


def test_what_a_killed_save_left_is_no_checkpoint_and_goes_with_the_next(three: Path, trainee: Trainee) -> None:
    (three / ".step-00000009.3fa9.partial" / "deep").mkdir(parents=True)
    (three / ".step-00000001.deleted").mkdir()
    assert [step for step, _ in list_checkpoints(three)] == [3, 2, 1]
    trainee.step()
    trainee.save(three)
    assert [p.name for p in sorted(three.iterdir())] == [f"step-0000000{n}" for n in (1, 2, 3, 4)]


def test_a_replaced_checkpoint_beside_the_new_one_does_no_harm(three: Path, trainee: Trainee) -> None:
    """Killed between the rename and the removal: the same step twice, both whole."""
    shutil.copytree(three / "step-00000003", three / "step-00000003-replaced")
    assert [(step, path.name) for step, path in list_checkpoints(three)][:2] == [
        (3, "step-00000003"),
        (3, "step-00000003-replaced"),
    ]
    trainee.step()
    trainee.save(three)
    assert [p.name for p in sorted(three.iterdir())] == [f"step-0000000{n}" for n in (1, 2, 3, 4)]


def test_a_replaced_checkpoint_alone_is_put_back(three: Path, trainee: Trainee) -> None:
    """Killed between the two renames: the older one of that step is all there is."""
    (three / "step-00000003").rename(three / "step-00000003-replaced")
    assert list_checkpoints(three)[0][0] == 3
    trainee.step()
    trainee.save(three)
    assert [p.name for p in sorted(three.iterdir())] == [f"step-0000000{n}" for n in (1, 2, 3, 4)]
    assert verify_checkpoint(three / "step-00000003").step == 3


def test_a_replaced_checkpoint_stays_where_the_new_one_is_damaged(three: Path, trainee: Trainee) -> None:
    shutil.copytree(three / "step-00000003", three / "step-00000003-replaced")
    (three / "step-00000003" / "manifest.json").unlink()
    trainee.step()
    trainee.save(three)
    assert verify_checkpoint(three / "step-00000003-replaced").step == 3


def test_what_a_living_process_writes_is_left_alone(three: Path, trainee: Trainee) -> None:
    with partial_folder(three / "step-00000500") as partial:
        (partial / "model.safetensors").write_bytes(b"half")
        trainee.step()
        trainee.save(three)
        assert (partial / "model.safetensors").read_bytes() == b"half"
    assert not partial.exists()


_CHILD = """
    import json, os, sys
    from pathlib import Path
    from tests.checkpoints.conftest import Trainee
    import lugha.checkpoints.save as save

    folder = Path(sys.argv[1])
    count, point = 0, 0
    def counted(inner):
        def call(*a, **k):
            global count
            count += 1
            if count == point:
                os._exit(137)
            return inner(*a, **k)
        return call
    # Every file operation of a save: each may be the last thing that a process does.
    for name in ("mkdir", "rename", "replace", "write_text", "open", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))
    os.fsync = counted(os.fsync)
    save.save_file = counted(save.save_file)
    save.shutil.copyfile = counted(save.shutil.copyfile)

    again = sys.argv[2] == "again"  # the second save is of the same step
    trainee = Trainee(); trainee.step()
    def two_saves(place, death):
        global count, point
        place.mkdir(parents=True)
        trainee.save(place / "c")
        trainee.step()
        if again:
            trainee.state = trainee.state.model_copy(update={"step": 1})
        count, point = 0, death
        trainee.save(place / "c")

    if os.fork() == 0:  # the whole way once, to count
        two_saves(folder / "whole", 0)
        (folder / "operations").write_text(str(count))
        os._exit(0)
    os.wait()
    operations = int((folder / "operations").read_text())
    for number in range(1, operations + 1):
        if os.fork() == 0:
            two_saves(folder / f"{number:03d}", number)
            os._exit(1)  # not reached: the process died inside
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 137, number
    from lugha.checkpoints.format import list_checkpoints, verify_checkpoint
    def whole(place):
        return [step for step, found in list_checkpoints(place) if verify_checkpoint(found)]
    steps = [whole(folder / f"{number:03d}" / "c") for number in range(1, operations + 1)]
    trainee.state = trainee.state.model_copy(update={"step": 5})
    for number in range(1, operations + 1, 3):  # and the next save clears away what they left
        trainee.save(folder / f"{number:03d}" / "c")
    print(json.dumps(steps))
"""


@pytest.mark.parametrize("second", ["next", "again"])
def test_a_process_that_dies_at_any_file_operation_leaves_a_good_checkpoint(second: str, tmp_path: Path) -> None:
    """A real process is ended at each operation of a save in turn; the last good checkpoint never goes back."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_CHILD), str(tmp_path), second],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)  # steps of the whole checkpoints, for each operation
    assert len(after) > 20
    assert all({*steps} in ([{1}] if second == "again" else [{1}, {1, 2}]) for steps in after), after
    for folder in tmp_path.glob("*/c"):
        if list_checkpoints(folder)[0][0] == 5:
            assert {path.name for path in folder.iterdir()} <= {f"step-0000000{step}" for step in (1, 2, 5)}


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A file-size limit stands in for a full disk: the kernel refuses the bytes in the middle of the weights."""
    code = f"""
        import resource, signal, sys
        from pathlib import Path
        from lugha.errors import InterruptedRunError
        from tests.checkpoints.conftest import Trainee
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        trainee = Trainee(); trainee.step(); trainee.save(Path(sys.argv[1])); trainee.step()
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, {resource.RLIM_INFINITY}))
        try: trainee.save(Path(sys.argv[1]))
        except InterruptedRunError as error: print(error); sys.exit(error.exit_code)
    """
    assert signal.SIGXFSZ
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "c")],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 75, done.stderr
    assert "No space left on the disk" in done.stdout
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["step-00000001"]
    assert verify_checkpoint(tmp_path / "c" / "step-00000001").step == 1
