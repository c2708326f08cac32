r"""Templates: how a pair of texts, or a question and its answer, is written for a decoder that follows instructions.

    template = load_template("instruction")            # ships with lugha; or the path of a YAML file
    template.examples_of_pair("Ụlọ", "House", "ibo", "eng", ["direct", "meaning"])
        ->  [("### Instruction:\nTranslate the following Igbo text to English.\n\n"
              "### Input:\nỤlọ\n\n### Response:\n", "House"),
             ("### Instruction:\nWhat does \"Ụlọ\" mean in English?\n\n### Response:\n", "It means: House")]
    template.translation_prompt("Ụlọ", "ibo", "eng")   # the first of these prompts, to the letter

A prompt is all that is given, up to the end of the last line before the response; a response is what the model writes. Training,
evaluation and serving render through this object, so that the model is never asked in other words than it was taught. The
text of the file is kept in every run (`text`, `digest`); what the keys mean stands in `templates/instruction.yaml`.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from lugha.errors import InputError, nearest
from lugha.languages.registry import Language, get_language

TEMPLATE = "template.yaml"  # the template of a run, in its checkpoints and exports

Side = Literal["local", "other"]
SIDES: tuple[Side, Side] = ("local", "other")

_TEXTS, _NAMES = frozenset({"given", "asked"}), frozenset({"given_lang", "asked_lang"})


class Exchange(NamedTuple):
    """A question and its answer."""

    instruction: str
    input: str
    response: str


@dataclass(frozen=True)
class Format:
    """One way to write a pair of texts; which side is given, and the wording with its placeholders."""

    given: Side
    instruction: str
    input: str
    response: str


@dataclass(frozen=True)
class Template:
    """A checked template; see the module's story.

    Attributes:
        text: the YAML, whole.
        formats: ways to write a pair, by name, in the order of the file.
        translation: the format that translates when this side is given.
    """

    name: str
    version: int
    text: str
    with_input: str
    without_input: str
    separator: str
    formats: Mapping[str, Format]
    translation: Mapping[Side, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """What a manifest keeps: `parse_template(record["text"], ...)` gives this template again."""
        return {"name": self.name, "version": self.version, "digest": self.digest, "text": self.text}

    def prompt(self, instruction: str, input: str = "") -> str:
        """The text up to the response, which follows it without a sign between."""
        if input:
            return self.with_input.format(instruction=instruction, input=input)
        return self.without_input.format(instruction=instruction)

    def conversation(self, system: str, exchanges: Sequence[Exchange]) -> list[tuple[str, str]]:
        """(prompt, response) of each exchange; a prompt holds everything said before, behind the system text.

        This is the text that a server renders at that turn, so that each response is learned, with its end, as it is asked for.
        """
        rendered: list[tuple[str, str]] = []
        before = f"{system}{self.separator}" if system else ""
        for exchange in exchanges:
            before += self.prompt(exchange.instruction, exchange.input)
            rendered.append((before, exchange.response))
            before += f"{exchange.response}{self.separator}"
        return rendered

    def format_names(self, wanted: Sequence[str] = ()) -> list[str]:
        """The formats `wanted`, checked; all of the template where none is named.

        Raises:
            InputError: no such format, one named twice, or a template that has none.
        """
        if not self.formats:
            raise InputError(f'Template "{self.name}" has no formats, so no example can be made of a pair. Add `formats`.')
        for place, name in enumerate(wanted):
            if name not in self.formats:
                raise InputError(f'Template "{self.name}" has no format "{name}".{nearest(name, self.formats)}')
            if name in wanted[:place]:
                raise InputError(f'Format "{name}" is named twice in examples.formats. Leave one out.')
        return list(wanted or self.formats)

    def examples_of_pair(
        self, source_text: str, target_text: str, source_lang: str, target_lang: str, formats: Sequence[str]
    ) -> list[tuple[str, str]]:
        """(prompt, response) of an aligned pair in each of `formats`, in their order.

        Raises:
            InputError: an unknown language or format.
        """
        source, target = get_language(source_lang), get_language(target_lang)
        if local_of(source, target) is not source:
            return self.examples_of_pair(target_text, source_text, target_lang, source_lang, formats)
        sides = {"local": (source_text, target_text, source, target), "other": (target_text, source_text, target, source)}
        examples = []
        for name in formats:
            form = self._format(name)
            rendered = _render(form, *sides[form.given])
            examples.append((self.prompt(rendered.instruction, rendered.input), rendered.response))
        return examples

    def response_langs(self, source_lang: str, target_lang: str, formats: Sequence[str]) -> list[str]:
        """ISO 639-3 code of the language that each of `formats` asks for, for pairs of these two languages."""
        source, target = get_language(source_lang), get_language(target_lang)
        local = local_of(source, target)
        asked = {"local": target if local is source else source, "other": local}
        return [asked[self._format(name).given].code for name in formats]

    def translation_prompt(self, text: str, source_lang: str, target_lang: str) -> str:
        """The prompt that asks for a translation: to the letter the one that training saw for this direction.

        Args:
            text: in the form of the training text, that is, through its language's normaliser.

        Raises:
            InputError: an unknown language, the same one twice, or a template that cannot ask for a translation.
        """
        source, target = get_language(source_lang), get_language(target_lang)
        if source is target:
            raise InputError(f"Source and target are the same language ({source.code}): nothing to translate.")
        side: Side = "local" if local_of(source, target) is source else "other"
        if side not in self.translation:
            raise InputError(
                f'Template "{self.name}" has no translation format from {source.name} to {target.name}. '
                f"Name one under `translation`, key `{side}`."
            )
        rendered = _render(self._format(self.translation[side]), text, "", source, target)
        return self.prompt(rendered.instruction, rendered.input)

    def _format(self, name: str) -> Format:
        try:
            return self.formats[name]
        except KeyError:
            raise InputError(f'Template "{self.name}" has no format "{name}".{nearest(name, self.formats)}') from None


def local_of(first: Language, second: Language) -> Language:
    """The side of a pair that the formats call `local`: the one that is not English.

    Of two languages that are both not English it is the one whose code comes first, so that it does not depend on which side a
    corpus happens to hold first.
    """
    if "eng" in (first.code, second.code):
        return second if first.code == "eng" else first
    return min(first, second, key=lambda language: language.code)


def _render(form: Format, given: str, asked: str, given_lang: Language, asked_lang: Language) -> Exchange:
    """Fill in the placeholders; braces in the texts themselves are ordinary characters."""
    values = {"given": given, "asked": asked, "given_lang": given_lang.name, "asked_lang": asked_lang.name}
    return Exchange(form.instruction.format(**values), form.input.format(**values), form.response.format(**values))


# --- reading ----------------------------------------------------------------------------------------------------------


def template_names() -> list[str]:
    """Names of the templates that come with lugha."""
    folder = resources.files("lugha.tokens") / "templates"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_template(name_or_path: str | Path) -> Template:
    """Read and check a template that comes with lugha, by its name, or a YAML file of the user's.

    Raises:
        InputError: no such template or file, or one that `parse_template` refuses.
    """
    path = Path(name_or_path)
    if str(name_or_path) in template_names():
        content = (resources.files("lugha.tokens") / "templates" / f"{name_or_path}.yaml").read_bytes()
    elif path.is_file():
        content = path.read_bytes()
    elif path.suffix in {".yaml", ".yml"} or "/" in str(name_or_path):
        raise InputError(f"{path}: no such template file. Templates of lugha: {', '.join(template_names())}.")
    else:
        raise InputError(f'No template "{name_or_path}".{nearest(str(name_or_path), template_names())}')
    try:
        return parse_template(content.decode("utf-8"), f'template "{name_or_path}"')
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}. Save the template as UTF-8.") from error


def parse_template(text: str, origin: str) -> Template:
    """Check the text of a template; `origin` names it in errors.

    Raises:
        InputError: not YAML, a key that is unknown or missing, a placeholder that is unknown or missing, or a format that
            does not go with the rest; the line names the key.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{origin}: not YAML: {' '.join(str(error).split())}") from error
    _check_keys(values, ("name", "version", "prompt", "separator"), ("formats", "translation"), origin, "")
    _check_keys(values["prompt"], ("with_input", "without_input"), (), origin, "prompt")
    version = values["version"]
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(f"{origin}: version is {version!r}, but must be a whole number from 1.")
    with_input, without_input = (_text(values["prompt"], key, origin, "prompt") for key in ("with_input", "without_input"))
    _check_placeholders(with_input, {"instruction", "input"}, set(), f"{origin}: prompt.with_input")
    _check_placeholders(without_input, {"instruction"}, set(), f"{origin}: prompt.without_input")
    formats = _formats(values.get("formats") or {}, origin)
    return Template(
        name=_text(values, "name", origin),
        version=version,
        text=text,
        with_input=with_input,
        without_input=without_input,
        separator=_text(values, "separator", origin),
        formats=formats,
        translation=_translation(values.get("translation") or {}, formats, origin),
    )


