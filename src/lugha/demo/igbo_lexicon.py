"""Igbo words for the concepts of the sample grammar, in standard orthography without tone marks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IgboNoun:
    """One form for any number, and for people a plural with ndị or ụmụ.

    `{}` marks where an owner stands inside the noun: nwanne m nwoke, my brother.
    """

    singular: str
    plural: str | None = None
    living: bool = False


def _person(singular: str, plural: str | None = None) -> IgboNoun:
    return IgboNoun(singular, plural, living=True)


def _animal(word: str) -> IgboNoun:
    return IgboNoun(word, living=True)


NOUNS: dict[str, IgboNoun] = {
    "man": _person("nwoke", "ụmụ nwoke"),
    "woman": _person("nwaanyị", "ụmụ nwaanyị"),
    "child": _person("nwata", "ụmụaka"),
    "boy": _person("nwata nwoke"),
    "girl": _person("nwata nwaanyị"),
    "teacher": _person("onye nkuzi", "ndị nkuzi"),
    "student": _person("nwata akwụkwọ", "ụmụ akwụkwọ"),
    "farmer": _person("onye ọrụ ugbo", "ndị ọrụ ugbo"),
    "doctor": _person("dọkịta", "ndị dọkịta"),
    "nurse": _person("nọọsụ", "ndị nọọsụ"),
    "king": _person("eze", "ndị eze"),
    "leader": _person("onye ndu", "ndị ndu"),
    "soldier": _person("onye agha", "ndị agha"),
    "driver": _person("onye ọkwọ ụgbọala", "ndị ọkwọ ụgbọala"),
    "hunter": _person("dinta", "ndị dinta"),
    "priest": _person("ụkọchukwu", "ndị ụkọchukwu"),
    "cook": _person("onye osi nri", "ndị osi nri"),
    "friend": _person("enyi", "ndị enyi"),
    "neighbour": _person("onye agbata obi", "ndị agbata obi"),
    "guest": _person("ọbịa", "ndị ọbịa"),
    "elder": _person("okenye", "ndị okenye"),
    "thief": _person("onye ohi", "ndị ohi"),
    "father": _person("nna {}"),
    "mother": _person("nne {}"),
    "brother": _person("nwanne {} nwoke"),
    "sister": _person("nwanne {} nwaanyị"),
    "husband": _person("di {}"),
    "wife": _person("nwunye {}"),
    "cow": _animal("ehi"),
    "goat": _animal("ewu"),
    "sheep": _animal("atụrụ"),
    "dog": _animal("nkịta"),
    "cat": _animal("nwamba"),
    "chicken": _animal("ọkụkọ"),
    "horse": _animal("ịnyịnya"),
    "bird": _animal("nnụnụ"),
    "lion": _animal("ọdụm"),
    "leopard": _animal("agụ"),
    "monkey": _animal("enwe"),
    "snake": _animal("agwọ"),
    "book": IgboNoun("akwụkwọ"),
    "letter": IgboNoun("akwụkwọ ozi"),
    "newspaper": IgboNoun("akwụkwọ akụkọ"),
    "table": IgboNoun("tebụl"),
    "chair": IgboNoun("oche"),
    "house": IgboNoun("ụlọ"),
    "car": IgboNoun("ụgbọala"),
    "bag": IgboNoun("akpa"),
    "box": IgboNoun("igbe"),
    "basket": IgboNoun("nkata"),
    "knife": IgboNoun("mma"),
    "cup": IgboNoun("iko"),
    "plate": IgboNoun("efere"),
    "pot": IgboNoun("ite"),
    "key": IgboNoun("igodo"),
    "door": IgboNoun("ụzọ"),
    "window": IgboNoun("windo"),
    "dress": IgboNoun("uwe"),
    "hat": IgboNoun("okpu"),
    "phone": IgboNoun("ekwentị"),
    "lamp": IgboNoun("oriọna"),
    "mirror": IgboNoun("enyo"),
    "mat": IgboNoun("ute"),
    "drum": IgboNoun("igba"),
    "rope": IgboNoun("eriri"),
    "stone": IgboNoun("nkume"),
    "tree": IgboNoun("osisi"),
    "firewood": IgboNoun("nkụ"),
    "money": IgboNoun("ego"),
    "medicine": IgboNoun("ọgwụ"),
    "soap": IgboNoun("ncha"),
    "rice": IgboNoun("osikapa"),
    "meat": IgboNoun("anụ"),
    "fish": IgboNoun("azụ"),
    "food": IgboNoun("nri"),
    "bread": IgboNoun("achịcha"),
    "soup": IgboNoun("ofe"),
    "yam": IgboNoun("ji"),
    "cocoyam": IgboNoun("ede"),
    "cassava": IgboNoun("akpụ"),
    "maize": IgboNoun("ọka"),
    "breadfruit": IgboNoun("ụkwa"),
    "banana": IgboNoun("unere"),
    "orange": IgboNoun("oroma"),
    "salt": IgboNoun("nnu"),
    "honey": IgboNoun("mmanụ aṅụ"),
    "oil": IgboNoun("mmanụ"),
    "water": IgboNoun("mmiri"),
    "tea": IgboNoun("tii"),
    "milk": IgboNoun("mmiri ara"),
    "wine": IgboNoun("mmanya"),
    "school": IgboNoun("ụlọ akwụkwọ"),
    "hospital": IgboNoun("ụlọ ọgwụ"),
    "church": IgboNoun("ụlọ ụka"),
    "shop": IgboNoun("ụlọ ahịa"),
    "bridge": IgboNoun("akwa mmiri"),
    "road": IgboNoun("okporo ụzọ"),
    "river": IgboNoun("osimiri"),
    "market": IgboNoun("ahịa"),
    "town": IgboNoun("obodo"),
}


@dataclass(frozen=True)
class IgboVerb:
    """A verb's stem; `complement` is the noun that completes its sense (rụ ọrụ, to work)."""

    stem: str
    complement: str = ""


