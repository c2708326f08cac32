"""Which language a text is in: the vote of two offline identifiers, pycld2 (best effort) and py3langid (139 languages).

    identify("Nwanne m nọ n'ụlọ ahụ taa")             ->  ("ibo", "ibo")
    is_wrong_language("The cat sat on the mat", "ibo") ->  True

A row is judged wrong only when both are sure of another language, or both name the language of the pair's other side;
"unknown" is a verdict of its own, a text under 4 words is never judged, and the list of languages is never restricted
(with a short list, Luganda becomes Swahili). An identifier that does not know the expected language has no say.

Measured on MAFAND train (3,000 sentences of each of ibo, swh, hau, 2,000 of each English side, 4 words or more): judged
wrong 1 / 9 / 0, all nine Swahili ones really English or French, and 1 / 4 / 1 of the English; of sides that stand in each
other's place 95.6 to 99.9 % are caught. 8,000 to 15,000 verdicts/CPU-s on a mixture of right and wrong.

Codes are ISO 639-3. Two codes of one ISO 639-3 macrolanguage (swh and swc, hrv and srp) count as one language.
Both libraries are loaded at the first text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["right", "wrong", "unknown", "short"]

MIN_WORDS = 4
_SURE_SHARE = 50  # pycld2: percent of the text in the first language, beside its own flag "reliable"
_SURE_PROBABILITY = 0.5  # py3langid: of the normalised scores
_WINDOW = 2_000  # characters: of a longer text its middle is read, where no masthead or footer stands

# What CLD2 refuses as not fit for interchange: controls but tab, LF, FF and CR, and the non-characters (each code point was
# tried). Surrogates, which no UTF-8 has, come from text that was decoded with errors="surrogateescape".
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
    + "]"
)

# Two-letter codes (ISO 639-1 and CLD2's own) and their ISO 639-3 code; of a macrolanguage the member that FLORES-200 has.
_TWO_LETTERS = """
aa:aar ab:abk af:afr ak:aka am:amh an:arg ar:arb as:asm ay:ayr az:azj ba:bak be:bel bg:bul bh:bho bi:bis bn:ben bo:bod
br:bre bs:bos ca:cat co:cos cs:ces cy:cym da:dan de:deu dv:div dz:dzo ee:ewe el:ell en:eng eo:epo es:spa et:ekk eu:eus
fa:pes fi:fin fj:fij fo:fao fr:fra fy:fry ga:gle gd:gla gl:glg gn:gug gu:guj gv:glv ha:hau he:heb hi:hin hr:hrv ht:hat
hu:hun hy:hye ia:ina id:ind ie:ile ig:ibo ik:ipk is:isl it:ita iu:iku iw:heb ja:jpn jv:jav jw:jav ka:kat kk:kaz kl:kal
km:khm kn:kan ko:kor ks:kas ku:kmr ky:kir la:lat lb:ltz lg:lug ln:lin lo:lao lt:lit lv:lvs mg:plt mi:mri mk:mkd ml:mal
mn:khk mr:mar ms:zsm mt:mlt my:mya na:nau ne:npi nl:nld nn:nno no:nob nr:nbl ny:nya oc:oci om:gaz or:ory os:oss pa:pan
pl:pol ps:pbt pt:por qu:quy rm:roh rn:run ro:ron ru:rus rw:kin sa:san sd:snd se:sme sg:sag si:sin sk:slk sl:slv sm:smo
sn:sna so:som sq:als sr:srp ss:ssw st:sot su:sun sv:swe sw:swh ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn
to:ton tr:tur ts:tso tt:tat tw:twi ug:uig uk:ukr ur:urd uz:uzn ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:ydd yo:yor
za:zha zh:zho zh-Hant:zho zu:zul
"""
# Macrolanguages of ISO 639-3 with those members that the identifiers or FLORES-200 tell apart.
_MACROLANGUAGES = """
aka:twi,fat ara:arb,ary,arz,acm,acq,aeb,ajp,apc,ars aym:ayr aze:azj,azb est:ekk fas:pes,prs ful:fuv,ffm,fuf grn:gug
hbs:bos,hrv,srp,cnr kok:gom kon:kng,ktu kur:kmr,ckb,sdh lav:lvs,ltg mlg:plt mon:khk msa:zsm,ind nep:npi nor:nob,nno
ori:ory orm:gaz,hae pus:pbt,pst que:quy,quz sqi:als swa:swh,swc uzb:uzn,uzs yid:ydd zho:cmn,yue,wuu
"""
_ISO_639_3: dict[str, str] = dict(entry.split(":") for entry in _TWO_LETTERS.split())
_MACRO_OF: dict[str, str] = {
    member: macro
    for macro, members in (entry.split(":") for entry in _MACROLANGUAGES.split())
    for member in members.split(",")
}


@dataclass(frozen=True)
class Guess:
    """What one identifier says: the language (ISO 639-3; None: unknown), and whether it is sure."""

    language: str | None
    sure: bool


def identify(text: str) -> tuple[str | None, str | None]:
    """The languages that pycld2 and py3langid name, sure or not, as ISO 639-3; None where one names none."""
    plain = _prepare(text)
    return _cld2(plain).language, _langid(plain).language


def both_name(language: str, text: str) -> bool:
    """Whether both identifiers name `language` (ISO 639-3), sure or not, as the language of `text`."""
    return {_family(named) for named in identify(text)} == {_family(language)}


def is_wrong_language(text: str, expected: str, other: str | None = None) -> bool:
    """Whether `text` is surely not in the language `expected` (ISO 639-3); see `judge`."""
    return judge(text, expected, other) == "wrong"


def judge(text: str, expected: str, other: str | None = None) -> Verdict:
    """Judge whether `text` is in the language `expected`.

    Args:
        expected: ISO 639-3 code.
        other: of a pair, the language of the other side; that both name it is evidence enough, sure or not.

    Returns:
        short: under 4 words. right: an identifier is sure of `expected`. wrong: both know `expected` and are sure of
        another language, or both name `other`. unknown: anything else.
    """
    if len(text.split()) < MIN_WORDS:
        return "short"
    plain, wanted = _prepare(text), _family(expected)
    first = _cld2(plain)
    if first.sure and _family(first.language) == wanted:
        return "right"  # the slower identifier could not change this
    second = _langid(plain)
    if second.sure and _family(second.language) == wanted:
        return "right"
    named = {_family(first.language), _family(second.language)}
    if other and named == {_family(other)} and wanted not in named:
        return "wrong"
    known = wanted in _cld2_knows() and wanted in _langid_knows()
    return "wrong" if known and first.sure and second.sure else "unknown"


def count_verdicts(texts: Iterable[str], expected: str, other: str | None = None) -> dict[Verdict, int]:
    """How many of `texts` got each verdict of `judge`; the wrong-language rate is wrong / (right + wrong + unknown)."""
    counts: dict[Verdict, int] = {"right": 0, "wrong": 0, "unknown": 0, "short": 0}
    for text in texts:
        counts[judge(text, expected, other)] += 1
    return counts


def _prepare(text: str) -> str:
    spare = max(0, len(text) - _WINDOW) // 2
    return unicodedata.normalize("NFC", _UNFIT.sub(" ", text[spare : spare + _WINDOW]))


def _family(code: str | None) -> str | None:
    return _MACRO_OF.get(code, code) if code else None


def _iso_639_3(code: str) -> str | None:
    """ISO 639-3 for a label of either library; None for what is no language (un, xxx, zxx, xx-Bugi: a script alone)."""
    if code in _ISO_639_3:
        return _ISO_639_3[code]
    return code if len(code) == 3 and code not in {"xxx", "zxx"} and not code.startswith("zz") else None


@functools.cache
def _load_cld2() -> Any:
    import pycld2

    return pycld2


@functools.cache
def _load_langid() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@functools.cache
def _cld2_knows() -> frozenset[str | None]:
    code_of = dict(_load_cld2().LANGUAGES)
    return frozenset(_family(_iso_639_3(code_of[name])) for name in _load_cld2().DETECTED_LANGUAGES)


@functools.cache
def _langid_knows() -> frozenset[str | None]:
    return frozenset(_family(_iso_639_3(code)) for code in _load_langid().labels)


def _cld2(plain: str) -> Guess:
    reliable, _, languages = _load_cld2().detect(plain, isPlainText=True, bestEffort=True)
    _, code, percent, _ = languages[0]
    language = _iso_639_3(code)
    return Guess(language, bool(language and reliable and percent >= _SURE_SHARE))


def _langid(plain: str) -> Guess:
    code, probability = _load_langid().classify(plain)
    language = _iso_639_3(code)
    return Guess(language, bool(language and probability >= _SURE_PROBABILITY))
