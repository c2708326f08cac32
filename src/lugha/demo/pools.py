"""The parts that the templates of the grammar are put together from: subjects, objects, times and places of one language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from lugha.demo.concepts import (
    ADJECTIVES,
    LAND,
    NOUNS,
    NUMERALS,
    OUTDOORS,
    PLACES,
    RELATIONS,
    TIMES,
    VERBS,
    WATER,
    describes,
    nouns_with,
)
from lugha.demo.language import Language
from lugha.demo.meaning import Couple, Determiner, Name, NounPhrase, Number, Phrase, Place, Pronoun, When
from lugha.demo.space import Space, mixed, one_of

Style = Literal["plain", "pointed", "owned", "described", "counted"]


class Pools:
    """Spaces over one language's words that several templates draw from. Those of one sentence part never overlap.

    Attributes:
        individuals: one or several persons by noun, name or kinship: the teacher, Juma, my father.
        simple: these, couples and pronouns.
        modified: persons with a modifier: that teacher, my friends, the new doctor.
        pairs: (subject, other person) who are not the same; rivals: two simple subjects who are not the same.
        bare: tense and polarity; timed: the same with a word of time that goes with the tense.
        anywhere: places for whatever one does; signs: yes (three in four) or no.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        people = self.nouns("person")
        plain = self.phrases(people, "plain", verb_agrees=True)
        kin = self.phrases(self.nouns("kin"), "owned", verb_agrees=True)
        names = [Name(name) for name in language.names]
        couples = [Couple(a, b) for a in language.names for b in language.names if a != b]
        pronouns = [Pronoun("I"), Pronoun("we"), Pronoun("they")]
        others = [*self.phrases(people, "plain", verb_agrees=False), *kin, *names]

        self.individuals: Space[Phrase] = mixed((3, one_of(plain)), (3, one_of(names)), (1, one_of(kin)))
        self.simple: Space[Phrase] = mixed((6, self.individuals), (1, one_of(couples)), (1.5, one_of(pronouns)))
        self.modified: Space[Phrase] = self.styled(people, ("pointed", "owned", "described"), verb_agrees=True)
        self.kin_or_named: Space[Phrase] = mixed((2, one_of(names)), (1, one_of(kin)))
        self.pairs = one_of((a, b) for a in [*plain, *names, *pronouns] for b in others if a != b)
        self.rivals = one_of((a, b) for a in [*plain, *names] for b in [*plain, *names] if a != b)

        tenses = language.tenses
        self.bare = mixed((3, one_of(w for w in tenses if w.positive)), (1, one_of(w for w in tenses if not w.positive)))
        self.timed = one_of(
            When(w.tense, w.positive, time) for w in tenses for time in TIMES[w.tense] if time in language.times
        )
        self.signs = mixed((3, one_of([True])), (1, one_of([False])))

        fixed = [Place("at", place) for place in PLACES if place in language.places and place != WATER]
        around = [Place(r, ground) for r in OUTDOORS if r in language.relations for ground in RELATIONS[r].split()]
        cities = [Place("at", city) for city in language.cities]
        land = [place for place in fixed if place.ground in LAND]
        self.anywhere = mixed((3, one_of(fixed)), (1, one_of(cities)), (1, one_of(around)))
        self._places = {
            "anywhere": self.anywhere,
            "land": mixed((1, one_of(land)), (1, one_of(cities)), (1, one_of(around))),
            "water": one_of([Place("at", WATER)]),
            "nowhere": one_of(cities[:0]),
        }
        self.nowhere: Space[Place | None] = one_of([None])

    def places_of(self, verb: str) -> Space[Place]:
        """Where one may do what the verb says."""
        return self._places[VERBS[verb].place]

    def nouns(self, tag: str) -> list[str]:
        """The nouns with `tag` that the language has."""
        return [noun for noun in nouns_with(tag) if noun in self.language.nouns]

    def verbs(self, agents: str) -> list[str]:
        """The verbs of agents with this tag that the language has; "go" has templates of its own."""
        return [v for v, c in VERBS.items() if c.agents == agents and v in self.language.verbs and v != "go"]

    def predicates(self, nouns: Iterable[str], style: Style, *, verb_agrees: bool) -> Space[tuple[NounPhrase, str]]:
        """Phrases of one style, each with an adjective that may be said of it."""
        return one_of(
            (phrase, adjective)
            for phrase in self.phrases(nouns, style, verb_agrees=verb_agrees)
            for adjective in ADJECTIVES
            if adjective in self.language.predicative and describes(adjective, phrase.noun)
        )

    def objects(self, verb: str) -> tuple[Space[NounPhrase], Space[NounPhrase]]:
        """The things that a verb takes: plain ones, and those with a modifier."""
        nouns = self.nouns(VERBS[verb].object or "")
        modified = self.styled(nouns, ("described", "pointed", "owned", "counted"), verb_agrees=False)
        return one_of(self.phrases(nouns, "plain", verb_agrees=False)), modified

    def styled(self, nouns: Iterable[str], styles: Iterable[Style], *, verb_agrees: bool) -> Space[NounPhrase]:
        """All phrases of these styles, each style as likely as the next."""
        listed = list(nouns)
        return mixed(*((1, one_of(self.phrases(listed, style, verb_agrees=verb_agrees))) for style in styles))

    def phrases(self, nouns: Iterable[str], style: Style, *, verb_agrees: bool) -> list[NounPhrase]:
        """All phrases of one style that the language expresses; see `Language.expresses`."""
        return [p for noun in nouns for p in self._all(noun, style) if self.language.expresses(p, verb_agrees)]

    def _all(self, noun: str, style: Style) -> Iterator[NounPhrase]:
        concept = NOUNS[noun]
        numbers: tuple[Number, ...] = ("singular", "plural") if concept.plural else ("singular",)
        match style:
            case "plain":
                yield from (NounPhrase(noun, number) for number in numbers)
            case "pointed":
                yield from (NounPhrase(noun, number, which) for number in numbers for which in ("this", "that"))
            case "owned" if "owned" in concept.tags or not concept.tags & {"person", "beast"}:
                owners: tuple[Determiner, ...] = ("my", "your") if "spouse" in concept.tags else ("my", "your", "our")
                yield from (NounPhrase(noun, number, owner) for number in numbers for owner in owners)
            case "described":
                fitting = [a for a in ADJECTIVES if a in self.language.attributive and describes(a, noun)]
                yield from (NounPhrase(noun, number, adjective=a) for number in numbers for a in fitting)
            case "counted" if concept.plural and "person" not in concept.tags:
                yield from (NounPhrase(noun, "plural", count=count) for count in NUMERALS)
