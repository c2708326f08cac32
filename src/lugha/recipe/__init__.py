"""The recipe: one YAML file that says everything about a run."""

from lugha.recipe.corpus_sections import CleanSection, CorpusSection, DedupSection, FilterSection, Source, SplitSection
from lugha.recipe.durability_sections import CheckpointsSection, PublishSection, RunSection
from lugha.recipe.load import dump_recipe, load_recipe, parse_recipe, preset_names, preset_text
from lugha.recipe.sections import (
    EvaluateSection,
    ExamplesSection,
    ExportSection,
    LoraSection,
    ModelSection,
    Recipe,
    TokenizerSection,
    TokensSection,
    TrainSection,
)

__all__ = [
    "CheckpointsSection",
    "CleanSection",
    "CorpusSection",
    "DedupSection",
    "EvaluateSection",
    "ExamplesSection",
    "ExportSection",
    "FilterSection",
    "LoraSection",
    "ModelSection",
    "PublishSection",
    "Recipe",
    "RunSection",
    "Source",
    "SplitSection",
    "TokenizerSection",
    "TokensSection",
    "TrainSection",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
    "preset_names",
    "preset_text",
]
