"""Four directions in one model of NLLB's class: each answers in its own language; a wrong code never gets that far."""

from __future__ import annotations

from pathlib import Path

import pytest

from lugha.checkpoints.format import TOKENIZER
from lugha.evaluation.decode import translate
from lugha.evaluation.results import FILE, read_evaluation
from lugha.models.build import load_model
from lugha.pipeline.run import run_recipe
from lugha.recipe import load_recipe
from lugha.tokens.tokenizer import load_tokenizer
from tests.cli.conftest import Lugha, lugha

__all__ = ["lugha"]  # the fixture
FOUR = ["en-ig", "ig-en", "en-sw", "sw-en"]


@pytest.mark.slow
def test_each_direction_answers_in_its_own_language(tmp_path: Path) -> None:
    changes = ["model.scale=tiny", f"run.root={tmp_path}", f"tokens.language_pairs=[{', '.join(FOUR)}]"]
    changes += ["corpus.demo_pairs=3000", "train.steps=800", "train.accumulation=1", "train.micro_batch_tokens=2048"]
    changes += ["train.eval_every=800", "evaluate.max_rows=100", "evaluate.beam=1", "evaluate.untuned=false"]
    recipe = load_recipe("nllb-600m", changes)
    done = run_recipe(recipe, until="evaluate", say=lambda _: None)
    assert done.run is not None
    found = read_evaluation(done.run.path / FILE)
    directions = {(one.source_lang, one.target_lang): one for one in found.translation}
    assert set(directions) == {("eng", "ibo"), ("ibo", "eng"), ("eng", "swh"), ("swh", "eng")}
    for direction, one in directions.items():
        judged = one.checks.wrong_language
        assert judged is not None, direction
        assert judged.of >= 60, direction
        assert judged.count <= 0.02 * judged.of, direction
        assert one.scores.chrfpp.value > 15, direction

    # The same from one batch that mixes the directions.
    checkpoint = done.run.checkpoints / "step-00000800"
    model, tokenizer = load_model(checkpoint), load_tokenizer(checkpoint / TOKENIZER)
    text = "The child reads the book."
    both = translate(model, tokenizer, [text, text], source_lang="en", target_lang=["ig", "sw"], beam=1)
    each = [translate(model, tokenizer, [text], source_lang="en", target_lang=code, beam=1)[0] for code in ("ig", "sw")]
    assert both == each
    assert both[0] != both[1]


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (["ig"], '"ig" is no language pair'),
        (["eng_Latn-ig"], '"ig" is not an NLLB code, the model would read <unk> for it. Write ibo_Latn'),
        (["eng_Latn-swa_Latn"], '"swa_Latn" is not an NLLB code, the model would read <unk> for it. Write swh_Latn'),
        (["en-swa_Latn"], '"swa_Latn" is not an NLLB code'),
        (["en-xx"], 'unknown language "xx"'),
        (["en-ig", "xx"], '"xx" is no language pair'),
        (["en-ig", "en-fr"], "no source of recipe nllb-600m-tiny has it"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "train"])
def test_wrong_codes_refuse_the_launch_by_name(
    verb: str, pairs: list[str], says: str, lugha: Lugha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = ["--config", "nllb-600m"] if verb == "train" else ["nllb-600m"]
    answer = lugha(verb, *recipe, "--set", "model.scale=tiny", "--language-pairs", *pairs)
    assert answer.code == 2
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "runs").exists(), "nothing was begun"
