"""Swahili renderings of meanings: noun-class agreement and the verb's chain of prefixes.

Everything that belongs to a noun repeats its class: vitabu vikubwa vile viwili, vitabu vinaungua, vitabu ambavyo. A verb is
(negation) + subject + tense + (object) + stem:

    a-li-m-wona      he or she saw him or her         ha-ta-soma     will not read
    vi-me-potea      they (vitabu) have got lost      ha-som-i       does not read: the final vowel changes

    swahili(Action(Name("Juma"), "buy", When("past"), NounPhrase("book", "plural")))  ->  "Juma alinunua vitabu."

Sources for the concords: any grammar, e.g. Mohamed, Modern Swahili Grammar (2001), chapters 2 to 6.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from lugha.demo.meaning import (
    Action,
    Attitude,
    Contrast,
    Couple,
    Described,
    Errand,
    Identity,
    Located,
    Love,
    Meaning,
    Name,
    NounPhrase,
    Phrase,
    Place,
    Possession,
    Pronoun,
    Question,
    RelativeDescribed,
    When,
)
from lugha.demo.swahili_lexicon import ADJECTIVES, NOUNS, PLACES, RELATIONS, TIMES, VERBS, SwahiliVerb

Subject = int | Literal["I", "we"]
"""What a verb agrees with: a noun class, or the first person."""


class Concord(NamedTuple):
    """What agreement with one noun class looks like."""

    subject: str  # of a verb: vi-tapotea
    connective: str  # before -a, -angu, -etu: vy-a, vy-angu
    adjective: str  # before a consonant: vi-kubwa
    before_vowel: str  # of an adjective: vy-ekundu
    this: str
    that: str
    which: str  # of the relative: amba-vyo


CONCORDS: dict[int, Concord] = {
    1: Concord("a", "w", "m", "mw", "huyu", "yule", "ye"),
    2: Concord("wa", "w", "wa", "w", "hawa", "wale", "o"),
    3: Concord("u", "w", "m", "mw", "huu", "ule", "o"),
    4: Concord("i", "y", "mi", "my", "hii", "ile", "yo"),
    5: Concord("li", "l", "", "j", "hili", "lile", "lo"),
    6: Concord("ya", "y", "ma", "m", "haya", "yale", "yo"),
    7: Concord("ki", "ch", "ki", "ch", "hiki", "kile", "cho"),
    8: Concord("vi", "vy", "vi", "vy", "hivi", "vile", "vyo"),
    9: Concord("i", "y", "n", "ny", "hii", "ile", "yo"),
    10: Concord("zi", "z", "n", "ny", "hizi", "zile", "zo"),
    11: Concord("u", "w", "m", "mw", "huu", "ule", "o"),
}
_FIRST_PERSON = {"I": "ni", "we": "tu"}
_OBJECTS = {1: "m", 2: "wa"}
_OWNERS = {"my": "angu", "your": "ako", "our": "etu"}
_NUMERAL_STEMS = {2: "wili", 3: "tatu", 4: "nne", 5: "tano"}
_VOWELS = "aeiou"


def swahili(meaning: Meaning) -> str:
    """The sentence in Swahili, with capital and final sign."""
    sentence = f"{_sentence(meaning)}{'?' if isinstance(meaning, Question) else '.'}"
    return sentence[0].upper() + sentence[1:]


def noun_class(phrase: NounPhrase) -> int:
    """The class that verbs, adjectives and demonstratives agree with."""
    noun = NOUNS[phrase.noun]
    if noun.living:
        return 2 if phrase.number == "plural" else 1
    return noun.classes[phrase.number == "plural"]


def adjective(stem: str, agrees: int) -> str:
    """The adjective for a noun of class `agrees`: -kubwa -> kikubwa, -eupe -> cheupe, -a zamani -> cha zamani."""
    if not stem.startswith("-"):
        return stem
    root = stem[1:]
    if root.startswith("a "):
        return CONCORDS[agrees].connective + root
    if root[0] in _VOWELS:
        return CONCORDS[agrees].before_vowel + root
    if agrees in (9, 10):
        return _nasal(root)
    if agrees == 5 and root == "pya":
        return "jipya"  # a stem of one syllable keeps the prefix ji-
    return CONCORDS[agrees].adjective + root


def numeral(count: int, agrees: int) -> str:
    """Two to five for a noun of class `agrees`: watoto wawili, vitabu viwili, nyumba mbili."""
    stem = _NUMERAL_STEMS[count]
    if agrees in (9, 10):
        return "mbili" if stem == "wili" else stem
    return CONCORDS[agrees].adjective + stem


def possessive(owner: str, agrees: int) -> str:
    """my, your (of one owner) or our, for a noun of class `agrees`: kitabu changu, vitabu vyetu."""
    return CONCORDS[agrees].connective + _OWNERS[owner]


def demonstrative(which: Literal["this", "that"], agrees: int) -> str:
    """this (h-) or that (-le): kitabu hiki, vitabu vile."""
    return CONCORDS[agrees].this if which == "this" else CONCORDS[agrees].that


def verb(stem: SwahiliVerb, subject: Subject, when: When, *, object_class: int | None = None) -> str:
    """The conjugated verb: na (present), li (past), ta (future), me (perfect), and their negatives.

    Args:
        object_class: 1 or 2 where the object is a living being, which verbs of some kinds then mark (alimwona, aliwaona).
    """
    marker = object_marker(object_class, stem.stem) if object_class and stem.marks_object else ""
    full = stem.stem if marker or not stem.monosyllabic else f"ku{stem.stem}"
    prefix = subject_prefix(subject) if when.positive else negative_subject(subject)
    match when.tense, when.positive:
        case "present", True:
            form = f"{prefix}na{marker}{full}"
        case "present", False:
            form = f"{prefix}{marker}{_negative_final(stem.stem)}"
        case "past", True:
            form = f"{prefix}li{marker}{full}"
        case "past", False:
            form = f"{prefix}ku{marker}{stem.stem}"
        case "future", _:
            form = f"{prefix}ta{marker}{full}"
        case "perfect", True:
            form = f"{prefix}me{marker}{full}"
        case _:
            form = f"{prefix}ja{marker}{stem.stem}"
    return f"{form} {stem.rest}".strip()


def subject_prefix(subject: Subject) -> str:
    """Subject prefix of a verb: ni-, tu-, a-, wa-, ki-, ..."""
    return _FIRST_PERSON[subject] if isinstance(subject, str) else CONCORDS[subject].subject


def negative_subject(subject: Subject) -> str:
    """Subject prefix of a negative verb: si-, hatu-, ha- (class 1), hawa-, haki-, ..."""
    if subject == "I":
        return "si"
    return "ha" if subject == 1 else f"ha{subject_prefix(subject)}"


def infinitive(stem: SwahiliVerb, *, object_class: int | None = None) -> str:
    """ku- with the stem, and the object's marker: kununua, kumwona, kufanya kazi."""
    marker = object_marker(object_class, stem.stem) if object_class and stem.marks_object else ""
    return f"ku{marker}{stem.stem} {stem.rest}".strip()


