"""Text and tokenizers for the tests of tokens: made-up lines of three orthographies, and strings that break tokenizers."""

from __future__ import annotations

import functools
import random
import unicodedata

from hypothesis import strategies as st
from tokenizers import Tokenizer

from lugha.tokens.encode import as_plain_text
from lugha.tokens.special import special_tokens
from lugha.tokens.style import Style, choose_alphabet, train_bytes, train_metaspace

LANGUAGE_TOKENS = ["ibo_Latn", "swh_Latn", "yor_Latn"]
_WORDS = {
    "ibo": "ọ́kụ́ n'ụlọ ọ́nà akwụkwọ ṅụọ mmiri n'ime ụ̀kwụ́ Chịneke dị mma nwa ọma ọ̀tụ̀tụ̀ n’ezie bịa ebe ahụ".split(),
    "swh": "ng'ombe anakula majani ya kijani shambani mtoto anasoma kitabu mwalimu ng'ang'ania leo asubuhi watu wengi".split(),
    "yor": "ẹ̀kọ́ ọmọ ilé ṣe dára Ọlọ́run bàbá ìyá ẹja òjò púpọ̀ ní ọjà àwọn ènìyàn gbogbo lónìí".split(),
}
_ENDS = [".", "!", "?", ", 2026.", " (1,250)", " «x»", "...", ' "ee"', " 50%", ""]

STRESS = [
    "",
    " ",
    "  ",
    "   leading blanks",
    "trailing blanks   ",
    "two  blanks   three",
    "\tab\there",
    "line\nbreak",
    "line \n break",
    "\n\n\nlines\n\n",
    "carriage\r\nreturn\r",
    "ọ́kụ́ ọ̀kụ̀ ụ̄ ị́ ṅ Ṅ",
    "ẹ́ẹ̀ ọ́ọ̀ ṣ Ṣ",
    "\u0301mark first",
    "a\u0301\u0323\u0300b",
    " \u0323",
    "ng'ombe ng’ombe ng'ang'ania",
    "n'ụlọ n’ụlọ N'ỤLỌ n'steeti n'mmiri",
    "it's we'll I'M",
    "1 12 123 1234567890 3.14 1,000 ½ ² Ⅷ ٣",
    "😀 👨‍👩‍👧 🇳🇬 a😀b",
    "日本語 עברית العربية ไทย ﬁ",
    "DỊKA dịka Dịka ỌKỤ",
    "<s> </s> <pad> <unk> <|reserved_0|> swh_Latn <0x41> <0xFF>",
    "_a_b_ <a> a<b>c |x|",
    "▁ ▁a a▁b a ▁ b",
    "a\u00a0b\u2003c\u200bd\ufeff\u2028e\u0085f",
    "....!!!??? --- === ''' \"\"\"",
    "http://x.org/a?b=c#d @user #tag e@mail.com",
    "\x1c\x1d control \x7f",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]


def made_lines(count: int, seed: int = 0) -> list[str]:
    """`count` lines of Igbo-, Swahili- and Yoruba-like words in turn, NFC."""
    chance = random.Random(seed)
    lines = []
    for i in range(count):
        words = _WORDS[("ibo", "swh", "yor")[i % 3]]
        lines.append(" ".join(chance.choice(words) for _ in range(chance.randint(1, 14))) + chance.choice(_ENDS))
    return [unicodedata.normalize("NFC", line) for line in lines]


def in_both_forms(lines: list[str]) -> list[str]:
    """The lines in NFC, then in NFD."""
    return [unicodedata.normalize(form, line) for form in ("NFC", "NFD") for line in lines]


@functools.cache
def made_tokenizer(style: Style, vocab_size: int = 700) -> Tokenizer:
    """A tokenizer of the style, trained on made-up lines; it is shared, so no test may change it."""
    lines, special = made_lines(900), special_tokens(LANGUAGE_TOKENS)
    if style == "bytes":
        return as_plain_text(train_bytes([lines], vocab_size, 2, special))
    return as_plain_text(train_metaspace([lines], vocab_size, 2, special, choose_alphabet([lines], 2, 120)))


def any_text(without: str = "") -> st.SearchStrategy[str]:
    """Texts of stress strings, words, blanks, other white space and arbitrary characters, without some characters."""
    parts = [*STRESS, *_WORDS["ibo"], *_WORDS["swh"], *_WORDS["yor"], " ", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\x1c"]
    allowed = [part for part in parts if not set(part) & set(without)]
    characters = st.characters(exclude_categories=["Cs"], exclude_characters=without)
    return st.lists(st.sampled_from(allowed) | st.text(characters, max_size=4), max_size=12).map("".join)