def _formats(values: Any, origin: str) -> dict[str, Format]:
    if not isinstance(values, dict):
        raise InputError(f"{origin}: formats must be a mapping of names to formats.")
    formats: dict[str, Format] = {}
    for name, value in values.items():
        key = f"formats.{name}"
        _check_keys(value, ("given", "instruction", "response"), ("input",), origin, key)
        if value["given"] not in SIDES:
            raise InputError(f"{origin}: {key}.given is {value['given']!r}.{nearest(str(value['given']), SIDES)}")
        parts = {part: _text(value, part, origin, key) for part in ("instruction", "response")}
        parts["input"] = _text(value, "input", origin, key) if "input" in value else ""
        for part in ("instruction", "input"):
            _check_placeholders(parts[part], set(), _NAMES | {"given"}, f"{origin}: {key}.{part}")
        if "{given}" not in parts["instruction"] + parts["input"]:
            raise InputError(f"{origin}: {key} lacks the placeholder {{given}}: write it in instruction or input.")
        _check_placeholders(parts["response"], {"asked"}, _NAMES | _TEXTS, f"{origin}: {key}.response")
        formats[str(name)] = Format(given=value["given"], **parts)
    return formats


def _translation(values: Any, formats: Mapping[str, Format], origin: str) -> dict[Side, str]:
    _check_keys(values, (), SIDES, origin, "translation")
    for side, name in values.items():
        if name not in formats:
            raise InputError(f'{origin}: translation.{side} names no format "{name}".{nearest(str(name), formats)}')
        if formats[name].given != side:
            raise InputError(
                f"{origin}: translation.{side} is {name}, but that format is given the {formats[name].given} side."
            )
        if formats[name].response != "{asked}":
            raise InputError(
                f'{origin}: translation.{side} is {name}, whose response is "{formats[name].response}". A translation is '
                "scored as it is written: its response must be {asked} alone."
            )
    return dict(values)


