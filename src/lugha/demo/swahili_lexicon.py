"""Swahili words for the concepts of the sample grammar, with their noun classes.

Classes by their numbers: 1/2 m-wa (people), 3/4 m-mi, 5/6 ji-ma, 7/8 ki-vi, 9/10 n-n, 11/10 u-n. A living being agrees as
class 1/2 whatever its form (ng'ombe mkubwa, viongozi wanasoma).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SwahiliNoun:
    """Singular and plural with their classes; a mass noun has one form, under the class that it agrees with."""

    singular: str
    plural: str | None
    classes: tuple[int, int]
    living: bool = False
    kinship: bool = False  # possessives agree as class 9 in the singular: rafiki yangu, baba yetu


def _living(singular: str, plural: str, classes: tuple[int, int] = (1, 2)) -> SwahiliNoun:
    return SwahiliNoun(singular, plural, classes, living=True)


def _relation(singular: str, plural: str | None = None) -> SwahiliNoun:
    return SwahiliNoun(singular, plural, (9, 10), living=True, kinship=True)


def _thing(singular: str, plural: str, classes: tuple[int, int]) -> SwahiliNoun:
    return SwahiliNoun(singular, plural, classes)


def _mass(word: str, noun_class: int, *, living: bool = False) -> SwahiliNoun:
    return SwahiliNoun(word, None, (noun_class, noun_class), living)


NOUNS: dict[str, SwahiliNoun] = {
    "man": _living("mwanamume", "wanaume"),
    "woman": _living("mwanamke", "wanawake"),
    "child": _living("mtoto", "watoto"),
    "boy": _living("mvulana", "wavulana"),
    "girl": _living("msichana", "wasichana"),
    "teacher": _living("mwalimu", "walimu"),
    "student": _living("mwanafunzi", "wanafunzi"),
    "farmer": _living("mkulima", "wakulima"),
    "doctor": _living("daktari", "madaktari", (5, 6)),
    "nurse": _living("muuguzi", "wauguzi"),
    "king": _living("mfalme", "wafalme"),
    "leader": _living("kiongozi", "viongozi", (7, 8)),
    "soldier": _living("mwanajeshi", "wanajeshi"),
    "driver": _living("dereva", "madereva", (5, 6)),
    "hunter": _living("mwindaji", "wawindaji"),
    "priest": _living("padri", "mapadri", (5, 6)),
    "cook": _living("mpishi", "wapishi"),
    "trader": _living("mfanyabiashara", "wafanyabiashara"),
    "fisherman": _living("mvuvi", "wavuvi"),
    "friend": _relation("rafiki", "marafiki"),
    "neighbour": _relation("jirani", "majirani"),
    "guest": _living("mgeni", "wageni"),
    "elder": _living("mzee", "wazee"),
    "thief": _living("mwizi", "wezi"),
    "father": _relation("baba"),
    "mother": _relation("mama"),
    "brother": _relation("kaka"),
    "sister": _relation("dada"),
    "grandmother": _relation("bibi"),
    "grandfather": _relation("babu"),
    "cow": _living("ng'ombe", "ng'ombe", (9, 10)),
    "goat": _living("mbuzi", "mbuzi", (9, 10)),
    "sheep": _living("kondoo", "kondoo", (9, 10)),
    "dog": _living("mbwa", "mbwa", (9, 10)),
    "cat": _living("paka", "paka", (9, 10)),
    "chicken": _living("kuku", "kuku", (9, 10)),
    "horse": _living("farasi", "farasi", (9, 10)),
    "donkey": _living("punda", "punda", (9, 10)),
    "bird": _living("ndege", "ndege", (9, 10)),
    "lion": _living("simba", "simba", (9, 10)),
    "leopard": _living("chui", "chui", (9, 10)),
    "monkey": _living("nyani", "nyani", (9, 10)),
    "giraffe": _living("twiga", "twiga", (9, 10)),
    "elephant": _living("tembo", "tembo", (9, 10)),
    "snake": _living("nyoka", "nyoka", (9, 10)),
    "book": _thing("kitabu", "vitabu", (7, 8)),
    "letter": _thing("barua", "barua", (9, 10)),
    "newspaper": _thing("gazeti", "magazeti", (5, 6)),
    "table": _thing("meza", "meza", (9, 10)),
    "chair": _thing("kiti", "viti", (7, 8)),
    "house": _thing("nyumba", "nyumba", (9, 10)),
    "car": _thing("gari", "magari", (5, 6)),
    "bag": _thing("mfuko", "mifuko", (3, 4)),
    "box": _thing("sanduku", "masanduku", (5, 6)),
    "basket": _thing("kikapu", "vikapu", (7, 8)),
    "knife": _thing("kisu", "visu", (7, 8)),
    "cup": _thing("kikombe", "vikombe", (7, 8)),
    "plate": _thing("sahani", "sahani", (9, 10)),
    "pot": _thing("sufuria", "sufuria", (9, 10)),
    "key": _thing("ufunguo", "funguo", (11, 10)),
    "door": _thing("mlango", "milango", (3, 4)),
    "window": _thing("dirisha", "madirisha", (5, 6)),
    "shirt": _thing("shati", "mashati", (5, 6)),
    "dress": _thing("gauni", "magauni", (5, 6)),
    "hat": _thing("kofia", "kofia", (9, 10)),
    "phone": _thing("simu", "simu", (9, 10)),
    "radio": _thing("redio", "redio", (9, 10)),
    "lamp": _thing("taa", "taa", (9, 10)),
    "mirror": _thing("kioo", "vioo", (7, 8)),
    "mat": _thing("mkeka", "mikeka", (3, 4)),
    "drum": _thing("ngoma", "ngoma", (9, 10)),
    "rope": _thing("kamba", "kamba", (9, 10)),
    "stone": _thing("jiwe", "mawe", (5, 6)),
    "tree": _thing("mti", "miti", (3, 4)),
    "flower": _thing("ua", "maua", (5, 6)),
    "money": _mass("pesa", 9),
    "medicine": _mass("dawa", 9),
    "soap": _mass("sabuni", 9),
    "rice": _mass("wali", 11),
    "meat": _mass("nyama", 9),
    "fish": _mass("samaki", 1, living=True),
    "food": _mass("chakula", 7),
    "bread": _mass("mkate", 3),
    "soup": _mass("supu", 9),
    "cassava": _mass("muhogo", 3),
    "maize": _mass("mahindi", 6),
    "banana": _thing("ndizi", "ndizi", (9, 10)),
    "orange": _thing("chungwa", "machungwa", (5, 6)),
    "mango": _thing("embe", "maembe", (5, 6)),
    "pineapple": _thing("nanasi", "mananasi", (5, 6)),
    "egg": _thing("yai", "mayai", (5, 6)),
    "onion": _thing("kitunguu", "vitunguu", (7, 8)),
    "salt": _mass("chumvi", 9),
    "sugar": _mass("sukari", 9),
    "honey": _mass("asali", 9),
    "oil": _mass("mafuta", 6),
    "water": _mass("maji", 6),
    "tea": _mass("chai", 9),
    "coffee": _mass("kahawa", 9),
    "milk": _mass("maziwa", 6),
    "school": _thing("shule", "shule", (9, 10)),
    "hospital": _thing("hospitali", "hospitali", (9, 10)),
    "church": _thing("kanisa", "makanisa", (5, 6)),
    "shop": _thing("duka", "maduka", (5, 6)),
    "bridge": _thing("daraja", "madaraja", (5, 6)),
    "road": _thing("barabara", "barabara", (9, 10)),
    "river": _mass("mto", 3),
    "market": _thing("soko", "masoko", (5, 6)),
    "village": _thing("kijiji", "vijiji", (7, 8)),
    "town": _thing("mji", "miji", (3, 4)),
}


@dataclass(frozen=True)
class SwahiliVerb:
    """A verb's stem with its final vowel; `rest` follows the verb (fanya kazi, kutana na).

    `marks_object`: the verb repeats an object that lives (alimwona mwalimu); verbs of trade and the kitchen treat it as a
    thing (alinunua mbuzi). A monosyllabic stem keeps the infinitive's ku- after na, li, ta and me (anakula, but hali).
    """

    stem: str
    rest: str = ""
    marks_object: bool = False
    monosyllabic: bool = False


VERBS: dict[str, SwahiliVerb] = {
    "buy": SwahiliVerb("nunua"),
    "sell": SwahiliVerb("uza"),
    "bring": SwahiliVerb("leta"),
    "read": SwahiliVerb("soma"),
    "write": SwahiliVerb("andika"),
    "eat": SwahiliVerb("la", monosyllabic=True),
    "cook": SwahiliVerb("pika"),
    "drink": SwahiliVerb("nywa", monosyllabic=True),
    "wash": SwahiliVerb("osha"),
    "carry": SwahiliVerb("beba"),
    "open": SwahiliVerb("fungua"),
    "close": SwahiliVerb("funga"),
    "sweep": SwahiliVerb("fagia"),
    "build": SwahiliVerb("jenga"),
    "repair": SwahiliVerb("tengeneza"),
    "plant": SwahiliVerb("panda"),
    "harvest": SwahiliVerb("vuna"),
    "uproot": SwahiliVerb("ng'oa"),
    "see": SwahiliVerb("ona", marks_object=True),
    "call": SwahiliVerb("ita", marks_object=True),
    "thank": SwahiliVerb("shukuru", marks_object=True),
    "visit": SwahiliVerb("tembelea", marks_object=True),
    "meet": SwahiliVerb("kutana", rest="na"),
    "help": SwahiliVerb("saidia", marks_object=True),
    "teach": SwahiliVerb("fundisha", marks_object=True),
    "wait for": SwahiliVerb("subiri", marks_object=True),
    "look for": SwahiliVerb("tafuta", marks_object=True),
    "give": SwahiliVerb("pa", marks_object=True),
    "show": SwahiliVerb("onyesha", marks_object=True),
    "work": SwahiliVerb("fanya", rest="kazi"),
    "play": SwahiliVerb("cheza"),
    "sing": SwahiliVerb("imba"),
    "run": SwahiliVerb("kimbia"),
    "cry": SwahiliVerb("lia"),
    "laugh": SwahiliVerb("cheka"),
    "sleep": SwahiliVerb("lala"),
    "rest": SwahiliVerb("pumzika"),
    "pray": SwahiliVerb("sali"),
    "study": SwahiliVerb("jifunza"),
    "talk": SwahiliVerb("zungumza"),
    "listen": SwahiliVerb("sikiliza"),
    "bathe": SwahiliVerb("oga"),
    "swim": SwahiliVerb("ogelea"),
    "farm": SwahiliVerb("lima"),
    "bite": SwahiliVerb("ng'ata", marks_object=True),
    "chase": SwahiliVerb("fukuza", marks_object=True),
    "fall": SwahiliVerb("anguka"),
    "burn": SwahiliVerb("ungua"),
    "break": SwahiliVerb("vunjika"),
    "get lost": SwahiliVerb("potea"),
    "go": SwahiliVerb("enda"),
    "love": SwahiliVerb("penda", marks_object=True),
    "want": SwahiliVerb("taka"),
    "can": SwahiliVerb("weza"),
    "should": SwahiliVerb("paswa"),
}

ADJECTIVES: dict[str, str] = {
    "good": "-zuri",
    "big": "-kubwa",
    "small": "-dogo",
    "new": "-pya",
    "old": "-a zamani",
    "white": "-eupe",
    "black": "-eusi",
    "red": "-ekundu",
    "cheap": "-a bei nafuu",
    "expensive": "ghali",
    "heavy": "-zito",
    "long": "-refu",
    "tall": "-refu",
    "sweet": "-tamu",
    "hot": "-a moto",
    "clean": "safi",
    "dirty": "-chafu",
    "important": "muhimu",
    "sick": "-gonjwa",
    "lazy": "-vivu",
}
"""A stem takes the noun's adjective prefix, "-a ..." its connective (cha zamani), and the rest never changes."""

