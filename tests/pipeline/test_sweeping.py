"""Sweeps on small models: equal tokens, a planted order is found, nothing is trained twice, nothing unfair is ranked."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lugha.checkpoints.format import list_checkpoints
from lugha.errors import InputError
from lugha.pipeline.layout import Layout
from lugha.pipeline.sweep_ranking import rank
from lugha.pipeline.sweep_record import Sweep
from lugha.pipeline.sweeping import FILE, PLOT, _remarks, sweep
from lugha.recipe import Recipe, dump_recipe, load_recipe
from lugha.runs.folder import RunFolder, find_runs, read_jsonl
from lugha.runs.manifest import read_manifest
from tests.pipeline.test_run import small_recipe
from tests.worlds import english, sentences

QUICK = [
    "tokens.max_length=64",
    "train.warmup_steps=1",
    "train.save_every=4",
    "train.threads=1",
    "corpus.filter.language_id=false",
]


def written(folder: Path, *overrides: str) -> Path:
    """A recipe file for a decoder of some thousand parameters, and its text."""
    recipe = small_recipe(folder, *QUICK, *overrides)
    path = folder / "small.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    return path


def run_sweep(recipe: Path, *grid: str, **options: object) -> tuple[Sweep, list[str]]:
    said: list[str] = []
    return sweep(recipe, grid=grid, say=said.append, **options), said  # type: ignore[arg-type]


def runs_of(recipe: Path) -> list[RunFolder]:
    loaded = load_recipe(recipe)
    return find_runs(loaded.run.root, loaded.name)


def events(run: RunFolder) -> Counter[str]:
    return Counter(e["event"] for e in read_jsonl(run.path / "events.jsonl"))


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep, list[str]]:
    """Three learning rates, the first of which teaches nothing, with two seeds."""
    path = written(tmp_path_factory.mktemp("sweep"))
    return path, *run_sweep(path, "train.lr=1e-9,1e-3,1e-2", seeds=2)


def test_a_planted_order_is_found(rates: tuple[Path, Sweep, list[str]]) -> None:
    _, found, _ = rates
    assert [row.values["train.lr"] for row in found.rows] == [1e-2, 1e-3, 1e-9]
    assert [row.rank for row in found.rows] == [1, 2, 3]
    assert found.measure == "bits/byte"
    last = found.rows[-1]
    assert last.difference is not None and last.difference > 0.1
    assert last.seeds == 2 and last.interval is not None
    assert last.interval[0] < last.mean < last.interval[1]  # type: ignore[operator]


def test_the_record_and_the_plot_stand_in_one_folder(rates: tuple[Path, Sweep, list[str]]) -> None:
    path, found, said = rates
    folder = Path(found.folder)
    assert folder.parent == load_recipe(path).run.root / "sweeps"
    assert folder.name.startswith("small-")
    assert Sweep.model_validate_json((folder / FILE).read_bytes()) == found
    assert "train.lr" in (folder / PLOT).read_text()
    assert len(found.runs) == found.planned == 6
    assert sum("run 1 of 6" in line for line in said) == 1
    assert any("run 6 of 6" in line and " left" in line for line in said)


def test_scores_are_bits_per_byte_of_the_whole_validation_split(rates: tuple[Path, Sweep, list[str]]) -> None:
    path, found, _ = rates
    recipe = load_recipe(path)
    held_out = read_manifest(Layout.of(recipe).tokens).details["splits"]["validation"]
    for run in found.runs:
        assert run.run is not None and run.loss is not None
        folder = RunFolder(recipe.run.root / run.run)
        last = [m for m in read_jsonl(folder.metrics) if m["kind"] == "validation"][-1]
        assert run.loss == last["loss"]
        documents = held_out["sequences"]
        nats = run.loss * (held_out["tokens"] + documents)
        assert run.score == pytest.approx(nats / math.log(2) / (held_out["bytes"] + documents))


def test_the_same_command_again_trains_nothing(rates: tuple[Path, Sweep, list[str]]) -> None:
    path, found, _ = rates
    before = {p: p.stat().st_mtime_ns for run in runs_of(path) for p in run.path.rglob("*") if p.is_file()}
    again, said = run_sweep(path, "train.lr=1e-9,1e-3,1e-2", seeds=2)
    assert again == found
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert len(runs_of(path)) == 6
    assert sum("nothing to do" in line for line in said) == 6


def test_only_an_unfinished_run_is_trained(rates: tuple[Path, Sweep, list[str]], tmp_path: Path) -> None:
    path, found, _ = rates
    started = {run.id: events(run)["started"] for run in runs_of(path)}
    victim = RunFolder(load_recipe(path).run.root / str(found.runs[3].run))
    victim.finished.unlink()
    shutil.rmtree(list_checkpoints(victim.checkpoints)[0][1])  # the final one: it stopped after step 4 of 6
    again, _ = run_sweep(path, "train.lr=1e-9,1e-3,1e-2", seeds=2)
    assert [(r.run, r.score) for r in again.runs] == [(r.run, r.score) for r in found.runs]
    assert {run.id: events(run)["started"] for run in runs_of(path)} == started
    assert {run.id for run in runs_of(path) if events(run)["resumed"]} == {victim.id}


def test_more_seeds_add_to_the_same_sweep(rates: tuple[Path, Sweep, list[str]]) -> None:
    path, found, _ = rates
    more, _ = run_sweep(path, "train.lr=1e-9,1e-3,1e-2", seeds=3)
    assert more.folder == found.folder
    assert len(runs_of(path)) == 9
    fewer, _ = run_sweep(path, "train.lr=1e-9,1e-3,1e-2", seeds=1)
    assert len(fewer.runs) == 3
    assert all(row.interval is None for row in fewer.rows)
    assert fewer.remarks == ["One seed: no interval, so that a difference may be noise. Repeat with --seeds 3."]


def test_batches_of_any_size_see_the_same_tokens(tmp_path: Path) -> None:
    path = written(tmp_path, "train.warmup_steps=3", f"publish.stores=[{tmp_path / 'store'}]")
    found, _ = run_sweep(path, "train.micro_batch=1,2", "train.accumulation=1,2", seeds=1, tokens=2000)
    by_batch = {(r.values["train.micro_batch"], r.values["train.accumulation"]): r for r in found.rows}
    per_step = by_batch[2, 2].tokens / by_batch[2, 2].steps
    assert abs(by_batch[1, 1].steps - 4 * by_batch[2, 2].steps) <= 4
    for (rows, accumulation), row in by_batch.items():
        assert abs(row.tokens - 2000) <= per_step * rows * accumulation / 4 / 2 + 1
        run = next(r.run for r in found.runs if r.variant == row.variant)
        recipe = load_recipe(Path(found.folder).parents[1] / str(run) / "recipe.yaml")
        trained = recipe.train
        assert trained.steps == row.steps
        assert trained.warmup_steps == min(3, row.steps // 10)
        assert (recipe.checkpoints.keep_newest, recipe.publish.stores) == (2, [])
    swept, _ = run_sweep(path, "train.warmup_steps=0,5", seeds=1, tokens=1000)
    warmups = [
        load_recipe(Path(found.folder).parents[1] / str(r.run) / "recipe.yaml").train.warmup_steps for r in swept.runs
    ]
    assert warmups == [0, 5], "what the grid sets is not capped"


def test_the_default_budget_is_that_of_the_recipes_own_steps(rates: tuple[Path, Sweep, list[str]]) -> None:
    path, found, _ = rates
    assert {row.steps for row in found.rows} == {load_recipe(path).train.steps}


def test_tokenizers_are_ranked_on_the_same_bytes(tmp_path: Path) -> None:
    path = written(tmp_path)
    own = load_recipe(path)
    found, _ = run_sweep(path, "tokenizer.vocab_size=300,320", "train.clip=0.5,1", seeds=1, tokens=1500)
    names = sorted(p.name for p in own.run.root.glob("small-????????"))
    assert len(names) == 2, "one layout for each tokenizer, shared by the clips"
    sizes = {read_manifest(own.run.root / n / "tokens" / "shards").details["vocab_size"] for n in names}
    assert sizes == {300, 320}
    for name in names:
        assert (own.run.root / name / "corpus").resolve() == (own.run.root / "small" / "corpus").resolve()
    assert len(found.rows) == 4
    again, said = run_sweep(path, "tokenizer.vocab_size=300,320", "train.clip=0.5,1", seeds=1, tokens=1500)
    assert again == found
    assert sum("nothing to do" in line for line in said) == 4


def test_different_validation_text_is_not_ranked(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(InputError, match="different validation text"):
        run_sweep(path, "corpus.split.validation=0.1,0.2", seeds=1)
    assert runs_of(path) == [], "refused before anything is trained"


def pairs_recipe(folder: Path) -> Path:
    texts = sentences(200, seed=3)
    rows = [json.dumps({"source_text": t, "target_text": english(t)}) for t in dict.fromkeys(texts)]
    (folder / "pairs.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    source = {"name": "made", "path": "pairs.jsonl", "kind": "pairs", "source_lang": "swh", "target_lang": "eng"}
    shape = {"kind": "m2m100", "vocab_size": 400, "d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "max_positions": 64}
    train = {"road": "seq2seq", "steps": 4, "micro_batch_tokens": 256, "precision": "fp32", "threads": 1, "device": "cpu"}
    corpus = {"root": str(folder), "sources": [{**source, "group_lines": 5}], "filter": {"language_id": False}}
    values = {"name": "pairs", "run": {"root": str(folder / "runs")}, "corpus": corpus, "model": shape, "train": train}
    values |= {"tokens": {"max_length": 40}, "tokenizer": {"vocab_size": 400}}
    values["corpus"]["split"] = {"validation": 0.2, "test": 0.1}  # type: ignore[index]
    path = folder / "pairs.yaml"
    path.write_text(dump_recipe(Recipe.model_validate(values)), encoding="utf-8")
    return path


def test_translation_is_ranked_by_nats_per_token_of_one_tokenizer(tmp_path: Path) -> None:
    path = pairs_recipe(tmp_path)
    found, _ = run_sweep(path, "model.dropout=0,0.1", seeds=1)
    assert found.measure == "nats/token"
    assert [r.score for r in found.runs] == [r.loss for r in found.runs]
    with pytest.raises(InputError, match="different validation text or tokens"):
        run_sweep(path, "tokenizer.vocab_size=310,330", seeds=1)


def test_a_run_that_diverges_stands_last_and_is_not_tried_again(tmp_path: Path) -> None:
    path = written(tmp_path, "train.clip=1e30")
    grid = ("train.lr=1e-3,1e30",)
    found, _ = run_sweep(path, *grid, seeds=1)
    assert [(row.values["train.lr"], row.diverged) for row in found.rows] == [(1e-3, 0), (1e30, 1)]
    assert found.rows[1].mean is None
    assert any("1 runs diverged" in remark for remark in found.remarks)
    before = len(runs_of(path))
    again, said = run_sweep(path, *grid, seeds=1)
    assert again == found
    assert len(runs_of(path)) == before
    assert any("diverged before, not tried again" in line for line in said)


def test_a_run_that_was_not_validated_on_the_whole_split_is_trained_anew(tmp_path: Path) -> None:
    """One that the user trained before, with few validation batches, has no score that compares."""
    path = written(tmp_path)
    found, _ = run_sweep(path, "train.clip=1", seeds=1)
    own = RunFolder(load_recipe(path).run.root / str(found.runs[0].run))
    text = (own.path / "recipe.yaml").read_text()
    (own.path / "recipe.yaml").write_text(text.replace("eval_batches:", "eval_batches: 0 #"))
    again, said = run_sweep(path, "train.clip=1", seeds=1)
    assert any("trained anew" in line for line in said)
    assert again.runs[0].run != found.runs[0].run
    assert again.runs[0].score == found.runs[0].score


def test_a_sweep_that_ranks_nothing_says_so() -> None:
    plan = Sweep(recipe="r", folder="f", measure="bits/byte", tokens=409_600, seeds=[1, 2, 3], grid={}, planned=6)
    noise = rank({0: {1: 1.0, 2: 1.2, 3: 1.1}, 1: {1: 1.2, 2: 1.1, 3: 1.15}})
    assert _remarks(plan, noise) == [
        "No variant is distinguishable from the best: at 409,600 tokens and 3 seeds this sweep ranks nothing. Give more "
        "--tokens, or more --seeds."
    ]
    assert _remarks(plan, rank({0: {1: 1.0, 2: 1.2, 3: 1.1}, 1: {1: 2.0, 2: 2.2, 3: 2.11}})) == []


@pytest.mark.parametrize(
    ("grid", "options", "says"),
    [
        (["train.clip=0.5,1"], {"seeds": 0}, "--seeds 0"),
        (["train.clip=0.5,1"], {"tokens": 0}, "--tokens 0"),
        (["train.clip=0.5,1"], {"tokens": 20}, "Variant train.clip=0.5: a budget of 20 tokens is less than one step"),
        ([], {}, "at least one --grid"),
        (["train.log_every=1,2"], {}, "Variants train.log_every=1 and train.log_every=2 train the same model"),
        (["model.vocab_size=4096,300"], {}, "Variant model.vocab_size=300: .*tokenizer.vocab_size"),
    ],
)
def test_bad_input_trains_nothing(tmp_path: Path, grid: list[str], options: dict[str, int], says: str) -> None:
    path = written(tmp_path)
    with pytest.raises(InputError, match=says):
        run_sweep(path, *grid, **options)
    assert runs_of(path) == []
    assert not (load_recipe(path).run.root / "sweeps").exists()


def test_nothing_is_ranked_without_a_validation_split(tmp_path: Path) -> None:
    path = written(tmp_path, "corpus.split.validation=0")
    with pytest.raises(InputError, match="the validation split is empty"):
        run_sweep(path, "train.clip=0.5,1")


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    found, _ = run_sweep(path, "train.clip=1", seeds=1)
    (Path(found.folder) / FILE).write_text("{}")
    with pytest.raises(InputError, match=r"sweep\.json: not the record of a sweep .* Delete it"):
        run_sweep(path, "train.clip=1", seeds=1)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_the_same_command(tmp_path: Path) -> None:
    """kill -9 in the second run: the first is not trained again, the second goes on, the weights are those of no kill."""
    overrides = ("train.steps=40", "train.save_every=5")
    undisturbed, killed = (written(tmp_path / name, *overrides) for name in ("undisturbed", "killed"))
    expected, _ = run_sweep(undisturbed, "train.lr=1e-3,1e-2", seeds=1)
    code = "import sys; from lugha.pipeline.sweeping import sweep; sweep(sys.argv[1], grid=['train.lr=1e-3,1e-2'], seeds=1)"

    def second_is_under_way() -> bool:
        found = runs_of(killed)
        return len(found) == 2 and any(list_checkpoints(r.checkpoints) for r in found if not r.finished.exists())

    command = [sys.executable, "-c", code, str(killed)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as job:
        while job.poll() is None and not second_is_under_way():
            time.sleep(0.01)
        job.send_signal(signal.SIGKILL)
        _, error = job.communicate()
    assert job.returncode == -signal.SIGKILL, error
    first, second = sorted(runs_of(killed), key=lambda run: not run.finished.exists())
    again, _ = run_sweep(killed, "train.lr=1e-3,1e-2", seeds=1)
    assert len(runs_of(killed)) == 2
    assert events(first) == {
        "started": 1,
        "finished": 1,
        "saved": events(first)["saved"],
        "deleted": events(first)["deleted"],
    }
    assert events(second)["resumed"] == 1
    assert [r.score for r in again.runs] == [r.score for r in expected.runs]
