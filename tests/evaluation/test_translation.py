"""Scores and intervals against sacrebleu itself, and what normalisation is for."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from lugha.errors import InputError
from lugha.evaluation import translation
from lugha.evaluation.score_files import read_lines
from lugha.evaluation.translation import resample_sums, score_translation

WORDS = ["ụlọ", "anyị", "dị", "n'akụkụ", "ụzọ", "nwata", "na-agụ", "akwụkwọ", "n'ụlọ", "akwụkwọ", "mmiri", "ọma"]


def _corpus(rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """References, and hypotheses with some words changed."""
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(5, 15))) + "." for _ in range(rows)]
    hypotheses = [" ".join(rng.choice(WORDS) if rng.random() < 0.2 else w for w in r.split()) for r in references]
    return hypotheses, references


def test_scores_signatures_and_intervals_are_sacrebleus() -> None:
    hypotheses, references = _corpus(80)
    found = score_translation(hypotheses, references, bootstrap=200)
    assert found.rows == 80
    assert found.normalised is None
    for score, metric in ((found.bleu, BLEU()), (found.chrf, CHRF()), (found.chrfpp, CHRF(word_order=2))):
        theirs = metric.corpus_score(hypotheses, [references], n_bootstrap=200)
        assert score.value == pytest.approx(theirs.score, abs=1e-9)
        assert score.signature == str(metric.get_signature())
        assert score.low is not None
        assert score.high is not None
        assert score.low < score.value < score.high
        assert (score.high - score.low) / 2 == pytest.approx(theirs._ci, abs=1e-3)


def test_the_draws_do_not_depend_on_the_pieces_they_are_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = np.random.default_rng(0).random((37, 4))
    whole = resample_sums(statistics, 50, seed=7)
    monkeypatch.setattr(translation, "_DRAWS_AT_ONCE", 3 * 37)
    assert np.array_equal(resample_sums(statistics, 50, seed=7), whole)


def test_no_bootstrap_no_interval() -> None:
    score = score_translation(*_corpus(5), bootstrap=0).bleu
    assert score.low is score.high is None
    assert "bs:" not in score.signature
    assert str(score) == f"{score.value:.2f}"


def test_a_perfect_translation_scores_100() -> None:
    _, references = _corpus(20)
    found = score_translation(references, references, bootstrap=10)
    assert [s.value for s in (found.bleu, found.chrf, found.chrfpp)] == pytest.approx([100, 100, 100])
    assert (found.bleu.low, found.bleu.high) == pytest.approx((100, 100))


def test_spelling_that_nobody_sees_costs_only_the_plain_score() -> None:
    _, references = _corpus(60)
    altered = [unicodedata.normalize("NFD", r).replace("'", "’") for r in references]
    found = score_translation(altered, references, lang="ig", bootstrap=20)
    assert found.normalised is not None
    assert found.bleu.value < 60
    assert found.normalised.bleu.value == pytest.approx(100)
    assert found.normalised.chrfpp.value == pytest.approx(100)
    assert "norm:" not in found.bleu.signature
    assert "|norm:lugha-ibo-v" in found.normalised.bleu.signature


def test_clean_text_has_the_same_score_normalised() -> None:
    hypotheses, references = _corpus(30)
    found = score_translation(hypotheses, references, lang="ibo", bootstrap=20)
    assert found.normalised is not None
    assert found.normalised.chrf.value == found.chrf.value
    assert found.normalised.chrf.low == found.chrf.low
    assert found.normalised.chrf.signature.startswith(found.chrf.signature)


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [(["a"], ["a", "b"], "1 hypotheses for 2 references"), ([], [], "no rows"), (["a"], ["a"], "Unknown language")],
)
def test_what_cannot_be_scored_is_refused(hypotheses: list[str], references: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        score_translation(hypotheses, references, lang="igb")


@pytest.mark.corpora
def test_metric_traps_on_the_igbo_test_set(corpora: Path) -> None:
    """The reference against an altered copy of itself: far from 100 as it is, 100 after the normaliser."""
    references = read_lines(corpora / "mafand-mt" / "en-ibo" / "test.ibo")
    altered = {
        (38.8, 66.7, 64.4): [unicodedata.normalize("NFD", line) for line in references],
        (88.5, 95.9, 94.9): [line.replace("'", "’") for line in references],
    }
    for figures, copies in altered.items():
        found = score_translation(copies, references, lang="ibo", bootstrap=0)
        assert tuple(round(s.value, 1) for s in (found.bleu, found.chrf, found.chrfpp)) == figures
        assert found.normalised is not None
        assert found.normalised.bleu.value == pytest.approx(100)
