"""The exported folder: transformers alone gives the same logits, ids and translations; a wrong export is not kept."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from lugha.checkpoints.format import TOKENIZER
from lugha.errors import InputError, RefusedError
from lugha.evaluation.decode import generate_text, translate
from lugha.export import hf
from lugha.export.hf import export_hf
from lugha.models.build import load_model
from lugha.runs.folder import new_run
from lugha.runs.manifest import verify_stage
from lugha.tokens.tokenizer import load_tokenizer
from lugha.training.loop import train
from tests.worlds import World, documents_world, pairs_world

SENTENCES = ["mtoto anasoma kitabu.", "ng'ombe ananunua maji na mama anauza samaki.", "Ọ̀ bụ́ ìhè n'ụlọ."]


def trained(world: World, root: Path) -> Path:
    """A checkpoint of a few steps, enough to give outputs that differ between inputs."""
    section = world.recipe.train.model_copy(update={"steps": 60, "save_every": 60, "eval_every": 60, "lr": 1e-2})
    recipe = world.recipe.model_copy(update={"train": section})
    run = new_run(root / "runs", "tiny")
    return train(recipe, tokens=world.tokens, tokenizer=world.tokenizer, run=run, say=lambda _: None).checkpoint


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoder")
    return trained(documents_world(folder), folder)


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translator")
    return trained(pairs_world(folder), folder)


def without_lugha(code: str, *arguments: object) -> object:
    """What a fresh process prints as JSON in which `import lugha` fails."""
    guard = "import sys, json, torch; sys.modules['lugha'] = None\n"
    command = [sys.executable, "-c", guard + textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_decoder_says_the_same_without_lugha(decoder: Path, tmp_path: Path) -> None:
    manifest = export_hf(decoder, tmp_path / "hf")
    assert manifest.details["gate"] == {"texts": 5, "ids_differ": 0, "largest_logit_difference": 0.0}
    ids, logits, text = without_lugha(  # type: ignore[misc]
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(sys.argv[1]); model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
        inputs = tokenizer(sys.argv[2], return_tensors="pt")
        logits = model(**inputs).logits[0, -1]
        text = tokenizer.decode(model.generate(**inputs, max_new_tokens=8, do_sample=False)[0], skip_special_tokens=True)
        print(json.dumps([inputs.input_ids[0].tolist(), logits.tolist(), text]))
        """,
        tmp_path / "hf",
        SENTENCES[0],
    )
    ours, tokenizer = load_model(decoder), load_tokenizer(decoder / TOKENIZER)
    assert ids == [1, *tokenizer.encode(SENTENCES[0]).ids]
    assert torch.equal(ours(input_ids=torch.tensor([ids])).logits[0, -1], torch.tensor(logits))
    assert text == SENTENCES[0] + generate_text(ours, tokenizer, [SENTENCES[0]], max_new_tokens=8)[0]


def test_a_translator_says_the_same_without_lugha(translator: Path, tmp_path: Path) -> None:
    """By the code that the folder's README.md shows."""
    export_hf(translator, tmp_path / "hf")
    answers = without_lugha(
        """
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(sys.argv[1]); model = AutoModelForSeq2SeqLM.from_pretrained(sys.argv[1])
        target = tokenizer.convert_tokens_to_ids("eng_Latn")
        answers = []
        for text in sys.argv[2:]:
            inputs = tokenizer("swh_Latn " + text, return_tensors="pt")
            out = model.generate(**inputs, forced_bos_token_id=target, num_beams=1, do_sample=False, max_new_tokens=20)
            answers.append(tokenizer.decode(out[0], skip_special_tokens=True))
        print(json.dumps(answers))
        """,
        tmp_path / "hf",
        *SENTENCES[:2],
    )
    ours, tokenizer = load_model(translator), load_tokenizer(translator / TOKENIZER)
    expected = translate(ours, tokenizer, SENTENCES[:2], source_lang="swh", target_lang="eng", beam=1, max_new_tokens=19)
    assert answers == expected
    assert any(expected)


def test_older_transformers_find_what_they_read(decoder: Path, tmp_path: Path) -> None:
    export_hf(decoder, tmp_path / "hf")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10_000.0
    assert config["torch_dtype"] == "float32"
    assert (
        json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    )


def test_the_folder_has_a_card_and_a_manifest_and_is_made_once(decoder: Path, tmp_path: Path) -> None:
    first = export_hf(decoder, tmp_path / "hf", card="## Training data\n")
    assert "## Training data" in (tmp_path / "hf" / "README.md").read_text()
    assert verify_stage(tmp_path / "hf", ("export-hf",)) == first
    assert export_hf(decoder, tmp_path / "hf", card="## Training data\n") == first


def test_an_export_that_differs_is_refused_and_not_kept(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults planted into the real writer: other weights, another tokenizer."""
    copy = hf.shutil.copyfile

    def with_one_weight_changed(source: Path, target: Path) -> None:
        copy(source, target)
        if target.name == "model.safetensors":
            content = bytearray(target.read_bytes())
            content[-2] ^= 0x40
            target.write_bytes(content)

    monkeypatch.setattr(hf.shutil, "copyfile", with_one_weight_changed)
    with pytest.raises(RefusedError, match="exported logits differ from the checkpoint's"):
        export_hf(decoder, tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()

    write = hf.write_tokenizer

    def with_a_normaliser(tokenizer: Path, folder: Path, recipe: object) -> None:
        write(tokenizer, folder, recipe)  # type: ignore[arg-type]
        content = json.loads((folder / "tokenizer.json").read_text())
        content["normalizer"] = {"type": "StripAccents"}
        (folder / "tokenizer.json").write_text(json.dumps(content))

    monkeypatch.setattr(hf, "write_tokenizer", with_a_normaliser)
    with pytest.raises(RefusedError, match="the exported tokenizer gives other ids"):
        export_hf(decoder, tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_not_exported(decoder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "step-00000060"
    copy.mkdir()
    for file in decoder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes()[: 100 if file.name == "model.safetensors" else None])
    with pytest.raises(InputError, match="cut off or altered"):
        export_hf(copy, tmp_path / "hf")
