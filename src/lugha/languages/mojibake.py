"""Mojibake: UTF-8 text that somebody once read as Windows-1252 or MacRoman, turned back into what was written.

    ng‚Äôombe, ndá»‹ Igbo  ->  ng’ombe, ndị Igbo          utafÄ±ti â€“ Mâ€™Ba  ->  utafıti – M’Ba

One damaged character is a *sequence* of two to four characters whose bytes, in the wrong encoding, are the UTF-8 of one
character. Real lines mix damaged and correct text, so sequences are mended one by one, and only where nothing else can be
meant:

1. The sequence must decode to a character of `_TARGETS`: Latin letters and tone marks, punctuation, currency, emoji.
   "Ịgbò", "Jürgen Möller", "français", "sofá", "â" are not sequences at all.
2. Some sequences are also correct text: a closing quote after a capital ("UNIVERSITÄ”"), «é» and the like. These
   *doubtful* ones are mended beside a sure one, or inside a word ("CÃ”TE", "kuÉ—i"), or when all that is not ASCII
   around them is damaged; otherwise they stay.

The bytes 81 8D 8F 90 9D have no character in Windows-1252 and appear as the control characters of the same number: ọ is
`á»` + U+008D. So this must run before control characters are removed. Text that was damaged twice is mended twice: `repair`
goes on until nothing changes, and every change makes the text shorter.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_CONTINUATION = range(0x80, 0xC0)
_NEIGHBOURHOOD = 200  # characters on each side that may vouch for a doubtful sequence


def _marked(marks: str) -> str:
    """ASCII letters with each of these combining marks, where Unicode has the two as one character."""
    composed = (unicodedata.normalize("NFC", letter + mark) for letter in string.ascii_letters for mark in marks)
    return "".join(c for c in composed if len(c) == 1)


def _spanned(*ranges: tuple[int, int]) -> str:
    return "".join(chr(c) for first, last in ranges for c in range(first, last + 1))


_TARGETS = frozenset(
    _spanned((0x80, 0xFF), (0x100, 0x17F), (0x1E00, 0x1EFF))
    + _marked("\u0300\u0301\u0304\u030c")
    + "ƁɓƊɗƘƙƳƴƉɖƐɛƆɔƎǝəƔɣƖɩƲʋƱʊŊŋƑƒƝɲƤƥƩʃƬƭǪǫǬǭȘșȚțȦȧȨȩȮȯʼʻ"
    + "\u0300\u0301\u0304\u0323"
    + _spanned((0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x214F), (0x25A0, 0x27BF))
    + "←↑→↓↔⇒⇔−∂∆∏∑√∞∫≈≠≤≥"
    + _spanned((0xFB00, 0xFB04), (0xFE0E, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFFD, 0xFFFD), (0x1F000, 0x1FAFF))
)
"""What a sequence may decode to; U+0080-U+009F are half-way states of text that was damaged twice."""


@dataclass(frozen=True)
class _Misreading:
    """A wrong encoding: the bytes that its characters stand for, and what one damaged character looks like in it."""

    byte_of: dict[str, int]
    targets: frozenset[str]
    leads: str
    sequence: re.Pattern[str]
    rival: _Misreading | None = None  # goes first where both could be meant: Ã© is é, and not U+0329

    def decode(self, sequence: str) -> str:
        """The character that was written, or "" when the bytes are none that can be meant."""
        if self.rival and self.rival.sequence.fullmatch(sequence) and self.rival.decode(sequence):
            return ""
        try:
            character = bytes(self.byte_of[c] for c in sequence).decode("utf-8")
        except UnicodeDecodeError:
            return ""
        return character if character in self.targets else ""


def _misreading(byte_of: dict[str, int], targets: frozenset[str], rival: _Misreading | None = None) -> _Misreading:
    """Build the pattern of all sequences: a lead byte's character and as many continuations as that byte announces."""
    inner = "".join(re.escape(c) for c, byte in byte_of.items() if byte in _CONTINUATION)
    leads: dict[int, set[str]] = {}
    for target in targets:
        encoded = target.encode()
        leads.setdefault(len(encoded) - 1, set()).update(c for c, b in byte_of.items() if b == encoded[0])
    branches = [f"[{re.escape(''.join(sorted(chars)))}][{inner}]{{{length}}}" for length, chars in sorted(leads.items())]
    return _Misreading(byte_of, targets, "".join(set().union(*leads.values())), re.compile("|".join(branches)), rival)


def _windows_1252() -> dict[str, int]:
    """Windows-1252, each byte also as the Latin-1 character of its number: that is where undefined bytes end up."""
    byte_of = {chr(byte): byte for byte in range(0x80, 0x100)}
    for byte in range(0x80, 0xA0):
        character = bytes([byte]).decode("cp1252", errors="ignore")
        if character:
            byte_of[character] = byte
    return byte_of


