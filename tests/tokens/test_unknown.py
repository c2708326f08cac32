"""The audit names what the tokenizer cannot read, counts it right, and refuses with the mend that helps."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lugha.errors import RefusedError
from lugha.tokens.extend import extend_tokenizer
from lugha.tokens.punctuation import moses_punctuation, punctuation_of
from lugha.tokens.sample import open_texts
from lugha.tokens.unknown import UnknownAudit, audit_texts, audit_unknown, check_unknown, name_of_character
from tests.tokens.corpora import pair, split_corpus
from tests.tokens.nllb_tokenizers import LINES, nllb_json, nllb_record
from tests.tokens.texts import made_lines, made_tokenizer


@pytest.fixture(scope="module")
def nllb() -> Tokenizer:
    return Tokenizer.from_str(nllb_json())


def test_rows_and_characters_by_language(nllb: Tokenizer) -> None:
    texts = {"swh": LINES[:2], "ibo": ["nwata nọ n'ụlọ", "ọọụ", "akwukwo", "“ee”"]}
    audits = audit_unknown(nllb, texts.items())
    assert list(audits) == ["ibo", "swh"]
    assert audits["swh"] == UnknownAudit(rows=2)
    ibo = audits["ibo"]
    assert (ibo.rows, ibo.rows_with_unknown, ibo.share) == (4, 3, 0.75)
    assert ibo.characters == {"ọ": 4, "ụ": 2, "“": 1, "”": 1}  # a run of them is one <unk>, and counted by character
    assert list(ibo.characters) == ["ọ", "ụ", "“", "”"]
    assert ibo.examples["ọ"] == "nwata nọ n'ụlọ" and ibo.examples["“"] == "“ee”"


KNOWN, UNKNOWN = "abcdeghiknotuwz ,.'", "ọụɓṅ“日"


@given(st.lists(st.text(st.sampled_from(KNOWN + UNKNOWN), min_size=1), max_size=6))
def test_counts_are_those_of_the_text(texts: list[str]) -> None:
    audit = audit_unknown(Tokenizer.from_str(nllb_json()), [("ibo", texts)])["ibo"]
    expected = Counter(c for text in texts for c in text if c in UNKNOWN)
    assert Counter(audit.characters) == expected
    assert audit.rows_with_unknown == sum(any(c in UNKNOWN for c in text) for text in texts)
    assert set(audit.examples) == set(expected)
    assert all(c in audit.examples[c] for c in expected)


def test_parts_of_a_language_add_up(nllb: Tokenizer) -> None:
    whole = audit_unknown(nllb, [("ibo", ["ọ", "a", "ụ ọ"])])
    assert audit_unknown(nllb, [("ibo", ["ọ"]), ("ibo", ["a", "ụ ọ"])]) == whole


def test_the_character_is_the_one_that_the_vocabulary_meets(nllb: Tokenizer) -> None:
    """The tokenizer composes: what it lacks is ọ, not o and a dot; and ² is 2 to it."""
    audit = audit_unknown(nllb, [("ibo", ["o\u0323na", "5²"])])["ibo"]
    assert audit.characters == {"ọ": 1}


def test_what_was_added_is_unknown_no_more(nllb: Tokenizer) -> None:
    lines = ["nwata nọ n'ụlọ", "ɓera"]
    missing = list(audit_unknown(nllb, [("ibo", lines)])["ibo"].characters)
    extended, _ = extend_tokenizer(nllb_record(), {}, missing)
    assert audit_unknown(Tokenizer.from_str(json.dumps(extended)), [("ibo", lines)])["ibo"] == UnknownAudit(rows=2)


@pytest.mark.parametrize("style", ["bytes", "metaspace"])
def test_a_tokenizer_with_bytes_knows_everything(style) -> None:
    audit = audit_unknown(made_tokenizer(style), [("ibo", [*made_lines(30), "日本語 😀 <unk> ẹ̀"])])["ibo"]
    assert audit == UnknownAudit(rows=31)
    check_unknown({"ibo": audit}, 0.0)


def test_a_text_that_spells_unk_is_not_unknown(nllb: Tokenizer) -> None:
    known = [("eng", ["a unk a"])]
    assert audit_unknown(nllb, known)["eng"].rows_with_unknown == 0
    assert set(audit_unknown(nllb, [("eng", ["a <unk> a"])])["eng"].characters) == {"<", ">"}


def test_the_audit_leaves_the_tokenizer_as_it_was() -> None:
    tokenizer = Tokenizer.from_str(nllb_json())
    before = tokenizer.encode("a </s> ọ").ids
    audit_unknown(tokenizer, [("ibo", ["ọ"])])
    assert tokenizer.encode("a </s> ọ").ids == before


def test_a_share_above_the_bound_is_refused_with_names_and_the_mend(nllb: Tokenizer) -> None:
    lines = ["ọma", *LINES * 3]
    audits = audit_unknown(nllb, [("eng", LINES), ("ibo", lines)])
    check_unknown(audits, max_share=1 / len(lines))
    with pytest.raises(RefusedError) as error:
        check_unknown(audits, max_share=0.01)
    message = str(error.value)
    assert error.value.exit_code == 3
    assert message.startswith("Igbo (ibo): 5.26% of 19 rows")
    assert "ọ U+1ECD LATIN SMALL LETTER O WITH DOT BELOW 1 times" in message
    assert "Set model.new_characters: true" in message and "moses" not in message
    assert "\n" not in message


def test_the_mend_is_the_one_that_helps(nllb: Tokenizer) -> None:
    def refusal(line: str) -> str:
        with pytest.raises(RefusedError) as error:
            check_unknown(audit_unknown(nllb, [("ibo", [line])]), 0.0)
        return str(error.value)

    quotes = refusal("“ndewo” – ee…")
    assert "tokens.punctuation: moses, which replaces all" in quotes and "new_characters" not in quotes
    both = refusal("“ọma”")
    assert "model.new_characters: true" in both and "moses, which replaces some" in both
    many = refusal("ọ ụ ị ẹ ṅ ɓ ɗ ƙ")
    assert "and 2 more" in many
    replaced = audit_unknown(nllb, [("ibo", [moses_punctuation("“ndewo” – ee…")])])["ibo"]
    assert set(replaced.characters) == {'"'}  # which this tokenizer happens to lack too


def test_names_of_characters() -> None:
    assert name_of_character("ọ") == "ọ U+1ECD LATIN SMALL LETTER O WITH DOT BELOW"
    assert name_of_character("\u0301") == "U+0301 COMBINING ACUTE ACCENT"
    assert name_of_character("\x07") == "U+0007 (no name)"


def test_a_corpus_is_read_with_both_sides_of_its_pairs(tmp_path: Path, nllb: Tokenizer) -> None:
    rows = [pair("nwata nọ", "the child"), pair("akwukwo", "a “book”")]
    corpus = split_corpus(tmp_path / "split", "pairs", ["eng", "ibo"], train=rows, test=[pair("ɓ", "ɓ")])
    audits = audit_texts(nllb, open_texts(corpus), punctuation_of("none"))
    assert {code: (a.rows, a.characters) for code, a in audits.items()} == {
        "eng": (2, {"“": 1, "”": 1}),
        "ibo": (2, {"ọ": 1}),
    }
    assert audit_texts(nllb, open_texts(corpus), lambda text: text.replace("“", "").replace("”", ""))["eng"].share == 0
    figures = audits["ibo"].as_dict()
    assert figures["share"] == 0.5
    assert figures["characters"][0]["name"].startswith("ọ U+1ECD")


@pytest.mark.corpora
def test_real_igbo_has_letters_that_such_a_tokenizer_lacks(corpora: Path, nllb: Tokenizer) -> None:
    lines = (corpora / "mafand-mt/en-ibo/dev.ibo").read_text(encoding="utf-8").splitlines()
    audit = audit_unknown(nllb, [("ibo", lines)])["ibo"]
    assert audit.rows == len(lines) and audit.share > 0.5
    assert {"ọ", "ị", "ụ"} <= set(list(audit.characters)[:6])
    extended, _ = extend_tokenizer(nllb_record(), {}, audit.characters)
    assert audit_unknown(Tokenizer.from_str(json.dumps(extended)), [("ibo", lines)])["ibo"].rows_with_unknown == 0
