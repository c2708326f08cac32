"""Plants in clean sentences the dirt that real parallel corpora hold, and keeps a key of what was planted where.

    rows, planted = plant(pairs, random.Random(42))

Each kind of dirt has a mend that a good cleaning finds:

    repaired  mojibake_cp1252, mojibake_macroman, nfd, invisible, apostrophe: the clean text can be had back exactly
    dropped   blank_side, duplicate, near_duplicate, wrong_language, swapped_sides, markup: the row is not worth keeping

A row carries one kind at most. Copies (duplicate, near_duplicate) are new rows behind an undamaged original; a near-duplicate
shares at least 0.85 of its character 5-grams with it, computed, not assumed.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lugha.demo.sampling import Pair, similarity

Kind = Literal[
    "mojibake_cp1252",
    "mojibake_macroman",
    "nfd",
    "invisible",
    "apostrophe",
    "blank_side",
    "wrong_language",
    "swapped_sides",
    "markup",
    "duplicate",
    "near_duplicate",
]
Mend = Literal["repaired", "dropped"]

SHARES: dict[Kind, float] = {
    "mojibake_cp1252": 0.010,
    "mojibake_macroman": 0.005,
    "nfd": 0.008,
    "invisible": 0.007,
    "apostrophe": 0.006,
    "blank_side": 0.006,
    "wrong_language": 0.007,
    "swapped_sides": 0.006,
    "markup": 0.005,
    "duplicate": 0.010,
    "near_duplicate": 0.010,
}
"""Planted rows of each kind for each clean row: 8 % in all where the language's letters allow every kind."""

MENDS: dict[Kind, Mend] = {
    kind: "repaired" if kind in ("mojibake_cp1252", "mojibake_macroman", "nfd", "invisible", "apostrophe") else "dropped"
    for kind in SHARES
}
NEAR_COPY = 0.85
LONG_ENOUGH = 6
"""Words that a side needs for its language to be told."""

INVISIBLE = ("\u200b", "\ufeff", "\u200e", "\xad")
APOSTROPHES = ("\u2019", "\u2019", "\u2018", "\u02bc")
FOREIGN = (
    "Le marché ouvre ses portes très tôt le matin.",
    "Nous avons mangé du poisson au bord de la rivière.",
    "Les enfants jouent dans la cour de l'école.",
    "Ma sœur travaille à l'hôpital depuis trois ans.",
    "Il faut beaucoup de patience pour apprendre une langue.",
    "La voiture de mon père est tombée en panne hier.",
    "Der Lehrer schreibt jeden Morgen einen langen Brief.",
    "Wir haben gestern auf dem Markt frisches Brot gekauft.",
    "Die Kinder spielen nach der Schule im Garten.",
    "Meine Schwester arbeitet seit drei Jahren im Krankenhaus.",
    "Das alte Haus am Fluss gehört meinem Großvater.",
    "Heute Abend kochen wir zusammen eine gute Suppe.",
    "La maestra escribe una carta muy larga todos los días.",
    "Ayer compramos pan fresco en el mercado del pueblo.",
    "Los niños juegan en el patio de la escuela.",
    "Mi hermana trabaja en el hospital desde hace tres años.",
    "Het oude huis bij de rivier is van mijn grootvader.",
    "De kinderen spelen na school graag buiten in de tuin.",
    "Gisteren hebben we vers brood gekocht op de markt.",
    "Läraren skriver ett långt brev varje morgon före skolan.",
    "Barnen leker i trädgården efter skolan varje dag.",
    "Pán učitel píše každé ráno dlouhý dopis své matce.",
    "Nauczycielka pisze codziennie długi list do swojej matki.",
    "Wczoraj kupiliśmy na targu świeży chleb i ryby.",
)
_TAGS = ("<p>{}</p>", "<b>{}</b>", "{}<br/>", '<span class="s1">{}</span>', '<a href="page.html">{}</a>')
_CP1252 = {byte: bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in range(256)}


@dataclass(frozen=True)
class Planted:
    """One entry of the key: which row is dirty, of which row it is a copy, and what the clean text is."""

    kind: Kind
    row: int
    original: int | None
    clean: Pair


def plant(pairs: Sequence[Pair], rng: random.Random) -> tuple[list[Pair], list[Planted]]:
    """Damage some of `pairs` and insert copies of others.

    Args:
        pairs: clean and distinct; not changed.

    Returns:
        The dirty rows in their order, and the key in the order of its rows; rows are counted from 1.
    """
    order = rng.sample(range(len(pairs)), len(pairs))
    dirty: dict[int, tuple[Kind, Pair]] = {}
    copies: dict[int, tuple[Kind, Pair]] = {}
    for kind, share in SHARES.items():
        wanted = max(1, round(share * len(pairs)))
        place = copies if kind in ("duplicate", "near_duplicate") else dirty
        for index in order:
            if wanted == 0:
                break
            if index in dirty or index in copies:
                continue
            damaged = _DAMAGES[kind](pairs[index], rng)
            if damaged is not None:
                place[index] = (kind, damaged)
                wanted -= 1

    behind: dict[int, list[int]] = {}
    for index in copies:
        behind.setdefault(rng.randrange(index, len(pairs)), []).append(index)
    rows: list[Pair] = []
    planted: list[Planted] = []
    row_of: dict[int, int] = {}
    for index, pair in enumerate(pairs):
        rows.append(dirty[index][1] if index in dirty else pair)
        row_of[index] = len(rows)
        if index in dirty:
            planted.append(Planted(dirty[index][0], len(rows), None, pair))
        for original in behind.get(index, ()):
            kind, copy = copies[original]
            rows.append(copy)
            planted.append(Planted(kind, len(rows), row_of[original], pairs[original]))
    return rows, planted


