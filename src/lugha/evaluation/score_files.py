"""Score a file of translations against a file of references: `lugha evaluate --hypotheses F --references G`.

In: UTF-8 text files with one sentence a line, line i beside line i. Out: a `FileScores` with BLEU, chrF and chrF++ as
sacrebleu gives them, the same after the language's normaliser, and the checks for degenerate output.

A line ends at a newline and nowhere else: U+2028, U+0085 or a form feed inside a sentence would shift every line behind it
against the other file. A last line without a newline counts.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lugha.errors import InputError
from lugha.evaluation.degenerate import OutputChecks, check_outputs
from lugha.evaluation.translation import TranslationScore, score_translation


class FileScores(BaseModel):
    """What was found in a file of translations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hypotheses: str
    references: str
    lang: str | None
    scores: TranslationScore
    checks: OutputChecks


def score_files(
    hypotheses: Path,
    references: Path,
    *,
    sources: Path | None = None,
    lang: str | None = None,
    source_lang: str | None = None,
    bootstrap: int = 1000,
) -> FileScores:
    """Score one file against another.

    Args:
        sources: what was translated; with it copies of the source are counted.
        lang: language of hypotheses and references, any code the registry knows; with it the scores are also given after
            that language's normaliser, and lines in another language are counted.
        source_lang: language of `sources`.
        bootstrap: resamples for the 95 % intervals; 0 for none.

    Raises:
        InputError: a missing or empty file, invalid UTF-8, unequal numbers of lines, or an unknown language.
    """
    hypothesis_lines, reference_lines = read_lines(hypotheses), read_lines(references)
    _refuse_unequal(hypotheses, hypothesis_lines, references, reference_lines)
    source_lines = None if sources is None else read_lines(sources)
    if sources is not None and source_lines is not None:
        _refuse_unequal(hypotheses, hypothesis_lines, sources, source_lines)
    return FileScores(
        hypotheses=str(hypotheses),
        references=str(references),
        lang=lang,
        scores=score_translation(hypothesis_lines, reference_lines, lang=lang, bootstrap=bootstrap),
        checks=check_outputs(
            hypothesis_lines, sources=source_lines, references=reference_lines, lang=lang, source_lang=source_lang
        ),
    )


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, as they are, without their newlines.

    Raises:
        InputError: no such file, nothing in it, or a line that is not UTF-8.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    lines = path.read_bytes().split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if not lines:
        raise InputError(f"{path}: the file is empty; one sentence a line is expected.")
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.decode())
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number}: not UTF-8 at byte {error.start}. Save the file as UTF-8.") from error
    return texts


def _refuse_unequal(first: Path, first_lines: list[str], second: Path, second_lines: list[str]) -> None:
    if len(first_lines) != len(second_lines):
        raise InputError(
            f"{first} has {len(first_lines):,} lines and {second} has {len(second_lines):,}: line i must answer line i. "
            "Check that none was lost or broken in two."
        )
