"""Files of translations: the published systems' figures to the second decimal, and the lines of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU, CHRF

from lugha.errors import InputError
from lugha.evaluation.score_files import read_lines, score_files

# Outputs of Adelani et al. (NAACL 2022, arXiv 2205.02022) on the test set of MAFAND: file, reference, BLEU, chrF, chrF++.
PUBLISHED = [
    ("ibo/transformer_en_ibo_rel", "en-ibo/test.ibo", 6.59, 36.17, 33.11),
    ("ibo/transformer_ibo_en_rel", "en-ibo/test.en", 7.12, 30.41, 27.99),
    ("swa/transformer_en_swa_rel", "en-swa/test.swa", 16.55, 47.44, 44.19),
    ("swa/transformer_swa_en_rel", "en-swa/test.en", 19.63, 46.24, 44.23),
    ("ibo/mt5_en_ibo_news", "en-ibo/test.ibo", 14.10, 41.07, 38.61),
    ("ibo/mt5_ibo_en_news", "en-ibo/test.en", 18.44, 43.54, 41.59),
    ("swa/mt5_en_swa_news", "en-swa/test.swa", 25.14, 53.70, 50.88),
    ("swa/mt5_swa_en_news", "en-swa/test.en", 29.64, 53.72, 52.03),
    ("ibo/m2m100_en_ibo_news", "en-ibo/test.ibo", 20.32, 49.99, 47.19),
    ("ibo/m2m100_ibo_en_news", "en-ibo/test.en", 18.48, 46.06, 43.63),
    ("swa/m2m100_en_swa_news", "en-swa/test.swa", 26.64, 56.38, 53.40),
    ("swa/m2m100_swa_en_news", "en-swa/test.en", 29.84, 54.85, 53.02),
    ("ibo/m2m100_en_ibo_rel_news", "en-ibo/test.ibo", 20.37, 50.05, 47.19),
    ("ibo/m2m100_ibo_en_rel_news", "en-ibo/test.en", 20.45, 47.47, 45.23),
    ("swa/m2m100_en_swa_rel_news", "en-swa/test.swa", 23.39, 53.02, 49.98),
    ("swa/m2m100_swa_en_rel_news", "en-swa/test.en", 29.56, 54.75, 52.83),
    ("ibo/m2m100_ibo_en_rel", "en-ibo/test.en", 0.04, 13.25, 11.17),  # a broken run
]


@pytest.mark.corpora
@pytest.mark.parametrize(("output", "reference", "bleu", "chrf", "chrfpp"), PUBLISHED)
def test_published_outputs_give_their_figures(
    corpora: Path, output: str, reference: str, bleu: float, chrf: float, chrfpp: float
) -> None:
    folder = corpora / "mafand-mt"
    found = score_files(folder / "model_predictions" / f"{output}.txt", folder / reference, bootstrap=0).scores
    assert [round(s.value, 2) for s in (found.bleu, found.chrf, found.chrfpp)] == [bleu, chrf, chrfpp]


@pytest.mark.corpora
def test_every_published_output_is_covered(corpora: Path) -> None:
    folder = corpora / "mafand-mt" / "model_predictions"
    assert {str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.txt")} == {row[0] for row in PUBLISHED}


@pytest.mark.corpora
def test_the_broken_run_is_fluent_and_only_its_score_tells(corpora: Path) -> None:
    """Good English that answers other sentences: no rate of failures sees it, which is why both are reported."""
    folder = corpora / "mafand-mt"
    found = score_files(
        folder / "model_predictions/ibo/m2m100_ibo_en_rel.txt",
        folder / "en-ibo/test.en",
        sources=folder / "en-ibo/test.ibo",
        lang="eng",
        source_lang="ibo",
        bootstrap=200,
    )
    checks = found.checks
    for rate in (checks.empty, checks.repetition, checks.copied, checks.wrong_language):
        assert rate is not None
        assert rate.share == 0
    assert found.scores.bleu.high is not None
    assert found.scores.bleu.high < 0.5


def _write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_files_made_here_give_sacrebleus_figures(tmp_path: Path) -> None:
    """The twin of the published outputs: the last line has no newline in one file, and U+2028 and NEL are no line ends."""
    hypotheses = ["Mtoto anasoma kitabu shuleni.", "Ng'ombe\u2028wanakunywa maji.", "Ụlọ anyị\x85dị n'akụkụ ụzọ taa."]
    references = ["Mtoto anasoma kitabu kizuri shuleni.", "Ng'ombe wanakunywa maji.", "Ụlọ anyị dị n'akụkụ ụzọ ukwu."]
    found = score_files(
        _write(tmp_path / "hyp", "\n".join(hypotheses)), _write(tmp_path / "ref", "\n".join(references) + "\n"), bootstrap=0
    ).scores
    assert found.rows == 3
    for score, metric in ((found.bleu, BLEU()), (found.chrf, CHRF()), (found.chrfpp, CHRF(word_order=2))):
        assert score.value == pytest.approx(metric.corpus_score(hypotheses, [references]).score)


def test_sources_and_languages_add_checks(tmp_path: Path) -> None:
    hypotheses = _write(tmp_path / "hyp", "Mtoto anasoma kitabu kizuri shuleni leo.\nThe cow drinks water by the river.\n")
    references = _write(tmp_path / "ref", "Mtoto anasoma kitabu kizuri shuleni.\nNg'ombe anakunywa maji mtoni.\n")
    sources = _write(tmp_path / "src", "The child reads a good book.\nThe cow drinks water by the river.\n")
    bare = score_files(hypotheses, references, bootstrap=0)
    assert bare.checks.copied is bare.checks.wrong_language is bare.scores.normalised is None
    full = score_files(hypotheses, references, sources=sources, lang="sw", source_lang="en", bootstrap=0)
    assert full.scores.normalised is not None
    assert (full.checks.copied.count, full.checks.copied.of) == (1, 2)  # type: ignore[union-attr]
    assert full.checks.wrong_language.count == 1  # type: ignore[union-attr]


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    assert read_lines(_write(tmp_path / "a", "one\u2028still one\x0c\r\n\ntwo")) == ["one\u2028still one\x0c\r", "", "two"]
    assert read_lines(_write(tmp_path / "b", "\n")) == [""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"a\nb\xff\n", "line 2: not UTF-8 at byte 1"),
        (b"a\nb\nc\n", "3 lines.* 2:"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, content: bytes | None, message: str) -> None:
    bad, good = tmp_path / "bad.txt", _write(tmp_path / "good.txt", "a\nb\n")
    if content is not None:
        bad.write_bytes(content)
    for pair in ((bad, good), (good, bad)):
        with pytest.raises(InputError, match=r"bad\.txt") as error:
            score_files(*pair)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=message):
        score_files(bad, good)
    with pytest.raises(InputError, match=r"bad\.txt"):
        score_files(good, good, sources=bad)