def object_marker(object_class: int, stem: str) -> str:
    """m- (mw- before a vowel) or wa-: alimwona, alimpa, aliwaona."""
    marker = _OBJECTS[object_class]
    return "mw" if marker == "m" and stem[0] in _VOWELS else marker


def noun_phrase(phrase: NounPhrase) -> str:
    """Noun, then what modifies it: vitabu vikubwa, mtoto huyu, rafiki yangu, viti vitatu."""
    noun, agrees = NOUNS[phrase.noun], noun_class(phrase)
    words = [noun.plural if phrase.number == "plural" and noun.plural else noun.singular]
    if phrase.adjective:
        words.append(adjective(ADJECTIVES[phrase.adjective], agrees))
    if phrase.count:
        words.append(numeral(phrase.count, agrees))
    match phrase.determiner:
        case "this" | "that" as which:
            words.append(demonstrative(which, agrees))
        case "my" | "your" | "our" as owner:
            words.append(possessive(owner, 9 if noun.kinship else agrees))
        case "plain":
            pass
    return " ".join(words)


def expresses(phrase: NounPhrase, verb_agrees: bool) -> bool:
    """Whether Swahili says this phrase so that its number can be heard.

    `nyumba` is both house and houses: the plural is used where a modifier shows it (nyumba zile), or the verb does.
    """
    noun = NOUNS[phrase.noun]
    if phrase.number == "singular":
        return True
    if noun.plural is None:
        return False
    if noun.kinship and phrase.determiner in _OWNERS:
        return False  # usage is divided: marafiki zangu, marafiki wangu
    return verb_agrees or noun_phrase(phrase) != noun_phrase(dataclasses.replace(phrase, number="singular", count=None))


