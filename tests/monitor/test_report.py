"""The report: every figure that it is given, nothing that it is not, and no text that becomes markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lugha.errors import InputError
from lugha.evaluation.compression import CompressionBaselines
from lugha.evaluation.degenerate import check_outputs
from lugha.evaluation.results import (
    DirectionResult,
    Evaluation,
    GenerationSample,
    HeldOutResult,
    PublishedBaseline,
    TranslationSample,
    write_evaluation,
)
from lugha.evaluation.translation import score_translation
from lugha.monitor.report import training_curve, training_seconds, write_report
from lugha.monitor.score_sections import likelihood
from lugha.recipe.load import dump_recipe, load_recipe
from lugha.runs.manifest import StageManifest

HOSTILE = "<script>alert(1)</script> $body ${title}"
VOID = {"meta", "br", "hr"}


class Planted(NamedTuple):
    kind: str
    planted: int
    caught: int
    missed: int


class Audited(NamedTuple):
    kinds: tuple[Planted, ...]
    clean_rows: int
    clean_altered: int
    clean_dropped: dict[str, int]


class _Page(HTMLParser):
    """Reads a page, and fails on an element that is not closed or is closed twice."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.references: list[str] = []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "iframe", "object", "img"}
        self.references += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _manifest(stage: str, rows_in: int, dropped: dict[str, int], **details: Any) -> StageManifest:
    return StageManifest(
        stage=stage,
        version=1,
        parameters={},
        inputs={},
        files=[],
        rows_in=rows_in,
        rows_out=rows_in - sum(dropped.values()),
        dropped=dropped,
        details=details,
        wall_seconds=2.0,
        cpu_seconds=2.0,
        peak_memory_bytes=1,
        finished="2026-11-20T10:00:00+00:00",
    )


