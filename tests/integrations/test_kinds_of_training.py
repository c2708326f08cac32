"""Several processes, adapters, no store at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.integrations.scripts import ScriptServer
from tests.integrations.snippets import DIE_AT_7, EVALUATED, SLOW_RANK_1, TWO_RANKS
from tests.integrations.user_scripts import durable, local, published, stock, weights
from tests.servers.ports import free_port


def test_several_processes_stop_and_go_on_together(scripts: ScriptServer, tmp_path: Path) -> None:
    def script(folder: Path, inside: str) -> str:
        before = TWO_RANKS.replace("PORT", str(free_port()))
        return durable(folder / "store", before=before, arguments=EVALUATED + ", row_seconds=0.002", inside=inside)

    uninterrupted = scripts.run(script(tmp_path / "calm", ""), tmp_path / "calm")
    assert uninterrupted.code == 0, uninterrupted.text
    done = scripts.run(script(tmp_path / "run", SLOW_RANK_1 + "trainer.add_callback(Signal())"), tmp_path / "run")
    assert done.code == 75, done.text
    assert "RANK 1 ENDED WITH 75" in done.text
    found = published(tmp_path / "run" / "store")
    assert max(found) in (6, 7)  # the signal is heard at the end of the step, or of the next one
    names = {path.name for path in found[max(found)].iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "model.safetensors"} <= names
    shutil.rmtree(tmp_path / "run" / "out")
    again = scripts.run(script(tmp_path / "run", SLOW_RANK_1 + "trainer.add_callback(Signal())"), tmp_path / "run")
    assert again.code == 0, again.text
    assert "RANK 1 ENDED WITH 0" in again.text
    assert again.text.count("lugha: going on from") == 1
    assert weights(again.text) == weights(uninterrupted.text)


def test_an_adapter_goes_on_too(scripts: ScriptServer, tmp_path: Path) -> None:
    before = DIE_AT_7.replace("WAITS_FOR", repr([str(tmp_path / "run" / "store")]))
    script = durable(
        tmp_path / "run" / "store", before=before, arguments="adapter=True", inside="trainer.add_callback(Die())"
    )
    assert scripts.run(script, tmp_path / "run").code == 9
    shutil.rmtree(tmp_path / "run" / "out")
    again = scripts.run(script, tmp_path / "run")
    assert again.code == 0, again.text
    uninterrupted = scripts.run(stock(arguments="adapter=True"), tmp_path / "calm")
    assert weights(again.text) == weights(uninterrupted.text)
    assert (published(tmp_path / "run" / "store")[12] / "adapter_model.safetensors").is_file()


def test_without_a_store_two_sealed_checkpoints_stay(scripts: ScriptServer, tmp_path: Path, uninterrupted: str) -> None:
    script = durable("x", arguments="save_total_limit=1").replace("['x']", "[]")
    done = scripts.run(script, tmp_path)
    assert done.code == 0, done.text
    assert weights(done.text) == uninterrupted
    assert local(tmp_path) == {"checkpoint-8", "checkpoint-12"}
