"""The sample grammar: which sentences there are in Swahili and in Igbo, how many, and which are held out.

`grammar(language)` is a `Space` of meanings: templates over the concepts that the language has words for. A template is a
union of frames that vary one thing at a time (a modified object, a place, a word of time), so that sentences stay short
and two random ones rarely look alike.

`fold_of` divides the meanings by their combinations of head words, by a hash that depends on nothing else: "the farmer"
may sell in the training set and "the teacher" may buy there, while "the farmer buys" is seen in the test set alone.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

from lugha.demo.concepts import ERRANDS, GIVING, GOALS, RELATIONS, VERBS
from lugha.demo.language import Language
from lugha.demo.meaning import (
    Action,
    Attitude,
    Contrast,
    Described,
    Errand,
    Identity,
    Located,
    Love,
    Meaning,
    NounPhrase,
    Place,
    Possession,
    Question,
    RelativeDescribed,
    When,
    combinations,
)
from lugha.demo.pools import Pools
from lugha.demo.space import Space, combined, mixed, one_of

Fold = Literal["train", "validation", "test"]
_FOLDS = 20  # of twenty combinations one is held out for the test and one for validation


def fold_of(meaning: Meaning) -> Fold | None:
    """The set that a meaning belongs to; None where it mixes combinations of both held-out sets.

    Training sentences hold no held-out combination; a held-out sentence holds at least one of its own set and none of the
    other. The fold of a combination is the same in both languages, so its English is unseen as well.
    """
    marks = {zlib.crc32("|".join(pair).encode()) % _FOLDS for pair in combinations(meaning)} & {0, 1}
    if marks == {0, 1}:
        return None
    return "test" if marks == {0} else "validation" if marks == {1} else "train"


def count_sentences(language: Language) -> int:
    """How many different sentences the grammar holds for one language, of any length."""
    return grammar(language).size


@functools.cache
def grammar(language: Language) -> Space[Meaning]:
    """Every meaning that the grammar expresses in `language`, in all templates."""
    pools = Pools(language)
    acting = pools.verbs("person")
    on_things = [v for v in acting if VERBS[v].object not in (None, "person") and v not in GIVING]
    on_people = [v for v in acting if VERBS[v].object == "person"]
    alone = [v for v in acting if VERBS[v].object is None]
    return mixed(
        (5, _each(_with_thing, pools, on_things)),
        (2.5, _each(_with_person, pools, on_people)),
        (2.5, _each(_giving, pools, GIVING)),
        (2.5, _each(_alone, pools, alone)),
        (2.5, _each(_errand, pools, ERRANDS)),
        (1.7, _each(_attitude_to_thing, pools, on_things)),
        (0.8, _each(_attitude, pools, alone)),
        (2, _located(pools)),
        (2, _described(pools)),
        (1, _identity(pools)),
        (2, _possession(pools)),
        (0.5, combined(lambda pair: Love(*pair), pools.pairs)),
        (2.5, _contrast(pools, on_things)),
        (2, _each(_question, pools, on_things)),
        (1.5, _each(_relative, pools, ("buy", "sell", "bring", "wash", "carry"))),
        (1.2, _each(_event, pools, (v for tag in ("fall", "burn", "break", "lose") for v in pools.verbs(tag)))),
        (1.2, _beasts(pools)),
    )


def _each(template: Callable[[Pools, str], Space[Meaning]], pools: Pools, verbs: Iterable[str]) -> Space[Meaning]:
    """One template for several verbs, each as likely as the next."""
    return mixed(*((1, template(pools, verb)) for verb in verbs))


def _with_thing(pools: Pools, verb: str) -> Space[Meaning]:
    """The farmer is buying salt in the market."""
    plain, modified = pools.objects(verb)
    places = pools.places_of(verb)

    def make(subject: Any, when: When, thing: NounPhrase, place: Place | None) -> Meaning:
        return Action(subject, verb, when, thing, place=place)

    return mixed(
        (2, combined(make, pools.simple, pools.bare, plain, pools.nowhere)),
        (3, combined(make, pools.simple, pools.bare, modified, pools.nowhere)),
        (2, combined(make, pools.simple, pools.bare, plain, places)),
        (2, combined(make, pools.simple, pools.timed, plain, pools.nowhere)),
        (2, combined(make, pools.modified, pools.bare, plain, pools.nowhere)),
        (1, combined(make, pools.simple, pools.bare, modified, places)),
    )


def _with_person(pools: Pools, verb: str) -> Space[Meaning]:
    """Juma met the teacher yesterday."""

    def make(pair: tuple[Any, Any], when: When, place: Place | None) -> Meaning:
        return Action(pair[0], verb, when, pair[1], place=place)

    return mixed(
        (1, combined(make, pools.pairs, pools.bare, pools.nowhere)),
        (2, combined(make, pools.pairs, pools.bare, pools.anywhere)),
        (2, combined(make, pools.pairs, pools.timed, pools.nowhere)),
    )


def _giving(pools: Pools, verb: str) -> Space[Meaning]:
    """The doctor gave Asha two books."""
    plain, modified = pools.objects(verb)

    def make(pair: tuple[Any, Any], when: When, thing: NounPhrase) -> Meaning:
        return Action(pair[0], verb, when, thing, recipient=pair[1])

    return mixed(
        (1, combined(make, pools.pairs, pools.bare, plain)),
        (2, combined(make, pools.pairs, pools.bare, modified)),
        (2, combined(make, pools.pairs, pools.timed, plain)),
    )


def _alone(pools: Pools, verb: str) -> Space[Meaning]:
    """The children will play at school tomorrow."""
    places = pools.places_of(verb)

    def make(subject: Any, when: When, place: Place | None) -> Meaning:
        return Action(subject, verb, when, place=place)

    return mixed(
        (0.5, combined(make, pools.simple, pools.bare, pools.nowhere)),
        (2, combined(make, pools.simple, pools.bare, places)),
        (1, combined(make, pools.simple, pools.timed, pools.nowhere)),
        (2, combined(make, pools.simple, pools.timed, places)),
        (1, combined(make, pools.modified, pools.bare, places)),
    )


def _errand(pools: Pools, verb: str) -> Space[Meaning]:
    """The woman went to the market to buy fish."""
    goals = one_of([*(goal for goal in GOALS if goal in pools.language.places), *pools.language.cities])
    plain, modified = pools.objects(verb)

    def make(subject: Any, when: When, goal: str, thing: NounPhrase) -> Meaning:
        return Errand(subject, when, goal, verb, thing)

    return mixed(
        (2, combined(make, pools.simple, pools.bare, goals, plain)),
        (1, combined(make, pools.simple, pools.timed, goals, plain)),
        (1, combined(make, pools.simple, pools.bare, goals, modified)),
    )


def _attitude_to_thing(pools: Pools, verb: str) -> Space[Meaning]:
    """We want to plant maize on the farm."""
    plain, modified = pools.objects(verb)

    def make(subject: Any, modal: Any, positive: bool, thing: NounPhrase, place: Place | None) -> Meaning:
        return Attitude(subject, modal, positive, verb, thing, place)

    modals = one_of(["want", "can", "should"])
    return mixed(
        (1, combined(make, pools.simple, modals, pools.signs, plain, pools.nowhere)),
        (1.5, combined(make, pools.simple, modals, pools.signs, plain, pools.places_of(verb))),
        (1, combined(make, pools.simple, modals, pools.signs, modified, pools.nowhere)),
    )


def _attitude(pools: Pools, verb: str) -> Space[Meaning]:
    """The children cannot sleep in the office."""

    def make(subject: Any, modal: Any, positive: bool, place: Place | None) -> Meaning:
        return Attitude(subject, modal, positive, verb, None, place)

    modals = one_of(["want", "can", "should"])
    return mixed(
        (1, combined(make, pools.simple, modals, pools.signs, pools.nowhere)),
        (2, combined(make, pools.simple, modals, pools.signs, pools.places_of(verb))),
    )


def _located(pools: Pools) -> Space[Meaning]:
    """My book is on the table; Asha is behind the house."""
    laid = pools.styled(pools.nouns("lay"), ("plain", "pointed", "owned"), verb_agrees=True)
    spots = [Place(r, ground) for r in ("on", "under", "inside") for ground in RELATIONS[r].split() if ground != "tree"]
    spots += [Place("beside", ground) for ground in ("table", "chair", "box", "car", "house")]
    beasts = one_of(pools.phrases(pools.nouns("beast"), "pointed", verb_agrees=True))
    living: Space[Any] = mixed((3, pools.individuals), (1, pools.modified), (1, beasts))
    return mixed(
        (2, combined(Located, laid, pools.signs, one_of(spots))),
        (1, combined(Located, living, pools.signs, pools.anywhere)),
    )


def _described(pools: Pools) -> Space[Meaning]:
    """Those houses are not expensive."""
    nouns = pools.nouns("any")
    subjects = mixed(
        (1, pools.predicates(nouns, "plain", verb_agrees=False)),
        (2, pools.predicates(nouns, "pointed", verb_agrees=False)),
        (2, pools.predicates(nouns, "owned", verb_agrees=False)),
    )
    return combined(lambda pair, positive: Described(pair[0], positive, pair[1]), subjects, pools.signs)


def _identity(pools: Pools) -> Space[Meaning]:
    """My sister will be a doctor."""
    roles = [NounPhrase(role, adjective=a) for role in pools.nouns("role") for a in (None, "good", "new")]
    return combined(Identity, pools.kin_or_named, one_of(pools.language.being), one_of(roles))


def _possession(pools: Pools) -> Space[Meaning]:
    """The farmer has three goats."""
    owned = pools.styled(
        dict.fromkeys([*pools.nouns("trade"), *pools.nouns("own")]), ("plain", "described", "counted"), verb_agrees=False
    )
    owners = mixed((3, pools.simple), (1, pools.modified))
    return combined(Possession, owners, pools.signs, owned)


def _contrast(pools: Pools, verbs: Iterable[str]) -> Space[Meaning]:
    """Juma sold a goat but Asha bought salt."""

    def done(verb: str) -> Space[tuple[str, NounPhrase]]:
        return combined(lambda thing: (verb, thing), pools.objects(verb)[0])

    def make(pair: tuple[Any, Any], when: When, first: tuple[str, Any], second: tuple[str, Any]) -> Meaning:
        return Contrast(Action(pair[0], first[0], when, first[1]), Action(pair[1], second[0], when, second[1]))

    predicates = mixed(*((1, done(verb)) for verb in verbs))
    return combined(make, pools.rivals, one_of([When("past"), When("future")]), predicates, predicates)


def _question(pools: Pools, verb: str) -> Space[Meaning]:
    """Where did the teacher buy this book? Who is selling fish at school?"""
    plain, modified = pools.objects(verb)
    things = mixed((2, plain), (1, modified))
    places: Space[Place | None] = mixed((1, pools.nowhere), (2, pools.places_of(verb)))

    def where(subject: Any, tense: Any, thing: NounPhrase) -> Meaning:
        return Question("where", subject, verb, tense, thing)

    def when(subject: Any, tense: Any, thing: NounPhrase) -> Meaning:
        return Question("when", subject, verb, tense, thing)

    def who(tense: Any, thing: NounPhrase, place: Place | None) -> Meaning:
        return Question("who", None, verb, tense, thing, place)

    return mixed(
        (1, combined(where, pools.individuals, one_of(["present", "past", "future"]), things)),
        (1, combined(when, pools.individuals, one_of(["past", "future"]), things)),
        (1, combined(who, one_of(["present", "past", "future"]), things, places)),
    )


def _relative(pools: Pools, verb: str) -> Space[Meaning]:
    """The books that Amina bought are cheap."""
    subjects = pools.predicates(pools.nouns(VERBS[verb].object or ""), "plain", verb_agrees=True)
    return combined(lambda pair, agent: RelativeDescribed(pair[0], agent, verb, pair[1]), subjects, pools.individuals)


def _event(pools: Pools, verb: str) -> Space[Meaning]:
    """Those trees have fallen; my key got lost this morning."""
    nouns = pools.nouns(VERBS[verb].agents)
    things = pools.styled(nouns, ("plain", "pointed", "owned", "described"), verb_agrees=True)
    bare = one_of(w for w in pools.language.tenses if w.tense != "present")
    timed = one_of(w for w in pools.timed.values() if w.tense != "present")
    return combined(lambda thing, when: Action(thing, verb, when), things, mixed((1, bare), (1, timed)))


def _beasts(pools: Pools) -> Space[Meaning]:
    """This dog is chasing a cat; the cows are drinking water."""
    beasts = pools.styled(pools.nouns("beast"), ("plain", "pointed", "described"), verb_agrees=True)
    prey = pools.phrases(pools.nouns("beast"), "plain", verb_agrees=False)
    chases = one_of((a, b) for a in beasts.values() for b in prey if a.noun != b.noun)
    whens = mixed((2, pools.bare), (1, pools.timed))

    def does(verb: str, *parts: Space[Any]) -> Space[Meaning]:
        def make(subject: Any, when: When, thing: Any = None, place: Place | None = None) -> Meaning:
            return Action(subject, verb, when, thing, place=place)

        return combined(make, *parts) if verb in pools.language.verbs else one_of([])

    hounds = one_of(pools.phrases(pools.nouns("hound"), "plain", verb_agrees=True))
    return mixed(
        (3, combined(lambda pair, when: Action(pair[0], "chase", when, pair[1]), chases, whens)),
        (1, does("drink", beasts, whens, one_of([NounPhrase("water")]))),
        (1, does("sleep", beasts, pools.bare, one_of([None]), pools.anywhere)),
        (1, does("run", beasts, pools.bare, one_of([None]), pools.anywhere)),
        (1, does("bite", hounds, whens, pools.individuals)),
    )
