"""llama.cpp gives the ids of tokenizer.json: on real and made-up text, in NFC and NFD, and on strings that break tokenizers."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors

from lugha.errors import InputError
from lugha.export.gguf_tokens import llama_cpp_tokenizer, token_differences
from lugha.export.gguf_vocabulary import TokenType, gguf_vocabulary
from lugha.recipe import TokenizerSection
from lugha.tokens.special import RESERVED_TOKENS
from lugha.tokens.style import BYTE_TOKENS, Style
from lugha.tokens.tokenizer import load_tokenizer, train_tokenizer
from tests.export.tiny_gguf import write_tiny_gguf
from tests.tokens.texts import LANGUAGE_TOKENS, STRESS, in_both_forms, made_lines, made_tokenizer

STYLES: list[Style] = ["bytes", "metaspace"]


def saved(folder: Path, tokenizer: Tokenizer) -> Path:
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def shuffled_stress(count: int) -> list[str]:
    """Strings of stress parts in random order, which meet in ways that nobody thought of."""
    chance = random.Random(0)
    parts = [
        *STRESS,
        *RESERVED_TOKENS[:2],
        " ",
        "  ",
        "\n",
        "a",
        "'",
        "1",
        "\u0301",
        "ọ́kụ́",
        "ng'",
        "<",
        ">",
        "_",
        "s>",
        "</",
    ]
    return ["".join(chance.choice(parts) for _ in range(chance.randint(2, 9))) for _ in range(count)]


@pytest.fixture(scope="module", params=STYLES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tokenizer]:
    """A GGUF of a tokenizer trained on made-up lines, and that tokenizer."""
    folder = tmp_path_factory.mktemp("made")
    tokenizer = made_tokenizer(request.param)
    return write_tiny_gguf(folder / "tiny.gguf", saved(folder, tokenizer)), tokenizer


def test_no_difference_on_made_lines_and_stress_strings(made: tuple[Path, Tokenizer]) -> None:
    texts = in_both_forms([*made_lines(300, seed=9), *STRESS, *shuffled_stress(300)])
    assert token_differences(*made, texts) == []


@pytest.mark.corpora
@pytest.mark.parametrize("style", STYLES)
def test_no_difference_on_real_lines(tmp_path: Path, corpora: Path, style: Style) -> None:
    train = {"ibo": "mafand-mt/en-ibo/train.ibo", "swh": "mafand-mt/en-swa/dev.swa", "yor": "lacuna-monolingual/yor/yor.txt"}
    test = {"ibo": "mafand-mt/en-ibo/test.ibo", "swh": "mafand-mt/en-swa/test.swa", "yor": "lacuna-monolingual/yor/yor.txt"}
    (tmp_path / "text").mkdir()
    for language, name in train.items():
        lines = (corpora / name).read_text(encoding="utf-8").split("\n")[:4000]
        (tmp_path / "text" / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    section = TokenizerSection(vocab_size=8192, style=style)
    train_tokenizer(tmp_path / "text", tmp_path / "tokenizer", section=section)
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tmp_path / "tokenizer" / "tokenizer.json")
    tested = Counter[str]()
    texts = []
    for language, name in test.items():
        lines = [line for line in (corpora / name).read_text(encoding="utf-8").split("\n")[-1000:] if line.strip()]
        texts += in_both_forms(lines)
        tested[language] = len(lines)
    assert min(tested.values()) >= 300
    assert token_differences(path, load_tokenizer(tmp_path / "tokenizer"), texts + in_both_forms(STRESS)) == []


def test_a_wrong_label_or_score_is_noticed(tmp_path: Path) -> None:
    """The comparison can fail: with other split rules, or with one score for all, as llama.cpp's own converter writes it."""
    gguf = pytest.importorskip("gguf")
    texts = in_both_forms(made_lines(60, seed=9))
    for style, field, wrong in (("bytes", "pre", "gpt-2"), ("metaspace", "scores", None)):
        folder = tmp_path / style
        folder.mkdir()
        path = write_tiny_gguf(folder / "right.gguf", saved(folder, made_tokenizer(style)))  # type: ignore[arg-type]
        reader = gguf.GGUFReader(path, "r+")
        key = reader.fields[f"tokenizer.ggml.{field}"]
        for part in key.data:
            if wrong is None:
                key.parts[part][0] = -1000.0
            else:
                padded = wrong.encode().ljust(len(key.parts[part]), b"\0")
                key.parts[part][:] = memoryview(padded)
        reader.data.flush()
        assert token_differences(path, made_tokenizer(style), texts)  # type: ignore[arg-type]


