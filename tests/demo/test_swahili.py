"""Swahili morphology against forms that any grammar gives."""

from __future__ import annotations

import pytest

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
from lugha.demo.swahili import CONCORDS, adjective, demonstrative, expresses, noun_phrase, numeral, possessive, swahili, verb
from lugha.demo.swahili_lexicon import VERBS

CHILD, CHILDREN = NounPhrase("child"), NounPhrase("child", "plural")


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        (NounPhrase("book", adjective="big"), "kitabu kikubwa"),
        (NounPhrase("book", "plural", adjective="big"), "vitabu vikubwa"),
        (NounPhrase("tree", adjective="big"), "mti mkubwa"),
        (NounPhrase("tree", "plural", adjective="big"), "miti mikubwa"),
        (NounPhrase("child", adjective="sick"), "mtoto mgonjwa"),
        (NounPhrase("teacher", "plural", adjective="good"), "walimu wazuri"),
        (NounPhrase("orange", adjective="big"), "chungwa kubwa"),
        (NounPhrase("orange", "plural", adjective="sweet"), "machungwa matamu"),
        (NounPhrase("house", adjective="big"), "nyumba kubwa"),
        (NounPhrase("house", adjective="small"), "nyumba ndogo"),
        (NounPhrase("house", adjective="good"), "nyumba nzuri"),
        (NounPhrase("house", adjective="new"), "nyumba mpya"),
        (NounPhrase("road", adjective="long"), "barabara ndefu"),
        (NounPhrase("car", adjective="new"), "gari jipya"),
        (NounPhrase("car", "plural", adjective="new"), "magari mapya"),
        (NounPhrase("car", adjective="white"), "gari jeupe"),
        (NounPhrase("car", "plural", adjective="white"), "magari meupe"),
        (NounPhrase("hat", adjective="red"), "kofia nyekundu"),
        (NounPhrase("bag", "plural", adjective="black"), "mifuko myeusi"),
        (NounPhrase("cow", adjective="black"), "ng'ombe mweusi"),
        (NounPhrase("cow", "plural", adjective="white"), "ng'ombe weupe"),
        (NounPhrase("chair", adjective="old"), "kiti cha zamani"),
        (NounPhrase("chair", "plural", adjective="old"), "viti vya zamani"),
        (NounPhrase("key", "plural", count=3), "funguo tatu"),
        (NounPhrase("book", "plural", count=2), "vitabu viwili"),
        (NounPhrase("house", "plural", count=2), "nyumba mbili"),
        (NounPhrase("tree", "plural", count=4), "miti minne"),
        (NounPhrase("goat", "plural", count=5), "mbuzi watano"),
        (NounPhrase("child", determiner="this"), "mtoto huyu"),
        (NounPhrase("child", "plural", "that"), "watoto wale"),
        (NounPhrase("book", determiner="my"), "kitabu changu"),
        (NounPhrase("book", "plural", "our"), "vitabu vyetu"),
        (NounPhrase("friend", determiner="my"), "rafiki yangu"),
        (NounPhrase("father", determiner="our"), "baba yetu"),
        (NounPhrase("doctor", determiner="your"), "daktari wako"),
        (NounPhrase("key", determiner="my"), "ufunguo wangu"),
        (NounPhrase("key", "plural", "my"), "funguo zangu"),
    ],
)
def test_noun_phrases_agree(phrase: NounPhrase, words: str) -> None:
    assert noun_phrase(phrase) == words


@pytest.mark.parametrize(
    ("name", "subject", "when", "form"),
    [
        ("read", 1, When("present"), "anasoma"),
        ("read", 2, When("present"), "wanasoma"),
        ("read", "I", When("present"), "ninasoma"),
        ("read", "we", When("past"), "tulisoma"),
        ("read", 1, When("future"), "atasoma"),
        ("read", 1, When("perfect"), "amesoma"),
        ("read", 1, When("present", False), "hasomi"),
        ("read", "I", When("present", False), "sisomi"),
        ("read", "we", When("present", False), "hatusomi"),
        ("read", 1, When("past", False), "hakusoma"),
        ("read", 2, When("future", False), "hawatasoma"),
        ("read", 1, When("perfect", False), "hajasoma"),
        ("eat", 1, When("present"), "anakula"),
        ("eat", 1, When("past"), "alikula"),
        ("eat", 1, When("future", False), "hatakula"),
        ("eat", 1, When("present", False), "hali"),
        ("eat", 1, When("past", False), "hakula"),
        ("eat", 1, When("perfect", False), "hajala"),
        ("drink", 2, When("present", False), "hawanywi"),
        ("pray", 1, When("present", False), "hasali"),
        ("wait for", 1, When("present", False), "hasubiri"),
        ("work", 2, When("present", False), "hawafanyi kazi"),
        ("fall", 3, When("perfect"), "umeanguka"),
        ("fall", 4, When("perfect"), "imeanguka"),
        ("fall", 5, When("past"), "lilianguka"),
        ("fall", 8, When("past", False), "havikuanguka"),
        ("fall", 10, When("future"), "zitaanguka"),
    ],
)
def test_verbs_are_conjugated(name: str, subject: int, when: When, form: str) -> None:
    assert verb(VERBS[name], subject, when) == form


