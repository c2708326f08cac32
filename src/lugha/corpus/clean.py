"""The stage `clean`: raw files of all sources -> normalised rows in Parquet, with provenance and a reason for every drop.

    clean_corpus(sources, Path("corpus/cleaned"), root=Path("data"))

    corpus/cleaned/00000.parquet, ..., manifest.json

Each text passes the normaliser of its language (mojibake before control characters, NFC, signs, blanks; never a letter's dot
or tone), then the redaction that the recipe asks for. Rows keep their order. A row leaves only when nothing is left of it,
both sides of a pair together:

    empty            no character is left (of either side)
    empty_one_side   one side of a pair is empty and the other is not

`details` of the manifest: `kind`, `languages`, `directions` (pairs), `sources` with rows in / out / dropped and licence,
`changes` with the texts that each rule changed and a few samples, `normalisers` with version and digest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from lugha.corpus.find import digest_source
from lugha.corpus.read import read_source
from lugha.corpus.segment import split_sentences
from lugha.corpus.shards import ROWS_PER_GROUP, TEXT_COLUMNS, Kind, ShardWriter
from lugha.errors import InputError
from lugha.languages.normalise import Change, Normaliser
from lugha.languages.registry import get_language
from lugha.recipe.corpus_sections import CleanSection, Source
from lugha.runs.manifest import StageManifest, is_current, read_manifest, stage_output
from lugha.runs.progress import Progress

STAGE, VERSION = "clean", 1
_SAMPLES = 5
_SAMPLE_CHARACTERS = 160

_REDACTIONS: dict[str, tuple[str, re.Pattern[str]]] = {
    "url": ("<url>", re.compile(r"\b(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?')\]]")),
    "email": ("<email>", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")),
}


def clean_corpus(
    sources: Sequence[Source],
    output: Path,
    *,
    root: Path,
    section: CleanSection | None = None,
    rows_per_shard: int = 1_000_000,
) -> StageManifest:
    """Read, normalise and write all `sources`, which hold either documents or pairs.

    Args:
        output: the folder to make; left alone when it was made from the same bytes by the same rules.
        root: what the sources' paths are relative to.

    Raises:
        InputError: no sources, documents and pairs mixed, an unknown language, an output inside a folder that is read, no
            rows at all, or whatever is wrong with a file (see `read_source`); nothing half-written is left.
    """
    section = section or CleanSection()
    kind = _kind(sources)
    _refuse_output_among_inputs(sources, output, root)
    normalisers = {code: Normaliser(code) for source in sources for code in _languages(source)}
    parameters = {
        "sources": [source.model_dump(mode="json") for source in sources],
        "clean": section.model_dump(mode="json"),
        "rows_per_shard": rows_per_shard,
        "normalisers": {code: normaliser.digest() for code, normaliser in sorted(normalisers.items())},
    }
    inputs = {source.name: digest_source(source, root) for source in sources}
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)

    with (
        stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs) as out,
        ShardWriter(out, kind, rows_per_shard=rows_per_shard) as shards,
        Progress("clean", "rows") as progress,
    ):
        changes = ChangeLog()
        facts: dict[str, dict[str, Any]] = {}
        for source in sources:
            dropped: Counter[str] = Counter()
            rows_in = rows_out = 0
            for frame in _frames(source, root):
                cleaned = _clean_frame(frame, source, normalisers, section.redact, changes)
                kept = cleaned.filter(pl.col("reason").is_null()).drop("reason")
                dropped.update(cleaned["reason"].drop_nulls().to_list())
                shards.write(kept)
                rows_in += frame.height
                rows_out += kept.height
                progress.add(frame.height)
            out.tally.rows_in += rows_in
            out.tally.rows_out += rows_out
            out.tally.dropped.update(dropped)
            facts[source.name] = {
                "rows_in": rows_in,
                "rows_out": rows_out,
                "dropped": dict(sorted(dropped.items())),
                "licence": source.licence,
            }
        if not out.tally.rows_in:
            paths = ", ".join(str(root / source.path) for source in sources)
            raise InputError(f"{paths}: no rows to clean; the files are empty.")
        out.details |= {
            "kind": kind,
            "languages": sorted(normalisers),
            **({"directions": sorted({_languages(source) for source in sources})} if kind == "pairs" else {}),
            "sources": facts,
            "changes": changes.as_json(),
            "normalisers": {code: {"version": n.version, "digest": n.digest()} for code, n in sorted(normalisers.items())},
        }
    return read_manifest(output)


@dataclass
class ChangeLog:
    """How many texts each rule changed, and the first few of them."""

    texts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(self, changes: Sequence[Change]) -> None:
        """Count the changes of one text, a rule that applied twice once."""
        for rule, before, after in {change.rule: change for change in reversed(changes)}.values():
            self.texts[rule] += 1
            samples = self.samples.setdefault(rule, [])
            if len(samples) < _SAMPLES:
                samples.append(_sample(before, after))

    def as_json(self) -> dict[str, Any]:
        """{rule: {"texts": n, "samples": [{"before": ..., "after": ...}]}}, commonest first."""
        return {rule: {"texts": n, "samples": self.samples[rule]} for rule, n in self.texts.most_common()}


def _kind(sources: Sequence[Source]) -> Kind:
    if not sources:
        raise InputError("corpus.sources is empty: name at least one source of documents or pairs.")
    for source in sources:
        if source.kind != sources[0].kind:
            raise InputError(
                f'source "{sources[0].name}" holds {sources[0].kind} but source "{source.name}" holds {source.kind}: '
                "a corpus holds one kind. Make two recipes."
            )
    return sources[0].kind


def _refuse_output_among_inputs(sources: Sequence[Source], output: Path, root: Path) -> None:
    """The stage would read what it writes, and never be current."""
    for source in sources:
        folder = (root / source.path).resolve()
        if folder.is_dir() and output.resolve().is_relative_to(folder):
            raise InputError(f'{output} lies inside {root / source.path}, which source "{source.name}" reads. Give another.')


def _languages(source: Source) -> tuple[str, ...]:
    """ISO 639-3 codes of the source's text columns, in their order."""
    given = (source.lang,) if source.kind == "documents" else (source.source_lang, source.target_lang)
    return tuple(get_language(str(code)).code for code in given)


