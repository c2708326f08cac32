"""The report of a run: gathers what the stages left and draws `report.html`."""

from __future__ import annotations

from pathlib import Path

from lugha.demo.audit import audit_cleaning
from lugha.demo.corpus import demo_sources
from lugha.monitor.report import write_report
from lugha.pipeline.layout import Layout
from lugha.recipe import Recipe
from lugha.runs.folder import RunFolder
from lugha.runs.manifest import MANIFEST, StageManifest, read_manifest


def report_run(recipe: Recipe, run: RunFolder) -> Path:
    """Write the report of a run; returns its path. Stages that have not run are left out of it."""
    layout = Layout.of(recipe)
    corpus = [layout.corpus(step) for step in ("cleaned", "deduped", "filtered", "split")]
    folders = [f for f in (*corpus, layout.tokenizer, layout.tokens) if (f / MANIFEST).is_file()]
    stages: list[tuple[str, StageManifest]] = [(f.name, read_manifest(f)) for f in folders]
    planted = audit_cleaning(layout.corpus("raw"), *corpus[:3]) if _reads_the_whole_demo(recipe) else None
    return write_report(run.path, title=recipe.name, stages=stages, planted=planted)


def _reads_the_whole_demo(recipe: Recipe) -> bool:
    """Whether every planted fault of the sample corpus went through this recipe's cleaning, both sides of every pair."""
    read = {source.name for source in recipe.corpus.sources if source.kind == "pairs"}
    return recipe.corpus.demo_pairs > 0 and read == {source.name for source in demo_sources()}
