"""Igbo morphology against forms that any grammar gives."""

from __future__ import annotations

import pytest

from lugha.demo.igbo import at, expresses, igbo, infinitive, negative, noun_phrase, participle, past
from lugha.demo.igbo_lexicon import VERBS
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
    Place,
    Possession,
    Pronoun,
    Question,
    RelativeDescribed,
    When,
)

MAN, WOMAN, BOOK = NounPhrase("man"), NounPhrase("woman"), NounPhrase("book")


@pytest.mark.parametrize(
    ("stem", "with_prefix", "with_suffix"),
    [
        ("ri", "eri", "riri"),
        ("re", "ere", "rere"),
        ("gwu", "egwu", "gwuru"),
        ("meghe", "emeghe", "meghere"),
        ("zụta", "azụta", "zụtara"),
        ("gụ", "agụ", "gụrụ"),
        ("ṅụ", "aṅụ", "ṅụrụ"),
        ("kpọ", "akpọ", "kpọrọ"),
        ("weta", "eweta", "wetara"),
        ("ga", "aga", "gara"),
    ],
)
def test_prefix_harmonises_and_suffix_copies_the_vowel(stem: str, with_prefix: str, with_suffix: str) -> None:
    assert (participle(stem), past(stem)) == (with_prefix, with_suffix)


def test_infinitives_and_negatives_harmonise() -> None:
    assert [infinitive(VERBS[v]) for v in ("eat", "buy", "work", "rest")] == ["iri", "ịzụta", "ịrụ ọrụ", "izu ike"]
    assert [negative(s) for s in ("bụ", "nọ", "dị", "nwe", "chọ", "kwesị")] == [
        "abụghị",
        "anọghị",
        "adịghị",
        "enweghị",
        "achọghị",
        "ekwesịghị",
    ]


def test_the_preposition_is_elided_before_vowels_only() -> None:
    places = ("ụlọ", "ahịa", "ihu ụlọ", "Enugu", "Ọnịcha", "Legọs", "mba ofesi")
    assert [at(place) for place in places] == [
        "n'ụlọ",
        "n'ahịa",
        "n'ihu ụlọ",
        "n'Enugu",
        "n'Ọnịcha",
        "na Legọs",
        "na mba ofesi",
    ]


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        (NounPhrase("house", adjective="new"), "ụlọ ọhụrụ"),
        (NounPhrase("house", adjective="big"), "ụlọ ukwu"),
        (NounPhrase("house", adjective="small"), "obere ụlọ"),
        (NounPhrase("teacher", adjective="good"), "onye nkuzi ọma"),
        (NounPhrase("house", determiner="this"), "ụlọ a"),
        (NounPhrase("house", determiner="that"), "ụlọ ahụ"),
        (NounPhrase("house", determiner="our"), "ụlọ anyị"),
        (NounPhrase("house", "plural", count=2), "ụlọ abụọ"),
        (NounPhrase("woman", "plural"), "ụmụ nwaanyị"),
        (NounPhrase("child", "plural", "this"), "ụmụaka a"),
        (NounPhrase("teacher", "plural"), "ndị nkuzi"),
        (NounPhrase("brother", determiner="my"), "nwanne m nwoke"),
        (NounPhrase("mother", determiner="your"), "nne gị"),
    ],
)
def test_noun_phrases(phrase: NounPhrase, words: str) -> None:
    assert noun_phrase(phrase) == words


