"""English renderings of meanings.

One convention makes English a function of the other language's sentence, and back: subjects, owned persons and persons in
general are definite ("the teacher"), things that are acted upon are not ("a book", "books"); a mass noun has no article.

    english(Action(Name("Juma"), "buy", When("past"), NounPhrase("book")))  ->  "Juma bought a book."
"""

from __future__ import annotations

from typing import Literal

from lugha.demo.concepts import GOALS, NOUNS, NUMERALS, PLACES, VERBS
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
    Number,
    Phrase,
    Place,
    Possession,
    Pronoun,
    Question,
    RelativeDescribed,
    Tense,
    When,
)

Article = Literal["the", "a"]
_THESE = {"this": "these", "that": "those"}


def english(meaning: Meaning) -> str:
    """The sentence in English, with capital and final sign."""
    sentence = f"{_sentence(meaning)}{'?' if isinstance(meaning, Question) else '.'}"
    return sentence[0].upper() + sentence[1:]


def noun_phrase(phrase: NounPhrase, article: Article) -> str:
    """A noun with its modifier, under the given article where nothing else determines it."""
    concept = NOUNS[phrase.noun]
    plural = phrase.number == "plural"
    noun = concept.plural if plural and concept.plural else concept.singular
    words = f"{phrase.adjective} {noun}" if phrase.adjective else noun
    if phrase.count:
        return f"{NUMERALS[phrase.count]} {words}"
    if phrase.determiner != "plain":
        return f"{_THESE.get(phrase.determiner, phrase.determiner) if plural else phrase.determiner} {words}"
    is_person = "person" in concept.tags
    if article == "the" or is_person:
        return f"the {words}"
    if plural or concept.plural is None:
        return words
    return with_article(words)


def with_article(words: str) -> str:
    """`words` under the indefinite article: a book, an egg."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def verb_form(verb: str, number: Number, person: str, when: When) -> str:
    """The verb group: is reading, did not read, has read, will not read."""
    concept = VERBS[verb]
    no = "" if when.positive else " not"
    match when.tense:
        case "present":
            return f"{be(number, person)}{no} {concept.progressive}"
        case "past":
            return concept.past if when.positive else f"did not {concept.base}"
        case "perfect":
            return f"{_have(number, person)}{no} {concept.participle}"
        case "future":
            return f"will{no} {concept.base}"


def be(number: Number, person: str, tense: Tense = "present") -> str:
    """Forms of "to be": am, is, are, was, were, will be."""
    if tense == "future":
        return "will be"
    if tense == "past":
        return "were" if number == "plural" else "was"
    return "am" if person == "I" else "are" if number == "plural" else "is"


def _have(number: Number, person: str) -> str:
    return "have" if number == "plural" or person == "I" else "has"


def _sentence(meaning: Meaning) -> str:
    match meaning:
        case Action():
            return _action(meaning)
        case Contrast(first=first, second=second):
            return f"{_action(first)} but {_action(second)}"
        case Errand(subject=subject, when=when, goal=goal, verb=verb, object=thing):
            went = verb_form("go", *agreement(subject), when)
            purpose = f"to {VERBS[verb].base} {_phrase(thing, 'a')}"
            return _join(_phrase(subject, "the"), went, GOALS.get(goal, f"to {goal}"), purpose, when.time)
        case Attitude(subject=subject, modal=modal, positive=positive, verb=verb, object=thing, place=place):
            return _join(
                _phrase(subject, "the"),
                _modal(modal, positive, *agreement(subject)),
                VERBS[verb].base,
                _phrase(thing, "a") if thing else None,
                place_phrase(place),
            )
        case Located(subject=subject, positive=positive, place=place):
            return _join(_phrase(subject, "the"), be(*agreement(subject)), _not(positive), place_phrase(place))
        case Described(subject=subject, positive=positive, adjective=adjective):
            return _join(_phrase(subject, "the"), be(*agreement(subject)), _not(positive), adjective)
        case RelativeDescribed(subject=subject, agent=agent, verb=verb, adjective=adjective):
            what = f"{_phrase(subject, 'the')} that {_phrase(agent, 'the')} {VERBS[verb].past}"
            return _join(what, be(*agreement(subject)), adjective)
        case Identity(subject=subject, when=when, role=role):
            number, person = agreement(subject)
            is_or_not = be(number, person, when.tense)
            if not when.positive:
                is_or_not = "will not be" if when.tense == "future" else f"{is_or_not} not"
            words = f"{role.adjective} {role.noun}" if role.adjective else role.noun
            return _join(_phrase(subject, "the"), is_or_not, with_article(words))
        case Possession(subject=subject, positive=positive, object=thing):
            number, person = agreement(subject)
            have = _have(number, person) if positive else f"{_do(number, person)} not have"
            return _join(_phrase(subject, "the"), have, _phrase(thing, "a"))
        case Love(subject=subject, object=loved):
            number, person = agreement(subject)
            love = "love" if _do(number, person) == "do" else "loves"
            return _join(_phrase(subject, "the"), love, _phrase(loved, "the"))
        case Question():
            return _question(meaning)


def _action(action: Action) -> str:
    return _join(
        _phrase(action.subject, "the"),
        verb_form(action.verb, *agreement(action.subject), action.when),
        _phrase(action.recipient, "the") if action.recipient else None,
        _phrase(action.object, "a") if action.object else None,
        place_phrase(action.place),
        action.when.time,
    )


def _question(question: Question) -> str:
    concept, thing = VERBS[question.verb], _phrase(question.object, "a")
    if question.subject is None:
        verb = verb_form(question.verb, "singular", "", When(question.tense))
        return _join("who", verb, thing, place_phrase(question.place))
    number, person = agreement(question.subject)
    helper = {"present": be(number, person), "past": "did", "future": "will", "perfect": _have(number, person)}
    verb = concept.progressive if question.tense == "present" else concept.base
    return _join(question.asked, helper[question.tense], _phrase(question.subject, "the"), verb, thing)


def agreement(subject: Phrase) -> tuple[Number, str]:
    """Number and person of a subject, for its verb."""
    match subject:
        case NounPhrase(number=number):
            return number, ""
        case Name():
            return "singular", ""
        case Couple():
            return "plural", ""
        case Pronoun(person="I"):
            return "singular", "I"
        case Pronoun(person=person):
            return "plural", person


def place_phrase(place: Place | None) -> str | None:
    """in the market, behind the house, in Nairobi; None where there is no place."""
    if place is None:
        return None
    if place.relation == "at":
        return PLACES.get(place.ground, f"in {place.ground}")
    return f"{place.relation} the {place.ground}"


def _phrase(phrase: Phrase, article: Article) -> str:
    match phrase:
        case NounPhrase():
            return noun_phrase(phrase, article)
        case Name(name=name):
            return name
        case Couple(first=first, second=second):
            return f"{first} and {second}"
        case Pronoun(person=person):
            return person


def _modal(modal: str, positive: bool, number: Number, person: str) -> str:
    if modal == "can":
        return "can" if positive else "cannot"
    if modal == "should":
        return "should" if positive else "should not"
    do = _do(number, person)
    if not positive:
        return f"{do} not want to"
    return "want to" if do == "do" else "wants to"


def _do(number: Number, person: str) -> str:
    return "do" if number == "plural" or person == "I" else "does"


def _not(positive: bool) -> str | None:
    return None if positive else "not"


def _join(*words: str | None) -> str:
    return " ".join(word for word in words if word)
