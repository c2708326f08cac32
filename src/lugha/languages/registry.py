"""The registry of languages: one entry each, found by any of its codes.

    get_language("ig"), get_language("ibo_Latn"), get_language("Igbo")  ->  the same Language

Files of lugha hold ISO 639-3 codes (`code`), models see NLLB codes (`nllb`), web pages BCP 47 tags (`bcp47`). The alphabet
is that of Unicode CLDR, digraphs included, in its NFC form: a dotted vowel is a letter of its own and never an accent.
`tone_marks` are the combining marks that may follow a letter; their letters may be precomposed (á) or not (ọ́).

To add a language, add an entry to `LANGUAGES`: the tests then hold the normaliser to its alphabet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lugha.errors import InputError, nearest

GRAVE, ACUTE, MACRON = "\u0300", "\u0301", "\u0304"


@dataclass(frozen=True)
class Language:
    """One language and its orthography.

    Attributes:
        code: ISO 639-3.
        bcp47: tag of web pages and of CLDR.
        nllb: code of NLLB and FLORES-200, language and script.
        alphabet: lower-case letters and digraphs, NFC.
        tone_marks: combining marks that the orthography puts on letters.
        apostrophe: the one sign that stands inside words (n'ụlọ, ng'ombe, 'yan); all its look-alikes are folded to it.
        quote_as_apostrophe: (letters before, one letter after): between these, in either case, a double quote is a
            damaged apostrophe.
        repairs: (damaged, right) spellings that no word of the language can mean.
        aliases: other codes and names that people use.
    """

    code: str
    bcp47: str
    nllb: str
    name: str
    alphabet: tuple[str, ...]
    tone_marks: str = ""
    script: str = "Latn"
    apostrophe: str = "'"
    quote_as_apostrophe: tuple[str, str] | None = None
    repairs: tuple[tuple[str, str], ...] = field(default=())
    aliases: tuple[str, ...] = ()

    @property
    def known_as(self) -> tuple[str, ...]:
        """Every code and name by which `get_language` finds this language."""
        return (self.code, self.bcp47, self.nllb, self.name, *self.aliases)


def _letters(separated: str) -> tuple[str, ...]:
    return tuple(separated.split())


LANGUAGES: tuple[Language, ...] = (
    Language(
        code="eng",
        bcp47="en",
        nllb="eng_Latn",
        name="English",
        alphabet=tuple("abcdefghijklmnopqrstuvwxyz"),
    ),
    Language(
        code="ibo",
        bcp47="ig",
        nllb="ibo_Latn",
        name="Igbo",
        alphabet=_letters("a b ch d e f g gb gh gw h i ị j k kp kw l m n ṅ nw ny o ọ p r s sh t u ụ v w y z"),
        tone_marks=GRAVE + ACUTE + MACRON,
    ),
    Language(
        code="swh",
        bcp47="sw",
        nllb="swh_Latn",
        name="Swahili",
        alphabet=_letters("a b ch d dh e f g gh h i j k kh l m n ng' ny o p r s sh t th u v w y z"),
        # A pass over quotes doubled the sign of ng' in published text: ng"ombe, nang"ang"ania.
        quote_as_apostrophe=("ng", "aeiou"),
        # The ligature "fi" of PDF files arrives as f + dotless i: utafıti, kufıkia.
        repairs=(("fı", "fi"),),
        aliases=("swa", "swa_Latn", "Kiswahili"),
    ),
    Language(
        code="hau",
        bcp47="ha",
        nllb="hau_Latn",
        name="Hausa",
        alphabet=_letters("a b ɓ c d ɗ e f g h i j k ƙ l m n o r s sh t ts u w y 'y ƴ z '"),
    ),
    Language(
        code="yor",
        bcp47="yo",
        nllb="yor_Latn",
        name="Yoruba",
        alphabet=_letters("a b d e ẹ f g gb h i j k l m n o ọ p r s ṣ t u w y"),
        tone_marks=GRAVE + ACUTE + MACRON,
    ),
    Language(
        code="fra",
        bcp47="fr",
        nllb="fra_Latn",
        name="French",
        alphabet=_letters("a à â æ b c ç d e é è ê ë f g h i î ï j k l m n o ô œ p q r s t u ù û ü v w x y ÿ z"),
    ),
    Language(
        code="deu",
        bcp47="de",
        nllb="deu_Latn",
        name="German",
        alphabet=_letters("a ä b c d e f g h i j k l m n o ö p q r s ß t u ü v w x y z"),
    ),
    Language(
        code="spa",
        bcp47="es",
        nllb="spa_Latn",
        name="Spanish",
        alphabet=_letters("a á b c d e é f g h i í j k l m n ñ o ó p q r s t u ú ü v w x y z"),
    ),
    Language(
        code="ita",
        bcp47="it",
        nllb="ita_Latn",
        name="Italian",
        alphabet=_letters("a à b c d e é è f g h i ì j k l m n o ó ò p q r s t u ù v w x y z"),
    ),
    Language(
        code="por",
        bcp47="pt",
        nllb="por_Latn",
        name="Portuguese",
        alphabet=_letters("a á à â ã b c ç d e é ê f g h i í j k l m n o ó ò ô õ p q r s t u ú v w x y z"),
    ),
)

_BY_NAME = {name.casefold(): language for language in LANGUAGES for name in language.known_as}


def get_language(code: str) -> Language:
    """Find a language by its ISO 639-3, BCP 47 or NLLB code, its English name or an alias, in upper or lower case.

    Raises:
        InputError: the registry has no such language; the line suggests the nearest code.
    """
    try:
        return _BY_NAME[code.strip().casefold()]
    except KeyError:
        known = [name for language in LANGUAGES for name in language.known_as]
        close = nearest(code, known)
        hint = close if "Did you mean" in close else nearest("", language_codes())
        raise InputError(f'Unknown language "{code}".{hint}') from None


def language_codes() -> tuple[str, ...]:
    """ISO 639-3 codes of all registered languages, in alphabetical order."""
    return tuple(sorted(language.code for language in LANGUAGES))
