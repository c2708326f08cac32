"""Sentence segmentation for documents that come as one long line.

    split_sentences('Bw. J. K. Nyerere alisema "Sasa!" Walikuwa 96.34. Mwenyekiti huyo akaondoka.')
    ->  ['Bw. J. K. Nyerere alisema "Sasa!"', 'Walikuwa 96.34.', 'Mwenyekiti huyo akaondoka.']

A sentence ends at . ! ? or … , with any closing quotes and brackets behind it, before a blank, when the next word does not
begin in lower case; and at an empty line. It does not end after an abbreviation (`Bw.`, `Mhe.`, `No.` before a digit), an
initial (`J.`) or the number of a list item (`1.`). Nothing but such a place is ever cut, so ng', n' and 3.5 stay whole, and
nothing is lost: the sentences hold all characters of the document but the blanks around them.

One pass from left to right, linear in the length of the text. It works on raw text: quotes may still be mojibake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TITLES = re.compile(  # stand before a name; short forms that often end a sentence ("n.k.") are not here
    r"bw|bi|dkt?|mhe?|ndg|prof|inj|kapt|jen|mch|askof|alh|mal|maz|ọ̀?gb|"
    r"mrs?|ms|dr|st|mt|hon|rev|fr|sen|gov|gen|col|lt|capt|cpt|maj|sgt|brig|insp|cllr|arch|pst|jr|vs",
    re.IGNORECASE,
)
_BEFORE_NUMBERS = re.compile(r"na|nos?|[tku]?sh|uk|kif|vol|fig|art|pp", re.IGNORECASE)
_LONGEST = 12  # characters that are looked at before a full stop: more than any of these words has

_END = re.compile(
    r"(?P<signs>(?<![.!?…])[.!?…]++)"
    r"(?:[\"'”’»)\]]|â€(?:\x9d|™|œ))*+"
    r"(?:[ \t\xa0]|\r?\n)++"
    r"(?=(?:[\"'“‘«(\[„]|â€(?:œ|˜))*+(?P<following>\S))"
)
_EMPTY_LINE = re.compile(r"\r?\n(?:[ \t\r]*\n)+")
_LAST_WORD = re.compile(r"(?:[^\W_]|[\u0300-\u036f])+$")


def split_sentences(text: str) -> list[str]:
    """The sentences of `text` in order, without the blanks around them; none for text of blanks alone."""
    pieces = (piece.strip() for paragraph in _EMPTY_LINE.split(text) for piece in _pieces(paragraph))
    return [piece for piece in pieces if piece]


def _pieces(paragraph: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(paragraph):
        if match["following"].islower():
            continue
        if match["signs"] == "." and _is_no_end(paragraph, start, match.start(), match["following"]):
            continue
        yield paragraph[start : match.end()]
        start = match.end()
    yield paragraph[start:]


def _is_no_end(paragraph: str, start: int, stop: int, following: str) -> bool:
    """Whether the full stop at `stop` belongs to the word before it; the sentence began at `start`."""
    before = paragraph[max(start, stop - _LONGEST) : stop]
    found = _LAST_WORD.search(before)
    if not found:
        return False
    word = found[0]
    if word.isdecimal():
        return not paragraph[start : stop - len(word)].strip()
    if len(word) == 1 and word.isupper():
        return True
    return bool(_TITLES.fullmatch(word) or (following.isdecimal() and _BEFORE_NUMBERS.fullmatch(word)))