def test_fields_of_byte_level(tmp_path: Path) -> None:
    tokenizer = made_tokenizer("bytes")
    fields = gguf_vocabulary(saved(tmp_path, tokenizer))
    assert (fields.model, fields.pre, fields.scores) == ("gpt2", "qwen35", [])
    assert fields.special == {"bos": 1, "eos": 2, "unk": 3, "pad": 0}
    assert fields.tokens == [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    assert len(fields.merges) == tokenizer.get_vocab_size() - 256 - 4 - len(LANGUAGE_TOKENS) - len(RESERVED_TOKENS)
    kinds = Counter(fields.types)
    assert kinds == {TokenType.CONTROL: 23, TokenType.NORMAL: tokenizer.get_vocab_size() - 23}
    assert {fields.types[i] for i in range(23)} == {TokenType.CONTROL}


def test_fields_of_metaspace(tmp_path: Path) -> None:
    tokenizer = made_tokenizer("metaspace")
    fields = gguf_vocabulary(saved(tmp_path, tokenizer))
    assert (fields.model, fields.pre, fields.merges) == ("llama", "default", [])
    kinds = Counter(fields.types)
    assert (kinds[TokenType.BYTE], kinds[TokenType.CONTROL], kinds[TokenType.UNKNOWN]) == (256, 22, 1)
    assert fields.types[3] == TokenType.UNKNOWN
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    assert fields.scores[fields.tokens.index("".join(merges[0]))] == 0.0
    assert fields.scores[fields.tokens.index("".join(merges[7]))] == -7.0
    assert fields.scores[fields.tokens.index(BYTE_TOKENS[0])] < -len(merges)


def test_rows_of_the_embedding_beyond_the_vocabulary(tmp_path: Path) -> None:
    tokenizer = made_tokenizer("bytes")
    size = tokenizer.get_vocab_size()
    path = saved(tmp_path, tokenizer)
    fields = gguf_vocabulary(path, rows=size + 2)
    assert fields.tokens[size:] == [f"[PAD{size}]", f"[PAD{size + 1}]"]
    assert fields.types[size:] == [TokenType.UNUSED] * 2
    gguf_path = write_tiny_gguf(tmp_path / "tiny.gguf", path, rows=size + 2)
    assert token_differences(gguf_path, tokenizer, in_both_forms(STRESS)) == []
    with pytest.raises(InputError, match=rf"has {size} tokens, but the model's embedding only 300 rows"):
        gguf_vocabulary(path, rows=300)


@pytest.mark.parametrize(
    ("template", "expected"),
    [(None, (False, False)), ("<s> $A", (True, False)), ("$A </s>", (False, True)), ("<s> $A </s>", (True, True))],
)
def test_what_the_tokenizer_adds_llama_cpp_adds(tmp_path: Path, template: str | None, expected: tuple[bool, bool]) -> None:
    tokenizer = Tokenizer.from_str(made_tokenizer("metaspace").to_str())
    if template is not None:
        ends = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 1), ("</s>", 2)])
        tokenizer.post_processor = ends  # type: ignore[assignment]
    fields = gguf_vocabulary(saved(tmp_path, tokenizer))
    assert (fields.add_bos, fields.add_eos) == expected


def test_another_make_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(made_tokenizer("bytes").to_str())
    tokenizer.pre_tokenizer = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="its ids would differ in silence"):
        gguf_vocabulary(saved(tmp_path, tokenizer))
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        gguf_vocabulary(tmp_path / "absent.json")


def test_a_file_that_llama_cpp_does_not_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with (
        pytest.raises(InputError, match=r"bad\.gguf: llama\.cpp does not load this file") as error,
        llama_cpp_tokenizer(tmp_path / "bad.gguf"),
    ):
        pass
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"absent\.gguf: no such file"), llama_cpp_tokenizer(tmp_path / "absent.gguf"):
        pass


@pytest.mark.parametrize("package", ["gguf", "xllamacpp"])
def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    path = saved(tmp_path, made_tokenizer("bytes"))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}: pip install 'lugha\[gguf\]'"):
        if package == "gguf":
            write_tiny_gguf(tmp_path / "tiny.gguf", path)
        else:
            token_differences(path, made_tokenizer("bytes"), ["a"])