def _frames(source: Source, root: Path) -> Iterator[pl.DataFrame]:
    """Raw rows, one a sentence where the source says so, at most 50,000 at a time."""
    for frame in read_source(source, root):
        rows = _one_row_a_sentence(frame) if source.segment == "sentence" else frame
        yield from rows.iter_slices(ROWS_PER_GROUP)


def _one_row_a_sentence(frame: pl.DataFrame) -> pl.DataFrame:
    """Sentence k of row `id` becomes row `id.k`; a document without one stays one empty row."""
    sentences = [split_sentences(text) or [""] for text in frame["text"]]
    numbers = [list(range(1, len(s) + 1)) for s in sentences]
    return (
        frame.with_columns(pl.Series("text", sentences), pl.Series("number", numbers))
        .explode("text", "number")
        .with_columns(pl.format("{}.{}", "id", "number").alias("id"))
        .drop("number")
    )


def _clean_frame(
    frame: pl.DataFrame,
    source: Source,
    normalisers: dict[str, Normaliser],
    redact: Sequence[str],
    log: ChangeLog,
) -> pl.DataFrame:
    """Clean every text column; adds `reason`, null for rows to keep."""
    columns = TEXT_COLUMNS[source.kind]
    cleaned = [
        pl.Series(column, _clean_texts(frame[column], normalisers[code], redact, log))
        for column, code in zip(columns, _languages(source), strict=True)
    ]
    empty = [pl.col(column) == "" for column in columns]
    reason = (
        pl.when(pl.all_horizontal(empty)).then(pl.lit("empty")).when(pl.any_horizontal(empty)).then(pl.lit("empty_one_side"))
    )
    return frame.with_columns(cleaned).with_columns(reason.alias("reason"))


def _clean_texts(texts: pl.Series, normaliser: Normaliser, redact: Sequence[str], log: ChangeLog) -> list[str]:
    cleaned = []
    for text in texts:
        changes = [*normaliser.changes(text)]
        if changes:
            text = changes[-1].after
        for what in redact:
            mark, pattern = _REDACTIONS[what]
            redacted = pattern.sub(mark, text)
            if redacted != text:
                changes.append(Change(f"redact_{what}", text, redacted))
                text = redacted
        if changes:
            log.add(changes)
        cleaned.append(text)
    return cleaned


def _sample(before: str, after: str) -> dict[str, str]:
    """The two texts around their first difference, invisible characters spelled out."""
    difference = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    start = max(0, difference - _SAMPLE_CHARACTERS // 4)
    return {"before": _visible(before[start:]), "after": _visible(after[start:])}


def _visible(text: str) -> str:
    spelled = (c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_SAMPLE_CHARACTERS])
    return "".join(spelled)[:_SAMPLE_CHARACTERS]