STAGES = [
    ("clean", _manifest("clean", 12_345, {"empty_side": 345})),
    ("dedup", _manifest("dedup", 12_000, {"near_duplicate": 1_500, "exact_duplicate": 500})),
    ("tokenizer", _manifest("tokenizer", 900, {}, fertility={"swh": {"tokens_per_word": 1.345, "words": 8_000}})),
]


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _evaluation() -> Evaluation:
    outputs, references = ["Ụlọ anyị dị mma.", "Nwata na-agụ akwụkwọ."], ["Ụlọ anyị dị mma.", "Nwata ahụ na-agụ akwụkwọ."]
    direction = {"source_lang": "eng", "target_lang": "ibo"}
    return Evaluation(
        checkpoint="checkpoints/step-00000100",
        step=100,
        parameters=1_115_264,
        split="test",
        finished="2026-11-20T10:00:00+00:00",
        seconds=3,
        held_out=[
            HeldOutResult(lang="swh", documents=9, bytes=1000, tokens=300, nats=1100.0, perplexity=39.1, bits_per_byte=1.587)
        ],
        compression=CompressionBaselines(
            bytes=999, dictionary_sample_bytes=5, prefix_bytes=5, xz=2.25, zstd=2.5, zstd_dictionary=None, zstd_prefix=1.75
        ),
        translation=[
            DirectionResult(
                **direction,
                beam=beam,
                scores=score_translation(outputs, references, lang="ibo", bootstrap=50),
                checks=check_outputs(outputs, sources=["Our house is fine.", "A child reads."], references=references),
                seconds=1,
            )
            for beam in (1, 4)
        ],
        baselines=[
            PublishedBaseline(
                **direction, system="m2m100", bleu=20.32, chrf=49.99, chrfpp=None, origin="the authors' outputs"
            )
        ],
        samples=[TranslationSample(**direction, source="Our house is fine.", reference=references[0], output=HOSTILE)],
        generations=[GenerationSample(prompt="Habari", text=HOSTILE, strategy="greedy")],
    )


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run whose log was cut off in its last line."""
    run = tmp_path / "demo-20261120T104210Z-3fa9"
    run.mkdir()
    recipe = load_recipe("swahili-debug").model_copy(update={"description": HOSTILE})
    (run / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    train = [
        {"kind": "train", "step": s, "time": 1000.0 + s, "loss": 9.0 - s / 25, "tokens": 512 * s, "tokens_per_second": 512.0}
        for s in range(1, 101)
    ]
    held_out = [{"kind": "validation", "step": 100, "time": 1101.0, "loss": 5.432}]
    (run / "metrics.jsonl").write_text(_lines(train + held_out) + '{"kind": "trai', encoding="utf-8")
    events = [{"time": 1000.0, "event": "started", "depends_on": {"data": "abcd1234"}}, {"time": 1101.0, "event": HOSTILE}]
    (run / "events.jsonl").write_text(_lines(events), encoding="utf-8")
    write_evaluation(run / "evaluation.json", _evaluation())
    return run


def test_everything_that_was_measured_is_on_the_page(run_folder: Path) -> None:
    planted = Audited((Planted("near_duplicate", 1_600, 1_500, 100),), 20_000, 3, {"filter": 2, "dedup": 1})
    path = write_report(run_folder, title=f"Demo {HOSTILE}", stages=STAGES, planted=planted)
    assert path == run_folder / "report.html"
    page = _Page(path.read_text(encoding="utf-8"))
    chrfpp = _evaluation().translation[0].scores.chrfpp
    expected = [
        "1.12 M",  # parameters
        "51.2 k",  # target tokens
        "1 min 41 s",  # training time
        "5.432",  # validation loss
        "12,345",
        "81.0 %",  # rows that reach the end
        "near duplicate",
        "1,500 of 1,600 faults",
        "Of 20,000 rows without a fault 3 were altered and 3 dropped.",
        "1.345",  # tokens per word
        "1.5870",
        "2.2500",  # xz
        f"{chrfpp.value:.2f}",
        f"{chrfpp.low:.1f}–{chrfpp.high:.1f}",
        chrfpp.signature,
        "20.32",  # baseline
        "English → Igbo, 2 rows",
        "Our house is fine.",
        "started",
        "vocab_size: ",  # of the recipe
    ]
    assert [text for text in expected if text not in page.text] == []
    assert "abcd1234" not in page.text, "digests are for programs"


def test_the_model_is_compared_with_compressors_on_the_same_bytes_only() -> None:
    evaluation = _evaluation()
    assert "this model" in likelihood(evaluation)
    other_text = evaluation.compression.model_copy(update={"bytes": 555})  # type: ignore[union-attr]
    section = likelihood(evaluation.model_copy(update={"compression": other_text}))
    assert "this model" not in section
    assert "xz -9e" in section


def test_text_stays_text_and_nothing_is_loaded_from_outside(run_folder: Path) -> None:
    path = write_report(run_folder, title=HOSTILE, stages=[(HOSTILE, STAGES[0][1])])
    markup = path.read_text(encoding="utf-8")
    page = _Page(markup)
    # title, heading, description in header and recipe, stage, sample, generation, event and its summary
    assert page.text.count(HOSTILE) == 9
    assert all(reference.startswith("#") for reference in page.references)
    assert not re.search(r"url\((?!#)|@import|https?://", markup)


def test_an_empty_run_folder_gives_sentences(tmp_path: Path) -> None:
    page = _Page(write_report(tmp_path, title="New", stages=[]).read_text(encoding="utf-8"))
    for sentence in ("has not been evaluated yet", "No training step", "No data stage", "No event", "no recipe.yaml"):
        assert sentence in page.text
    assert "Parameters" not in page.text


def test_a_report_without_evaluation_counts_parameters_from_the_recipe(run_folder: Path) -> None:
    (run_folder / "evaluation.json").unlink()
    page = _Page(write_report(run_folder, title="t", stages=STAGES).read_text(encoding="utf-8"))
    assert "1.12 M" in page.text
    assert "has not been evaluated yet" in page.text


def test_pauses_between_attempts_are_not_training_time() -> None:
    metrics = [{"time": t, "kind": "train"} for t in (110.0, 120.0, 5010.0)]
    events = [{"time": 100.0, "event": "started"}, {"time": 125.0, "event": "saved"}, {"time": 5000.0, "event": "resumed"}]
    assert training_seconds(metrics, events) == 20 + 10
    assert training_seconds([], events) == training_seconds([], []) == 0
    assert training_seconds(metrics[:2], []) == 10


def test_the_curve_says_itself_in_words() -> None:
    metrics = [{"kind": "train", "step": s, "loss": 5.0 - s, "time": s} for s in (1, 2, 3)]
    assert "from 4.000 at step 1 to 2.000 at step 3." in training_curve(metrics)
    assert training_curve([{"kind": "validation", "step": 1, "loss": 2.0}]).startswith("<p")


def test_what_is_damaged_is_named(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        write_report(tmp_path / "none", title="t", stages=[])
    (run_folder / "evaluation.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"evaluation\.json"):
        write_report(run_folder, title="t", stages=[])
    assert not (run_folder / "report.html").exists()
