"""Tokenizers of NLLB's make, trained in a moment: BPE under `▁`, `<unk>` for what is not in it, language codes at the end."""

from __future__ import annotations

import functools
import json
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CODES = [
    "ace_Latn",
    "eng_Latn",
    "fra_Latn",
    "hau_Latn",
    "ibo_Latn",
    "lin_Latn",
    "swh_Latn",
    "umb_Latn",
    "yor_Latn",
    "zul_Latn",
]
CORE = ["<s>", "<pad>", "</s>", "<unk>"]
LINES = [
    "mtoto anasoma kitabu kizuri, mwalimu ananunua mkate.",
    "ng'ombe wa mkulima anakula majani! Je, una maji?",
    "the child reads a good book, the teacher buys bread",
    "nwata na-agu akwukwo n'ulo; onye nkuzi na-azu achicha",
    "0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
]  # without a dotted letter: ọ, ụ, ɓ and ṅ are unknown


@functools.cache
def nllb_json(model: str = "BPE", *, nfkc: bool = True) -> str:
    """The tokenizer.json of NLLB's layout: four core tokens, pieces, ten codes, `<mask>`."""
    if model == "BPE":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=False))
        trainer: Any = trainers.BpeTrainer(vocab_size=160, special_tokens=CORE, show_progress=False)
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=160, special_tokens=CORE, unk_token="<unk>", show_progress=False)
    if nfkc:
        tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.train_from_iterator(LINES * 20, trainer)
    tokenizer.add_special_tokens([AddedToken(code, normalized=False, special=True) for code in CODES])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=True, special=True)])
    return tokenizer.to_str()


def nllb_record(model: str = "BPE", *, nfkc: bool = True) -> dict[str, Any]:
    """The same as plain values, which the test may change."""
    record: dict[str, Any] = json.loads(nllb_json(model, nfkc=nfkc))
    return record
