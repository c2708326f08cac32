"""Reading raw files: every format gives the same rows; everything wrong gives one line that says where."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lugha.corpus import read
from lugha.corpus.read import read_source
from lugha.corpus.shards import SCHEMAS
from lugha.recipe.corpus_sections import Source
from tests.corpus.raw_files import COMPRESSIONS, documents, pairs, refusal, rows, write

# Characters at which str.splitlines() would cut: VT, FF, FS, GS, RS, NEL, LS, PS and a carriage return in the middle.
HARD_LINE = "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i\rj"


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_txt(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a.txt{ending}", f"\ufeffỌ bụ ezie\r\n\n{HARD_LINE}\nmba".encode())
    frame = rows(documents(f"a.txt{ending}", licence="CC0-1.0", split="test"), tmp_path)
    assert frame["text"].to_list() == ["Ọ bụ ezie", "", HARD_LINE, "mba"]
    assert frame["id"].to_list() == [f"news/a.txt{ending}:{n}" for n in (1, 2, 3, 4)]
    assert set(frame.columns) == set(SCHEMAS["documents"].names)
    for column, value in {
        "lang": "ibo",
        "source": "news",
        "licence": "CC0-1.0",
        "group": f"news/a.txt{ending}",
        "split": "test",
    }.items():
        assert frame[column].unique().to_list() == [value]


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_jsonl(tmp_path: Path, ending: str) -> None:
    lines = [{"body": "Ụlọ\nabụọ", "doc": 7}, {"body": "b", "doc": "x"}, {"body": None, "doc": 7}]
    data = "\n".join(json.dumps(line, ensure_ascii=i % 2 == 0) for i, line in enumerate(lines)) + "\n\n"
    write(tmp_path / f"a.jsonl{ending}", data.encode())
    frame = rows(documents(f"a.jsonl{ending}", text="body", group="doc"), tmp_path)
    assert frame["text"].to_list() == ["Ụlọ\nabụọ", "b", "", ""]
    name = f"news/a.jsonl{ending}"
    assert frame["group"].to_list() == [f"{name}:7", f"{name}:x", f"{name}:7", name]


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_tsv_has_no_quoting(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a.tsv{ending}", 'score\ten\tig\n1.05\tsaid "yes\tọ sịrị "ee\n\t\t\n\n'.encode())
    frame = rows(pairs(f"a.tsv{ending}", source_text="en", target_text="ig", score="score"), tmp_path)
    assert frame["source_text"].to_list() == ['said "yes', "", ""]
    assert frame["target_text"].to_list() == ['ọ sịrị "ee', "", ""]
    assert frame["score"].to_list() == [pytest.approx(1.05), None, None]
    assert frame["id"].to_list() == [f"bitext/a.tsv{ending}:{n}" for n in (2, 3, 4)]
    assert set(frame.columns) == set(SCHEMAS["pairs"].names)
    assert frame["source_lang"][0] == "eng"
    assert frame["target_lang"][0] == "ibo"


def test_tsv_without_header_names_columns_by_number(tmp_path: Path) -> None:
    write(tmp_path / "a.tsv", "0.9\tone\totu\n0.8\ttwo\tabụọ\n".encode())
    frame = rows(pairs("a.tsv", source_text="2", target_text="3", score="1"), tmp_path)
    assert frame["target_text"].to_list() == ["otu", "abụọ"]
    assert frame["id"].to_list() == ["bitext/a.tsv:1", "bitext/a.tsv:2"]


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_csv_follows_rfc_4180(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a.csv{ending}", 'en,ig\r\n"a, ""b""\n c",ọ\r\nd,e\r\n'.encode())
    frame = rows(pairs(f"a.csv{ending}", source_text="en", target_text="ig"), tmp_path)
    assert frame["source_text"].to_list() == ['a, "b"\n c', "d"]
    assert frame["id"].to_list() == [f"bitext/a.csv{ending}:{n}" for n in (2, 4)]


def test_csv_cells_may_be_longer_than_the_default_limit(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", b"text\n" + b"x" * 300_000 + b"\n")
    assert rows(documents("a.csv"), tmp_path)["text"].str.len_chars().to_list() == [300_000]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"en": ["a", "b", None], "ig": pa.array(["ọ", "ụ", "ị"]).cast(kind), "s": [1.5, None, 2.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    frame = rows(pairs("a.parquet", source_text="en", target_text="ig", score="s"), tmp_path)
    assert frame["source_text"].to_list() == ["a", "b", ""]
    assert frame["target_text"].to_list() == ["ọ", "ụ", "ị"]
    assert frame["score"].to_list() == [1.5, None, 2.0]
    assert frame["id"].to_list() == ["bitext/a.parquet:1", "bitext/a.parquet:2", "bitext/a.parquet:3"]


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_moses(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"train.en{ending}", f"one\n\n{HARD_LINE}\nfour\n".encode())
    write(tmp_path / "train.ig", "otu\r\nabụọ\r\n\r\nanọ".encode())
    frame = rows(pairs(f"train.en{ending}", target_path="train.ig", group_lines=3), tmp_path)
    assert frame["source_text"].to_list() == ["one", "", HARD_LINE, "four"]
    assert frame["target_text"].to_list() == ["otu", "abụọ", "", "anọ"]
    name = f"bitext/train.en{ending}"
    assert frame["group"].to_list() == [f"{name}:1"] * 3 + [f"{name}:2"]
    assert frame["score"].to_list() == [None] * 4


def test_empty_marks_are_no_text(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"one\n<range>\n <range> \nno <range>\n")
    frame = rows(documents("a.txt", empty_marks=["<range>"]), tmp_path)
    assert frame["text"].to_list() == ["one", "", "", "no <range>"]


def test_frames_are_bounded_in_rows_and_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "ROWS_PER_GROUP", 10)
    monkeypatch.setattr(read, "MAX_CHARACTERS", 100)
    write(tmp_path / "a.txt", b"x\n" * 25 + b"y" * 1000 + b"\n" + b"z" * 60 + b"\n" + b"z" * 60 + b"\n")
    frames = list(read_source(documents("a.txt"), tmp_path))
    assert [f.height for f in frames] == [10, 10, 6, 2]
    assert [i for f in frames for i in f["id"]] == [f"news/a.txt:{n}" for n in range(1, 29)]


def test_a_line_of_12_mb(tmp_path: Path) -> None:
    write(tmp_path / "a.txt.gz", "ụ".encode() * 4_000_000 + b"\nb\n")
    assert rows(documents("a.txt.gz"), tmp_path)["text"].str.len_chars().to_list() == [4_000_000, 1]


@pytest.mark.parametrize(("first", "second"), [(3, 5), (5, 3), (0, 1), (1, 0)])
def test_moses_files_of_different_length(tmp_path: Path, first: int, second: int) -> None:
    write(tmp_path / "a.en", b"x\n" * first)
    write(tmp_path / "a.ig", b"y\n" * second)
    message = refusal(pairs("a.en", target_path="a.ig"), tmp_path)
    assert f"ROOT/a.en has {first} lines but ROOT/a.ig has {second}: they are not aligned." in message


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{text: 1}", "line 2: not JSON (Expecting property name enclosed in double quotes, character 2)."),
        ('["a"]', "line 2: not a JSON object."),
        ('{"txt": "a"}', 'line 2: has no column or key "text". Did you mean "txt"?'),
        ('{"text": 3}', 'line 2: "text" is 3, not text.'),
        ('{"text": ["a"]}', 'line 2: "text" is ["a"], not text.'),
        ('{"text": "a \\ud83d b"}', "line 2: half a character (\\ud83d) stands alone."),
    ],
)
def test_bad_json_lines(tmp_path: Path, line: str, complaint: str) -> None:
    write(tmp_path / "a.jsonl", f'{{"text": "good \\ud83d\\ude02"}}\n{line}\n'.encode())
    assert f"ROOT/a.jsonl: {complaint}" in refusal(documents("a.jsonl"), tmp_path)


@pytest.mark.parametrize(
    ("group", "score", "complaint"),
    [
        ('"x"', '"high"', '"score" is "high", not a number'),
        ('"x"', "NaN", '"score" is NaN, not a number'),
        ('"x"', "true", '"score" is true, not a number'),
        ("null", "1", '"doc" is null, but names the group'),
        ('""', "1", '"doc" is "", but names the group'),
        ("[1]", "1", '"doc" is [1], but names the group'),
    ],
)
def test_bad_scores_and_groups(tmp_path: Path, group: str, score: str, complaint: str) -> None:
    line = f'{{"source_text": "a", "target_text": "b", "doc": {group}, "score": {score}}}\n'
    write(tmp_path / "a.jsonl", line.encode())
    message = refusal(pairs("a.jsonl", group="doc", score="score"), tmp_path)
    assert message.startswith(f"ROOT/a.jsonl: line 1: {complaint}")


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_bad_tables(tmp_path: Path, name: str) -> None:
    comma = "\t" if name == "a.tsv" else ","
    write(tmp_path / name, f"english{comma}igbo\na{comma}b\na{comma}b{comma}c\n".encode())
    assert 'line 1: has no column or key "source_text". Known: english, igbo.' in refusal(pairs(name), tmp_path)
    assert 'has no column or key "igbow". Did you mean "igbo"?' in refusal(
        pairs(name, source_text="english", target_text="igbow"), tmp_path
    )
    message = refusal(pairs(name, source_text="english", target_text="igbo"), tmp_path)
    assert f"ROOT/{name}: line 3: has 3 cells, but the header has 2 columns." in message
    assert 'has no column or key "4"' in refusal(pairs(name, source_text="1", target_text="4"), tmp_path)


def test_csv_with_an_open_quote(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", b'text\n"fine"\n"open\nmore\n')
    assert "ROOT/a.csv: the row that begins on line 3 is not CSV (" in refusal(documents("a.csv"), tmp_path)


def test_bad_parquet(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", b"PAR1 nonsense")
    assert "ROOT/a.parquet: not readable as Parquet (" in refusal(documents("a.parquet"), tmp_path)
    pq.write_table(pa.table({"number": [1], "texts": ["a"]}), tmp_path / "b.parquet")
    assert 'ROOT/b.parquet: has no column or key "text". Did you mean "texts"?' in refusal(documents("b.parquet"), tmp_path)
    assert 'column "number" holds int64, not text' in refusal(documents("b.parquet", text="number"), tmp_path)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (pairs("a.txt"), "a text file holds one side"),
        (pairs("a.txt", target_path="a.txt", score="s"), "`group` and `score` name columns"),
        (documents("a.txt", target_path="a.txt"), "`target_path` goes with `kind: pairs`"),
        (pairs("a.txt", target_path="a.txt", format="tsv"), "`target_path` goes with `kind: pairs`"),
        (pairs("a.txt", target_path="a.txt", segment="sentence"), "`segment: sentence` is for documents"),
        (pairs("a.txt", target_path="."), "is a folder; give the one file of that side"),
        (documents("a.txt", lang="xx"), 'Unknown language "xx"'),
        (documents("a.txt", format="txt", group="doc"), "`group` and `score` name columns"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_keys_that_do_not_go_together(tmp_path: Path, source: Source, complaint: str) -> None:
    write(tmp_path / "a.txt", b"a\n")
    assert complaint in refusal(source, tmp_path)
