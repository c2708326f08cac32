"""Igbo renderings of meanings: vowel harmony, auxiliaries, the -rV past, elision.

The vowels form two sets that do not mix inside a word, e i o u and a ị ọ ụ; a prefix takes its form from the stem:

    ri   na-eri   ga-eri   riri     iri     is eating, will eat, ate, to eat
    zụta na-azụta ga-azụta zụtara   ịzụta   is buying, will buy, bought, to buy

The past suffix -rV copies the stem's last vowel; on a verb of state the same form speaks of the present (chọrọ, wants;
nwere, has). "I" is m after the verb, which then takes a prefix (Ana m eri, Eriri m). na loses its vowel before a vowel:
n'ụlọ, n'ahịa, but na Legọs. Nothing is inflected for number: people take ndị or ụmụ, things a numeral.

    igbo(Action(Name("Ada"), "buy", When("past"), NounPhrase("book")))  ->  "Ada zụtara akwụkwọ."

Source: Emenanjo, Elements of Modern Igbo Grammar (1978, 1987).
"""

from __future__ import annotations

from lugha.demo.igbo_lexicon import (
    ADJECTIVES,
    BEFORE_NOUN,
    NOUNS,
    PLACES,
    QUALITIES,
    RELATIONS,
    TIMES,
    VERBS,
    IgboVerb,
)
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
    Tense,
    When,
)

_LIGHT, _DOTTED = "eiou", "aịọụ"
_VOWELS = _LIGHT + _DOTTED
_DETERMINERS = {"this": "a", "that": "ahụ", "my": "m", "your": "gị", "our": "anyị"}
_NUMERALS = {2: "abụọ", 3: "atọ", 4: "anọ", 5: "ise"}
_PRONOUNS = {"we": "anyị", "they": "ha"}


def igbo(meaning: Meaning) -> str:
    """The sentence in Igbo, with capital and final sign."""
    sentence = f"{_sentence(meaning)}{'?' if isinstance(meaning, Question) else '.'}"
    return sentence[0].upper() + sentence[1:]


def harmonising(stem: str, light: str, dotted: str) -> str:
    """The one of two prefixes that agrees with the stem's first vowel: `light` with e i o u, `dotted` with a ị ọ ụ."""
    first = next(letter for letter in stem if letter in _VOWELS)
    return light if first in _LIGHT else dotted


def participle(stem: str) -> str:
    """The form after na- and ga-: eri, azụta."""
    return harmonising(stem, "e", "a") + stem


def infinitive(verb: IgboVerb) -> str:
    """iri nri, ịzụta: the prefix i- or ị-."""
    return f"{harmonising(verb.stem, 'i', 'ị')}{verb.stem} {verb.complement}".strip()


def past(stem: str) -> str:
    """The stem with -rV: riri, zụtara, meghere; of a verb of state, its present."""
    return f"{stem}r{stem[-1]}"


def negative(stem: str) -> str:
    """Prefix and -ghị, for verbs of state: abụghị, enweghị, achọghị."""
    return f"{participle(stem)}ghị"


def at(place: str) -> str:
    """The one preposition: n' before a vowel, na elsewhere."""
    return f"n'{place}" if place[0].lower() in _VOWELS else f"na {place}"


def clause(subject: Phrase, verb: IgboVerb, when: When) -> str:
    """Subject and verb of an action, the complement not included: Ada na-ede, Ana m ede, Ha agaghị ede."""
    stem = verb.stem
    match when.tense, when.positive:
        case "present", True:
            first, rest = "ana", participle(stem)
            other = f"na-{rest}"
        case "future", True:
            first, rest = "aga", participle(stem)
            other = f"ga-{rest}"
        case "present", False:
            first, rest = "anaghị", participle(stem)
            other = f"{first} {rest}"
        case "future", False:
            first, rest = "agaghị", participle(stem)
            other = f"{first} {rest}"
        case "past", True:
            first, rest = harmonising(stem, "e", "a") + past(stem), ""
            other = past(stem)
        case _:
            raise ValueError(f"the sample grammar has no Igbo form for {when}")
    if subject == Pronoun("I"):
        return f"{first} m {rest}".strip()
    return f"{_phrase(subject)} {other}"


def state(subject: Phrase, verb: IgboVerb, positive: bool) -> str:
    """Subject and verb of a state, now: Ada nwere, Enwere m, Ha enweghị; bụ, nọ and dị stand bare."""
    bare = verb.stem in ("bụ", "nọ", "dị")
    if not positive:
        form = negative(verb.stem)
        return f"{form} m" if subject == Pronoun("I") else f"{_phrase(subject)} {form}"
    form = verb.stem if bare else past(verb.stem)
    if subject == Pronoun("I"):
        return f"{harmonising(verb.stem, 'e', 'a')}{form} m"
    return f"{_phrase(subject)} {form}"


