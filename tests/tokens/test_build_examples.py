"""Examples on disk: every format of every pair, the response told apart by position, held-out prompts on one side only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from lugha.errors import InputError
from lugha.recipe import ExamplesSection, TokensSection
from lugha.runs.manifest import StageManifest
from lugha.tokens.build_examples import build_instruction_examples, build_pair_examples, build_preferences, is_held_out
from lugha.tokens.encode import Encoder, as_plain_text
from lugha.tokens.example_shards import encode_examples
from lugha.tokens.instructions import text_form
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import special_tokens
from lugha.tokens.style import Style
from lugha.tokens.template import load_template, parse_template
from tests.tokens.corpora import document, pair, split_corpus
from tests.tokens.texts import STRESS, in_both_forms, made_lines, made_tokenizer

STYLES: list[Style] = ["bytes", "metaspace"]
TEMPLATE = load_template("instruction")
FORMATS = ["direct", "reverse", "meaning", "how"]
TOKENS = TokensSection(tokens_per_shard=3000)


def saved(folder: Path, tokenizer: Tokenizer) -> Path:
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def merging_tokenizer() -> Tokenizer:
    """A tokenizer that knows no words: the line break before a response and its first letters are one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = special_tokens(["ibo_Latn"])
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEMPLATE.prompt("a", "b") + "Our house is here."] * 20, trainer)
    return as_plain_text(tokenizer)


def pairs_of(count: int, seed: int = 0) -> list[dict[str, Any]]:
    one, other = made_lines(count, seed), made_lines(count, seed + 1)
    return [pair(a, b, ("eng", "swh") if i % 3 else ("ibo", "eng")) for i, (a, b) in enumerate(zip(one, other, strict=True))]


def build(tmp_path: Path, rows: list[dict[str, Any]], style: Style = "bytes", **examples: Any) -> StageManifest:
    corpus = split_corpus(tmp_path / "split", "pairs", ["eng", "ibo", "swh"], train=rows, validation=rows[:4])
    tokenizer = saved(tmp_path / style, made_tokenizer(style))
    return build_pair_examples(corpus, tokenizer, tmp_path / "tokens", tokens=TOKENS, examples=ExamplesSection(**examples))


# --- encoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_prompt_and_response_are_one_text_and_the_cut_lies_between_them(style: Style) -> None:
    texts = [text for text in in_both_forms(made_lines(60) + STRESS) if text.strip()]
    examples = [(TEMPLATE.prompt(a, b), b.strip()) for a, b in zip(texts, reversed(texts), strict=True)]
    tokenizer = made_tokenizer(style)
    encoded = encode_examples(Encoder(tokenizer), examples)
    assert encoded.straddling == 0
    for i, (prompt, response) in enumerate(examples):
        part = slice(encoded.offsets[i], encoded.offsets[i + 1])
        ids, predicted = encoded.ids[part].tolist(), encoded.predicted[part].tolist()
        assert ids == tokenizer.encode(prompt + response).ids
        begins = len(tokenizer.encode(prompt).ids)
        assert predicted == [False] * begins + [True] * (len(ids) - begins)


def test_a_token_that_straddles_the_cut_is_predicted() -> None:
    tokenizer = merging_tokenizer()
    prompt = TEMPLATE.prompt("a", "b")
    examples = [(prompt, "Our house is here."), (prompt, "9"), (prompt, "Our house")]
    encoded = encode_examples(Encoder(tokenizer), examples)
    assert encoded.straddling == 2
    for i, (_, response) in enumerate(examples):
        part = slice(encoded.offsets[i], encoded.offsets[i + 1])
        ids, predicted = encoded.ids[part], encoded.predicted[part]
        assert ids.tolist() == tokenizer.encode(prompt + response).ids
        given, learned = tokenizer.decode(ids[~predicted].tolist()), tokenizer.decode(ids[predicted].tolist())
        assert given + learned == prompt + response
        assert learned.endswith(response)
        assert predicted[predicted.argmax() :].all()
        ids_of_prompt = tokenizer.encode(prompt).ids
        assert ids_of_prompt[: (~predicted).sum()] == ids[~predicted].tolist()
        if response == "9":
            assert learned == "9"
        else:
            assert len(learned) > len(response)


def test_a_response_without_a_token_is_refused() -> None:
    with pytest.raises(InputError, match=r'The response "" to "### Instruction:\\n.*has no token of its own'):
        encode_examples(Encoder(made_tokenizer("bytes")), [(TEMPLATE.prompt("a"), "b"), (TEMPLATE.prompt("a"), "")])