def _sentence(meaning: Meaning) -> str:
    match meaning:
        case Action():
            return _action(meaning)
        case Contrast(first=first, second=second):
            return f"{_action(first)} lakini {_action(second)}"
        case Errand(subject=subject, when=when, goal=goal, verb=name, object=thing):
            went = verb(VERBS["go"], _agreement(subject), when)
            purpose = infinitive(VERBS[name])
            return _join(_phrase(subject), went, _place(Place("at", goal)), purpose, _phrase(thing), _time(when))
        case Attitude(subject=subject, modal=modal, positive=positive, verb=name, object=thing, place=place):
            modal_verb = verb(VERBS[modal], _agreement(subject), When("present", positive))
            done = infinitive(VERBS[name], object_class=_living_class(thing))
            return _join(_phrase(subject), modal_verb, done, _phrase(thing), _place(place))
        case Located(subject=subject, positive=positive, place=place):
            agrees = _agreement(subject)
            here = "yu" if agrees == 1 else subject_prefix(agrees)
            absent = "si" if agrees == "I" else f"ha{here}"
            return _join(_phrase(subject), f"{here if positive else absent}ko", _place(place))
        case Described(subject=subject, positive=positive, adjective=name):
            described = adjective(ADJECTIVES[name], noun_class(subject))
            return _join(_phrase(subject), "ni" if positive else "si", described)
        case RelativeDescribed(subject=thing, agent=agent, verb=name, adjective=quality):
            agrees = noun_class(thing)
            done = verb(VERBS[name], _agreement(agent), When("past"))
            described = adjective(ADJECTIVES[quality], agrees)
            return _join(_phrase(thing), f"amba{CONCORDS[agrees].which}", _phrase(agent), done, "ni", described)
        case Identity(subject=subject, when=when, role=role):
            return _join(_phrase(subject), _copula(when), _phrase(role))
        case Possession(subject=subject, positive=positive, object=thing):
            agrees = _agreement(subject)
            prefix = subject_prefix(agrees) if positive else negative_subject(agrees)
            return _join(_phrase(subject), f"{prefix}na", _phrase(thing))
        case Love(subject=subject, object=loved):
            loves = verb(VERBS["love"], _agreement(subject), When("present"), object_class=_living_class(loved))
            return _join(_phrase(subject), loves, _phrase(loved))
        case Question():
            return _question(meaning)


def _action(action: Action) -> str:
    marked = _living_class(action.recipient or action.object)
    return _join(
        _phrase(action.subject),
        verb(VERBS[action.verb], _agreement(action.subject), action.when, object_class=marked),
        _phrase(action.recipient),
        _phrase(action.object),
        _place(action.place),
        _time(action.when),
    )


def _question(question: Question) -> str:
    when = When(question.tense)
    if question.subject is None:
        done = verb(VERBS[question.verb], 1, when)
        return _join("nani", done, _phrase(question.object), _place(question.place))
    done = verb(VERBS[question.verb], _agreement(question.subject), when)
    asked = {"where": "wapi", "when": "lini"}[question.asked]
    return _join(_phrase(question.subject), done, _phrase(question.object), asked)


def _copula(when: When) -> str:
    match when.tense:
        case "past":
            return "alikuwa" if when.positive else "hakuwa"
        case "future":
            return "atakuwa" if when.positive else "hatakuwa"
        case _:
            return "ni" if when.positive else "si"


def _agreement(subject: Phrase) -> Subject:
    match subject:
        case NounPhrase():
            return noun_class(subject)
        case Name():
            return 1
        case Couple() | Pronoun(person="they"):
            return 2
        case Pronoun(person="I"):
            return "I"
        case Pronoun():
            return "we"


def _living_class(thing: Phrase | None) -> int | None:
    """Class of the marker that a verb may have for this object: 1 or 2 for the living, none for things."""
    match thing:
        case NounPhrase(noun=noun) if NOUNS[noun].living:
            return noun_class(thing)
        case Name():
            return 1
        case Couple():
            return 2
        case _:
            return None


def _phrase(phrase: Phrase | None) -> str | None:
    match phrase:
        case NounPhrase():
            return noun_phrase(phrase)
        case Name(name=name):
            return name
        case Couple(first=first, second=second):
            return f"{first} na {second}"
        case _:
            return None  # a pronoun is said by the verb's prefix


def _place(place: Place | None) -> str | None:
    if place is None:
        return None
    if place.relation == "at":
        return PLACES.get(place.ground, place.ground)
    return f"{RELATIONS[place.relation]} {NOUNS[place.ground].singular}"


def _time(when: When) -> str | None:
    return TIMES[when.time] if when.time else None


def _negative_final(stem: str) -> str:
    """-a becomes -i in the negative present (hasomi); verbs of Arabic origin end otherwise and stay (hasubiri)."""
    return f"{stem[:-1]}i" if stem.endswith("a") else stem


def _nasal(root: str) -> str:
    """Prefix n- of classes 9 and 10 before a consonant: ndogo, nzuri, mbaya, ndefu, but kubwa, pya -> mpya."""
    if root == "pya":
        return "mpya"
    if root.startswith("r"):
        return f"nd{root[1:]}"
    if root[0] in "dgjz":
        return f"n{root}"
    return f"m{root}" if root[0] in "bv" else root


def _join(*words: str | None) -> str:
    return " ".join(word for word in words if word)
