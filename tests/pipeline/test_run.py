"""The pipeline: every stage in order, nothing done twice, nothing stale used."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lugha.checkpoints.format import list_checkpoints
from lugha.errors import InputError, InterruptedRunError, RefusedError
from lugha.pipeline.layout import Layout
from lugha.pipeline.run import run_recipe
from lugha.recipe import Recipe, dump_recipe, load_recipe
from lugha.runs import stopping
from lugha.runs.folder import find_runs, read_jsonl
from lugha.runs.manifest import read_manifest
from tests.worlds import sentences

SMALL = [
    "name=small",
    "train.steps=6",
    "train.accumulation=1",
    "train.save_every=3",
    "train.eval_every=6",
    "evaluate.max_new_tokens=4",
    "corpus.split.validation=0.1",
    "corpus.split.test=0.1",
    "model.d_model=32",
    "model.layers=1",
]


def small_recipe(folder: Path, *overrides: str) -> Recipe:
    """A decoder on a few hundred sentences in twelve files."""
    raw = folder / "raw"
    if not raw.exists():
        raw.mkdir(parents=True)
        for number in range(12):
            (raw / f"{number:02d}.txt").write_text("\n".join(sentences(60, seed=number)) + "\n", encoding="utf-8")
    places = [f"corpus.root={raw}", f"run.root={folder / 'runs'}"]
    return load_recipe("swahili-debug", [*SMALL, *places, *overrides])


def run(recipe: Recipe, **options: str) -> list[str]:
    said: list[str] = []
    run_recipe(recipe, say=said.append, **options)
    return said


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe that has run to its end once."""
    folder = tmp_path_factory.mktemp("pipeline")
    run(small_recipe(folder))
    return folder


def test_every_stage_leaves_its_output(finished: Path) -> None:
    recipe = small_recipe(finished)
    layout, found = Layout.of(recipe), find_runs(recipe.run.root, "small")
    for step in ("cleaned", "deduped", "filtered", "split"):
        assert read_manifest(layout.corpus(step)).rows_out > 0
    assert read_manifest(layout.tokenizer).details["fertility"]["swh"]["tokens_per_word"] > 0
    assert read_manifest(layout.tokens).details["splits"]["test"]["sequences"] > 0
    assert len(found) == 1
    names = {p.name for p in found[0].path.iterdir()}
    assert {
        "recipe.yaml",
        "metrics.jsonl",
        "events.jsonl",
        "train.json",
        "evaluation.json",
        "export",
        "report.html",
    } <= names


def test_a_second_run_does_nothing_again(finished: Path) -> None:
    recipe = small_recipe(finished)
    layout = Layout.of(recipe)
    before = {
        p: p.stat().st_mtime_ns for p in layout.root.rglob("*") if p.is_file() and p.name not in ("report.html", ".lock")
    }
    said = run(recipe)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert any("is finished at step 6: nothing to do" in line for line in said)
    assert any("evaluation.json is current" in line for line in said)
    assert len(find_runs(recipe.run.root, "small")) == 1


def test_a_changed_setting_redoes_what_depends_on_it(tmp_path: Path) -> None:
    layout = Layout.of(small_recipe(tmp_path))
    run(small_recipe(tmp_path), until="tokens")
    stages = {s: read_manifest(layout.corpus(s)).finished for s in ("cleaned", "deduped", "filtered", "split")}
    shards = read_manifest(layout.tokens).content_digest()
    time.sleep(1.1)  # `finished` counts whole seconds
    run(small_recipe(tmp_path, "corpus.filter.min_words=5"), until="tokens")
    again = {s: read_manifest(layout.corpus(s)).finished for s in stages}
    assert again["cleaned"] == stages["cleaned"]
    assert again["deduped"] == stages["deduped"]
    assert again["filtered"] > stages["filtered"]
    assert read_manifest(layout.tokens).content_digest() != shards