_WINDOWS_1252 = _misreading(_windows_1252(), _TARGETS | {"ˆ", "˜"})  # these two are half-way states as well
_MAC_ROMAN = _misreading(
    {bytes([byte]).decode("mac_roman"): byte for byte in range(0x80, 0x100)}, _TARGETS, rival=_WINDOWS_1252
)
# MacRoman first: its sequences hold Ä, Å and É before a middle dot, which the other pass could take for ķ and ŷ.
_MISREADINGS = (_MAC_ROMAN, _WINDOWS_1252)
_SUSPICIOUS = re.compile("|".join(m.sequence.pattern for m in _MISREADINGS))
_LEAD = re.compile("[" + re.escape("".join(sorted({c for m in _MISREADINGS for c in m.leads}))) + "]")

_AFTER_A_LETTER = frozenset("‘’“”–—…«»•´\xa0·")  # what correct text may have right behind a letter: Ä” É— á»…
_DOUBTFUL_LEADS = frozenset("«»…ƒ\xa0")  # what correct text may have right before a letter: «é …ó
_MATHEMATICS = frozenset("π∞Ω∂∑∏∫µ≤≥≠±√")


def repair(text: str) -> str:
    """Mend every sequence that is certainly damaged; text without damage comes back as the same object."""
    while _LEAD.search(text) and _SUSPICIOUS.search(text):
        before = text
        for misreading in _MISREADINGS:
            text = _repair_once(text, misreading)
        if text == before:
            break
    return text


def _repair_once(text: str, misreading: _Misreading) -> str:
    pieces, end = [], 0
    for start, run in _runs(text, misreading):
        stop = start + sum(len(sequence) for sequence, _ in run)
        sure = any(not _doubtful(sequence, character) for sequence, character in run)
        if sure or _all_in_word(text, start, stop, run) or _all_around_is_damaged(text, start, stop, misreading):
            pieces += [text[end:start], *(character for _, character in run)]
            end = stop
    return "".join([*pieces, text[end:]]) if pieces else text


def _runs(text: str, misreading: _Misreading) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Sequences that touch each other, as (start, [(sequence, decoded character), ...])."""
    run: list[tuple[str, str]] = []
    start = end = 0
    for match in misreading.sequence.finditer(text):
        character = misreading.decode(match[0])
        if not character:
            continue
        if run and match.start() != end:
            yield start, run
            run = []
        if not run:
            start = match.start()
        run.append((match[0], character))
        end = match.end()
    if run:
        yield start, run


def _doubtful(sequence: str, character: str) -> bool:
    """Whether this may be correct text: `É—`, `Ä”`, `á»…`, `«é`, `√π` (but not `á¹…`, `â€”` or `ï»¿`)."""
    lead, rest = sequence[0], sequence[1:]
    if lead in _DOUBTFUL_LEADS or "\x80" <= character < "\xa0":
        return True
    return all(c in (_MATHEMATICS if lead == "√" else _AFTER_A_LETTER) for c in rest)


def _all_in_word(text: str, start: int, stop: int, run: list[tuple[str, str]]) -> bool:
    """Whether the letters beside a run of doubtful sequences show that a letter, and no sign, is meant there."""
    before, after = text[max(0, start - 1) : start], text[stop : stop + 1]
    lead, character = run[0][0][0], run[-1][1]
    if lead in _DOUBTFUL_LEADS or "\x80" <= character < "\xa0":
        return False
    if lead == "√":
        return before.isalpha() or after.isalpha()
    if lead.islower():
        return after.islower()
    if before.islower():
        return True
    if before.isupper():
        return lead in "ÂÃ" and character.isupper() and after.isupper()
    if run[-1][0] in ("Ã\xa0", "Â\xa0"):
        return True
    return after.islower() and (lead in "ÂÃ" or character.islower())


def _all_around_is_damaged(text: str, start: int, stop: int, misreading: _Misreading) -> bool:
    """Whether the words around hold sure damage and, damage apart, nothing but ASCII."""
    left, right = text[max(0, start - _NEIGHBOURHOOD) : start], text[stop : stop + _NEIGHBOURHOOD]
    if start > _NEIGHBOURHOOD:
        left = left.partition(" ")[2]
    if stop + _NEIGHBOURHOOD < len(text):
        right = right.rpartition(" ")[0]
    sure = False
    for side in (left, right):
        rest, end = [], 0
        for match in misreading.sequence.finditer(side):
            character = misreading.decode(match[0])
            if character:
                sure = sure or not _doubtful(match[0], character)
                rest.append(side[end : match.start()])
                end = match.end()
        if not "".join([*rest, side[end:]]).isascii():
            return False
    return sure
