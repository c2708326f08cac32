"""Where everything of a recipe lies. One place knows the folders; stages are only told their input and output.

runs/                                  run.root
    demo/                              what all runs of the recipe `demo` share
        corpus/raw cleaned deduped filtered split
        tokens/tokenizer shards
    demo-20261120T104210Z-3fa9/        one run
        checkpoints/ evaluation.json export/hf report.html ...
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lugha.recipe import Recipe


@dataclass(frozen=True)
class Layout:
    """Folders of a recipe's shared outputs."""

    root: Path
    name: str

    @classmethod
    def of(cls, recipe: Recipe) -> Layout:
        """The layout that a recipe asks for."""
        return cls(recipe.run.root, recipe.name)

    def corpus(self, step: str) -> Path:
        """Output of a corpus step: raw, cleaned, deduped, filtered or split."""
        return self.root / self.name / "corpus" / step

    @property
    def bases(self) -> Path:
        """Which commit each hub id was resolved to; shared by all recipes."""
        return self.root / "bases"

    @property
    def base(self) -> Path:
        """The base model of a tiny twin."""
        return self.root / self.name / "base"

    @property
    def extended_base(self) -> Path:
        """A base with the languages and characters that the recipe adds."""
        return self.root / self.name / "base-extended"

    @property
    def audit(self) -> Path:
        """What of the corpus the base's tokenizer cannot write."""
        return self.root / self.name / "tokens" / "audit"

    @property
    def base_tokenizer(self) -> Path:
        """The tokenizer stage of that base."""
        return self.root / self.name / "tokens" / "base-tokenizer"

    @property
    def tokenizer(self) -> Path:
        """Output of the tokenizer stage."""
        return self.root / self.name / "tokens" / "tokenizer"

    @property
    def tokens(self) -> Path:
        """Output of the tokens stage."""
        return self.root / self.name / "tokens" / "shards"
