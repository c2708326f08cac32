"""The export stage: the final checkpoint in the formats that the recipe asks for, each behind its parity gate."""

from __future__ import annotations

from pathlib import Path

from lugha.corpus.shards import TEXT_COLUMNS, kind_of, open_corpus, read_frames, shard_paths
from lugha.export.hf import export_hf
from lugha.pipeline.layout import Layout
from lugha.recipe import Recipe
from lugha.runs.manifest import StageManifest
from lugha.training.loop import TrainResult

_PROBES = 200  # held-out texts on which the exported tokenizer's ids are compared


def export_run(recipe: Recipe, trained: TrainResult) -> list[StageManifest]:
    """Export the final checkpoint of a finished training below its run folder.

    Raises:
        RefusedError: an exported model or tokenizer does not say the same as the checkpoint.
    """
    split = Layout.of(recipe).corpus("split")
    folder = trained.run.path / "export"
    return [
        export_hf(trained.checkpoint, folder / name, probes=held_out_texts(split, _PROBES), card=_card(recipe))
        for name in recipe.export.formats
    ]


def held_out_texts(split: Path, count: int) -> list[str]:
    """Up to `count` texts of the test split (or of training, where there is none), both sides of pairs."""
    kind = kind_of(open_corpus(split, ("split",)))
    paths = shard_paths(split, "test") or shard_paths(split, "train")
    for frame in read_frames(paths, TEXT_COLUMNS[kind]):
        texts = [text for column in TEXT_COLUMNS[kind] for text in frame[column].head(count)]
        return texts[:count]
    return []


def _card(recipe: Recipe) -> str:
    """What it was trained on, with licences: Markdown."""
    rows = [f"| {s.name} | {s.lang or f'{s.source_lang}-{s.target_lang}'} | {s.licence} |" for s in recipe.corpus.sources]
    return "\n".join(["## Training data", "", "| source | language | licence |", "|---|---|---|", *rows, ""])
