"""Instruction files: every kind that people write, and one clear line for each way to write it wrong."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.tokens.instructions import Conversation, Preference, instruction_files, read_instructions, text_form
from lugha.tokens.template import Exchange


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def turns(*contents: str, system: str | None = None) -> dict[str, Any]:
    """Messages of user and assistant in turn."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    return {"messages": [{"role": "system", "content": system}, *messages] if system is not None else messages}


@pytest.mark.parametrize(
    ("row", "system", "exchanges"),
    [
        ({"instruction": "Greet", "response": "Nnọọ"}, "", [("Greet", "", "Nnọọ")]),
        ({"instruction": "Greet", "input": "", "output": "Nnọọ", "id": 7}, "", [("Greet", "", "Nnọọ")]),
        ({"instruction": "Greet", "input": None, "output": "Nnọọ"}, "", [("Greet", "", "Nnọọ")]),
        ({"instruction": "Sum up", "input": "A text", "response": "Text"}, "", [("Sum up", "A text", "Text")]),
        ({"prompt": "Hi", "response": "Hello"}, "", [("Hi", "", "Hello")]),
        (turns("Hi", "Hello"), "", [("Hi", "", "Hello")]),
        (turns("Hi", "Hello", "Who?", "Me", system="Be brief."), "Be brief.", [("Hi", "", "Hello"), ("Who?", "", "Me")]),
        (turns("Hi", "Hello", system=""), "", [("Hi", "", "Hello")]),
    ],
)
def test_conversations(tmp_path: Path, row: dict[str, Any], system: str, exchanges: list[tuple[str, str, str]]) -> None:
    (found,) = read_instructions(write(tmp_path / "a.jsonl", row))
    assert isinstance(found, Conversation)
    assert (found.system, list(found.exchanges)) == (system, [Exchange(*e) for e in exchanges])


def test_preferences_and_their_other_keys(tmp_path: Path) -> None:
    row = {"id": "AS75", "split": "dev", "prompt": "Jedwali", "chosen": "Ndiyo", "rejected": "Hapana", "chosen_score": 2.0}
    file = write(tmp_path / "a.jsonl", row)
    assert list(read_instructions(file)) == [Preference(f"{file}: line 1", "preference", "Jedwali", "Ndiyo", "Hapana")]


def test_blank_lines_are_no_rows_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('\n{"prompt": "a", "output": "b"}\n  \n{"prompt": "c", "output": "d"}\n\n', encoding="utf-8")
    assert [row.where for row in read_instructions(file)] == [f"{file}: line 2", f"{file}: line 4"]


def test_compressed_files_and_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    line = '{{"prompt": "{}", "response": "r"}}\n'
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(line.format("b").encode()))
    (tmp_path / "c.ndjson.zst").write_bytes(zstandard.compress(line.format("c").encode()))
    (tmp_path / "a.jsonl").write_text(line.format("a"))
    (tmp_path / "notes.txt").write_text("not data")
    found = [row.exchanges[0].instruction for row in read_instructions(tmp_path) if isinstance(row, Conversation)]
    assert found == ["a", "b", "c"]
    assert [p.name for p in instruction_files(tmp_path)] == ["a.jsonl", "b.jsonl.gz", "c.ndjson.zst"]