def mojibake(text: str, encoding: Literal["cp1252", "mac_roman"]) -> str:
    """UTF-8 read as another encoding; bytes that Windows-1252 does not define become the C1 control of their number."""
    if encoding == "mac_roman":
        return text.encode().decode("mac_roman")
    return "".join(_CP1252[byte] for byte in text.encode())


# --- one function for each kind: the damaged pair, or None where this pair cannot have it --------------------------------


def _mojibake_cp1252(pair: Pair, rng: random.Random) -> Pair | None:
    return _misread(pair, rng, "cp1252")


def _mojibake_macroman(pair: Pair, rng: random.Random) -> Pair | None:
    return _misread(pair, rng, "mac_roman")


def _misread(pair: Pair, rng: random.Random, encoding: Literal["cp1252", "mac_roman"]) -> Pair | None:
    """Both sides that have more than ASCII. A text whose only mark is its apostrophe had it curly first (ng’ombe)."""
    text = pair.text
    if text.isascii():
        text = text.replace("'", "\u2019")
    damaged = Pair(mojibake(text, encoding), mojibake(pair.english, encoding))
    return damaged if damaged.text != pair.text else None


def _nfd(pair: Pair, rng: random.Random) -> Pair | None:
    damaged = Pair(unicodedata.normalize("NFD", pair.text), unicodedata.normalize("NFD", pair.english))
    return damaged if damaged != pair else None


def _invisible(pair: Pair, rng: random.Random) -> Pair | None:
    def with_one(text: str) -> str:
        at = rng.randrange(1, len(text) - 1)
        return text[:at] + rng.choice(INVISIBLE) + text[at:]

    if rng.random() < 0.5:
        return Pair(with_one(pair.text), pair.english)
    return Pair(pair.text, with_one(pair.english))


def _apostrophe(pair: Pair, rng: random.Random) -> Pair | None:
    if "'" not in pair.text:
        return None
    return Pair(pair.text.replace("'", rng.choice(APOSTROPHES)), pair.english)


def _blank_side(pair: Pair, rng: random.Random) -> Pair | None:
    blank = rng.choice(("", "", "  "))
    return Pair(blank, pair.english) if rng.random() < 0.5 else Pair(pair.text, blank)


def _wrong_language(pair: Pair, rng: random.Random) -> Pair | None:
    foreign = rng.choice(FOREIGN)
    return Pair(foreign, pair.english) if rng.random() < 0.5 else Pair(pair.text, foreign)


def _swapped_sides(pair: Pair, rng: random.Random) -> Pair | None:
    if min(len(pair.text.split()), len(pair.english.split())) < LONG_ENOUGH:
        return None
    return Pair(pair.english, pair.text)


def _markup(pair: Pair, rng: random.Random) -> Pair | None:
    tag = rng.choice(_TAGS)
    return Pair(tag.format(pair.text), pair.english) if rng.random() < 0.5 else Pair(pair.text, tag.format(pair.english))


def _duplicate(pair: Pair, rng: random.Random) -> Pair | None:
    return pair


def _near_duplicate(pair: Pair, rng: random.Random) -> Pair | None:
    """A typing error on either side, another final sign, or a short English word more."""
    edit = rng.choice((_with_typing_error, _with_other_ending, _with_one_word_more))
    if edit is not _with_one_word_more and rng.random() < 0.5:
        copy = Pair(edit(pair.text, rng), pair.english)
    else:
        copy = Pair(pair.text, edit(pair.english, rng))
    return copy if copy != pair and similarity(copy, pair) >= NEAR_COPY else None


def _with_typing_error(text: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(text) - 2)
    return rng.choice((text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]))


def _with_other_ending(text: str, rng: random.Random) -> str:
    return text[:-1] + rng.choice(("!", " .", "...", ""))


def _with_one_word_more(text: str, rng: random.Random) -> str:
    return f"{text[:-1]} {rng.choice(('too', 'now', 'so'))}{text[-1]}"


_DAMAGES: dict[Kind, Callable[[Pair, random.Random], Pair | None]] = {
    "mojibake_cp1252": _mojibake_cp1252,
    "mojibake_macroman": _mojibake_macroman,
    "nfd": _nfd,
    "invisible": _invisible,
    "apostrophe": _apostrophe,
    "blank_side": _blank_side,
    "wrong_language": _wrong_language,
    "swapped_sides": _swapped_sides,
    "markup": _markup,
    "duplicate": _duplicate,
    "near_duplicate": _near_duplicate,
}
