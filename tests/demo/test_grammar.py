"""The grammar: many sentences, each said in one way and meaning one thing, spelled with the language's own letters."""

from __future__ import annotations

import dataclasses
import random
import re
import unicodedata
from collections import defaultdict

import pytest

from lugha.demo.concepts import ADJECTIVES, NOUNS, PLACES, RELATIONS, TIMES, VERBS
from lugha.demo.english import english
from lugha.demo.grammar import count_sentences, fold_of, grammar
from lugha.demo.igbo_lexicon import QUALITIES
from lugha.demo.language import IGBO, LANGUAGES, SWAHILI, Language
from lugha.demo.meaning import Action, Meaning, Name, NounPhrase, When, combinations, with_one_part_left_out
from lugha.languages.normalise import Normaliser
from lugha.languages.registry import get_language

both = pytest.mark.parametrize("language", LANGUAGES.values(), ids=list(LANGUAGES))


def drawn(language: Language, count: int, seed: int = 1) -> list[Meaning]:
    rng = random.Random(seed)
    return [grammar(language).draw(rng) for _ in range(count)]


@both
def test_a_hundred_thousand_sentences_and_more_are_possible(language: Language) -> None:
    assert count_sentences(language) >= 100_000
    meanings = drawn(language, 5000)
    assert len({language.render(m) for m in meanings}) >= 4500


@both
def test_the_count_is_the_number_of_different_sentences(language: Language) -> None:
    """On a language with a handful of words, where all sentences can be listed."""
    small = dataclasses.replace(
        language,
        nouns=frozenset({"teacher", "father", "goat", "cat", "book", "tea"}),
        verbs=frozenset({"read", "buy", "sell", "drink", "see", "sleep", "chase"}),
        places=frozenset({"home"}),
        relations=frozenset(),
        times=frozenset({"today"}),
        cities=("Zanzibar",) if language is SWAHILI else ("Enugu",),
        names=language.names[:2],
        tenses=language.tenses[:2],
    )
    meanings = list(grammar(small).values())
    assert len(meanings) == len(set(meanings)) == count_sentences(small) > 1000
    assert len({language.render(m) for m in meanings}) == len(meanings)


@both
def test_translation_is_a_function_in_both_directions(language: Language) -> None:
    translations, sources = defaultdict(set), defaultdict(set)
    for meaning in drawn(language, 10_000):
        translations[language.render(meaning)].add(english(meaning))
        sources[english(meaning)].add(language.render(meaning))
    assert [t for t in translations.values() if len(t) > 1] == []
    assert [s for s in sources.values() if len(s) > 1] == []


@both
def test_every_sentence_is_spelled_with_letters_of_the_language(language: Language) -> None:
    registered = get_language(language.code)
    letters = sorted(registered.alphabet, key=len, reverse=True)
    word = re.compile(f"(?:{'|'.join(map(re.escape, [*letters, registered.apostrophe, '-']))})+")
    normaliser, english_normaliser = Normaliser(language.code), Normaliser("eng")
    for meaning in drawn(language, 3000):
        sentence = language.render(meaning)
        assert unicodedata.is_normalized("NFC", sentence)
        assert normaliser.normalise(sentence) == sentence
        assert english_normaliser.normalise(english(meaning)) == english(meaning)
        assert sentence[0].isupper()
        assert sentence[-1] in ".?"
        foreign = [w for w in sentence[:-1].lower().split() if not word.fullmatch(w)]
        assert foreign == [], sentence


@both
def test_english_has_latin_letters_and_the_marks_of_names_alone(language: Language) -> None:
    marked = {w for meaning in drawn(language, 3000) for w in english(meaning).strip(".?").split() if not w.isascii()}
    assert marked <= {name for name in language.names if not name.isascii()}


def test_igbo_shows_what_its_orthography_is_known_for() -> None:
    text = " ".join(IGBO.render(m) for m in drawn(IGBO, 3000))
    for form in ("ị", "ọ", "ụ", "ṅ", "n'", "na-a", "na-e", "ga-a", "ga-e", "n'ụlọ", "n'ahịa"):
        assert form in text, form
    swahili = " ".join(SWAHILI.render(m) for m in drawn(SWAHILI, 3000))
    for form in ("ng'ombe", "ng'ambo", "ng'o", "ng'ata"):
        assert form in swahili, form


@both
def test_every_word_of_a_lexicon_is_a_concept(language: Language) -> None:
    assert language.nouns <= set(NOUNS)
    assert language.verbs <= {*VERBS, "love", "have", "want", "can", "should", "be", "be at", "be like"}
    assert language.attributive | language.predicative <= set(ADJECTIVES)
    assert language.places - set(language.cities) <= set(PLACES)
    assert language.relations <= set(RELATIONS)
    assert language.times <= {time for times in TIMES.values() for time in times}
    assert len(set(language.names)) == len(language.names)


def test_igbo_can_say_of_a_thing_what_the_grammar_says_of_it() -> None:
    assert set(QUALITIES) <= set(ADJECTIVES)


def test_folds_depend_on_the_combination_of_words_alone() -> None:
    def does(subject: str, verb: str, *, plural: bool = False) -> Meaning:
        return Action(NounPhrase(subject, "plural" if plural else "singular"), verb, When("past"), NounPhrase("book"))

    pairs = [(subject, verb) for subject in SWAHILI.nouns if "person" in NOUNS[subject].tags for verb in SWAHILI.verbs]
    folds = {pair: fold_of(does(*pair)) for pair in pairs}
    assert {fold_of(does(*pair, plural=True)) == fold for pair, fold in folds.items()} == {True}
    shares = {fold: list(folds.values()).count(fold) / len(folds) for fold in ("train", "validation", "test")}
    assert shares["train"] == pytest.approx(0.9, abs=0.03)
    assert shares["test"] == pytest.approx(0.05, abs=0.02)
    assert sum(shares.values()) == pytest.approx(1)


def test_meanings_that_differ_in_one_part_share_a_key() -> None:
    one = Action(Name("Juma"), "buy", When("past"), NounPhrase("book"))
    other = dataclasses.replace(one, object=NounPhrase("book", "plural", "this"))
    third = dataclasses.replace(other, verb="sell")
    assert set(with_one_part_left_out(one)) & set(with_one_part_left_out(other))
    assert not set(with_one_part_left_out(one)) & set(with_one_part_left_out(third))
    assert combinations(one) == combinations(other) == {("Juma", "buy")}