def test_texts_pass_their_languages_normaliser_line_by_line(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Ụlọ  anyị\n\n dị n’akụkụ ụzọ. ")
    file = write(tmp_path / "a.jsonl", {"instruction": decomposed, "input": "  a\r\nb  ", "output": decomposed})
    (plain,) = read_instructions(file)
    (igbo,) = read_instructions(file, "ig")
    assert isinstance(plain, Conversation)
    assert isinstance(igbo, Conversation)
    assert plain.exchanges[0] == Exchange("Ụlọ  anyị\n\n dị n’akụkụ ụzọ.", "a\nb", "Ụlọ  anyị\n\n dị n’akụkụ ụzọ.")
    assert igbo.exchanges[0] == Exchange("Ụlọ anyị\n\ndị n'akụkụ ụzọ.", "a\nb", "Ụlọ anyị\n\ndị n'akụkụ ụzọ.")


@pytest.mark.parametrize("lang", [None, "ibo", "swh"])
def test_the_form_of_a_text_is_final(lang: str | None) -> None:
    form = text_form(lang)

    @given(st.text())
    def check(text: str) -> None:
        once = form(text)
        assert form(once) == once
        assert once == once.strip()
        assert unicodedata.is_normalized("NFC", once)

    check()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (["a"], "not a JSON object"),
        ({"instrution": "a", "output": "b"}, 'no key "instruction", "prompt" or "messages". It has "instrution".'),
        ({"instrution": "a", "output": "b"}, 'Did you mean "instruction"?'),
        ({"question": "a", "answer": "b"}, "It has: question, answer."),
        ({"instruction": "a", "respnse": "b"}, 'no key "response" (or "output"). Did you mean "respnse"?'),
        ({"prompt": "a"}, 'no key "response" (or "output")'),
        ({"prompt": "a", "response": "b", "output": "c"}, 'has both "response" and "output"'),
        ({"instruction": "a", "response": " \n "}, '"response" is empty'),
        ({"instruction": "", "response": "a"}, '"instruction" is empty'),
        ({"prompt": "a", "response": 5}, '"response" is 5, not text'),
        ({"prompt": "a", "response": None}, '"response" is null, not text'),
        ({"instruction": "a", "input": ["b"], "response": "c"}, '"input" is ["b"], not text'),
        ({"prompt": "a", "chosen": "b"}, 'no key "rejected"'),
        ({"prompt": "a", "chosen": "b", "rejectd": "c"}, 'no key "rejected". Did you mean "rejectd"?'),
        ({"prompt": "a", "chosen": "b ", "rejected": "b"}, "chosen and rejected are the same text"),
        ({"messages": []}, '"messages" must be a list'),
        ({"messages": "a"}, '"messages" must be a list'),
        ({"messages": ["a"]}, 'message 1: is not an object with "role" and "content"'),
        ({"messages": [{"role": "user", "contents": "a"}]}, 'message 1: has no key "content". Did you mean "contents"?'),
        ({"messages": [{"role": "asistant", "content": "a"}]}, 'unknown role "asistant". Did you mean "assistant"?'),
        ({"messages": [{"role": "user", "content": "a"}]}, "has no assistant turn"),
        (turns("a", ""), 'message 2: "content" is empty'),
        (turns("a", "b", "c"), "the last message is of the user, and nothing answers it"),
        ({"messages": turns("a", "b")["messages"][::-1]}, "message 1 is of the assistant, where one of the user must stand"),
        (
            {"messages": turns("a", "b")["messages"] * 2 + [{"role": "assistant", "content": "c"}]},
            "message 5 is of the assist",
        ),
        ({"messages": [*turns("a", "b")["messages"], {"role": "system", "content": "s"}]}, "message 3 is of the system"),
        ({"messages": turns("a", "b", system="s")["messages"][::2]}, "message 2 is of the assistant"),
    ],
)
def test_a_wrong_row_is_one_line_with_file_and_line(tmp_path: Path, row: Any, says: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(f"\n{json.dumps(row)}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        list(read_instructions(file))
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}: line 2: ")
    assert "\n" not in str(caught.value)


def test_what_is_not_json_says_where(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"prompt": "a", "response": "b"}\n{"prompt": "a", response: "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"data\.jsonl: line 2: not JSON \(.*, character 17\)"):
        list(read_instructions(file))
    file.write_text('{"prompt": "a\\ud83d", "response": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r'line 1: "prompt" has half a character \(\\ud83d\)'):
        list(read_instructions(file))


def test_a_file_holds_one_kind(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"prompt": "a", "response": "b"}, {"prompt": "a", "chosen": "b", "rejected": "c"})
    with pytest.raises(InputError, match=r"line 2: is of kind preference, but the lines before of prompt"):
        list(read_instructions(file))


def test_files_without_rows_and_folders_without_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    with pytest.raises(InputError, match=r"empty\.jsonl: the file has no rows"):
        list(read_instructions(tmp_path / "empty.jsonl"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"holds no file that ends in \.jsonl"):
        list(read_instructions(tmp_path / "folder"))
    with pytest.raises(InputError, match=r"none\.jsonl: no such file or folder"):
        list(read_instructions(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match='Unknown language "xx"'):
        list(read_instructions(write(tmp_path / "a.jsonl", {"prompt": "a", "response": "b"}), "xx"))


@pytest.mark.corpora
@pytest.mark.parametrize(("name", "lang"), [("tata_preferences.ig.jsonl", "ibo"), ("tata_preferences.sw.jsonl", "swh")])
def test_real_preferences_are_read_whole(corpora: Path, name: str, lang: str) -> None:
    file = corpora / "tata-preferences" / name
    lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = list(read_instructions(file, lang))
    assert len(rows) == len(lines)
    assert all(isinstance(row, Preference) and row.chosen != row.rejected for row in rows)