def _check_keys(values: Any, needed: Iterable[str], optional: Iterable[str], origin: str, key: str) -> None:
    known = [*needed, *optional]
    if not isinstance(values, dict):
        raise InputError(f"{origin}: {key or 'a template'} must be a mapping with the keys {', '.join(known)}.")
    prefix = f"{key}." if key else ""
    for name in values:
        if name not in known:
            raise InputError(f'{origin}: unknown key "{prefix}{name}".{nearest(str(name), known)}')
    for name in needed:
        if name not in values:
            raise InputError(f'{origin}: "{prefix}{name}" is missing.')


def _text(values: Mapping[str, Any], name: str, origin: str, key: str = "") -> str:
    value = values[name]
    if not isinstance(value, str) or not value:
        raise InputError(f"{origin}: {f'{key}.' if key else ''}{name} is {value!r}, but must be text.")
    return value


def _check_placeholders(text: str, needed: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Each of `needed` stands in `text`, and nothing in braces that is neither needed nor allowed."""
    known, found = {*needed, *allowed}, set()
    try:
        for _, name, spec, conversion in string.Formatter().parse(text):
            if name is None:
                continue
            if name not in known or spec or conversion:
                raise InputError(f'{where}: unknown placeholder "{{{name}}}".{nearest(name, known)}')
            found.add(name)
    except ValueError as error:
        raise InputError(f"{where}: {error}. A brace that is no placeholder is written twice: {{{{ or }}}}.") from error
    for name in sorted(set(needed) - found):
        raise InputError(f"{where}: lacks the placeholder {{{name}}}.")