def test_nothing_to_encode() -> None:
    encoded = encode_examples(Encoder(made_tokenizer("bytes")), [])
    assert encoded.ids.size == encoded.predicted.size == encoded.straddling == 0


# --- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_sequence_pair_times_formats_plus_format(tmp_path: Path, style: Style) -> None:
    rows = pairs_of(50)
    manifest = build(tmp_path, rows, style)
    shards, tokenizer = TokenShards.open(tmp_path / "tokens", "train"), made_tokenizer(style)
    assert (shards.kind, len(shards)) == ("examples", 4 * len(rows))
    for p, row in enumerate(rows):
        texts = row["source_text"], row["target_text"]
        langs = row["source_lang"], row["target_lang"]
        expected = TEMPLATE.examples_of_pair(*texts, *langs, FORMATS)
        for f, (prompt, response) in enumerate(expected):
            i = 4 * p + f
            ids, predicted = shards[i], shards.predicted(i)
            assert ids.tolist() == tokenizer.encode(prompt + response).ids
            assert (~predicted).sum() == len(tokenizer.encode(prompt).ids)
            assert shards.bytes[i] == len(response.encode())
            local = next(code for code in langs if code != "eng")
            assert shards.languages[shards.langs[i]] == ("eng" if f in (0, 2) else local)
    assert manifest.rows_in == manifest.rows_out == len(rows) + 4
    assert len(TokenShards.open(tmp_path / "tokens", "validation")) == 16
    assert len(TokenShards.open(tmp_path / "tokens", "test")) == 0
    assert len([f for f in manifest.files if f.path.startswith("train/") and f.path.endswith(".predicted.bin")]) > 1


def test_the_manifest_says_what_a_reader_needs(tmp_path: Path) -> None:
    rows = pairs_of(20)
    details = build(tmp_path, rows).details
    assert (details["kind"], details["languages"], details["formats"]) == ("examples", ["eng", "ibo", "swh"], FORMATS)
    assert details["template"] == TEMPLATE.record()
    assert parse_template(details["template"]["text"], "the manifest") == TEMPLATE
    tokenizer = made_tokenizer("bytes")
    assert (details["width"], details["vocab_size"]) == (2, tokenizer.get_vocab_size())
    assert details["fingerprint"] == hashlib.sha256((tmp_path / "bytes/tokenizer.json").read_bytes()).hexdigest()
    assert details["straddling"] == 0
    examples = [
        example
        for row in rows
        for example in TEMPLATE.examples_of_pair(
            row["source_text"], row["target_text"], row["source_lang"], row["target_lang"], FORMATS
        )
    ]
    whole = [tokenizer.encode(p + r).ids for p, r in examples]
    assert details["splits"]["train"] == {
        "sequences": len(examples),
        "tokens": sum(map(len, whole)),
        "predicted_tokens": sum(map(len, whole)) - sum(len(tokenizer.encode(p).ids) for p, _ in examples),
        "bytes": sum(len((p + r).encode()) for p, r in examples),
        "predicted_bytes": sum(len(r.encode()) for _, r in examples),
        "words": sum(len((p + r).split()) for p, r in examples),
        "longest": max(map(len, whole)),
    }


def test_formats_template_and_tokenizer_are_changes_and_nothing_else_is(tmp_path: Path) -> None:
    rows = pairs_of(10)
    first = build(tmp_path, rows)
    assert build(tmp_path, rows, per_pair=1) == first
    some = build(tmp_path, rows, formats=["how", "direct"])
    assert some.details["formats"] == ["how", "direct"]
    assert some.details["splits"]["train"]["sequences"] == 20
    other = tmp_path / "mine.yaml"
    other.write_text(TEMPLATE.text.replace("You say: ", "One says: "))
    mine = build(tmp_path, rows, template=str(other))
    assert mine.details["template"]["digest"] != first.details["template"]["digest"]
    assert build(tmp_path, rows, "metaspace").inputs != first.inputs
    assert build(tmp_path, rows).content_digest() == first.content_digest()