VERBS: dict[str, IgboVerb] = {
    "buy": IgboVerb("zụta"),
    "sell": IgboVerb("re"),
    "bring": IgboVerb("weta"),
    "read": IgboVerb("gụ"),
    "write": IgboVerb("de"),
    "eat": IgboVerb("ri"),
    "cook": IgboVerb("si"),
    "drink": IgboVerb("ṅụ"),
    "wash": IgboVerb("sa"),
    "carry": IgboVerb("bu"),
    "open": IgboVerb("meghe"),
    "close": IgboVerb("mechi"),
    "sweep": IgboVerb("za"),
    "build": IgboVerb("wu"),
    "repair": IgboVerb("dozi"),
    "plant": IgboVerb("kụ"),
    "see": IgboVerb("hụ"),
    "call": IgboVerb("kpọ"),
    "thank": IgboVerb("kele"),
    "visit": IgboVerb("leta"),
    "meet": IgboVerb("zute"),
    "give": IgboVerb("nye"),
    "show": IgboVerb("gosi"),
    "work": IgboVerb("rụ", "ọrụ"),
    "play": IgboVerb("gwu", "egwu"),
    "dance": IgboVerb("gba", "egwu"),
    "sing": IgboVerb("bụ", "abụ"),
    "run": IgboVerb("gba", "ọsọ"),
    "cry": IgboVerb("be", "akwa"),
    "laugh": IgboVerb("chị", "ọchị"),
    "sleep": IgboVerb("rahụ", "ụra"),
    "rest": IgboVerb("zu", "ike"),
    "pray": IgboVerb("kpe", "ekpere"),
    "study": IgboVerb("mụ", "akwụkwọ"),
    "talk": IgboVerb("kwu", "okwu"),
    "listen": IgboVerb("ge", "ntị"),
    "bathe": IgboVerb("sa", "ahụ"),
    "swim": IgboVerb("gwu", "mmiri"),
    "farm": IgboVerb("kọ", "ugbo"),
    "chase": IgboVerb("chụ"),
    "fall": IgboVerb("da"),
    "burn": IgboVerb("gba", "ọkụ"),
    "get lost": IgboVerb("fu", "efu"),
    "go": IgboVerb("ga"),
    "love": IgboVerb("hụ"),
    "have": IgboVerb("nwe"),
    "want": IgboVerb("chọ"),
    "can": IgboVerb("nwe", "ike"),
    "should": IgboVerb("kwesị"),
    "be": IgboVerb("bụ"),
    "be at": IgboVerb("nọ"),
    "be like": IgboVerb("dị"),
}

