"""The two languages of the sample corpus as the grammar sees them: which concepts they have words for, and which forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lugha.demo import igbo, igbo_lexicon, swahili, swahili_lexicon
from lugha.demo.meaning import Meaning, NounPhrase, When


@dataclass(frozen=True)
class Language:
    """What the grammar asks of a language: its words by concept, its verb forms, and its rendering.

    Attributes:
        code: ISO 639-3.
        render: the sentence of a meaning.
        expresses: whether the language says a noun phrase so that nothing of it is lost; the flag says whether a verb
            agrees with the phrase (and so may show its number).
        attributive: adjectives that stand at a noun; `predicative`: those that stand after "is".
        tenses: the verb forms that the renderer knows; `being`: those of the verb "to be" (Igbo bụ has no past).
    """

    code: str
    render: Callable[[Meaning], str]
    expresses: Callable[[NounPhrase, bool], bool]
    nouns: frozenset[str]
    verbs: frozenset[str]
    attributive: frozenset[str]
    predicative: frozenset[str]
    places: frozenset[str]
    relations: frozenset[str]
    times: frozenset[str]
    cities: tuple[str, ...]
    names: tuple[str, ...]
    tenses: tuple[When, ...]
    being: tuple[When, ...]


SWAHILI = Language(
    code="swh",
    render=swahili.swahili,
    expresses=swahili.expresses,
    nouns=frozenset(swahili_lexicon.NOUNS),
    verbs=frozenset(swahili_lexicon.VERBS),
    attributive=frozenset(swahili_lexicon.ADJECTIVES),
    predicative=frozenset(swahili_lexicon.ADJECTIVES),
    places=frozenset(swahili_lexicon.PLACES),
    relations=frozenset(swahili_lexicon.RELATIONS),
    times=frozenset(swahili_lexicon.TIMES),
    cities=swahili_lexicon.CITIES,
    names=swahili_lexicon.NAMES,
    tenses=(
        When("present"),
        When("present", positive=False),
        When("past"),
        When("past", positive=False),
        When("future"),
        When("future", positive=False),
        When("perfect"),
        When("perfect", positive=False),
    ),
    being=(
        When("present"),
        When("present", positive=False),
        When("past"),
        When("past", positive=False),
        When("future"),
        When("future", positive=False),
    ),
)
IGBO = Language(
    code="ibo",
    render=igbo.igbo,
    expresses=lambda phrase, _verb_agrees: igbo.expresses(phrase),
    nouns=frozenset(igbo_lexicon.NOUNS),
    verbs=frozenset(igbo_lexicon.VERBS),
    attributive=frozenset(igbo_lexicon.ADJECTIVES) | frozenset(igbo_lexicon.BEFORE_NOUN),
    predicative=frozenset(igbo_lexicon.QUALITIES),
    places=frozenset(igbo_lexicon.PLACES),
    relations=frozenset(igbo_lexicon.RELATIONS),
    times=frozenset(igbo_lexicon.TIMES),
    cities=igbo_lexicon.CITIES,
    names=igbo_lexicon.NAMES,
    tenses=(
        When("present"),
        When("present", positive=False),
        When("past"),
        When("future"),
        When("future", positive=False),
    ),
    being=(
        When("present"),
        When("present", positive=False),
        When("future"),
        When("future", positive=False),
    ),
)
LANGUAGES = {language.code: language for language in (SWAHILI, IGBO)}
"""The languages by ISO 639-3 code."""