@pytest.mark.parametrize(
    ("name", "object_class", "when", "form"),
    [
        ("see", 1, When("past"), "alimwona"),
        ("see", 2, When("past"), "aliwaona"),
        ("give", 1, When("past"), "alimpa"),
        ("give", 2, When("perfect", False), "hajawapa"),
        ("give", 1, When("present", False), "hampi"),
        ("help", 1, When("present"), "anamsaidia"),
        ("meet", 1, When("past"), "alikutana na"),
    ],
)
def test_a_living_object_is_marked_on_the_verb(name: str, object_class: int, when: When, form: str) -> None:
    assert verb(VERBS[name], 1, when, object_class=object_class) == form


def test_every_class_has_its_concords() -> None:
    said = {c: (demonstrative("this", c), demonstrative("that", c), possessive("my", c)) for c in CONCORDS}
    assert said[7] == ("hiki", "kile", "changu")
    assert said[6] == ("haya", "yale", "yangu")
    assert said[10] == ("hizi", "zile", "zangu")
    assert [numeral(2, c) for c in (2, 4, 6, 8, 10)] == ["wawili", "miwili", "mawili", "viwili", "mbili"]
    assert [adjective("-ekundu", c) for c in (1, 2, 7, 8)] == ["mwekundu", "wekundu", "chekundu", "vyekundu"]
    assert {adjective("safi", c) for c in CONCORDS} == {"safi"}


@pytest.mark.parametrize(
    ("meaning", "sentence"),
    [
        (Action(CHILD, "read", When("present")), "Mtoto anasoma."),
        (Action(CHILDREN, "read", When("present")), "Watoto wanasoma."),
        (Action(Name("Juma"), "buy", When("past"), NounPhrase("goat")), "Juma alinunua mbuzi."),
        (Action(NounPhrase("cow", "plural"), "drink", When("present"), NounPhrase("water")), "Ng'ombe wanakunywa maji."),
        (Action(NounPhrase("dog"), "bite", When("past"), CHILD), "Mbwa alimng'ata mtoto."),
        (
            Action(Name("Asha"), "give", When("past", time="yesterday"), NounPhrase("book", "plural"), recipient=CHILDREN),
            "Asha aliwapa watoto vitabu jana.",
        ),
        (
            Action(Couple("Juma", "Asha"), "play", When("past"), place=Place("behind", "house")),
            "Juma na Asha walicheza nyuma ya nyumba.",
        ),
        (Action(Pronoun("they"), "study", When("present"), place=Place("at", "abroad")), "Wanajifunza ng'ambo."),
        (
            Errand(NounPhrase("woman"), When("past"), "market", "buy", NounPhrase("fish")),
            "Mwanamke alienda sokoni kununua samaki.",
        ),
        (Attitude(Pronoun("I"), "want", True, "eat", NounPhrase("rice")), "Ninataka kula wali."),
        (Attitude(Name("Juma"), "can", False, "see", NounPhrase("teacher")), "Juma hawezi kumwona mwalimu."),
        (Located(NounPhrase("book"), True, Place("on", "table")), "Kitabu kiko juu ya meza."),
        (Located(NounPhrase("chair", "plural"), False, Place("at", "home")), "Viti haviko nyumbani."),
        (Located(Name("Asha"), True, Place("at", "Nairobi")), "Asha yuko Nairobi."),
        (Located(Pronoun("I"), False, Place("at", "home")), "Siko nyumbani."),
        (Described(NounPhrase("house", determiner="this"), False, "big"), "Nyumba hii si kubwa."),
        (Described(NounPhrase("tea"), True, "hot"), "Chai ni ya moto."),
        (Identity(Name("Juma"), When("past"), NounPhrase("teacher", adjective="good")), "Juma alikuwa mwalimu mzuri."),
        (Possession(Name("Juma"), True, NounPhrase("goat", "plural", count=3)), "Juma ana mbuzi watatu."),
        (Possession(Pronoun("we"), False, NounPhrase("money")), "Hatuna pesa."),
        (Love(Name("Neema"), NounPhrase("mother", determiner="my")), "Neema anampenda mama yangu."),
        (
            Contrast(
                Action(Name("Juma"), "sell", When("past"), NounPhrase("goat")),
                Action(Name("Asha"), "buy", When("past"), NounPhrase("salt")),
            ),
            "Juma aliuza mbuzi lakini Asha alinunua chumvi.",
        ),
        (Question("where", Name("Juma"), "buy", "past", NounPhrase("fish")), "Juma alinunua samaki wapi?"),
        (Question("when", Name("Juma"), "buy", "future", NounPhrase("fish")), "Juma atanunua samaki lini?"),
        (Question("who", None, "buy", "past", NounPhrase("fish"), Place("at", "market")), "Nani alinunua samaki sokoni?"),
        (
            RelativeDescribed(NounPhrase("book", "plural"), Name("Juma"), "buy", "new"),
            "Vitabu ambavyo Juma alinunua ni vipya.",
        ),
    ],
)
def test_sentences(meaning: Meaning, sentence: str) -> None:
    assert swahili(meaning) == sentence


def test_a_plural_is_used_only_where_it_can_be_heard() -> None:
    assert expresses(NounPhrase("book", "plural"), verb_agrees=False)
    assert not expresses(NounPhrase("house", "plural"), verb_agrees=False)
    assert not expresses(NounPhrase("house", "plural", adjective="big"), verb_agrees=False)
    assert expresses(NounPhrase("house", "plural"), verb_agrees=True)
    assert expresses(NounPhrase("house", "plural", "this"), verb_agrees=False)
    assert expresses(NounPhrase("goat", "plural", adjective="big"), verb_agrees=False)
    assert not expresses(NounPhrase("friend", "plural", "my"), verb_agrees=True)
