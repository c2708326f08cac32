"""Instructions, conversations and preferences as people write them: JSON lines, one object each, also under .gz and .zst.

    Kind          A line is                                                                      Becomes
    instruction   {"instruction": ..., "input": (may be left out), "response" or "output": ...}  Conversation
    prompt        {"prompt": ..., "response" or "output": ...}                                   Conversation
    messages      {"messages": [{"role": "system", "user" or "assistant", "content": ...}, ...]} Conversation
    preference    {"prompt": ..., "chosen": ..., "rejected": ...}                                Preference

The first line decides which kind a file is. Other keys (an id, a score) are let be; blank lines are no rows. Texts come in
the form that the model reads everywhere: through the normaliser of their language, line by line so that line breaks
stay, or in NFC where no language is given; without blanks at the ends.

Nothing is skipped: a row that teaches nothing (no answer, chosen equal to rejected) is one clear error with its line.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lugha.corpus.lines import COMPRESSIONS, read_lines
from lugha.errors import InputError, nearest
from lugha.languages.normalise import Normaliser
from lugha.tokens.template import Exchange

ROLES = ("system", "user", "assistant")
_ENDINGS = tuple(f"{ending}{compression}" for ending in (".jsonl", ".ndjson") for compression in ("", *COMPRESSIONS))
_RESPONSES = ("response", "output")
_KEYS = ("instruction", "input", *_RESPONSES, "prompt", "chosen", "rejected", "messages")

Form = Callable[[str], str]


@dataclass(frozen=True)
class Conversation:
    """Questions with their answers, each of which is learned; most have one."""

    where: str  # file and line, for errors
    kind: str
    system: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True)
class Preference:
    """A prompt with an answer that people prefer and one that they do not."""

    where: str
    kind: str
    prompt: str
    chosen: str
    rejected: str


Row = Conversation | Preference


def instruction_files(path: Path) -> list[Path]:
    """The file that `path` is, or the JSONL files below it, in the order of their names.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder. Give a JSONL file, or a folder of them.")
    found = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(_ENDINGS))
    if not found:
        raise InputError(f"{path}: holds no file that ends in {', '.join(_ENDINGS)}.")
    return found


