"""BLEU, chrF and chrF++ of translations, with 95 % intervals, plain and after the language's normaliser.

In: hypotheses and references, one sentence a row, row i beside row i. Out: a `TranslationScore` whose figures and
signatures are sacrebleu's (13a tokenisation, mixed case), so that they can be put beside published ones.

Each score is given twice, because spelling variants that a reader does not see decide it: an Igbo reference in NFD scores
38.8 BLEU against itself in NFC, with a curly for a straight apostrophe 88.5. `score.bleu` is the plain figure,
`score.normalised.bleu` the one after both sides passed the normaliser that also cleaned the corpus; its signature says so
(`...|norm:lugha-ibo-v1`).

The interval is a percentile bootstrap over rows with sacrebleu's own draws: `sacrebleu --confidence` prints the same
half-width. It says how far another sample of sentences *of this kind* would move the score, not how the model does on
another kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from lugha.errors import InputError
from lugha.languages.normalise import Normaliser

BOOTSTRAP_SEED = 12345  # sacrebleu's default: the same draws, hence the same interval
_DRAWS_AT_ONCE = 4_000_000  # row numbers held in memory: 32 MB, however many rows and resamples there are


class Score(BaseModel):
    """One metric on one set of rows, 0 to 100; `low` and `high` bound the 95 % interval (none without a bootstrap)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float | None
    high: float | None
    signature: str

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class TranslationScore(BaseModel):
    """The three metrics on the same rows; `normalised` holds them after the language's normaliser on both sides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    bleu: Score
    chrf: Score
    chrfpp: Score
    normalised: TranslationScore | None = None


def score_translation(
    hypotheses: Sequence[str], references: Sequence[str], *, lang: str | None = None, bootstrap: int = 1000
) -> TranslationScore:
    """Score translations against one reference each.

    Args:
        lang: language of both sides, any code the registry knows; none: plain scores only.
        bootstrap: resamples for the intervals; 0 for none.

    Raises:
        InputError: no rows, unequal numbers of rows, or an unknown language.
    """
    if len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses):,} hypotheses for {len(references):,} references: row i must answer row i. "
            "Find where they part, or score the same rows."
        )
    if not hypotheses:
        raise InputError("No hypotheses to score: both sides have no rows.")
    plain = _score(hypotheses, references, bootstrap, suffix="")
    if lang is None:
        return plain
    normaliser = Normaliser(lang)
    hypotheses_normal = [normaliser.normalise(text) for text in hypotheses]
    references_normal = [normaliser.normalise(text) for text in references]
    suffix = f"|norm:lugha-{normaliser.language.code}-v{normaliser.version}"
    if hypotheses_normal == list(hypotheses) and references_normal == list(references):
        normalised = _with_suffix(plain, suffix)
    else:
        normalised = _score(hypotheses_normal, references_normal, bootstrap, suffix)
    return plain.model_copy(update={"normalised": normalised})


def _score(hypotheses: Sequence[str], references: Sequence[str], bootstrap: int, suffix: str) -> TranslationScore:
    bleu, chrf, chrfpp = (
        _metric_score(metric, hypotheses, references, bootstrap, suffix)
        for metric in (BLEU(force=True), CHRF(), CHRF(word_order=2))
    )
    return TranslationScore(rows=len(hypotheses), bleu=bleu, chrf=chrf, chrfpp=chrfpp)


def _metric_score(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[str], bootstrap: int, suffix: str
) -> Score:
    """Score from the sufficient statistics of each row, which the bootstrap sums again instead of counting n-grams again."""
    statistics = np.array(metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)
    value = float(metric._compute_score_from_stats(statistics.sum(0).tolist()).score)
    low = high = None
    if bootstrap:
        metric.n_bootstrap, metric.seed = bootstrap, str(BOOTSTRAP_SEED)  # what sacrebleu prints in its signature
        resampled = [
            float(metric._compute_score_from_stats(total.tolist()).score)
            for total in resample_sums(statistics, bootstrap, BOOTSTRAP_SEED)
        ]
        low, high = _interval(resampled)
    return Score(value=value, low=low, high=high, signature=f"{metric.get_signature()}{suffix}")


def resample_sums(statistics: npt.NDArray[np.float64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Sums of `resamples` samples of rows, drawn with replacement.

    Args:
        statistics: (rows, k), what each row adds to a corpus metric.

    Returns:
        (resamples, k). The draws are those of `sacrebleu.significance`, taken piece by piece: it gathers
        resamples x rows x k numbers at once, 2 GB for 20,000 rows.
    """
    rows = len(statistics)
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // rows)
    sums = np.empty((resamples, statistics.shape[1]))
    for first in range(0, resamples, at_once):
        count = min(at_once, resamples - first)
        for offset, drawn in enumerate(rng.choice(rows, size=(count, rows), replace=True)):
            sums[first + offset] = np.bincount(drawn, minlength=rows) @ statistics
    return sums


def _interval(scores: Sequence[float]) -> tuple[float, float]:
    """The central 95 % of `scores`: 1/40 is cut off at each end, as sacrebleu's `estimate_ci` does."""
    ordered = sorted(scores)
    cut = len(ordered) // 40
    return ordered[cut], ordered[len(ordered) - cut - 1]


def _with_suffix(score: TranslationScore, suffix: str) -> TranslationScore:
    def renamed(one: Score) -> Score:
        return one.model_copy(update={"signature": one.signature + suffix})

    return TranslationScore(
        rows=score.rows, bleu=renamed(score.bleu), chrf=renamed(score.chrf), chrfpp=renamed(score.chrfpp)
    )