ADJECTIVES: dict[str, str] = {
    "good": "ọma",
    "big": "ukwu",
    "new": "ọhụrụ",
    "old": "ochie",
    "white": "ọcha",
    "black": "ojii",
}
"""Adjectives that follow their noun."""

QUALITIES: dict[str, str] = {
    "good": "mma",
    "big": "ukwu",
    "small": "obere",
    "new": "ọhụrụ",
    "cheap": "ọnụ ala",
    "expensive": "oke ọnụ",
    "heavy": "arọ",
    "long": "ogologo",
    "tall": "ogologo",
    "sweet": "ụtọ",
    "hot": "ọkụ",
    "clean": "ọcha",
    "important": "mkpa",
}
"""What a thing "is" with the verb dị: ụlọ a dị ukwu."""

BEFORE_NOUN: dict[str, str] = {"small": "obere"}
"""Adjectives that stand before their noun: obere ụlọ."""

PLACES: dict[str, str] = {
    "home": "ụlọ",
    "market": "ahịa",
    "school": "ụlọ akwụkwọ",
    "hospital": "ụlọ ọgwụ",
    "church": "ụlọ ụka",
    "shop": "ụlọ ahịa",
    "farm": "ugbo",
    "town": "obodo",
    "office": "ụlọ ọrụ",
    "abroad": "mba ofesi",
    "river": "osimiri",
    "Onitsha": "Ọnịcha",
    "Owerri": "Owere",
    "Lagos": "Legọs",
    "Abuja": "Abụja",
    "Enugu": "Enugu",
    "Aba": "Aba",
}

CITIES = ("Enugu", "Onitsha", "Owerri", "Aba", "Abuja", "Lagos")

RELATIONS: dict[str, str] = {
    "in front of": "ihu",
    "behind": "azụ",
    "beside": "akụkụ",
    "inside": "ime",
    "under": "okpuru",
    "on": "elu",
}

TIMES: dict[str, str] = {
    "now": "ugbu a",
    "today": "taa",
    "yesterday": "ụnyaahụ",
    "last week": "n'izu gara aga",
    "last month": "n'ọnwa gara aga",
    "last year": "n'afọ gara aga",
    "this morning": "n'ụtụtụ a",
    "tomorrow": "echi",
    "next week": "n'izu na-abịa",
    "next year": "n'afọ na-abịa",
    "on Monday": "n'ụbọchị Mọnde",
    "on Tuesday": "n'ụbọchị Tuzde",
    "on Wednesday": "n'ụbọchị Wenezde",
    "on Thursday": "n'ụbọchị Tọzde",
    "on Friday": "n'ụbọchị Fraịde",
    "on Saturday": "n'ụbọchị Satọde",
    "on Sunday": "n'ụbọchị Sọnde",
}

NAMES = (
    "Ada",
    "Chidi",
    "Ngozi",
    "Emeka",
    "Obinna",
    "Uche",
    "Ifeọma",
    "Nneka",
    "Chinedu",
    "Amaka",
    "Okonkwọ",
    "Ụzọma",
    "Ikenna",
    "Adaeze",
)
