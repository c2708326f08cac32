"""The surface: verbs, exit codes, and what is not imported before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from lugha.cli.main import app
from tests.cli.conftest import Lugha

# The frozen surface: a change edits this list in the same commit, so that it is seen in review.
VERBS = {
    "align": {"--checkpoint", "--data", "--validation-data", "--epochs", "--lr", "--beta", "--lang", "--output", "--set"},
    "checkpoints list": set(),
    "checkpoints promote": set(),
    "checkpoints prune": {"--dry-run", "--keep-newest", "--keep-every", "--budget-gb", "--quarantined-older-than"},
    "checkpoints pull": {"--output"},
    "checkpoints verify": set(),
    "corpus clean": {
        "--input",
        "--output",
        "--lang",
        "--source-lang",
        "--target-lang",
        "--target",
        "--licence",
        "--sentences",
    },
    "corpus dedup": {"--input", "--output", "--threshold", "--num-hashes", "--num-bands"},
    "corpus filter": {"--input", "--output", "--min-words", "--max-words", "--max-length-ratio", "--language-id"},
    "corpus split": {"--input", "--output", "--validation", "--test", "--seed"},
    "demo": {"--set"},
    "evaluate": {"--checkpoint", "--metric", "--split", "--output", "--hypotheses", "--references", "--sources", "--lang"}
    | {"--source-lang", "--set"},
    "examples preview": {"--rows", "--epoch", "--index", "--set"},
    "export": {"--checkpoint", "--output", "--format"},
    "generate": {"--checkpoint", "--prompt", "--max-tokens", "--strategy", "--temperature", "--top-k", "--top-p", "--seed"}
    | {"--lang"},
    "languages": set(),
    "new": {"--preset", "--force"},
    "recipe check": {"--language-pairs", "--set"},
    "recipe list": set(),
    "recipe show": {"--language-pairs", "--set"},
    "report": set(),
    "run": {"--until", "--from", "--language-pairs", "--set"},
    "sweep": {"--grid", "--seeds", "--tokens", "--set"},
    "tokenizer audit": {"--input", "--tokenizer", "--punctuation", "--max-unknown"},
    "tokenizer decode": {"--tokenizer", "--ids"},
    "tokenizer encode": {"--tokenizer", "--text"},
    "tokenizer train": {"--input", "--output", "--vocab-size", "--style", "--seed"},
    "tokens build": {"--input", "--output", "--tokenizer", "--tokens-per-shard"},
    "train": {"--config", "--resume", "--new", "--tokens", "--tokenizer", "--language-pairs", "--set"},
    "translate": {"--checkpoint", "--from", "--to", "--beam", "--max-tokens"},
    "vocab extend": {"--base", "--output", "--language", "--like", "--characters", "--corpus", "--min-count"}
    | {"--punctuation", "--revision"},
}


def surface() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def walk(command: object, path: list[str]) -> None:
        members = getattr(command, "commands", None)
        if members:
            for name, member in members.items():
                walk(member, [*path, name])
            return
        options = {o for p in command.params for o in p.opts if o.startswith("--")}  # type: ignore[attr-defined]
        found[" ".join(path)] = options - {"--json", "--help"}

    walk(typer.main.get_command(app), [])
    return found


def test_the_surface_is_the_frozen_list() -> None:
    assert surface() == VERBS


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['lugha', '--help']\n"
        "from lugha.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'polars', 'pyarrow', 'numpy', 'pydantic', 'matplotlib', 'tokenizers', 'sacrebleu'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "translate" in done.stdout


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = "import lugha, sys; print(sorted({'torch', 'polars', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_name_of_the_library_can_be_had() -> None:
    import lugha as library

    for name in library.__all__:
        assert getattr(library, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'transalte'"):
        _ = library.transalte  # type: ignore[attr-defined]


def test_version_and_bad_usage(lugha: Lugha) -> None:
    assert lugha("--version").out.startswith("lugha 0.")
    assert lugha("rnu").code == 2
    assert lugha("run").code == 2


def test_bad_input_is_one_line_on_stderr_and_code_2(lugha: Lugha) -> None:
    answer = lugha("recipe", "show", "swahili-debgu")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == 'lugha: No preset "swahili-debgu". Did you mean "swahili-debug"?\n'


def test_recipes_are_listed_shown_and_checked(lugha: Lugha) -> None:
    assert "88,099,584" in lugha("recipe", "list").out
    assert "d_model: 128" in lugha("recipe", "show", "swahili-debug").out
    assert "1,115,264" in lugha("recipe", "check", "swahili-debug").out
    assert '"parameters": 381731840' in lugha("recipe", "check", "swahili-large", "--json").out
    assert "swh_Latn" in lugha("languages", "--json").out


def test_new_writes_a_recipe_once(lugha: Lugha, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert lugha("new", "mine", "--preset", "swahili-debug").code == 0
    assert lugha("recipe", "check", "mine.yaml").code == 0
    again = lugha("new", "mine", "--preset", "swahili-debug")
    assert (again.code, "mine.yaml exists" in again.err) == (2, True)
    assert lugha("new", "mine", "--preset", "swahili-base", "--force").code == 0
    assert lugha("new", "Bad Name", "--preset", "swahili-debug").code == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.yaml"]
