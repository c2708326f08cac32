"""What cannot be made durable is said in one line; and errors of the script itself."""

from __future__ import annotations

from pathlib import Path

from tests.integrations.scripts import ScriptServer
from tests.integrations.snippets import FAILS_AT_5, SAY_STEPS
from tests.integrations.user_scripts import durable, local, published, status, stock


def test_what_cannot_be_durable_is_one_line(scripts: ScriptServer, tmp_path: Path) -> None:
    store = tmp_path / "store"
    cases = {
        "add_callback(durable) is missing": durable(store).replace("trainer.add_callback(durable)", ""),
        "save_only_model=True": durable(store, arguments="save_only_model=True"),
        "enable_jit_checkpoint=True": durable(store, arguments="enable_jit_checkpoint=True"),
        "every='soon'": durable(store, options=", every='soon'"),
        "no checkpoint": durable(store, resume="s3://no-such-bucket"),
    }
    for says, script in cases.items():
        done = scripts.run(script, tmp_path / "run")
        assert done.code in (2, 3), done.text
        assert "Traceback" not in done.text
        line = done.text.splitlines()[-1]
        assert line.startswith("lugha: ") and (says in line or done.code == 3), line


def test_a_bucket_that_is_not_there_is_refused_before_step_1(scripts: ScriptServer, tmp_path: Path) -> None:
    done = scripts.run(durable("s3://no-such-bucket/runs", before=SAY_STEPS), tmp_path)
    assert done.code == 3, done.text
    assert "no-such-bucket" in done.text and "STEP" not in done.text and "Traceback" not in done.text


def test_checkpoints_of_a_time_before_are_not_written_over(scripts: ScriptServer, tmp_path: Path) -> None:
    assert scripts.run(stock(), tmp_path).code == 0
    done = scripts.run(durable(tmp_path / "store"), tmp_path)
    assert done.code == 2
    assert "resume_from_checkpoint='out/checkpoint-12'" in done.text.splitlines()[-1]
    assert local(tmp_path) == {"checkpoint-4", "checkpoint-8", "checkpoint-12"}


def test_an_error_of_the_script_still_publishes_what_is_saved(scripts: ScriptServer, tmp_path: Path) -> None:
    done = scripts.run(durable(tmp_path / "store", inside=FAILS_AT_5), tmp_path)
    assert done.code == 1
    assert "a fault of the script" in done.text
    assert "training ended by an error; the newest checkpoint is that of step 4" in done.text
    assert published(tmp_path / "store").keys() == {4}
    assert status(tmp_path)["state"] == "failed"
