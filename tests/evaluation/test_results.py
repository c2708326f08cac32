"""`evaluation.json` reads back as it was written, and a damaged one is one line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from lugha.errors import InputError
from lugha.evaluation.compression import CompressionBaselines
from lugha.evaluation.degenerate import check_outputs
from lugha.evaluation.likelihood import Likelihood
from lugha.evaluation.results import (
    DirectionResult,
    Evaluation,
    GenerationSample,
    PublishedBaseline,
    TranslationSample,
    held_out_result,
    read_evaluation,
    write_evaluation,
)
from lugha.evaluation.translation import score_translation


def _evaluation() -> Evaluation:
    hypotheses, references = ["Ụlọ anyị dị mma.", ""], ["Ụlọ anyị dị mma.", "Ehi na-aṅụ mmiri."]
    return Evaluation(
        checkpoint="checkpoints/step-00000100",
        step=100,
        parameters=1_115_264,
        split="test",
        finished="2026-11-20T10:00:00+00:00",
        seconds=1.5,
        held_out=[held_out_result("ibo", 2, 40, Likelihood(80.0, 20)), held_out_result("swh", 1, 4, Likelihood(1e6, 1))],
        compression=CompressionBaselines(
            bytes=40, dictionary_sample_bytes=9, prefix_bytes=9, xz=9, zstd=8, zstd_dictionary=None, zstd_prefix=7
        ),
        translation=[
            DirectionResult(
                source_lang="eng",
                target_lang="ibo",
                beam=1,
                scores=score_translation(hypotheses, references, lang="ibo", bootstrap=10),
                checks=check_outputs(hypotheses, references=references, lang="ibo"),
                seconds=0.1,
            )
        ],
        baselines=[
            PublishedBaseline(
                system="m2m100", source_lang="eng", target_lang="ibo", bleu=20.32, chrf=49.99, chrfpp=None, origin="paper"
            )
        ],
        samples=[TranslationSample(source_lang="eng", target_lang="ibo", source="a", reference="b", output="")],
        generations=[GenerationSample(prompt="Habari", text=" ya leo", strategy="greedy")],
    )


def test_it_reads_back(tmp_path: Path) -> None:
    path, evaluation = tmp_path / "evaluation.json", _evaluation()
    write_evaluation(path, evaluation)
    assert read_evaluation(path) == evaluation
    assert evaluation.held_out[0].bits_per_byte == pytest.approx(80 / math.log(2) / 40)
    assert evaluation.held_out[1].perplexity == math.inf
    assert "Ụlọ" not in path.read_text(encoding="utf-8"), "samples are stored, not the whole test set"
    assert json.loads(path.read_text(encoding="utf-8"))["format"] == "lugha-evaluation/1"


@pytest.mark.parametrize(
    ("damage", "where"),
    [({"step": "many"}, "step"), ({"bleu": 99}, "bleu"), ({"format": "lugha-evaluation/9"}, "format")],
)
def test_a_damaged_file_is_named_with_its_key(tmp_path: Path, damage: dict[str, object], where: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(json.loads(_evaluation().model_dump_json()) | damage), encoding="utf-8")
    with pytest.raises(InputError, match=rf"evaluation\.json: {where}"):
        read_evaluation(path)


def test_no_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lugha evaluate"):
        read_evaluation(tmp_path / "evaluation.json")
    (tmp_path / "evaluation.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="the file"):
        read_evaluation(tmp_path / "evaluation.json")


def test_results_are_read_without_torch() -> None:
    code = "import lugha.evaluation.results, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
