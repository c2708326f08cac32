"""Secrets come from the environment and go nowhere: not to a log, a manifest, a store, a terminal, a process title."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.worlds import stored
from tests.servers.hub import MiniHub
from tests.servers.rclone import RcloneS3
from tests.worlds import World, documents_world

SOURCE = Path(__file__).parents[2] / "src" / "lugha"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return documents_world(tmp_path_factory.mktemp("world"), steps=6, save_every=2, eval_every=100)


def everything_written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def secrets_in(environment: dict[str, str]) -> list[bytes]:
    named = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN")
    found = [environment[name].encode() for name in named if environment.get(name)]
    assert len(found) >= 3
    return found


@pytest.mark.slow
@pytest.mark.parametrize("rights", ["good", "revoked"])
def test_no_secret_is_written_or_printed_anywhere(rights: str, world: World, tmp_path: Path) -> None:
    with RcloneS3(tmp_path / "s3") as s3, MiniHub() as hub:
        s3.bucket("lugha")
        environment = {**s3.environment, **hub.environment}
        if rights == "revoked":  # what servers answer then is put into messages
            environment["AWS_SECRET_ACCESS_KEY"] = "notTheSecretOfThisServer0123456789abcdef"
            environment["HF_TOKEN"] = "hf_notATokenThatThisHubKnows0123456789"
        recipe = stored(world, tmp_path / "runs", ["s3://lugha/x", "hf://mwalimu/x"])
        command = [sys.executable, "-m", "lugha", "train", "--config", str(recipe)]
        command += ["--tokens", str(world.tokens), "--tokenizer", str(world.tokenizer)]
        titles: list[bytes] = []
        with subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            while process.poll() is None:
                titles.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
                titles += [task.read_bytes() for task in Path(f"/proc/{process.pid}/task").glob("*/comm")]
                try:
                    printed, _ = process.communicate(timeout=0.5)
                except subprocess.TimeoutExpired:
                    continue
        assert process.returncode == (0 if rights == "good" else 3), printed.decode()
        if rights == "good":
            assert (tmp_path / "runs").is_dir()
            assert len(list(everything_written(tmp_path / "s3"))) > 20
        listed = [sys.executable, "-m", "lugha", "checkpoints", "list", "s3://lugha/x"]
        shown = subprocess.run(listed, env=os.environ | environment, capture_output=True, check=False)
        written = [*everything_written(tmp_path / "runs"), *everything_written(tmp_path / "s3")]
        for secret in secrets_in(environment):
            for where, content in written:
                assert secret not in content, where
            for text in (printed, shown.stdout, shown.stderr, *titles):
                assert secret not in text


def test_nothing_is_loaded_that_could_run_code() -> None:
    """Every `torch.load` says weights_only=True; nobody unpickles; archives are opened by nobody yet."""
    calls = 0
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {str(getattr(node, "module", "")).split(".")[0]}
                assert not names & {"pickle", "marshal", "shelve", "dill", "joblib", "tarfile", "zipfile"}, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
                calls += 1
                given = {k.arg: ast.unparse(k.value) for k in node.keywords}
                expected = {"weights_only": "True"} if "torch" in ast.unparse(node.func) else {"allow_pickle": "False"}
                unsafe = given.get(next(iter(expected))) not in (next(iter(expected.values())), None)
                assert not unsafe, path
                if "torch" in ast.unparse(node.func):
                    assert given.get("weights_only") == "True", path
    assert calls > 0
