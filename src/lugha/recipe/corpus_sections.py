"""The sections of a recipe that make a corpus of raw text: sources, clean, dedup, filter, split."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from lugha.recipe.section import Fraction, Section


class Source(Section):
    """One source of documents or of aligned pairs, with its licence."""

    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$", description="stands in every row's `source` column")
    path: Path = Field(description="file, or folder read in order of its files' names; relative to corpus.root")
    kind: Literal["documents", "pairs"] = "documents"
    format: Literal["auto", "txt", "jsonl", "tsv", "csv", "parquet", "moses"] = Field(
        "auto", description="auto: by file ending, also under .gz and .zst"
    )
    target_path: Path | None = Field(None, description="moses: the file aligned line by line with `path`")
    lang: str | None = Field(None, description="language of documents; any code that the registry knows")
    source_lang: str | None = Field(None, description="language of the first side of pairs")
    target_lang: str | None = Field(None, description="language of the second side of pairs")
    text: str = Field("text", description="column or JSON key that holds a document's text")
    source_text: str = Field("source_text", description="column or JSON key of the first side")
    target_text: str = Field("target_text", description="column or JSON key of the second side")
    score: str | None = Field(None, description="column or JSON key of the mined score of a pair")
    group: str | None = Field(
        None, description="column or JSON key of the document group that a split never cuts; default: the file"
    )
    group_lines: int | None = Field(
        None, ge=1, description="where a file has no group column: this many consecutive lines are one group"
    )
    segment: Literal["none", "sentence"] = Field("none", description="sentence: a document becomes one row a sentence")
    empty_marks: list[str] = Field([], description='texts that mean "nothing here", such as <range> in verse files')
    split: Literal["auto", "train", "validation", "test"] = Field("auto", description="auto: divided by corpus.split")
    licence: str = Field("unknown", description="SPDX name or the words of the source")

    @model_validator(mode="after")
    def _languages_are_named(self) -> Self:
        if self.kind == "documents" and self.lang is None:
            raise ValueError(f'source "{self.name}" holds documents and needs `lang`')
        if self.kind == "pairs" and (self.source_lang is None or self.target_lang is None):
            raise ValueError(f'source "{self.name}" holds pairs and needs `source_lang` and `target_lang`')
        if self.format == "moses" and (self.target_path is None or self.kind != "pairs"):
            raise ValueError(f'source "{self.name}" is moses: it needs `kind: pairs` and `target_path`')
        return self


class CleanSection(Section):
    """Repair and normalise text; the rules of each language come from the registry."""

    redact: list[Literal["url", "email"]] = Field([], description="replace these by <url>, <email>")


class DedupSection(Section):
    """Exact and near-duplicate removal: MinHash LSH candidates, every one checked by exact Jaccard similarity."""

    threshold: Fraction = Field(0.8, description="Jaccard similarity of character n-grams from which two rows are one")
    ngram: int = Field(5, ge=1, description="characters in a shingle")
    num_hashes: int = Field(120, ge=1, description="permutations of the signature")
    num_bands: int = Field(20, ge=1, description="LSH bands; must divide num_hashes")

    @model_validator(mode="after")
    def _bands_divide_hashes(self) -> Self:
        if self.num_hashes % self.num_bands:
            raise ValueError(f"num_bands {self.num_bands} must divide num_hashes {self.num_hashes}")
        return self


class FilterSection(Section):
    """Bounds on a row; outside them it is dropped, with the first rule that applies as the reason."""

    min_words: int = Field(3, ge=0, description="on each side")
    max_words: int | None = Field(None, ge=1, description="on each side; default: 200 for pairs, no bound for documents")
    max_length_ratio: float = Field(3.0, ge=1.0, description="longer / shorter side of a pair, in characters")
    min_letters: Fraction = Field(0.6, description="letters and combining marks / characters that are not blank")
    max_repetition: Fraction = Field(0.5, description="share of words that belong to the commonest word")
    language_id: bool = Field(True, description="drop a row of 4 words or more that both identifiers call another language")
    min_score: float | None = Field(None, description="mined pairs: lower bound of the score")
    max_score: float | None = Field(None, description="mined pairs: upper bound of the score")


class SplitSection(Section):
    """Train, validation, test: by document group and near-duplicate cluster, never by row alone."""

    validation: Fraction = Field(0.01, description="share of the rows of sources with split: auto")
    test: Fraction = Field(0.01, description="share of the rows of sources with split: auto")
    max_rows: int = Field(20_000, ge=1, description="upper bound for validation and for test, in rows")
    cluster_threshold: Fraction = Field(0.8, description="rows this similar, on either side, stay in one split")


class CorpusSection(Section):
    """From raw files to Parquet with provenance."""

    root: Path = Field(Path(), description="what relative source paths are relative to")
    sources: list[Source] = Field([])
    clean: CleanSection = CleanSection()
    dedup: DedupSection = DedupSection()
    filter: FilterSection = FilterSection()
    split: SplitSection = SplitSection()
    demo_pairs: int = Field(0, ge=0, description="pairs that the demo corpus writes for each language; 0: none")
    rows_per_shard: int = Field(1_000_000, ge=1)

    @model_validator(mode="after")
    def _source_names_differ(self) -> Self:
        names = [s.name for s in self.sources]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two sources are named {twice[0]}")
        return self
