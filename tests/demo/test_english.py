"""English renderings: one convention for articles, agreement, and the verb group."""

from __future__ import annotations

import pytest

from lugha.demo.english import english
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

CHILD, CHILDREN = NounPhrase("child"), NounPhrase("child", "plural")


@pytest.mark.parametrize(
    ("meaning", "sentence"),
    [
        (Action(CHILD, "read", When("present"), NounPhrase("book")), "The child is reading a book."),
        (Action(CHILDREN, "read", When("present", False), NounPhrase("book")), "The children are not reading a book."),
        (Action(Pronoun("I"), "eat", When("present"), NounPhrase("egg")), "I am eating an egg."),
        (Action(Pronoun("I"), "eat", When("perfect"), NounPhrase("rice")), "I have eaten rice."),
        (Action(CHILD, "write", When("perfect", False), NounPhrase("letter")), "The child has not written a letter."),
        (Action(CHILD, "buy", When("past", False), NounPhrase("hat", adjective="old")), "The child did not buy an old hat."),
        (Action(CHILD, "buy", When("future"), NounPhrase("hat", "plural", "this")), "The child will buy these hats."),
        (Action(CHILD, "buy", When("past"), NounPhrase("hat", "plural", count=2)), "The child bought two hats."),
        (
            Action(Couple("Juma", "Asha"), "see", When("past", time="yesterday"), NounPhrase("teacher")),
            "Juma and Asha saw the teacher yesterday.",
        ),
        (
            Action(Pronoun("we"), "give", When("past"), NounPhrase("book", determiner="my"), recipient=CHILD),
            "We gave the child my book.",
        ),
        (Action(NounPhrase("dog"), "chase", When("past"), NounPhrase("cat")), "The dog chased a cat."),
        (Action(CHILD, "play", When("past"), place=Place("behind", "house")), "The child played behind the house."),
        (Action(CHILD, "play", When("past"), place=Place("at", "Nairobi")), "The child played in Nairobi."),
        (
            Errand(CHILD, When("past"), "market", "buy", NounPhrase("fish")),
            "The child went to the market to buy fish.",
        ),
        (Errand(CHILD, When("past"), "Enugu", "sell", NounPhrase("yam")), "The child went to Enugu to sell yam."),
        (Attitude(CHILD, "want", True, "sleep"), "The child wants to sleep."),
        (Attitude(CHILDREN, "want", False, "sleep"), "The children do not want to sleep."),
        (Attitude(CHILD, "can", False, "sleep"), "The child cannot sleep."),
        (Located(CHILD, False, Place("at", "home")), "The child is not at home."),
        (Described(NounPhrase("house", "plural", "that"), True, "big"), "Those houses are big."),
        (Identity(Name("Juma"), When("past", False), NounPhrase("teacher")), "Juma was not a teacher."),
        (Identity(Name("Juma"), When("future"), NounPhrase("cook", adjective="new")), "Juma will be a new cook."),
        (Possession(CHILDREN, False, NounPhrase("money")), "The children do not have money."),
        (Possession(CHILD, True, NounPhrase("orange")), "The child has an orange."),
        (Love(Name("Neema"), NounPhrase("mother", determiner="my")), "Neema loves my mother."),
        (
            Contrast(
                Action(Name("Juma"), "sell", When("past"), NounPhrase("goat")),
                Action(CHILD, "buy", When("past"), NounPhrase("salt")),
            ),
            "Juma sold a goat but the child bought salt.",
        ),
        (Question("where", CHILD, "buy", "past", NounPhrase("fish")), "Where did the child buy fish?"),
        (Question("where", CHILDREN, "buy", "present", NounPhrase("fish")), "Where are the children buying fish?"),
        (Question("when", CHILD, "buy", "future", NounPhrase("fish")), "When will the child buy fish?"),
        (Question("who", None, "buy", "present", NounPhrase("fish")), "Who is buying fish?"),
        (
            RelativeDescribed(NounPhrase("book", "plural"), Name("Juma"), "buy", "new"),
            "The books that Juma bought are new.",
        ),
    ],
)
def test_sentences(meaning: Meaning, sentence: str) -> None:
    assert english(meaning) == sentence
