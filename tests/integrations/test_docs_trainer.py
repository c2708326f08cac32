"""Every block of docs/trainer.md, as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.integrations.scripts import ROOT, ScriptServer
from tests.integrations.user_scripts import published
from tests.servers.rclone import RcloneS3

PAGE = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")


def test_the_script_and_its_command(scripts: ScriptServer, s3: RcloneS3, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    (commands,) = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.S)
    assert commands == "python train.py\n"  # as `scripts` runs it
    store = s3.path(s3.bucket("lugha"), "runs")
    first = scripts.run(script, tmp_path)
    assert first.code == 0, first.text
    assert published(store).keys() == {20, 40}
    shutil.rmtree(tmp_path / "igbo")
    again = scripts.run(script, tmp_path)
    assert again.code == 0, again.text
    assert "going on from igbo/checkpoint-40 (step 40), every byte of it verified" in again.text
    assert len(list(store.glob("*/step-*"))) == 2, "what the store has is not sent again"


def test_no_other_block_goes_untested() -> None:
    assert re.findall(r"^```(\w*)$", PAGE, flags=re.M) == ["python", "", "bash", ""]


def test_its_arguments_exist() -> None:
    import inspect

    from lugha.integrations.transformers import DurableCheckpoints

    known = set(inspect.signature(DurableCheckpoints).parameters)
    for name in ("every", "deadline", "evaluation_share", "max_unverified_age", "stop_unverified_age", "allow_changed"):
        assert name in known
        assert name in PAGE
