"""The audit of unknown characters: what a tokenizer cannot read, before a model is trained on the holes.

    audits = audit_unknown(tokenizer, {"ibo": lines}.items())
    audits["ibo"].characters   ->  {"ọ": 512, "ụ": 131}          how often, the commonest first
    audits["ibo"].share        ->  0.41                          rows that hold one
    check_unknown(audits, max_share=0.01)                        refuses, with the names and the mend

A tokenizer without byte fallback (NLLB's, M2M100's) turns every character that it has no piece for into `<unk>`: a word with
it is read wrongly, and the model can never write it. Nothing complains, the loss falls all the same. A tokenizer with bytes
passes trivially. The characters are those that the vocabulary meets, after the tokenizer's own normaliser (NLLB's: NFKC), so
that they are the ones to add (extend.py).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer

from lugha.errors import RefusedError
from lugha.languages.registry import LANGUAGES
from lugha.tokens.encode import as_plain_text, batches
from lugha.tokens.punctuation import moses_punctuation
from lugha.tokens.sample import Texts
from lugha.tokens.special import UNK

_NAMED = 6  # characters that a refusal names
_EXAMPLE_CHARACTERS = 80
_NAME_OF = {language.code: language.name for language in LANGUAGES}


@dataclass
class UnknownAudit:
    """What one language's rows hold that the tokenizer does not know."""

    rows: int = 0
    rows_with_unknown: int = 0
    characters: dict[str, int] = field(default_factory=dict)  # and how often each occurs, the commonest first
    examples: dict[str, str] = field(default_factory=dict)  # character -> a piece of the first row that holds it

    @property
    def share(self) -> float:
        """Share of the rows that hold an unknown character."""
        return self.rows_with_unknown / self.rows if self.rows else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Counts, share and named characters, for a manifest or `--json`."""
        return {
            "rows": self.rows,
            "rows_with_unknown": self.rows_with_unknown,
            "share": round(self.share, 6),
            "characters": [
                {"character": c, "name": name_of_character(c), "count": n, "example": self.examples[c]}
                for c, n in self.characters.items()
            ],
        }


def audit_unknown(tokenizer: Tokenizer, texts: Iterable[tuple[str, Sequence[str]]]) -> dict[str, UnknownAudit]:
    """Audit (language, some of its rows) in any order and number; the rows in the form in which the model reads them.

    Returns:
        an audit for each language, in alphabetical order of their codes.
    """
    reader = as_plain_text(Tokenizer.from_str(tokenizer.to_str()))  # a copy: the caller's stays as it is
    normaliser, reader.normalizer = reader.normalizer, None  # so that places are places in the text that is met
    unknown, vocabulary = _unknown_id(reader), set(reader.get_vocab())
    audits: dict[str, UnknownAudit] = {}
    counts: dict[str, Counter[str]] = {}
    for language, rows in texts:
        audit = audits.setdefault(language, UnknownAudit())
        count = counts.setdefault(language, Counter())
        audit.rows += len(rows)
        met = [normaliser.normalize_str(row) for row in rows] if normaliser else rows
        for text in _rows_with(unknown, reader, met):
            audit.rows_with_unknown += 1
            for character, place in _unknown_characters(text, reader, unknown, vocabulary):
                count[character] += 1
                audit.examples.setdefault(character, _around(text, place))
    for language, count in counts.items():
        audits[language].characters = dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))
    return dict(sorted(audits.items()))


def audit_texts(tokenizer: Tokenizer, texts: Texts, punctuation: Callable[[str], str]) -> dict[str, UnknownAudit]:
    """Audit a corpus; `punctuation` is what `tokens.punctuation` does to a text before the model reads it."""
    return audit_unknown(tokenizer, ((language, list(map(punctuation, rows))) for (language, _), rows in texts.batches()))


def check_unknown(audits: Mapping[str, UnknownAudit], max_share: float) -> None:
    """Pass where no language has more than `max_share` of its rows with an unknown character.

    Raises:
        RefusedError: one has more; the line names the language, its share, the characters and the mend.
    """
    for language, audit in audits.items():
        if audit.share <= max_share:
            continue
        commonest = list(audit.characters.items())[:_NAMED]
        named = ", ".join(f"{name_of_character(c)} {n:,} times" for c, n in commonest)
        more = f" and {len(audit.characters) - _NAMED} more" if len(audit.characters) > _NAMED else ""
        raise RefusedError(
            f"{_NAME_OF.get(language, language)} ({language}): {audit.share:.2%} of {audit.rows:,} rows hold a character that "
            f"the tokenizer reads as <unk>, above tokens.max_unknown {max_share:.2%}: {named}{more}. {_mend(audit)}"
        )


def name_of_character(character: str) -> str:
    """`ọ U+1ECD LATIN SMALL LETTER O WITH DOT BELOW`; what is not printed has no first part."""
    seen = f"{character} " if character.isprintable() and not unicodedata.combining(character) else ""
    return f"{seen}U+{ord(character):04X} {unicodedata.name(character, '(no name)')}"


def _mend(audit: UnknownAudit) -> str:
    replaced = [c for c in audit.characters if c not in moses_punctuation(f"a{c}a")]
    if len(replaced) == len(audit.characters):
        return "Set tokens.punctuation: moses, which replaces all of them, as the text of NLLB-200 was prepared."
    also = " and tokens.punctuation: moses, which replaces some of them" if replaced else ""
    return f"Set model.new_characters: true, which gives them embeddings{also}; or raise tokens.max_unknown."


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    found = (tokenizer.token_to_id(name) for name in (UNK, "[UNK]"))
    return next((i for i in found if i is not None), None)


def _rows_with(unknown: int | None, tokenizer: Tokenizer, rows: Sequence[str]) -> Iterator[str]:
    if unknown is None:
        return
    for part in batches(rows):
        for text, encoding in zip(
            rows[part], tokenizer.encode_batch_fast(rows[part], add_special_tokens=False), strict=True
        ):
            if unknown in encoding.ids:
                yield text


def _unknown_characters(
    text: str, tokenizer: Tokenizer, unknown: int | None, vocabulary: set[str]
) -> Iterator[tuple[str, int]]:
    """(character, its place in the text) of each that became `<unk>`; a run of them may be one token."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    for i, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True):
        if i == unknown:
            run = [(text[place], place) for place in range(start, stop) if not text[place].isspace()]
            yield from [found for found in run if found[0] not in vocabulary] or run


def _around(text: str, place: int) -> str:
    begin = max(0, place - _EXAMPLE_CHARACTERS // 2)
    return text[begin : begin + _EXAMPLE_CHARACTERS]