def read_instructions(path: Path, lang: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file, or of all files of a folder.

    Args:
        lang: language whose normaliser the texts pass; None: NFC alone.

    Raises:
        InputError: no such file, an unknown language, or a row that is not as the module's story says; one line with file,
            line and key.
    """
    form = text_form(lang)
    for file in instruction_files(path):
        kind = None
        for number, line in read_lines(file):
            if not line.strip():
                continue
            row = _row(line, form, f"{file}: line {number}")
            if kind is not None and row.kind != kind:
                raise InputError(
                    f"{row.where}: is of kind {row.kind}, but the lines before of {kind}. Give each kind a file."
                )
            kind = row.kind
            yield row
        if kind is None:
            raise InputError(f"{file}: the file has no rows. Each line is one JSON object.")


def text_form(lang: str | None) -> Form:
    """What a text passes before it is rendered: the normaliser of `lang` on each line, or NFC."""
    if lang is None:
        return lambda text: unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    normaliser = Normaliser(lang)
    return lambda text: "\n".join(normaliser.normalise(line) for line in text.split("\n")).strip()


def _row(line: str, form: Form, where: str) -> Row:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg}, character {error.pos + 1}).") from error
    if not isinstance(values, dict):
        raise InputError(f'{where}: not a JSON object. A row is written as {{"instruction": "...", "response": "..."}}.')
    if "messages" in values:
        return _conversation(values["messages"], form, where)
    if "chosen" in values or "rejected" in values:
        return _preference(values, form, where)
    if "instruction" in values:
        question = _text(values, "instruction", form, where)
        answer = _text(values, _response_key(values, where), form, where)
        more = _text(values, "input", form, where, may_be_empty=True) if values.get("input") is not None else ""
        return Conversation(where, "instruction", "", (Exchange(question, more, answer),))
    if "prompt" in values:
        question = _text(values, "prompt", form, where)
        answer = _text(values, _response_key(values, where), form, where)
        return Conversation(where, "prompt", "", (Exchange(question, "", answer),))
    raise InputError(f'{where}: has no key "instruction", "prompt" or "messages".{_misspelt(values)}')


def _response_key(values: Mapping[str, Any], where: str) -> str:
    there = [key for key in _RESPONSES if key in values]
    if len(there) == 2:
        raise InputError(f'{where}: has both "response" and "output". Keep the one that is to be learned.')
    if not there:
        raise InputError(f'{where}: has no key "response" (or "output").{nearest("response", values)}')
    return there[0]


def _preference(values: Mapping[str, Any], form: Form, where: str) -> Preference:
    for key in ("prompt", "chosen", "rejected"):
        if key not in values:
            raise InputError(f'{where}: has no key "{key}".{nearest(key, values)}')
    prompt, chosen, rejected = (_text(values, key, form, where) for key in ("prompt", "chosen", "rejected"))
    if chosen == rejected:
        raise InputError(f"{where}: chosen and rejected are the same text, so nothing is preferred. Remove the row.")
    return Preference(where, "preference", prompt, chosen, rejected)


def _conversation(messages: Any, form: Form, where: str) -> Conversation:
    """Check the order of the turns: perhaps a system text, then user and assistant in turn, the assistant last."""
    if not isinstance(messages, list) or not messages:
        raise InputError(f'{where}: "messages" must be a list of {{"role": ..., "content": ...}} with at least two turns.')
    turns: list[tuple[str, str]] = []
    for number, message in enumerate(messages, start=1):
        here = f"{where}: message {number}"
        if not isinstance(message, dict):
            raise InputError(f'{here}: is not an object with "role" and "content".')
        for key in ("role", "content"):
            if key not in message:
                raise InputError(f'{here}: has no key "{key}".{nearest(key, message)}')
        role = message["role"]
        if role not in ROLES:
            raise InputError(f"{here}: unknown role {_shown(role)}.{nearest(str(role), ROLES)}")
        turns.append((role, _text(message, "content", form, here, may_be_empty=role == "system")))
    if "assistant" not in (role for role, _ in turns):
        raise InputError(f"{where}: has no assistant turn, so there is nothing to learn. Remove the row.")
    system = turns.pop(0)[1] if turns[0][0] == "system" else ""
    first = len(messages) - len(turns) + 1
    for number, (role, _) in enumerate(turns):
        expected = ("user", "assistant")[number % 2]
        if role != expected:
            raise InputError(f"{where}: message {first + number} is of the {role}, where one of the {expected} must stand.")
    if len(turns) % 2:
        raise InputError(f"{where}: the last message is of the user, and nothing answers it. Remove it, or add the answer.")
    questions, answers = turns[::2], turns[1::2]
    exchanges = tuple(Exchange(q, "", a) for (_, q), (_, a) in zip(questions, answers, strict=True))
    return Conversation(where, "messages", system, exchanges)


def _text(values: Mapping[str, Any], key: str, form: Form, where: str, *, may_be_empty: bool = False) -> str:
    value = values[key]
    if not isinstance(value, str):
        raise InputError(f'{where}: "{key}" is {_shown(value)}, not text.')
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can write half of a UTF-16 pair alone; no UTF-8 file can hold that
        half = ord(error.object[error.start])
        raise InputError(f'{where}: "{key}" has half a character (\\u{half:04x}) that stands alone.') from error
    text = form(value)
    if not text and not may_be_empty:
        raise InputError(f'{where}: "{key}" is empty. Fill it in, or remove the row.')
    return text


def _misspelt(values: Mapping[str, Any]) -> str:
    """The likeliest meant key among those that are there."""
    for key in values:
        if key not in _KEYS and "Did you mean" in (close := nearest(key, _KEYS)):
            return f' It has "{key}".{close}'
    return f" It has: {', '.join(map(str, values)) or 'nothing'}."


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}..."
