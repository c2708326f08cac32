"""Punctuation as the base model's own text had it: NLLB-200's tokenizer was trained on Moses-normalised text.

    punctuation_of("moses")("“Ndewo” ( 5 % ) …")  ->  '"Ndewo" (5%) ...'
    punctuation_of("none")                       ->  returns every text as it is

The tokenizer of NLLB has no piece for some of the signs that these rules replace (“ ” „ … and others): without them every
quotation mark becomes `<unk>`, and the model never writes one (sillsdev/machine.py issue 94, sillsdev/silnlp issue 611). The
text of a model must have one form wherever the model reads it: training, evaluation and serving call this same function.

The rules, in the order of facebookresearch/stopes (stopes/pipelines/monolingual/monolingual_line_processor.py), which
prepared the text of NLLB-200 (NLLB Team 2022, arXiv 2207.04672):

    1. Moses' normalize-punctuation.perl for English, as sacremoses has it (whatever the language, as NLLB did)
    2. each character of the Unicode categories C* (controls, formats, unassigned) becomes a blank
    3. NFKC
    4. runs of white space become one blank, none at the ends: SentencePiece does it too, so that NLLB's ids are the same

Of letters NFKC changes only forms of compatibility (ﬁ, ²), none that an orthography of the registry has. The rules are not
idempotent everywhere: `"".` becomes `"."` and then `".""`... A text is normalised once, when the model reads it.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import Literal

from lugha.runs.files import sha256_json

Punctuation = Literal["none", "moses"]

# What the left side of any rule of step 1 needs. Text without it, printable, in NFKC and with single blanks is left alone by
# all four steps: that is most text, and it saves forty regular expressions (a test holds the two to the same result).
_TOUCHED = re.compile(r"""[()`„“”–—´‘‚’…«»]|''|  | [:;]|\d %|"[,.]""")


def punctuation_of(name: Punctuation) -> Callable[[str], str]:
    """The function that a recipe's `tokens.punctuation` names."""
    return {"none": _as_it_is, "moses": moses_punctuation}[name]


def punctuation_digest(name: Punctuation) -> str:
    """Names what `punctuation_of(name)` does to a text: of the rules as the installed sacremoses and Unicode have them."""
    rules = [(rule.pattern, by) for rule, by in _moses_rules()] if name == "moses" else []
    return sha256_json([name, rules, unicodedata.unidata_version if rules else None])


def moses_punctuation(text: str) -> str:
    """`text` with the punctuation of NLLB-200's training text; the same object where nothing is to be done."""
    untouched = (
        text.isprintable()  # hence without C*, and without any white space but the blank
        and _TOUCHED.search(text) is None
        and unicodedata.is_normalized("NFKC", text)
        and not (text[:1] == " " or text[-1:] == " ")
    )
    return text if untouched else _by_all_rules(text)


def _by_all_rules(text: str) -> str:
    for rule, by in _moses_rules():
        text = rule.sub(by, text)
    text = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text.strip())
    return " ".join(unicodedata.normalize("NFKC", text).split())


@functools.cache
def _moses_rules() -> list[tuple[re.Pattern[str], str]]:
    from sacremoses.normalize import MosesPunctNormalizer

    return [(re.compile(pattern), by) for pattern, by in MosesPunctNormalizer(lang="en").substitutions]


def _as_it_is(text: str) -> str:
    return text