@pytest.mark.parametrize(
    ("meaning", "sentence"),
    [
        (Action(MAN, "eat", When("present"), NounPhrase("food")), "Nwoke na-eri nri."),
        (Action(WOMAN, "buy", When("future"), NounPhrase("yam")), "Nwaanyị ga-azụta ji."),
        (Action(WOMAN, "sell", When("past"), NounPhrase("yam")), "Nwaanyị rere ji."),
        (Action(MAN, "eat", When("present", False), NounPhrase("food")), "Nwoke anaghị eri nri."),
        (Action(MAN, "read", When("future", False), BOOK), "Nwoke agaghị agụ akwụkwọ."),
        (Action(Pronoun("I"), "eat", When("present"), NounPhrase("food")), "Ana m eri nri."),
        (Action(Pronoun("I"), "eat", When("past"), NounPhrase("food")), "Eriri m nri."),
        (Action(Pronoun("I"), "buy", When("past"), BOOK), "Azụtara m akwụkwọ."),
        (Action(Pronoun("I"), "go", When("future", False)), "Agaghị m aga."),
        (Action(Pronoun("I"), "work", When("past")), "Arụrụ m ọrụ."),
        (Action(Pronoun("they"), "work", When("present"), place=Place("at", "market")), "Ha na-arụ ọrụ n'ahịa."),
        (Action(Pronoun("we"), "pray", When("past"), place=Place("at", "church")), "Anyị kpere ekpere n'ụlọ ụka."),
        (
            Action(Couple("Ada", "Chidi"), "run", When("past", time="yesterday")),
            "Ada na Chidi gbara ọsọ ụnyaahụ.",
        ),
        (
            Action(
                Name("Chidi"), "give", When("past"), NounPhrase("money"), recipient=NounPhrase("mother", determiner="my")
            ),
            "Chidi nyere nne m ego.",
        ),
        (
            Errand(Name("Chidi"), When("past"), "market", "buy", NounPhrase("yam")),
            "Chidi gara ahịa ịzụta ji.",
        ),
        (Attitude(MAN, "want", True, "buy", BOOK), "Nwoke chọrọ ịzụta akwụkwọ."),
        (Attitude(MAN, "can", True, "eat", NounPhrase("food")), "Nwoke nwere ike iri nri."),
        (Attitude(Pronoun("I"), "can", False, "sell", BOOK), "Enweghị m ike ire akwụkwọ."),
        (Attitude(Pronoun("we"), "should", True, "study"), "Anyị kwesịrị ịmụ akwụkwọ."),
        (Located(NounPhrase("book"), True, Place("on", "chair")), "Akwụkwọ dị n'elu oche."),
        (Located(Name("Ada"), True, Place("at", "home")), "Ada nọ n'ụlọ."),
        (Located(Name("Ada"), False, Place("at", "market")), "Ada anọghị n'ahịa."),
        (Described(NounPhrase("house", determiner="that"), True, "big"), "Ụlọ ahụ dị ukwu."),
        (Described(NounPhrase("soup"), False, "hot"), "Ofe adịghị ọkụ."),
        (Identity(Name("Ada"), When("present"), NounPhrase("doctor")), "Ada bụ dọkịta."),
        (Identity(Name("Ada"), When("future"), NounPhrase("doctor")), "Ada ga-abụ dọkịta."),
        (Identity(Name("Ada"), When("present", False), NounPhrase("teacher")), "Ada abụghị onye nkuzi."),
        (Possession(Name("Ada"), True, NounPhrase("book", "plural", count=2)), "Ada nwere akwụkwọ abụọ."),
        (Possession(Pronoun("I"), False, NounPhrase("money")), "Enweghị m ego."),
        (Love(Name("Ada"), Name("Chidi")), "Ada hụrụ Chidi n'anya."),
        (Love(Pronoun("I"), Name("Ada")), "Ahụrụ m Ada n'anya."),
        (
            Contrast(
                Action(Name("Ada"), "buy", When("past"), NounPhrase("yam")),
                Action(Name("Chidi"), "sell", When("past"), NounPhrase("goat")),
            ),
            "Ada zụtara ji mana Chidi rere ewu.",
        ),
        (Question("where", Name("Ada"), "buy", "past", NounPhrase("yam")), "Ebee ka Ada zụtara ji?"),
        (Question("when", Name("Ada"), "buy", "future", NounPhrase("yam")), "Kedu mgbe Ada ga-azụta ji?"),
        (Question("who", None, "buy", "past", NounPhrase("yam"), Place("at", "market")), "Onye zụtara ji n'ahịa?"),
        (RelativeDescribed(BOOK, Name("Ada"), "buy", "new"), "Akwụkwọ Ada zụtara dị ọhụrụ."),
    ],
)
def test_sentences(meaning: Meaning, sentence: str) -> None:
    assert igbo(meaning) == sentence


def test_a_plural_needs_people_or_a_numeral() -> None:
    assert expresses(NounPhrase("teacher", "plural"))
    assert expresses(NounPhrase("book", "plural", count=3))
    assert not expresses(NounPhrase("book", "plural"))
    assert not expresses(NounPhrase("book", adjective="red"))


def test_a_form_that_the_grammar_does_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="no Igbo form"):
        igbo(Action(MAN, "eat", When("perfect"), NounPhrase("food")))
