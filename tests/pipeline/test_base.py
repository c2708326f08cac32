"""The base model of a run: from a hub or a folder, at a commit that stays, with the letters and languages that it lacked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from lugha.checkpoints.format import read_checkpoint
from lugha.errors import InputError, RefusedError
from lugha.models.base import BASE
from lugha.models.build import build_model
from lugha.pipeline.layout import Layout
from lugha.pipeline.run import Outcome, run_recipe
from lugha.recipe import Recipe, load_recipe
from lugha.runs.folder import find_runs
from lugha.runs.manifest import read_manifest
from tests.servers.hub import MiniHub, point_client_at
from tests.tokens.nllb_tokenizers import nllb_json

QUICK = ["train.steps=4", "train.save_every=2", "train.accumulation=1", "evaluate.max_rows=4", "evaluate.beam=1"]
QUICK += ["evaluate.max_new_tokens=4"]


def twin(preset: str, root: Path, *changes: str) -> Recipe:
    return load_recipe(preset, ["model.scale=tiny", *QUICK, f"run.root={root}", *changes])


def run(recipe: Recipe, until: str = "export") -> tuple[Outcome, list[str]]:
    said: list[str] = []
    return run_recipe(recipe, until=until, say=said.append), said


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniHub]:
    with MiniHub() as hub:
        point_client_at(hub, tmp_path / "client", monkeypatch)
        yield hub


def test_a_hub_id_is_pinned_stored_and_used_again_without_the_hub(
    hub: MiniHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = run(twin("igbo-mistral-7b", tmp_path / "made"), until="tokens")
    assert made.last_stage == "tokens"
    folder = Layout.of(twin("igbo-mistral-7b", tmp_path / "made")).base
    files = {f.name: f.read_bytes() for f in folder.iterdir() if f.name != "manifest.json"}
    card = b"---\nlicense: apache-2.0\n---\n"
    commit = hub.commit("someone/tiny-mistral", files | {"README.md": card})

    recipe = twin("igbo-mistral-7b", tmp_path / "runs", "model.base=someone/tiny-mistral")
    done, said = run(recipe)
    assert done.run is not None
    assert any(f"someone/tiny-mistral at {commit[:12]}" in line for line in said)
    checkpoint = done.run.checkpoints / "step-00000004"
    record = json.loads((checkpoint / BASE).read_text())
    assert (record["id"], record["revision"]) == ("someone/tiny-mistral", commit)
    assert json.loads((checkpoint / "adapter_config.json").read_text())["revision"] == commit
    assert f"revision: {commit}" in (done.run.path / "recipe.yaml").read_text()

    # The branch moves, then the hub is away: the same command is the same run.
    hub.commit("someone/tiny-mistral", files | {"README.md": card + b"moved"})
    asked = len(hub.requests)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again, said = run(recipe)
    assert again.run == done.run
    assert any("nothing to do" in line for line in said)
    assert len(hub.requests) == asked


def test_a_run_that_begins_with_another_base_is_another_run(tmp_path: Path) -> None:
    recipe = twin("nllb-600m", tmp_path / "runs")
    run(recipe, until="train")
    folder = Layout.of(recipe).base
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    build_model(recipe.model, seed=77).save_pretrained(other)
    run(twin("nllb-600m", tmp_path / "runs", f"model.base={other}"), until="train")
    runs = find_runs(tmp_path / "runs", "nllb-600m-tiny")
    assert len(runs) == 2
    digests = {read_checkpoint(r.checkpoints / "step-00000004").depends_on["base"] for r in runs}
    assert len(digests) == 2


@pytest.fixture
def without_dots(tmp_path: Path) -> Path:
    """A base like NLLB's: no bytes to fall back to, and no dotted vowels."""
    folder = tmp_path / "without-dots"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(nllb_json(), encoding="utf-8")
    section = load_recipe("nllb-600m", ["model.scale=tiny", "model.vocab_size=320"]).model  # more rows than ids, as NLLB
    build_model(section, seed=1).save_pretrained(folder)
    return folder


def test_letters_that_the_base_lacks_are_found_before_training_and_can_be_added(without_dots: Path, tmp_path: Path) -> None:
    rows = json.loads((without_dots / "config.json").read_text())["vocab_size"]
    base = [f"model.base={without_dots}", f"model.vocab_size={rows}"]
    recipe = twin("nllb-600m", tmp_path / "runs", *base)
    with pytest.raises(RefusedError, match=r"U\+1ECD LATIN SMALL LETTER O WITH DOT BELOW.*model\.new_characters: true"):
        run(recipe, until="tokens")
    assert not Layout.of(recipe).tokens.exists()

    audited = twin("nllb-600m", tmp_path / "runs", *base, "tokens.max_unknown=1.0")
    _, said = run(audited, until="tokens")
    assert any(line.startswith("audit      ibo") and "ọ (" in line for line in said)
    audit = read_manifest(Layout.of(audited).audit).details["audits"]["ibo"]
    assert audit["rows_with_unknown"] > 0

    more = ["model.new_characters=true", "model.new_languages=[efi_Latn]"]
    done, said = run(twin("nllb-600m", tmp_path / "runs", *base, *more))
    assert any("new tokens: efi_Latn" in line and " ọ" in line for line in said)
    assert any(line.startswith("audit      ibo: the base's tokenizer can write all") for line in said)
    assert done.run is not None
    checkpoint = done.run.checkpoints / "step-00000004"
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode("ọjọọ", add_special_tokens=False).ids) == "ọjọọ"
    assert tokenizer.token_to_id("efi_Latn") is not None
    assert (
        json.loads((checkpoint / "config.json").read_text())["vocab_size"] == rows
    )  # the new ids took rows that were unused
    assert tokenizer.get_vocab_size() < rows

    # The recipe that the run keeps is the run's own.
    again, said = run(load_recipe(done.run.path / "recipe.yaml"))
    assert again.run == done.run
    assert any("nothing to do" in line for line in said)


def test_a_base_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    recipe = twin("nllb-600m", tmp_path / "runs")
    run(recipe, until="tokens")
    other = tmp_path / "other"
    shutil.copytree(Layout.of(recipe).base, other)
    (other / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"other: no tokenizer\.json"):
        run(twin("nllb-600m", tmp_path / "runs", f"model.base={other}"), until="tokens")


def test_an_encoder_decoder_is_adapted_too_and_its_base_is_not_touched(tmp_path: Path) -> None:
    recipe = twin("nllb-600m", tmp_path / "runs", "model.lora={r: 4, modules: [q_proj, v_proj]}", "evaluate.untuned=false")
    run(recipe, until="tokens")
    folder = Layout.of(recipe).base
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    done, _ = run(recipe)
    assert done.run is not None
    checkpoint = done.run.checkpoints / "step-00000004"
    assert (checkpoint / "adapter_model.safetensors").is_file()
    assert not (checkpoint / "model.safetensors").exists()
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    exported = read_manifest(done.run.path / "export" / "hf").details
    assert exported["merge"]["largest_difference"] < 1e-4
    assert exported["gate"]["largest_logit_difference"] == 0.0
