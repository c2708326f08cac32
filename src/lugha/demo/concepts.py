"""The concepts of the sample grammar and their English words: one line for each noun, verb, adjective, place and time.

A concept is named by its English base form; the lexicons of Swahili and Igbo use the same names, and a language uses the
concepts that its lexicon holds. Tags say what goes with what, so that sentences make sense: a verb takes objects with its
tag ("read": book, letter, newspaper), an adjective describes nouns with its tag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lugha.demo.meaning import Tense


@dataclass(frozen=True)
class NounConcept:
    """An English noun. `plural` is None for a mass noun (rice, water), which takes neither article nor number."""

    singular: str
    plural: str | None
    tags: frozenset[str]


def _noun(singular: str, plural: str | None, tags: str) -> NounConcept:
    return NounConcept(singular, plural, frozenset(tags.split()))


# person: acts, is seen, met, helped. role: what somebody can be. owned: "my teacher". kin: only ever owned, a spouse not by
# "our". beast: acts in its own way. The other tags are those of the verbs and adjectives below.
NOUNS: dict[str, NounConcept] = {
    "man": _noun("man", "men", "person tall"),
    "woman": _noun("woman", "women", "person tall"),
    "child": _noun("child", "children", "person owned sick lazy"),
    "boy": _noun("boy", "boys", "person tall lazy"),
    "girl": _noun("girl", "girls", "person tall lazy"),
    "teacher": _noun("teacher", "teachers", "person role owned new tall"),
    "student": _noun("student", "students", "person role new lazy sick"),
    "farmer": _noun("farmer", "farmers", "person role lazy"),
    "doctor": _noun("doctor", "doctors", "person role owned new"),
    "nurse": _noun("nurse", "nurses", "person role new"),
    "king": _noun("king", "kings", "person role new"),
    "leader": _noun("leader", "leaders", "person role owned new"),
    "soldier": _noun("soldier", "soldiers", "person role tall sick"),
    "driver": _noun("driver", "drivers", "person role new lazy"),
    "hunter": _noun("hunter", "hunters", "person role tall"),
    "priest": _noun("priest", "priests", "person role new"),
    "cook": _noun("cook", "cooks", "person role new"),
    "trader": _noun("trader", "traders", "person role"),
    "fisherman": _noun("fisherman", "fishermen", "person role"),
    "friend": _noun("friend", "friends", "person owned"),
    "neighbour": _noun("neighbour", "neighbours", "person owned"),
    "guest": _noun("guest", "guests", "person owned"),
    "elder": _noun("elder", "elders", "person sick"),
    "thief": _noun("thief", "thieves", "person"),
    "father": _noun("father", None, "kin"),
    "mother": _noun("mother", None, "kin"),
    "brother": _noun("brother", None, "kin"),
    "sister": _noun("sister", None, "kin"),
    "husband": _noun("husband", None, "kin spouse"),
    "wife": _noun("wife", None, "kin spouse"),
    "grandmother": _noun("grandmother", None, "kin"),
    "grandfather": _noun("grandfather", None, "kin"),
    "cow": _noun("cow", "cows", "beast trade size coat price"),
    "goat": _noun("goat", "goats", "beast trade size coat price"),
    "sheep": _noun("sheep", "sheep", "beast trade size coat price"),
    "dog": _noun("dog", "dogs", "beast trade size coat hound"),
    "cat": _noun("cat", "cats", "beast size coat"),
    "chicken": _noun("chicken", "chickens", "beast trade size coat price"),
    "horse": _noun("horse", "horses", "beast size coat price"),
    "donkey": _noun("donkey", "donkeys", "beast trade size price"),
    "bird": _noun("bird", "birds", "beast size coat"),
    "lion": _noun("lion", "lions", "beast size"),
    "leopard": _noun("leopard", "leopards", "beast size"),
    "monkey": _noun("monkey", "monkeys", "beast size"),
    "giraffe": _noun("giraffe", "giraffes", "beast size"),
    "elephant": _noun("elephant", "elephants", "beast size"),
    "snake": _noun("snake", "snakes", "beast size coat"),
    "book": _noun("book", "books", "read write trade carry size new important lay lose fall"),
    "letter": _noun("letter", "letters", "read write new long important lay bring lose"),
    "newspaper": _noun("newspaper", "newspapers", "read trade new lay bring"),
    "table": _noun("table", "tables", "trade carry mend size new"),
    "chair": _noun("chair", "chairs", "trade carry mend size new"),
    "house": _noun("house", "houses", "build sweep trade size new colour soil burn"),
    "car": _noun("car", "cars", "trade wash mend size new colour soil burn"),
    "bag": _noun("bag", "bags", "trade carry size new colour lay bring weight lose fall"),
    "box": _noun("box", "boxes", "trade carry open size new bring weight"),
    "basket": _noun("basket", "baskets", "trade carry size new lay bring"),
    "knife": _noun("knife", "knives", "trade wash size new long lay bring"),
    "cup": _noun("cup", "cups", "trade wash size new soil lay bring break fall"),
    "plate": _noun("plate", "plates", "trade wash size new soil lay bring break fall"),
    "pot": _noun("pot", "pots", "trade wash size new soil lay bring break fall"),
    "key": _noun("key", "keys", "new lay bring lose"),
    "door": _noun("door", "doors", "open mend size new"),
    "window": _noun("window", "windows", "open mend size"),
    "shirt": _noun("shirt", "shirts", "trade size new colour soil bring"),
    "dress": _noun("dress", "dresses", "trade size new colour soil bring"),
    "hat": _noun("hat", "hats", "trade size new colour lay bring lose"),
    "phone": _noun("phone", "phones", "trade mend new lay bring lose"),
    "radio": _noun("radio", "radios", "trade mend new size bring"),
    "lamp": _noun("lamp", "lamps", "trade mend new size lay bring fall"),
    "mirror": _noun("mirror", "mirrors", "trade wash size new soil break"),
    "mat": _noun("mat", "mats", "trade carry new colour long bring"),
    "drum": _noun("drum", "drums", "trade carry size new mend"),
    "rope": _noun("rope", "ropes", "trade carry long new bring"),
    "stone": _noun("stone", "stones", "carry size weight fall"),
    "tree": _noun("tree", "trees", "plant uproot size tall burn fall"),
    "flower": _noun("flower", "flowers", "plant colour"),
    "firewood": _noun("firewood", None, "trade carry bring"),
    "money": _noun("money", None, "bring own"),
    "medicine": _noun("medicine", None, "trade bring new price"),
    "soap": _noun("soap", None, "trade bring"),
    "rice": _noun("rice", None, "eat cook trade bring hot"),
    "meat": _noun("meat", None, "eat cook trade bring hot"),
    "fish": _noun("fish", None, "eat cook trade bring"),
    "food": _noun("food", None, "eat cook bring hot trade"),
    "bread": _noun("bread", None, "eat trade bring hot"),
    "soup": _noun("soup", None, "cook bring hot"),
    "yam": _noun("yam", None, "eat cook plant trade bring hot"),
    "cocoyam": _noun("cocoyam", None, "eat cook plant trade bring"),
    "cassava": _noun("cassava", None, "eat cook plant uproot trade bring"),
    "maize": _noun("maize", None, "eat cook plant trade bring reap"),
    "breadfruit": _noun("breadfruit", None, "eat cook trade bring"),
    "banana": _noun("banana", "bananas", "eat trade bring sweet"),
    "orange": _noun("orange", "oranges", "eat trade bring sweet reap"),
    "mango": _noun("mango", "mangoes", "eat trade bring sweet reap"),
    "pineapple": _noun("pineapple", "pineapples", "eat trade bring sweet reap size"),
    "egg": _noun("egg", "eggs", "eat cook trade bring"),
    "onion": _noun("onion", "onions", "trade bring reap plant"),
    "salt": _noun("salt", None, "trade bring"),
    "sugar": _noun("sugar", None, "trade bring"),
    "honey": _noun("honey", None, "eat trade bring sweet"),
    "oil": _noun("oil", None, "trade bring price"),
    "water": _noun("water", None, "drink bring hot"),
    "tea": _noun("tea", None, "drink hot sweet trade"),
    "coffee": _noun("coffee", None, "drink hot trade"),
    "milk": _noun("milk", None, "drink trade bring hot"),
    "wine": _noun("wine", None, "drink trade bring sweet"),
    "school": _noun("school", "schools", "build sweep size new soil"),
    "hospital": _noun("hospital", "hospitals", "build sweep size new soil"),
    "church": _noun("church", "churches", "build sweep size new"),
    "shop": _noun("shop", "shops", "build sweep open size new burn"),
    "bridge": _noun("bridge", "bridges", "build mend size new long"),
    "road": _noun("road", "roads", "build mend new long"),
    "river": _noun("river", None, "ground"),
    "market": _noun("market", "markets", "size new burn"),
    "village": _noun("village", "villages", "size"),
    "town": _noun("town", "towns", "size new"),
}


@dataclass(frozen=True)
class VerbConcept:
    """An English verb and what it goes with in the grammar.

    `agents` is the tag of its subjects, `object` that of its objects (None: it has none, "person": people, who are
    definite); `place` says where one does it.
    """

    base: str
    past: str
    participle: str
    progressive: str
    object: str | None = None
    agents: str = "person"
    place: Literal["anywhere", "land", "water", "nowhere"] = "anywhere"


VERBS: dict[str, VerbConcept] = {
    "buy": VerbConcept("buy", "bought", "bought", "buying", "trade"),
    "sell": VerbConcept("sell", "sold", "sold", "selling", "trade"),
    "bring": VerbConcept("bring", "brought", "brought", "bringing", "bring", place="nowhere"),
    "read": VerbConcept("read", "read", "read", "reading", "read"),
    "write": VerbConcept("write", "wrote", "written", "writing", "write"),
    "eat": VerbConcept("eat", "ate", "eaten", "eating", "eat"),
    "cook": VerbConcept("cook", "cooked", "cooked", "cooking", "cook"),
    "drink": VerbConcept("drink", "drank", "drunk", "drinking", "drink"),
    "wash": VerbConcept("wash", "washed", "washed", "washing", "wash"),
    "carry": VerbConcept("carry", "carried", "carried", "carrying", "carry"),
    "open": VerbConcept("open", "opened", "opened", "opening", "open", place="nowhere"),
    "close": VerbConcept("close", "closed", "closed", "closing", "open", place="nowhere"),
    "sweep": VerbConcept("sweep", "swept", "swept", "sweeping", "sweep", place="nowhere"),
    "build": VerbConcept("build", "built", "built", "building", "build", place="land"),
    "repair": VerbConcept("repair", "repaired", "repaired", "repairing", "mend"),
    "plant": VerbConcept("plant", "planted", "planted", "planting", "plant", place="land"),
    "harvest": VerbConcept("harvest", "harvested", "harvested", "harvesting", "reap", place="land"),
    "uproot": VerbConcept("uproot", "uprooted", "uprooted", "uprooting", "uproot", place="land"),
    "see": VerbConcept("see", "saw", "seen", "seeing", "person"),
    "call": VerbConcept("call", "called", "called", "calling", "person"),
    "thank": VerbConcept("thank", "thanked", "thanked", "thanking", "person"),
    "visit": VerbConcept("visit", "visited", "visited", "visiting", "person"),
    "meet": VerbConcept("meet", "met", "met", "meeting", "person"),
    "help": VerbConcept("help", "helped", "helped", "helping", "person"),
    "teach": VerbConcept("teach", "taught", "taught", "teaching", "person"),
    "wait for": VerbConcept("wait for", "waited for", "waited for", "waiting for", "person"),
    "look for": VerbConcept("look for", "looked for", "looked for", "looking for", "person"),
    "give": VerbConcept("give", "gave", "given", "giving", "bring"),
    "show": VerbConcept("show", "showed", "shown", "showing", "bring"),
    "work": VerbConcept("work", "worked", "worked", "working"),
    "play": VerbConcept("play", "played", "played", "playing"),
    "dance": VerbConcept("dance", "danced", "danced", "dancing"),
    "sing": VerbConcept("sing", "sang", "sung", "singing"),
    "run": VerbConcept("run", "ran", "run", "running"),
    "cry": VerbConcept("cry", "cried", "cried", "crying"),
    "laugh": VerbConcept("laugh", "laughed", "laughed", "laughing"),
    "sleep": VerbConcept("sleep", "slept", "slept", "sleeping"),
    "rest": VerbConcept("rest", "rested", "rested", "resting"),
    "pray": VerbConcept("pray", "prayed", "prayed", "praying"),
    "study": VerbConcept("study", "studied", "studied", "studying"),
    "talk": VerbConcept("talk", "talked", "talked", "talking"),
    "listen": VerbConcept("listen", "listened", "listened", "listening"),
    "bathe": VerbConcept("bathe", "bathed", "bathed", "bathing"),
    "swim": VerbConcept("swim", "swam", "swum", "swimming", place="water"),
    "farm": VerbConcept("farm", "farmed", "farmed", "farming", place="land"),
    "bite": VerbConcept("bite", "bit", "bitten", "biting", "person", agents="hound"),
    "chase": VerbConcept("chase", "chased", "chased", "chasing", "beast", agents="beast"),
    "fall": VerbConcept("fall", "fell", "fallen", "falling", agents="fall"),
    "burn": VerbConcept("burn", "burned", "burned", "burning", agents="burn"),
    "break": VerbConcept("break", "broke", "broken", "breaking", agents="break"),
    "get lost": VerbConcept("get lost", "got lost", "got lost", "getting lost", agents="lose"),
    "go": VerbConcept("go", "went", "gone", "going"),
}

GIVING = ("give", "show")
"""Verbs with a recipient: only these."""
ERRANDS = ("buy", "sell")
"""What one goes to the market, to town, to a city for."""

ADJECTIVES: dict[str, str] = {
    "good": "any",
    "big": "size",
    "small": "size",
    "new": "new",
    "old": "new",
    "white": "colour coat",
    "black": "colour coat",
    "red": "colour",
    "cheap": "trade price",
    "expensive": "trade price",
    "heavy": "weight",
    "long": "long",
    "tall": "tall",
    "sweet": "sweet",
    "hot": "hot",
    "clean": "soil",
    "dirty": "soil",
    "important": "important",
    "sick": "sick",
    "lazy": "lazy",
}
"""Adjective -> tags of the nouns that it may describe, separated by blanks; "any" is every noun but kin."""

PLACES: dict[str, str] = {
    "home": "at home",
    "market": "in the market",
    "school": "at school",
    "hospital": "in the hospital",
    "church": "at church",
    "mosque": "at the mosque",
    "shop": "in the shop",
    "farm": "on the farm",
    "town": "in town",
    "village": "in the village",
    "office": "in the office",
    "forest": "in the forest",
    "coast": "on the coast",
    "abroad": "abroad",
    "river": "in the river",
}
"""Places with a fixed phrase; `CITIES` and the relations below make more."""

GOALS: dict[str, str] = {"market": "to the market", "town": "to town", "shop": "to the shop", "village": "to the village"}
"""Where one goes to buy and to sell; cities too."""

RELATIONS: dict[str, str] = {
    "in front of": "house school hospital church shop market",
    "behind": "house school hospital church shop market",
    "beside": "house school hospital church river road",
    "near": "house school hospital church river road",
    "inside": "house car box",
    "under": "tree table chair",
    "on": "table chair box",
    "across": "river",
}
"""Relation -> nouns that it may stand with."""

OUTDOORS = ("in front of", "behind", "beside", "near")
"""Relations of a place where somebody may be doing something."""
LAND = ("farm", "village", "town")
"""Where one builds, plants and reaps; cities too, and what is outdoors."""
WATER = "river"
"""Where one swims."""

TIMES: dict[Tense, tuple[str, ...]] = {
    "present": ("now", "today"),
    "past": (
        "yesterday",
        "last week",
        "last month",
        "last year",
        "this morning",
        "on Monday",
        "on Tuesday",
        "on Wednesday",
        "on Thursday",
        "on Friday",
        "on Saturday",
        "on Sunday",
    ),
    "future": (
        "tomorrow",
        "next week",
        "next year",
        "tomorrow morning",
        "on Monday",
        "on Tuesday",
        "on Wednesday",
        "on Thursday",
        "on Friday",
        "on Saturday",
        "on Sunday",
    ),
    "perfect": ("today",),
}
"""The words of time that go with each tense; they are their own English."""

NUMERALS = {2: "two", 3: "three", 4: "four", 5: "five"}


def nouns_with(tag: str) -> Iterator[str]:
    """The nouns that carry `tag` ("any": all but kin), in the order of the table."""
    for name, concept in NOUNS.items():
        if tag in concept.tags or (tag == "any" and "kin" not in concept.tags):
            yield name


def describes(adjective: str, noun: str) -> bool:
    """Whether the adjective goes with the noun."""
    return any(tag == "any" or tag in NOUNS[noun].tags for tag in ADJECTIVES[adjective].split())
