"""`lugha checkpoints`: the same verbs on a run folder, a folder and a store; and bad input by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lugha.checkpoints.format import METRICS, verify_checkpoint
from lugha.checkpoints.publish import publish
from lugha.checkpoints.published import list_published
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.open import open_store
from lugha.recipe import dump_recipe, load_recipe
from lugha.runs.files import sha256_file
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import Ledger
from lugha.runs.manifest import MANIFEST
from tests.checkpoints.small import RUN, content_of, small_checkpoint
from tests.cli.conftest import Lugha
from tests.cli.test_bad_input import refused
from tests.servers import rclone
from tests.servers.hub import MiniHub, point_client_at

OTHER = "small-20261121T000000Z-0000"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with steps 10 to 40 whose recipe names the store `drive`; 10 to 30 are verified there."""
    run = RunFolder(tmp_path / "runs" / RUN)
    for step in (10, 20, 30, 40):
        small_checkpoint(run.checkpoints, step)
    run.log_metrics(kind="validation", step=10, loss=1.0)
    run.log_metrics(kind="validation", step=20, loss=2.0)
    recipe = load_recipe("swahili-debug", ["name=small", f"publish.stores=[{tmp_path / 'drive'}]"])
    (run.path / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    return run


@pytest.fixture
def drive(tmp_path: Path, run: RunFolder) -> FolderStore:
    (tmp_path / "drive").mkdir()
    store = FolderStore(tmp_path / "drive")
    ledger = Ledger(run.ledger)
    for step in (10, 20, 30):
        name = store.name_for(RUN, step)
        folder = run.checkpoints / f"step-{step:08d}"
        publish(store, name, folder)
        manifest = sha256_file(folder / MANIFEST)
        ledger.write("verified", store=store.address, step=step, name=name, bytes=4512, manifest=manifest)
    return store


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def in_store(store: FolderStore, step: int) -> Path:
    return Path(store.address) / next(one.name for one in list_published(store) if one.step == step)


def test_a_run_folder_is_listed_without_reading_it(lugha: Lugha, run: RunFolder, drive: FolderStore) -> None:
    spoil(run.checkpoints / "step-00000040" / "model.safetensors")
    rows = json.loads(lugha("checkpoints", "list", run.path, "--json").out)
    assert [(r["step"], r["run"], r["verified"], r["stores"], r["best"], r["trouble"]) for r in rows] == [
        (40, RUN, None, [], False, None),
        (30, RUN, None, [drive.address], False, None),
        (20, RUN, None, [drive.address], False, None),
        (10, RUN, None, [drive.address], True, None),
    ]
    assert {r["bytes"] for r in rows} == {4500 + len('{"step": 40}')}
    answer = lugha("checkpoints", "list", run.path)
    assert answer.code == 0
    assert "not read" in answer.out
    assert "best" in answer.out


def test_a_store_is_listed_by_its_manifests(lugha: Lugha, drive: FolderStore, tmp_path: Path) -> None:
    metrics = "".join(json.dumps({"kind": "validation", "step": s, "loss": abs(s - 7)}) + "\n" for s in (5, 6, 7))
    for step in (5, 6):
        files = content_of(step) | {METRICS: metrics.encode()}
        publish(drive, drive.name_for(OTHER, step), small_checkpoint(tmp_path / "o", step, run=OTHER, files=files))
    drive.unmark(in_store(drive, 20).relative_to(drive.address).as_posix())
    rows = json.loads(lugha("checkpoints", "list", drive.address, "--json").out)
    assert [(r["run"], r["step"], r["verified"], r["best"]) for r in rows] == [
        (OTHER, 6, True, True),
        (OTHER, 5, True, False),
        (RUN, 30, True, False),
        (RUN, 20, False, False),
        (RUN, 10, True, False),
    ]
    assert rows[3]["trouble"] == "not marked: its upload, or its reading back, did not end"
    assert [r["step"] for r in json.loads(lugha("checkpoints", "list", f"{drive.address}@20", "--json").out)] == [20]
    shown = lugha("checkpoints", "list", drive.address).out
    assert shown.index(OTHER) < shown.index(RUN)
    assert "VERIFIED" not in shown
    assert "not marked: its upload, or its reading back, did not end" in shown


def test_verify_reads_every_byte_and_ends_with_3(lugha: Lugha, run: RunFolder, drive: FolderStore) -> None:
    answer = lugha("checkpoints", "verify", run.path, "--json")
    assert answer.code == 0
    assert [r["verified"] for r in json.loads(answer.out)] == [True] * 4
    assert lugha("checkpoints", "verify", run.checkpoints / "step-00000040").code == 0
    spoil(run.checkpoints / "step-00000030" / "optimiser.safetensors")
    answer = lugha("checkpoints", "verify", run.path, "--json")
    refused(answer, 3, "1 of 4 checkpoints are damaged", "step-00000030/optimiser.safetensors: its SHA-256")
    assert [r["verified"] for r in json.loads(answer.out)] == [True, False, True, True]
    assert lugha("checkpoints", "verify", drive.address).code == 0
    spoil(in_store(drive, 10) / "model.safetensors")
    spoil(in_store(drive, 20) / MANIFEST)
    refused(lugha("checkpoints", "verify", drive.address), 3, "2 of 3 checkpoints are damaged")
    refused(lugha("checkpoints", "verify", f"{drive.address}@10"), 3, "1 of 1", "model.safetensors")
    assert lugha("checkpoints", "verify", f"{drive.address}@30").code == 0


def test_what_is_not_marked_is_no_damage(lugha: Lugha, drive: FolderStore) -> None:
    drive.unmark(in_store(drive, 20).relative_to(drive.address).as_posix())
    answer = lugha("checkpoints", "verify", drive.address, "--json")
    assert answer.code == 0
    assert [r["verified"] for r in json.loads(answer.out)] == [True, False, True]


def test_pull_fetches_the_newest_or_a_step_and_walks_back(lugha: Lugha, drive: FolderStore, tmp_path: Path) -> None:
    output = tmp_path / "pulled"
    answer = lugha("checkpoints", "pull", drive.address, "--output", output)
    assert (answer.code, answer.out.strip()) == (0, str(output / "step-00000030"))
    assert verify_checkpoint(output / "step-00000030").step == 30
    assert lugha("checkpoints", "pull", f"{drive.address}@10", "--output", output).out.strip().endswith("step-00000010")
    spoil(in_store(drive, 30) / "model.safetensors")
    again = lugha("checkpoints", "pull", drive.address, "--output", output)
    assert again.out.strip().endswith("step-00000030")  # it is here already, whole
    fresh = lugha("checkpoints", "pull", drive.address, "--output", tmp_path / "fresh")
    assert fresh.out.strip().endswith("step-00000020")
    assert "its SHA-256 is not that of the manifest" in fresh.err
    refused(
        lugha("checkpoints", "pull", f"{drive.address}@30", "--output", tmp_path / "fresh"), 2, "none of its 1 checkpoints"
    )
    assert [p.name for p in (tmp_path / "fresh").iterdir()] == ["step-00000020"]
    listed = json.loads(lugha("checkpoints", "list", output, "--json").out)
    assert [r["step"] for r in listed] == [30, 10]
    assert lugha("checkpoints", "verify", output).code == 0


def test_pull_takes_an_unmarked_one_only_when_it_is_named(lugha: Lugha, drive: FolderStore, tmp_path: Path) -> None:
    drive.unmark(in_store(drive, 30).relative_to(drive.address).as_posix())
    assert lugha("checkpoints", "pull", drive.address, "--output", tmp_path / "a").out.strip().endswith("step-00000020")
    named = lugha("checkpoints", "pull", f"{drive.address}@30", "--output", tmp_path / "a")
    assert named.out.strip().endswith("step-00000030")
    assert "all its bytes are right" in named.err


def test_promote_by_store_and_by_run(lugha: Lugha, run: RunFolder, drive: FolderStore) -> None:
    answer = lugha("checkpoints", "promote", f"{drive.address}@20")
    assert answer.code == 0
    assert [one.promoted for one in list_published(drive)] == [False, True, False]
    assert lugha("checkpoints", "promote", drive.address).code == 0
    assert [one.promoted for one in list_published(drive)] == [True, False, False]
    refused(lugha("checkpoints", "promote", run.path), 2, "step-00000040 is not verified there")
    run.finished.write_text(json.dumps({"checkpoint": "checkpoints/step-00000010"}))
    assert lugha("checkpoints", "promote", run.path).code == 0
    assert [one.promoted for one in list_published(drive)] == [False, False, True]
    assert Ledger(run.ledger).lines()[-1]["event"] == "promoted"
    assert [r["promoted"] for r in json.loads(lugha("checkpoints", "list", run.path, "--json").out)][-1] is True
    spoil(in_store(drive, 20) / "model.safetensors")
    refused(lugha("checkpoints", "promote", f"{drive.address}@20"), 2, "its SHA-256 is not that of the manifest")


def test_prune_says_what_it_keeps_and_why(lugha: Lugha, run: RunFolder, drive: FolderStore) -> None:
    dry = lugha("checkpoints", "prune", drive.address, "--keep-newest", 2, "--dry-run", "--json")
    assert [(d["step"], d["keep"], d["why"]) for d in json.loads(dry.out)] == [
        (30, True, "among the newest 2 verified"),
        (20, True, "among the newest 2 verified"),
        (10, False, "older than the newest 2"),
    ]
    assert len(list_published(drive)) == 3
    shown = lugha("checkpoints", "prune", drive.address, "--keep-newest", 2, "--dry-run").out
    assert "would go" in shown
    assert "1 of 3 would go" in shown
    assert lugha("checkpoints", "prune", drive.address, "--keep-newest", 2, "--keep-every", 20).code == 0
    assert [one.step for one in list_published(drive)] == [30, 20, 10]  # milestones 10 and 20
    assert "1 of 3 removed" in lugha("checkpoints", "prune", drive.address, "--budget-gb", "0.000001").out
    assert [one.step for one in list_published(drive)] == [30, 20]


def test_prune_of_a_run_follows_its_recipe(lugha: Lugha, run: RunFolder, drive: FolderStore) -> None:
    assert "0 of 4 removed" in lugha("checkpoints", "prune", run.path).out
    recipe = load_recipe(run.path / "recipe.yaml", ["checkpoints.keep_newest=2", "checkpoints.keep_best=false"])
    (run.path / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert "1 of 4 would go" in lugha("checkpoints", "prune", run.path, "--dry-run").out
    with run.lock():
        refused(lugha("checkpoints", "prune", run.path), 3, "another process works in this run folder")
    assert "1 of 4 removed" in lugha("checkpoints", "prune", run.path).out
    assert sorted(p.name for p in run.checkpoints.iterdir()) == [f"step-000000{step}" for step in (20, 30, 40)]


def test_prune_removes_old_quarantine_only_when_asked(lugha: Lugha, drive: FolderStore) -> None:
    left = in_store(drive, 10)
    drive.unmark(left.relative_to(drive.address).as_posix())
    for file in left.rglob("*"):
        os.utime(file, (1, 1))
    assert "0 of 3 removed" in lugha("checkpoints", "prune", drive.address, "--keep-newest", 2).out
    assert "1 of 3 removed" in lugha("checkpoints", "prune", drive.address, "--quarantined-older-than", "7d").out
    assert not left.exists()


def test_bad_input(lugha: Lugha, run: RunFolder, drive: FolderStore, tmp_path: Path) -> None:
    def verb(name: str, *more: object) -> tuple[object, ...]:
        return ("checkpoints", name, *more)

    (tmp_path / "empty").mkdir()
    for name, more in (("list", ()), ("verify", ()), ("prune", ("--keep-newest", 2)), ("promote", ())):
        refused(lugha(*verb(name, tmp_path / "none", *more)), 2, "none: no such run folder, checkpoint or store")
        refused(lugha(*verb(name, tmp_path / "empty", *more)), 2, "empty: no checkpoint here", "s3://")
    refused(lugha(*verb("list", "ftp://x/y")), 2, "ftp://x/y: no such kind of store")
    refused(lugha(*verb("list", "hf://user")), 2, "hf://user")
    refused(lugha(*verb("list", f"{drive.address}@15")), 2, "no step 15 there", "@10")
    refused(lugha(*verb("list", f"{run.path}@15")), 2, "no step 15 there", "Nearest: 10")
    refused(lugha(*verb("list", f"{drive.address}@newest")), 2, "behind @ stands a step")
    refused(lugha(*verb("pull", run.path, "--output", tmp_path / "o")), 2, "is on this disk already")
    refused(lugha(*verb("pull", drive.address, "--output", run.checkpoints)), 2, "inside a run folder", "--resume")
    refused(lugha(*verb("prune", drive.address)), 2, "say what may go", "--keep-newest")
    refused(lugha(*verb("prune", f"{drive.address}@10", "--keep-newest", 2)), 2, "Leave @10 away")
    refused(lugha(*verb("prune", run.checkpoints / "step-00000010", "--keep-newest", 2)), 2, "prune takes a run folder")
    refused(lugha(*verb("prune", run.path, "--quarantined-older-than", "7")), 2, "--quarantined-older-than 7", "7d")
    assert lugha(*verb("prune", run.path, "--keep-newest", 1)).code == 2
    for step in (10, 20, 30):
        drive.unmark(in_store(drive, step).relative_to(drive.address).as_posix())
    refused(lugha(*verb("promote", drive.address)), 2, "no verified checkpoint there")
    refused(lugha(*verb("pull", drive.address, "--output", tmp_path / "o")), 2, "none of its 3 checkpoints can be used")
    (run.path / "recipe.yaml").unlink()
    refused(lugha(*verb("promote", run.path)), 2, "names no store")


def test_a_light_verb_imports_no_torch(run: RunFolder, drive: FolderStore) -> None:
    code = (
        "import sys; sys.argv = ['lugha', 'checkpoints', 'list', sys.argv[1]]\n"
        "from lugha.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "heavy = {'torch', 'transformers', 'boto3', 'huggingface_hub', 'polars', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    for place in (run.path, drive.address):
        done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == "[]"


@pytest.fixture(params=["s3", "hub"])
def far(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a real S3 server's prefix, and of a small hub's repository, with nothing in it."""
    if request.param == "s3":
        with rclone.RcloneS3(tmp_path / "s3") as server:
            server.bucket("lugha")
            rclone.point_client_at(server.environment, monkeypatch)
            yield "s3://lugha/small"
    else:
        with MiniHub() as hub:
            point_client_at(hub, tmp_path / "client", monkeypatch, token=hub.token)
            yield f"hf://{hub.user}/small"


def test_every_verb_on_s3_and_on_the_hub(lugha: Lugha, far: str, tmp_path: Path) -> None:
    store = open_store(far)
    store.prepare(private=True)
    refused(lugha("checkpoints", "list", far), 2, f"{far}: no checkpoint there")
    for step in (1, 2, 3):
        publish(store, store.name_for(RUN, step), small_checkpoint(tmp_path / "local", step))
    rows = json.loads(lugha("checkpoints", "list", far, "--json").out)
    assert [(row["step"], row["verified"]) for row in rows] == [(3, True), (2, True), (1, True)]
    assert lugha("checkpoints", "verify", far).code == 0
    pulled = lugha("checkpoints", "pull", f"{far}@2", "--output", tmp_path / "pulled")
    assert verify_checkpoint(Path(pulled.out.strip())).step == 2
    assert lugha("checkpoints", "promote", far).code == 0
    assert "1 of 3 removed" in lugha("checkpoints", "prune", far, "--keep-newest", 2).out
    rows = json.loads(lugha("checkpoints", "list", far, "--json").out)
    assert [(row["step"], row["promoted"]) for row in rows] == [(3, True), (2, False)]
    refused(lugha("checkpoints", "pull", f"{far}@1", "--output", tmp_path / "pulled"), 2, "no step 1 there", f"{far}@2")