def test_wrong_input_leaves_nothing_behind(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path / "tokenizer", made_tokenizer("bytes"))
    documents = split_corpus(tmp_path / "documents", "documents", ["swh"], train=[document("maji")])
    undeclared = split_corpus(tmp_path / "undeclared", "pairs", ["eng", "ibo"], train=[pair("a", "b", ("eng", "hau"))])
    corpus = split_corpus(tmp_path / "split", "pairs", ["eng", "ibo"], train=[pair("a", "b")])
    for folder, section, says in (
        (documents, {}, "holds documents, but examples are made of pairs"),
        (undeclared, {}, "A row is in hau, but .* names only eng, ibo"),
        (corpus, {"formats": ["dircet"]}, 'no format "dircet".*"direct"'),
        (corpus, {"template": "instrucion"}, 'No template "instrucion".*"instruction"'),
    ):
        with pytest.raises(InputError, match=says):
            build_pair_examples(
                folder, tokenizer, tmp_path / "tokens", tokens=TOKENS, examples=ExamplesSection.model_validate(section)
            )
        assert not list(tmp_path.glob("tokens*"))


# --- JSON lines -------------------------------------------------------------------------------------------------------


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def texts_of(folder: Path, split: str) -> list[tuple[str, str]]:
    """(prompt, response) of every sequence of a split."""
    shards, tokenizer = TokenShards.open(folder, split), made_tokenizer("bytes")
    found = []
    for i in range(len(shards)):
        ids, predicted = shards[i], shards.predicted(i)
        found.append((tokenizer.decode(ids[~predicted].tolist()), tokenizer.decode(ids[predicted].tolist())))
    return found


def instructions(tmp_path: Path, **examples: Any) -> StageManifest:
    tokenizer, section = saved(tmp_path / "tokenizer", made_tokenizer("bytes")), ExamplesSection.model_validate(examples)
    return build_instruction_examples(tokenizer, tmp_path / "tokens", tokens=TOKENS, examples=section)


def preferences(tmp_path: Path, **examples: Any) -> StageManifest:
    tokenizer, section = saved(tmp_path / "tokenizer", made_tokenizer("bytes")), ExamplesSection.model_validate(examples)
    return build_preferences(tokenizer, tmp_path / "tokens", tokens=TOKENS, examples=section)


def test_instructions_are_divided_by_their_prompt(tmp_path: Path) -> None:
    lines = made_lines(120)
    rows = [{"instruction": "Say it again", "input": lines[i % 60], "output": lines[i]} for i in range(120)]
    manifest = instructions(tmp_path, data=jsonl(tmp_path / "a.jsonl", rows), validation=0.3, lang="swh")
    training, held_out = texts_of(tmp_path / "tokens", "train"), texts_of(tmp_path / "tokens", "validation")
    assert len(training) + len(held_out) == manifest.rows_in == manifest.rows_out == 120
    assert 10 < len(held_out) < 65
    assert not {p for p, _ in training} & {p for p, _ in held_out}
    assert sorted(r for _, r in training + held_out) == sorted(map(text_form("swh"), lines))
    assert manifest.details["formats"] == ["jsonl"]
    assert (manifest.details["kind"], manifest.details["languages"]) == ("examples", ["swh"])
    again = instructions(tmp_path, data=jsonl(tmp_path / "b.jsonl", rows), validation=0.3, lang="swh")
    assert again == manifest  # the same bytes under another name
    fewer = jsonl(tmp_path / "c.jsonl", rows[::-1][:90])
    instructions(tmp_path, data=fewer, validation=0.3, lang="swh")  # a prompt stays on its side, whatever stands beside it
    assert {p for p, _ in texts_of(tmp_path / "tokens", "validation")} == {p for p, _ in held_out}


def test_every_answer_of_a_conversation_is_learned_once_behind_all_that_was_said(tmp_path: Path) -> None:
    talk = [("user", "Habari?"), ("assistant", "Nzuri."), ("user", "Jina lako?"), ("assistant", "Mimi ni mtoto.")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in talk]}]
    manifest = instructions(tmp_path, data=jsonl(tmp_path / "a.jsonl", rows), validation=0)
    first = "### Instruction:\nHabari?\n\n### Response:\n"
    second = f"{first}Nzuri.\n\n### Instruction:\nJina lako?\n\n### Response:\n"
    assert texts_of(tmp_path / "tokens", "train") == [(first, "Nzuri."), (second, "Mimi ni mtoto.")]
    assert manifest.rows_out == 1
    assert len(TokenShards.open(tmp_path / "tokens", "validation")) == 0