def noun_phrase(phrase: NounPhrase) -> str:
    """Noun, then what modifies it: ụlọ ọhụrụ, ụlọ a, ụlọ anyị, ụlọ abụọ; obere alone comes first."""
    noun = NOUNS[phrase.noun]
    word = noun.plural if phrase.number == "plural" and noun.plural else noun.singular
    determiner = _DETERMINERS.get(phrase.determiner, "")
    if "{}" in word:
        return word.format(determiner)
    before = BEFORE_NOUN.get(phrase.adjective or "", "")
    after = "" if before or not phrase.adjective else ADJECTIVES[phrase.adjective]
    return _join(before, word, after, _NUMERALS[phrase.count] if phrase.count else "", determiner)


def expresses(phrase: NounPhrase) -> bool:
    """Whether Igbo says this phrase: a plural needs ndị, ụmụ or a numeral, and a child that one owns is another word."""
    if phrase.noun == "child" and phrase.determiner in ("my", "your", "our"):
        return False
    if phrase.adjective and phrase.adjective not in ADJECTIVES and phrase.adjective not in BEFORE_NOUN:
        return False
    return phrase.number == "singular" or NOUNS[phrase.noun].plural is not None or phrase.count is not None


def _sentence(meaning: Meaning) -> str:
    match meaning:
        case Action():
            return _action(meaning)
        case Contrast(first=first, second=second):
            return f"{_action(first)} mana {_action(second)}"
        case Errand(subject=subject, when=when, goal=goal, verb=verb, object=thing):
            went = clause(subject, VERBS["go"], when)
            return _join(went, PLACES[goal], infinitive(VERBS[verb]), _phrase(thing), _time(when))
        case Attitude(subject=subject, modal=modal, positive=positive, verb=verb, object=thing, place=place):
            attitude = f"{state(subject, VERBS[modal], positive)} {VERBS[modal].complement}".strip()
            return _join(attitude, infinitive(VERBS[verb]), _phrase(thing), _place(place))
        case Located(subject=subject, positive=positive, place=place):
            is_living = not isinstance(subject, NounPhrase) or NOUNS[subject.noun].living
            return _join(state(subject, VERBS["be at" if is_living else "be like"], positive), _place(place))
        case Described(subject=subject, positive=positive, adjective=adjective):
            return _join(state(subject, VERBS["be like"], positive), QUALITIES[adjective])
        case RelativeDescribed(subject=thing, agent=agent, verb=verb, adjective=adjective):
            clause_of_thing = clause(agent, VERBS[verb], When("past"))
            return _join(_phrase(thing), clause_of_thing, "dị", QUALITIES[adjective])
        case Identity(subject=subject, when=when, role=role):
            is_future = when.tense == "future"
            be = clause(subject, VERBS["be"], when) if is_future else state(subject, VERBS["be"], when.positive)
            return _join(be, _phrase(role))
        case Possession(subject=subject, positive=positive, object=thing):
            return _join(state(subject, VERBS["have"], positive), _phrase(thing))
        case Love(subject=subject, object=loved):
            return _join(state(subject, VERBS["love"], True), _phrase(loved), at("anya"))
        case Question():
            return _question(meaning)


def _action(action: Action) -> str:
    verb = VERBS[action.verb]
    return _join(
        clause(action.subject, verb, action.when),
        verb.complement,
        _phrase(action.recipient),
        _phrase(action.object),
        _place(action.place),
        _time(action.when),
    )


def _question(question: Question) -> str:
    verb, thing = VERBS[question.verb], _phrase(question.object)
    if question.subject is None:
        return _join("onye", _finite(verb, question.tense), thing, _place(question.place))
    asked = {"where": "ebee ka", "when": "kedu mgbe"}[question.asked]
    return _join(asked, clause(question.subject, verb, When(question.tense)), thing)


def _finite(verb: IgboVerb, tense: Tense) -> str:
    """The verb after "onye" (who), which is its subject."""
    auxiliary = {"present": "na-", "future": "ga-"}
    return auxiliary[tense] + participle(verb.stem) if tense in auxiliary else past(verb.stem)


def _phrase(phrase: Phrase | None) -> str:
    match phrase:
        case NounPhrase():
            return noun_phrase(phrase)
        case Name(name=name):
            return name
        case Couple(first=first, second=second):
            return f"{first} na {second}"
        case Pronoun(person=person):
            return _PRONOUNS[person]
        case None:
            return ""


def _place(place: Place | None) -> str:
    if place is None:
        return ""
    if place.relation == "at":
        return at(PLACES[place.ground])
    return at(f"{RELATIONS[place.relation]} {NOUNS[place.ground].singular}")


def _time(when: When) -> str:
    return TIMES[when.time] if when.time else ""


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)