PLACES: dict[str, str] = {
    "home": "nyumbani",
    "market": "sokoni",
    "school": "shuleni",
    "hospital": "hospitalini",
    "church": "kanisani",
    "mosque": "msikitini",
    "shop": "dukani",
    "farm": "shambani",
    "town": "mjini",
    "village": "kijijini",
    "office": "ofisini",
    "forest": "msituni",
    "coast": "pwani",
    "abroad": "ng'ambo",
    "river": "mtoni",
}

CITIES = ("Nairobi", "Mombasa", "Arusha", "Dodoma", "Kampala", "Zanzibar")

RELATIONS: dict[str, str] = {
    "in front of": "mbele ya",
    "behind": "nyuma ya",
    "beside": "kando ya",
    "near": "karibu na",
    "inside": "ndani ya",
    "under": "chini ya",
    "on": "juu ya",
    "across": "ng'ambo ya",
}

TIMES: dict[str, str] = {
    "now": "sasa",
    "today": "leo",
    "yesterday": "jana",
    "last week": "wiki iliyopita",
    "last month": "mwezi uliopita",
    "last year": "mwaka jana",
    "this morning": "leo asubuhi",
    "tomorrow": "kesho",
    "next week": "wiki ijayo",
    "next year": "mwaka ujao",
    "tomorrow morning": "kesho asubuhi",
    "on Monday": "siku ya Jumatatu",
    "on Tuesday": "siku ya Jumanne",
    "on Wednesday": "siku ya Jumatano",
    "on Thursday": "siku ya Alhamisi",
    "on Friday": "siku ya Ijumaa",
    "on Saturday": "siku ya Jumamosi",
    "on Sunday": "siku ya Jumapili",
}

NAMES = (
    "Juma",
    "Asha",
    "Fatuma",
    "Hamisi",
    "Neema",
    "Rehema",
    "Baraka",
    "Salma",
    "Amina",
    "Omari",
    "Zawadi",
    "Musa",
    "Halima",
    "Rashidi",
)