def test_prompts_of_a_held_out_file_leave_the_training_data(tmp_path: Path) -> None:
    data = jsonl(
        tmp_path / "a.jsonl", [{"prompt": text, "response": "ndiyo"} for text in ("moja", "mbili", "tatu", "mbili")]
    )
    held_out = jsonl(tmp_path / "b.jsonl", [{"prompt": text, "response": "hapana"} for text in ("mbili", "nne")])
    manifest = instructions(tmp_path, data=data, validation_data=held_out)
    assert [p.split("\n")[1] for p, _ in texts_of(tmp_path / "tokens", "train")] == ["moja", "tatu"]
    assert [p.split("\n")[1] for p, _ in texts_of(tmp_path / "tokens", "validation")] == ["mbili", "nne"]
    assert (manifest.rows_in, manifest.rows_out, manifest.dropped) == (6, 4, {"prompt is held out": 2})


def test_preferences_stand_in_twos(tmp_path: Path) -> None:
    rows = [{"prompt": f"Jedwali {i}", "chosen": f"ndiyo {i}", "rejected": f"hapana {i}"} for i in range(40)]
    manifest = preferences(tmp_path, data=jsonl(tmp_path / "a.jsonl", rows), validation=0.25)
    both = []
    for split in ("train", "validation"):
        texts = texts_of(tmp_path / "tokens", split)
        for chosen, rejected in zip(texts[::2], texts[1::2], strict=True):
            number = chosen[1].removeprefix("ndiyo ")
            assert rejected == (chosen[0], f"hapana {number}")
            assert chosen[0] == f"### Instruction:\nJedwali {number}\n\n### Response:\n"
            both.append(int(number))
    assert sorted(both) == list(range(40))
    assert manifest.details["kind"] == "preferences"
    shards = [f for f in manifest.files if f.path.endswith("0.bin")]
    assert all(f.rows is not None and f.rows % 2 == 0 for f in shards)


def test_the_chosen_answers_of_preferences_are_instructions_once(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "chosen": "ndiyo", "rejected": bad} for bad in ("hapana", "labda")]
    data = jsonl(tmp_path / "a.jsonl", [*rows, {"prompt": "b", "chosen": "ndiyo", "rejected": "labda"}])
    manifest = instructions(tmp_path, data=data, validation=0)
    assert [r for _, r in texts_of(tmp_path / "tokens", "train")] == ["ndiyo", "ndiyo"]
    assert (manifest.rows_out, manifest.dropped) == (2, {"same chosen answer": 1})


def test_instructions_are_no_preferences(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b"}])
    with pytest.raises(InputError, match=r'a\.jsonl: line 1: is of kind prompt and has no "chosen".*road sft'):
        preferences(tmp_path, data=data)
    assert not list(tmp_path.glob("tokens*"))


def test_data_must_be_named_and_leave_something_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"examples\.data is not set"):
        instructions(tmp_path)
    data = jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b"}])
    with pytest.raises(InputError, match=r"no row is left to train on.*examples\.validation \(1\.0\)"):
        instructions(tmp_path, data=data, validation=1.0)
    with pytest.raises(InputError, match="no row is left to train on"):
        instructions(tmp_path, data=data, validation_data=data)
    assert not list(tmp_path.glob("tokens*"))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_the_held_out_share_is_what_was_asked(share: float) -> None:
    keys = [hashlib.sha256(str(i).encode()).digest() for i in range(4000)]
    assert abs(sum(is_held_out(key, share) for key in keys) / 4000 - share) < 0.02
    assert not is_held_out(bytes(32), 0.0)
    assert is_held_out(bytes([255]) * 32, 1.0)


@pytest.mark.corpora
def test_real_pairs_and_preferences_have_no_straddling_token(tmp_path: Path, corpora: Path) -> None:
    sides = [
        (corpora / f"mafand-mt/en-ibo/dev.{end}").read_text(encoding="utf-8").split("\n")[:400] for end in ("ibo", "en")
    ]
    rows = [pair(a, b) for a, b in zip(*sides, strict=True) if a and b]
    corpus = split_corpus(tmp_path / "split", "pairs", ["eng", "ibo"], train=rows)
    sections: dict[str, Any] = {"tokens": TokensSection(), "examples": ExamplesSection()}
    for style in STYLES:
        tokenizer = saved(tmp_path / style, made_tokenizer(style))
        assert build_pair_examples(corpus, tokenizer, tmp_path / "pairs", **sections).details["straddling"] == 0
    data = corpora / "tata-preferences/tata_preferences.sw.jsonl"
    sections["examples"] = ExamplesSection(data=data, lang="swh")
    manifest = build_preferences(tokenizer, tmp_path / "preferences", **sections)
    assert manifest.details["straddling"] == 0
    assert manifest.rows_out == manifest.rows_in > 500
