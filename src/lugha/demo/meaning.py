"""What a sentence of the sample corpus says, before any language says it.

A meaning is a small tree of concept names ("book", "buy", "tomorrow"); each language renders the same tree by its own
rules, so the renderings are translations of each other:

    Action(Name("Juma"), "buy", When("past"), NounPhrase("book", "plural"))
        english   Juma bought books.
        swahili   Juma alinunua vitabu.

Meanings are frozen and hashable. `combinations` names the pairs of head words whose meeting is the hard part of the
sentence; the held-out sets are made of pairs that the training set never shows (`grammar.fold_of`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

Number = Literal["singular", "plural"]
Determiner = Literal["plain", "this", "that", "my", "your", "our"]
Tense = Literal["present", "past", "future", "perfect"]
Person = Literal["I", "we", "they"]
Asked = Literal["who", "where", "when"]


@dataclass(frozen=True)
class NounPhrase:
    """A noun with at most one modifier: a determiner, an adjective or a numeral (`count`, which makes it plural)."""

    noun: str
    number: Number = "singular"
    determiner: Determiner = "plain"
    adjective: str | None = None
    count: int | None = None


@dataclass(frozen=True)
class Name:
    """A person by name."""

    name: str


@dataclass(frozen=True)
class Couple:
    """Two persons by name."""

    first: str
    second: str


@dataclass(frozen=True)
class Pronoun:
    """A subject that is no noun. Third person singular is left out: Igbo and Swahili do not tell he from she."""

    person: Person


Phrase = NounPhrase | Name | Couple | Pronoun


@dataclass(frozen=True)
class When:
    """Tense and polarity of the verb, with a word of time that goes with them or none."""

    tense: Tense
    positive: bool = True
    time: str | None = None


@dataclass(frozen=True)
class Place:
    """Where: at the `ground` itself (relation "at"), or in a relation to it ("behind", "on", ...)."""

    relation: str
    ground: str


@dataclass(frozen=True)
class Action:
    """Somebody does something, perhaps to something or to somebody, perhaps for a recipient, perhaps somewhere."""

    subject: Phrase
    verb: str
    when: When
    object: Phrase | None = None
    recipient: Phrase | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Errand:
    """Somebody goes somewhere to do something."""

    subject: Phrase
    when: When
    goal: str
    verb: str
    object: NounPhrase


@dataclass(frozen=True)
class Attitude:
    """Somebody wants to, can or should do something (or not)."""

    subject: Phrase
    modal: Literal["want", "can", "should"]
    positive: bool
    verb: str
    object: Phrase | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Located:
    """Something or somebody is somewhere."""

    subject: Phrase
    positive: bool
    place: Place


@dataclass(frozen=True)
class Described:
    """Something is big, good, expensive, ..."""

    subject: NounPhrase
    positive: bool
    adjective: str


@dataclass(frozen=True)
class Identity:
    """Somebody is, was or will be a teacher, a farmer, ..."""

    subject: Phrase
    when: When
    role: NounPhrase


@dataclass(frozen=True)
class Possession:
    """Somebody has something."""

    subject: Phrase
    positive: bool
    object: NounPhrase


@dataclass(frozen=True)
class Love:
    """Somebody loves somebody: its own construction in Igbo, "sees X in the eye"."""

    subject: Phrase
    object: Phrase


@dataclass(frozen=True)
class Contrast:
    """Two actions joined by "but"."""

    first: Action
    second: Action


@dataclass(frozen=True)
class Question:
    """Who did something, or where or when somebody did it; `action` has no part for what is asked."""

    asked: Asked
    subject: Phrase | None
    verb: str
    tense: Tense
    object: NounPhrase
    place: Place | None = None


@dataclass(frozen=True)
class RelativeDescribed:
    """The thing that somebody bought is big, good, ..."""

    subject: NounPhrase
    agent: Phrase
    verb: str
    adjective: str


Meaning = (
    Action | Errand | Attitude | Located | Described | Identity | Possession | Love | Contrast | Question | RelativeDescribed
)


def heads(phrase: Phrase) -> tuple[str, ...]:
    """The head words of a phrase: one, or two for a couple."""
    match phrase:
        case NounPhrase(noun=noun):
            return (noun,)
        case Name(name=name):
            return (name,)
        case Couple(first=first, second=second):
            return (first, second)
        case Pronoun(person=person):
            return (person,)


def combinations(meaning: Meaning) -> frozenset[tuple[str, str]]:
    """The pairs (subject, predicate) of head words that the sentence combines; see the module's story."""
    match meaning:
        case Action(subject=subject, verb=verb) | Errand(subject=subject, verb=verb) | Attitude(subject=subject, verb=verb):
            predicates = [(subject, verb)]
        case Located(subject=subject, place=place):
            predicates = [(subject, f"{place.relation} {place.ground}")]
        case Described(subject=subject, adjective=adjective):
            predicates = [(subject, adjective)]
        case Identity(subject=subject, role=role):
            predicates = [(subject, role.noun)]
        case Possession(subject=subject, object=owned):
            predicates = [(subject, f"have {owned.noun}")]
        case Love(subject=subject, object=loved):
            predicates = [(subject, f"love {head}") for head in heads(loved)]
        case Contrast(first=first, second=second):
            return combinations(first) | combinations(second)
        case Question(subject=None, verb=verb, object=asked_about):
            predicates = [(asked_about, f"who {verb}")]
        case Question(subject=NounPhrase() | Name() | Couple() | Pronoun() as subject, verb=verb):
            predicates = [(subject, verb)]
        case RelativeDescribed(subject=thing, agent=agent, verb=verb, adjective=adjective):
            predicates = [(thing, adjective), (agent, verb)]
    return frozenset((head, predicate) for phrase, predicate in predicates for head in heads(phrase))


def with_one_part_left_out(meaning: Meaning) -> list[tuple[object, ...]]:
    """A key for each part of a meaning: two meanings that differ in one part alone have a key in common."""
    parts = [getattr(meaning, field.name) for field in dataclasses.fields(meaning)]
    return [(type(meaning), i, *parts[:i], *parts[i + 1 :]) for i in range(len(parts))]
