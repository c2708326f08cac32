"""Templates: the founding wording to the letter, one rendering for training and serving, and errors that name the key."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.languages.registry import get_language, language_codes
from lugha.tokens.template import Exchange, load_template, local_of, parse_template, template_names

TEMPLATE = load_template("instruction")
FORMATS = ["direct", "reverse", "meaning", "how"]


def variant(**changes: Any) -> str:
    """The shipped template with some keys replaced; None removes a key."""
    values = yaml.safe_load(TEMPLATE.text)
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = values
        for parent in parents:
            node = node[parent]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def test_the_four_founding_formats_to_the_letter() -> None:
    direct, reverse, meaning, how = TEMPLATE.examples_of_pair("Ụlọ anyị", "Our house", "ibo", "eng", FORMATS)
    assert direct == (
        "### Instruction:\nTranslate the following Igbo text to English.\n\n### Input:\nỤlọ anyị\n\n### Response:\n",
        "Our house",
    )
    assert reverse == (
        "### Instruction:\nTranslate the following English text to Igbo.\n\n### Input:\nOur house\n\n### Response:\n",
        "Ụlọ anyị",
    )
    assert meaning == (
        '### Instruction:\nWhat does "Ụlọ anyị" mean in English?\n\n### Response:\n',
        "It means: Our house",
    )
    assert how == ('### Instruction:\nHow do you say "Our house" in Igbo?\n\n### Response:\n', "You say: Ụlọ anyị")


def test_a_pair_is_written_alike_whichever_side_the_corpus_holds_first() -> None:
    one = TEMPLATE.examples_of_pair("Ụlọ", "House", "ig", "en", FORMATS)
    assert TEMPLATE.examples_of_pair("House", "Ụlọ", "eng_Latn", "ibo_Latn", FORMATS) == one
    assert TEMPLATE.response_langs("ibo", "eng", FORMATS) == ["eng", "ibo", "eng", "ibo"]
    assert TEMPLATE.response_langs("eng", "ibo", FORMATS) == ["eng", "ibo", "eng", "ibo"]
    assert TEMPLATE.response_langs("swh", "ibo", FORMATS) == ["swh", "ibo", "swh", "ibo"]


@pytest.mark.parametrize(("first", "second", "local"), [("eng", "swh", "swh"), ("ibo", "eng", "ibo"), ("swh", "ibo", "ibo")])
def test_the_local_side(first: str, second: str, local: str) -> None:
    assert local_of(get_language(first), get_language(second)).code == local
    assert local_of(get_language(second), get_language(first)).code == local


@given(st.text(), st.text(), st.permutations(language_codes()))
def test_evaluation_asks_as_training_did_for_any_text_and_direction(a: str, b: str, codes: list[str]) -> None:
    one, other = codes[:2]
    both = {prompt for prompt, _ in TEMPLATE.examples_of_pair(a, b, one, other, ["direct", "reverse"])}
    assert {TEMPLATE.translation_prompt(a, one, other), TEMPLATE.translation_prompt(b, other, one)} == both


@given(st.text(min_size=1), st.text(min_size=1))
def test_texts_with_braces_and_marks_are_only_text(a: str, b: str) -> None:
    for prompt, response in TEMPLATE.examples_of_pair(a, b, "ibo", "eng", FORMATS):
        assert prompt.endswith("\n\n### Response:\n")
        assert a in prompt + response
        assert b in prompt + response


def test_the_input_block_is_left_out_where_there_is_no_input() -> None:
    assert TEMPLATE.prompt("Greet {name}.") == "### Instruction:\nGreet {name}.\n\n### Response:\n"
    assert TEMPLATE.prompt("Sum up.", "A text.") == "### Instruction:\nSum up.\n\n### Input:\nA text.\n\n### Response:\n"


def test_a_conversation_is_one_text_that_grows() -> None:
    first, second = TEMPLATE.conversation("Be brief.", [Exchange("Hi", "", "Hello"), Exchange("Who?", "you", "Me")])
    assert first == ("Be brief.\n\n### Instruction:\nHi\n\n### Response:\n", "Hello")
    assert second[0] == f"{first[0]}Hello\n\n### Instruction:\nWho?\n\n### Input:\nyou\n\n### Response:\n"
    assert second[1] == "Me"
    assert TEMPLATE.conversation("", [Exchange("Hi", "", "Hello")])[0][0] == TEMPLATE.prompt("Hi")


def test_the_digest_is_that_of_the_file_and_the_kept_text_gives_the_template_again(tmp_path: Path) -> None:
    shipped = (resources.files("lugha.tokens") / "templates" / "instruction.yaml").read_bytes()
    record = TEMPLATE.record()
    assert record["digest"] == hashlib.sha256(shipped).hexdigest()
    assert (record["name"], record["version"]) == ("instruction", 1)
    assert parse_template(record["text"], "a checkpoint") == TEMPLATE
    file = tmp_path / "mine.yaml"
    file.write_bytes(shipped.replace(b"\n", b"\r\n"))
    with_crlf = load_template(file)
    assert with_crlf.digest == hashlib.sha256(file.read_bytes()).hexdigest() != TEMPLATE.digest
    assert with_crlf.prompt("a", "b") == TEMPLATE.prompt("a", "b")


@pytest.mark.parametrize("name", template_names())
def test_every_template_that_ships_is_named_like_its_file(name: str) -> None:
    assert load_template(name).name == name


def test_a_template_of_the_user(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(variant(name="mine", formats__direct__instruction="{given_lang} -> {asked_lang}: {{as is}}"))
    template = load_template(str(file))
    assert template.translation_prompt("Ụlọ", "ibo", "eng").startswith("### Instruction:\nIgbo -> English: {as is}\n")
    assert template.translation_prompt("House", "eng", "ibo") == TEMPLATE.translation_prompt("House", "eng", "ibo")


def test_a_template_without_formats_renders_instructions_alone() -> None:
    template = parse_template(variant(formats=None, translation=None), "t")
    assert template.prompt("a") == TEMPLATE.prompt("a")
    with pytest.raises(InputError, match='Template "instruction" has no formats'):
        template.format_names()
    with pytest.raises(InputError, match="no translation format from Igbo to English.*key `local`"):
        template.translation_prompt("a", "ibo", "eng")


def test_formats_are_checked_by_name() -> None:
    assert TEMPLATE.format_names() == FORMATS
    assert TEMPLATE.format_names(["how", "direct"]) == ["how", "direct"]
    with pytest.raises(InputError, match='no format "dircet".*"direct"'):
        TEMPLATE.format_names(["dircet"])
    with pytest.raises(InputError, match='Format "how" is named twice'):
        TEMPLATE.format_names(["how", "direct", "how"])
    with pytest.raises(InputError, match='no format "meanin".*"meaning"'):
        TEMPLATE.examples_of_pair("a", "b", "ibo", "eng", ["meanin"])


def test_the_same_language_twice_and_an_unknown_one() -> None:
    with pytest.raises(InputError, match=r"the same language \(swh\)"):
        TEMPLATE.translation_prompt("a", "sw", "swa_Latn")
    with pytest.raises(InputError, match='Unknown language "xx"'):
        TEMPLATE.translation_prompt("a", "xx", "eng")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"formts": {}}, 'unknown key "formts". Did you mean "formats"?'),
        ({"prompt__with_inputs": "x"}, 'unknown key "prompt.with_inputs". Did you mean "with_input"?'),
        ({"formats__direct__respose": "x"}, 'unknown key "formats.direct.respose". Did you mean "response"?'),
        ({"version": None}, '"version" is missing'),
        ({"separator": None}, '"separator" is missing'),
        ({"prompt__without_input": None}, '"prompt.without_input" is missing'),
        ({"formats__how__given": None}, '"formats.how.given" is missing'),
        ({"version": "one"}, "version is 'one', but must be a whole number"),
        ({"version": True}, "version is True"),
        ({"name": 7}, "name is 7, but must be text"),
        ({"prompt": "x"}, "prompt must be a mapping with the keys with_input, without_input"),
        ({"formats": ["direct"]}, "formats must be a mapping"),
        ({"formats__direct": "x"}, "formats.direct must be a mapping"),
        ({"prompt__with_input": "{instruction}"}, "prompt.with_input: lacks the placeholder {input}"),
        ({"prompt__without_input": "{instruction} {input}"}, 'without_input: unknown placeholder "{input}"'),
        ({"prompt__without_input": "{instruction!r}"}, 'unknown placeholder "{instruction}"'),
        (
            {"formats__how__instruction": "Say {givn}"},
            'how.instruction: unknown placeholder "{givn}". Did you mean "given"?',
        ),
        ({"formats__how__instruction": "Say {asked}"}, 'how.instruction: unknown placeholder "{asked}"'),
        ({"formats__how__instruction": "Say it"}, "formats.how lacks the placeholder {given}"),
        ({"formats__how__instruction": "Say {given"}, "how.instruction: expected '}'"),
        ({"formats__how__response": "Yes."}, "how.response: lacks the placeholder {asked}"),
        ({"formats__how__given": "target"}, "formats.how.given is 'target'. Known: local, other"),
        ({"translation__local": "dirct"}, 'translation.local names no format "dirct". Did you mean "direct"?'),
        ({"translation__local": "reverse"}, "translation.local is reverse, but that format is given the other side"),
        ({"translation__local": "meaning"}, 'translation.local is meaning, whose response is "It means: {asked}"'),
        ({"translation__source": "direct"}, 'unknown key "translation.source"'),
    ],
)
def test_a_wrong_template_is_one_line_that_names_the_key(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_template(variant(**changes), "mine.yaml")
    assert says in str(caught.value)
    assert str(caught.value).startswith("mine.yaml: ")
    assert "\n" not in str(caught.value)


def test_what_is_not_a_template(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='No template "instrution".*"instruction"'):
        load_template("instrution")
    with pytest.raises(InputError, match=r"mine\.yaml: no such template file"):
        load_template("mine.yaml")
    with pytest.raises(InputError, match="not YAML"):
        parse_template("a: [", "t")
    with pytest.raises(InputError, match="a template must be a mapping with the keys name, version"):
        parse_template("- a", "t")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(InputError, match="not UTF-8 at byte 6"):
        load_template(tmp_path / "latin.yaml")