def test_until_and_from(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path)
    with pytest.raises(InputError, match=r"cleaned is missing. Run without --from"):
        run(recipe, first="tokens")
    run(recipe, until="train")
    assert not (find_runs(recipe.run.root, "small")[0].path / "evaluation.json").exists()
    run(recipe, first="evaluate", until="evaluate")
    assert (find_runs(recipe.run.root, "small")[0].path / "evaluation.json").exists()
    run(recipe, first="train", until="train")
    assert len(find_runs(recipe.run.root, "small")) == 2  # training from its beginning is a new run
    with pytest.raises(InputError, match=r"split is stale: .* Run without --from"):
        run(small_recipe(tmp_path, "corpus.split.test=0.2"), first="train")
    with pytest.raises(InputError, match='No stage "trian". Did you mean "train"?'):
        run(recipe, until="trian")
    with pytest.raises(InputError, match="--from export comes after --until tokens"):
        run(recipe, first="export", until="tokens")


def test_evaluating_before_training_says_what_to_run(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path)
    run(recipe, until="tokens")
    with pytest.raises(InputError, match="is not trained with these settings: .* Run it --until train first"):
        run(recipe, first="evaluate")


def test_no_sources_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus\.sources is empty"):
        run(small_recipe(tmp_path, "corpus.sources=[]"))


@pytest.mark.slow
def test_the_same_command_goes_on_after_a_signal(tmp_path: Path) -> None:
    """A real `lugha run` is asked to stop while it trains: exit 75, and the same command ends the same run."""
    recipe = small_recipe(tmp_path, "train.steps=4000", "train.save_every=4000", "train.eval_every=4000")
    file = tmp_path / "small.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "lugha", "run", str(file), "--until", "train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as job:
        while job.poll() is None and not (found := find_runs(recipe.run.root, "small")):
            time.sleep(0.02)
        while job.poll() is None and not read_jsonl(found[0].metrics):
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        _, error = job.communicate()
    assert job.returncode == 75, error
    last = error.decode().strip().split("\n")[-1]
    assert "Stopped at step" in last
    assert "--resume auto" in last
    step = list_checkpoints(found[0].checkpoints)[0][0]
    assert 0 < step < 4000
    # How an attempt is to end is no part of what is computed: the same run goes on, and stops as somebody asked it to.
    (found[0].path / "STOP").touch()
    with pytest.raises(InterruptedRunError, match="by the file .*STOP"):
        run(load_recipe(file, ["run.grace=5s", "checkpoints.interval=1h"]), until="train")
    events = [e["event"] for e in read_jsonl(found[0].path / "events.jsonl")]
    assert [e for e in events if e != "saved"] == ["started", "stopped", "resumed", "stopped"]
    assert list_checkpoints(found[0].checkpoints)[0][0] >= step
    assert not (found[0].path / "STOP").exists()


def test_a_deadline_that_is_over_is_refused_before_the_first_stage(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "run.deadline=2020-01-01T00:00Z")
    with pytest.raises(RefusedError, match="run.deadline 2020-01-01T00:00Z is over since"):
        run(recipe)
    assert not recipe.run.root.exists()


@pytest.mark.parametrize("after", ["cleaned", "tokens"])
def test_a_deadline_between_two_stages_ends_the_command_and_the_next_goes_on(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    when = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    recipe = small_recipe(tmp_path, f"run.deadline={when}")
    layout = Layout.of(recipe)
    output = layout.tokens if after == "tokens" else layout.corpus(after)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + (output / "manifest.json").exists() * 3600)
    with pytest.raises(InterruptedRunError, match="Stopped by run.deadline .*; nothing half-written was kept"):
        run(recipe)
    assert output.is_dir()
    assert find_runs(recipe.run.root, "small") == []
    monkeypatch.undo()
    run(small_recipe(tmp_path), until="train")
    assert len(find_runs(recipe.run.root, "small")) == 1


def test_asked_to_stop_in_the_evaluation_the_same_command_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a touch of RUN/STOP, while a batch is measured."""
    monkeypatch.setattr(stopping, "_POLL_SECONDS", 0.0)
    recipe = small_recipe(tmp_path)
    run(recipe, until="train")
    [found] = find_runs(recipe.run.root, "small")
    (found.path / "STOP").touch()
    with pytest.raises(InterruptedRunError, match="Stopped by the file .*STOP; nothing half-written was kept"):
        run(recipe)
    assert not (found.path / "evaluation.json").exists()
    run(recipe)
    assert (found.path / "evaluation.json").exists()
    assert find_runs(recipe.run.root, "small") == [found]
