"""A script that was killed, wiped out, damaged or changed is started again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from tests.durability.points import DIED
from tests.integrations.conftest import Repository
from tests.integrations.scripts import ScriptServer
from tests.integrations.snippets import COUNTED, DIE_AT_7, DIE_BEFORE_THE_SPOOL, EVALUATED, LOADS
from tests.integrations.user_scripts import durable, published, stock, weights


def test_a_wiped_machine_goes_on_from_s3_bit_for_bit(
    scripts: ScriptServer, bucket: Path, tmp_path: Path, uninterrupted: str
) -> None:
    before = DIE_AT_7.replace("WAITS_FOR", repr([str(bucket)]))
    script = durable(f"s3://{bucket.name}/runs", before=before, arguments=EVALUATED, inside="trainer.add_callback(Die())")
    assert scripts.run(script, tmp_path).code == 9
    shutil.rmtree(tmp_path / "out")
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert "going on from out/checkpoint-4 (step 4), every byte of it verified" in again.text
    assert weights(again.text) == uninterrupted
    found = published(bucket / "runs")
    assert found.keys() >= {4, 8, 12}
    runs = {json.loads((folder / "manifest.json").read_bytes())["run"] for folder in found.values()}
    assert len(runs) == 1, "it is the same run"
    promoted = json.loads((bucket / "runs" / runs.pop() / "PROMOTED.json").read_bytes())
    assert promoted["step"] == 12


def test_the_hub_has_the_layout_that_transformers_opens(
    scripts: ScriptServer, repository: Repository, tmp_path: Path, uninterrupted: str
) -> None:
    before = DIE_AT_7.replace("WAITS_FOR", "[]")
    script = durable(repository.address, before=before, inside="trainer.add_callback(Die())")
    assert scripts.run(script, tmp_path).code == 9
    again = scripts.run(script + LOADS.replace("REPOSITORY", repository.name), tmp_path)
    assert again.code == 0, again.text
    assert weights(again.text) == uninterrupted
    assert f"LOADED 12 {uninterrupted}" in again.text
    assert f"ROOT {uninterrupted}" in again.text
    assert len(set(re.findall(r"LOADED \d+ (\w+)", again.text))) == 3
    assert not [name for name in repository.files() if name.endswith("training_args.bin")]
    assert repository.hub.is_private(repository.name)


def test_a_damaged_checkpoint_is_passed_over_everywhere(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    script = durable(tmp_path / "store")
    assert scripts.run(script, tmp_path).code == 0
    for folder in (tmp_path / "out" / "checkpoint-12", published(tmp_path / "store")[12]):
        weights_file = folder / "model.safetensors"
        content = bytearray(weights_file.read_bytes())
        content[-1] ^= 1
        weights_file.write_bytes(content)
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert "checkpoint-12/model.safetensors: its SHA-256 is not that of the manifest" in again.text
    assert "going on from out/checkpoint-8" in again.text
    assert weights(again.text) == uninterrupted


def test_a_finished_run_takes_no_step_more(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    """A stock Trainer that is told to go on from its last step takes another one."""
    script = durable(tmp_path / "store") + "\nprint('AT', trainer.state.global_step)"
    assert scripts.run(script, tmp_path).code == 0
    again = scripts.run(script, tmp_path)
    assert again.code == 0
    assert "AT 12" in again.text
    assert weights(again.text) == uninterrupted
    more = scripts.run(
        stock(resume="resume_from_checkpoint='out/checkpoint-12'") + "\nprint('AT', trainer.state.global_step)", tmp_path
    )
    assert "AT 13" in more.text


def test_other_values_are_refused_by_name(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(durable(tmp_path / "store"), tmp_path).code == 0
    other = scripts.run(durable(tmp_path / "store", arguments="learning_rate=1e-3, seed=7"), tmp_path)
    assert other.code == 3
    assert "learning_rate (0.001 here, 0.01 there), seed (7 here, 42 there)" in other.text.splitlines()[-1]
    assert "allow_changed=['learning_rate', 'seed']" in other.text.splitlines()[-1]
    allowed = scripts.run(
        durable(tmp_path / "store", arguments="max_steps=16", options=", allow_changed=['max_steps']"), tmp_path
    )
    assert allowed.code == 0, allowed.text
    assert "changed, as allowed: max_steps" in allowed.text
    assert 16 in published(tmp_path / "store")


def test_an_older_checkpoint_that_is_named_begins_a_branch(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(durable(tmp_path / "store"), tmp_path).code == 0
    store = tmp_path / "store"
    branch = scripts.run(durable(store, resume=f"{store}@4"), tmp_path)
    assert branch.code == 0, branch.text
    assert "going on from out/checkpoint-4" in branch.text
    assert len(list(store.glob("out-*"))) == 2
    third = scripts.run(durable(store, resume="out/checkpoint-8"), tmp_path)
    assert third.code == 0, third.text
    assert len(list(store.glob("out-*"))) == 3
    newest = sorted(store.glob("out-*"))[-1].name
    assert json.loads((tmp_path / "out" / "checkpoint-12" / "manifest.json").read_bytes())["run"] == newest


def test_what_was_sealed_and_never_sent_is_sent_by_the_next_start(scripts: ScriptServer, tmp_path: Path) -> None:
    arguments = f"{EVALUATED}, load_best_model_at_end=True"  # the first is the best
    script = durable(tmp_path / "store", before=DIE_BEFORE_THE_SPOOL, arguments=arguments)
    assert scripts.run(script, tmp_path).code == 9
    assert 12 not in published(tmp_path / "store")
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert published(tmp_path / "store").keys() == {4, 8, 12}
    (promoted,) = (tmp_path / "store").glob("*/PROMOTED.json")
    assert json.loads(promoted.read_bytes())["step"] == 4


def test_a_death_at_any_operation_loses_nothing(scripts: ScriptServer, tmp_path: Path) -> None:
    """A sample of the changes to files that save, publish, rotate and restore make; every second time the machine is wiped."""
    script = durable("../store", before=COUNTED, arguments=f"max_steps=6, save_steps=2, save_total_limit=1, {EVALUATED}")
    script += "\nprint('OPERATIONS', points.count)"
    whole = scripts.run(script, tmp_path / "whole")
    operations = int(re.search(r"OPERATIONS (\d+)", whole.text)[1])  # type: ignore[index]
    assert operations > 300
    store = tmp_path / "store"
    for number, point in enumerate(range(31, operations, 71)):
        shutil.rmtree(store)
        folder = tmp_path / str(point)
        died = scripts.run(script, folder, {"DIE_AT": str(point)})
        assert died.code in (0, DIED), died.text
        newest = max(published(store), default=0)
        if number % 2:
            shutil.rmtree(folder / "out")
        again = scripts.run(script, folder)
        assert again.code == 0, again.text
        assert weights(again.text) == weights(whole.text)
        begun = re.search(r"going on from out/checkpoint-(\d+)", again.text)
        assert int(begun[1] if begun else 0) >= newest, f"at operation {point}: {again.text}"
        assert 6 in published(store)
