"""The normaliser: one object per language that cleans, trains, scores and serves, so that all of them see one spelling.

    Normaliser("ibo").normalise("  n’ụlọ “ndá»‹” ")  ->  'n\\'ụlọ "ndị"'

Rules in their order, repeated until nothing changes (so `normalise` is idempotent on any text):

    mojibake    UTF-8 once read as Windows-1252 or MacRoman is mended (mojibake.py)
    control     C0 and C1 controls out; C1 controls that were Windows-1252 punctuation become it
    nfc         Unicode NFC: dot first, tone mark second, composed where Unicode has the letter
    invisible   zero-width, direction marks, soft hyphen out; the joiner inside an emoji stays
    ligature    ﬁ ﬂ ﬀ as letters, and the spellings that the registry calls damaged (Swahili "fı")
    quotes      “ ” „ ‟ « » -> "      ‘ ’ ‚ ‛ -> '
    apostrophe  ´ ` ʼ ʻ ʹ ′ between letters -> the language's sign; Swahili ng"ombe -> ng'ombe
    blanks      every run of white space -> one blank; none at the ends

No rule removes or changes a letter's dot or tone mark. Clean text is recognised by one search and comes back as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

from lugha.languages import mojibake
from lugha.languages.registry import Language, get_language

VERSION = 1
"""Raised whenever a rule changes, so that what older rules cleaned is cleaned again."""

RULES = ("mojibake", "control", "nfc", "invisible", "ligature", "quotes", "apostrophe", "blanks")


class Change(NamedTuple):
    """What one rule did to one text."""

    rule: str
    before: str
    after: str


# Windows-1252 punctuation that arrives as the control character of its byte, from text that was decoded as Latin-1.
# Web browsers read these numbers the same way (WHATWG HTML, "numeric character reference end state").
_C1_PUNCTUATION = {"\x85": "…", "\x91": "‘", "\x92": "’", "\x93": "“", "\x94": "”", "\x96": "–", "\x97": "—"}
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x9f]")  # the others are white space

_EMOJI = r"[\ufe0f\u20e3\u2190-\u2bff\U0001f000-\U0001faff]"
_INVISIBLE = re.compile(r"[\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]")
_JOINER_IN_EMOJI = re.compile(rf"(?<={_EMOJI})\u200d(?={_EMOJI})")

_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"}
_LIGATURE = re.compile("[ﬀ-ﬄ]")
_QUOTES = {**dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‘’‚‛", "'")}
_QUOTE = re.compile("[“”„‟«»‘’‚‛]")

_LETTER = r"[^\W\d_]"
_LOOKALIKE = re.compile("[´`ʹ′＇ʼʻ]")
_APOSTROPHE = re.compile(
    rf"(?:(?<={_LETTER})|(?<=[\u0300-\u036f]))[´`ʹ′＇](?={_LETTER})"
    "|[ʼʻ]"  # letters by their Unicode category, hence never a quote; words may begin or end with them
)

# Text without any of these characters, in NFC and without superfluous blanks is clean. Each kind of mojibake contains at
# least one of them: the leads and signs of its sequences, but not – — …, which are frequent in correct text.
_ATTENTION = re.compile(
    r"[\x00-\x1f\x7f-\xbf\u061c\u1680\u180e\u2000-\u200f\u2018-\u2020\u2028-\u2030\u203a\u205f-\u206f\u3000"
    r"\ufeff\ufff9-\ufffb´`ʼʻʹ′＇‹™€ŒœŠšŽžŸƒˆ˜ﬀ-ﬄÂÃÄÅÆÇÈÉÊÌÔâ√≈∆\uf8ff]"
)


class Normaliser:
    """Normalises text of one language; pure, idempotent, picklable, safe to share.

    Args:
        language: a `Language`, or any code or name that the registry knows.

    Raises:
        InputError: the registry does not know the language.
    """

    version = VERSION

    def __init__(self, language: Language | str) -> None:
        self.language = get_language(language) if isinstance(language, str) else language
        self._damaged_apostrophe: re.Pattern[str] | None = None
        if self.language.quote_as_apostrophe:
            before, after = self.language.quote_as_apostrophe
            self._damaged_apostrophe = re.compile(rf'(?<={before})"(?=[{after}])', re.IGNORECASE)

    def normalise(self, text: str) -> str:
        """Return `text` in the one spelling of its language; the same object where nothing is to be done."""
        if self._is_clean(text):
            return text
        changes = self._changes(text)
        return changes[-1].after if changes else text

    def changes(self, text: str) -> list[Change]:
        """What each rule did, in order; empty for clean text. The last `after` is the normalised text."""
        return [] if self._is_clean(text) else self._changes(text)

    def digest(self) -> str:
        """Names what this object does to a text: of the version of the rules and the language's entry."""
        facts = json.dumps([VERSION, asdict(self.language), unicodedata.unidata_version], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    def _is_clean(self, text: str) -> bool:
        return (
            _ATTENTION.search(text) is None
            and "  " not in text
            and not (text[:1] == " " or text[-1:] == " ")
            and unicodedata.is_normalized("NFC", text)
            and not any(damaged in text for damaged, _ in self.language.repairs)
            and (self._damaged_apostrophe is None or '"' not in text or not self._damaged_apostrophe.search(text))
        )

    def _changes(self, text: str) -> list[Change]:
        """Apply the rules until a whole round changes nothing.

        This ends: after the first round every change shortens the text or replaces a character by an ASCII one.
        """
        changes: list[Change] = []
        before_round = None
        while text != before_round and not self._is_clean(text):
            before_round = text
            for rule, apply in self._rules():
                after = apply(text)
                if after != text:
                    changes.append(Change(rule, text, after))
                    text = after
        return changes

    def _rules(self) -> tuple[tuple[str, Callable[[str], str]], ...]:
        return (
            ("mojibake", mojibake.repair),
            ("control", lambda t: _CONTROLS.sub(lambda m: _C1_PUNCTUATION.get(m[0], ""), t)),
            ("nfc", lambda t: unicodedata.normalize("NFC", t)),
            ("invisible", _without_invisible),
            ("ligature", self._ligatures),
            ("quotes", lambda t: _QUOTE.sub(lambda m: _QUOTES[m[0]], t)),
            ("apostrophe", self._apostrophes),
            ("blanks", lambda t: " ".join(t.split())),
        )

    def _ligatures(self, text: str) -> str:
        text = _LIGATURE.sub(lambda m: _LIGATURES[m[0]], text)
        for damaged, right in self.language.repairs:
            text = text.replace(damaged, right)
        return text

    def _apostrophes(self, text: str) -> str:
        if _LOOKALIKE.search(text):
            text = _APOSTROPHE.sub(self.language.apostrophe, text)
        if self._damaged_apostrophe and '"' in text:
            text = self._damaged_apostrophe.sub(self.language.apostrophe, text)
        return text


def _without_invisible(text: str) -> str:
    if not _INVISIBLE.search(text):
        return text
    kept = {match.start() for match in _JOINER_IN_EMOJI.finditer(text)}
    return _INVISIBLE.sub(lambda m: m[0] if m.start() in kept else "", text)
