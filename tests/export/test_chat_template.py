"""The chat template: what a server renders is what training saw; one that is not is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lugha.errors import RefusedError
from lugha.export.chat_template import chat_template, check_chat_template
from lugha.export.hf import write_tokenizer
from lugha.recipe import load_recipe
from lugha.tokens.template import Template, load_template
from tests.worlds import documents_world

PROBES = [
    "Kedu?",
    'Gịnị ka "ụlọ" pụtara?\nTwo lines.',
    "  {braces} {{ twice }} {% and a tag %} \\ 'quotes' \"both\"",
    "habari",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = documents_world(tmp_path_factory.mktemp("world"))
    target = tmp_path_factory.mktemp("exported")
    write_tokenizer(world.tokenizer, target, load_recipe("swahili-debug"))
    return target


def tokenizer_with(folder: Path, text: str) -> object:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": text}))
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture
def template() -> Template:
    return load_template("instruction")


def test_what_a_server_renders_is_what_training_saw(folder: Path, template: Template) -> None:
    tokenizer = tokenizer_with(folder, chat_template(template))
    assert check_chat_template(tokenizer, template, PROBES) == 2 * len(PROBES)
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Kedu?"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)  # type: ignore[attr-defined]
    assert rendered == "<s>Be kind." + template.separator + template.prompt("Kedu?")


def test_another_form_is_refused(folder: Path, template: Template) -> None:
    with pytest.raises(RefusedError, match="but training saw"):
        check_chat_template(tokenizer_with(folder, chat_template(template).replace("Response", "Answer")), template, PROBES)
