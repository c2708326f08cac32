"""The recipe: one YAML file that says everything about a run."""

from lugha.recipe.load import dump_recipe, load_recipe, parse_recipe, preset_names, preset_text
from lugha.recipe.sections import (
    CleanSection,
    CorpusSection,
    DedupSection,
    EvaluateSection,
    ExportSection,
    FilterSection,
    ModelSection,
    Recipe,
    RunSection,
    Source,
    SplitSection,
    TokenizerSection,
    TokensSection,
    TrainSection,
)

__all__ = [
    "CleanSection",
    "CorpusSection",
    "DedupSection",
    "EvaluateSection",
    "ExportSection",
    "FilterSection",
    "ModelSection",
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
