"""Finding raw files: order, digests, bare folders, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lugha.corpus.find import digest_source, find_files, sources_from_path
from lugha.errors import InputError
from tests.corpus.raw_files import documents, pairs, refusal, rows, write


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a/2.txt.gz", "a/1.jsonl", ".hidden.txt", ".git/c.txt", "README.md", "c.txt.part"):
        write(tmp_path / "raw" / name, b'{"text": "x"}\n')
    frame = rows(documents("raw"), tmp_path)
    assert frame["id"].to_list() == ["news/a/1.jsonl:1", "news/a/2.txt.gz:1", "news/b.txt:1"]
    assert frame["group"].to_list() == ["news/a/1.jsonl", "news/a/2.txt.gz", "news/b.txt"]


def test_a_glob_and_a_given_format(tmp_path: Path) -> None:
    for name in ("x/1.dat", "x/2.dat", "x/3.txt", "x/.4.dat"):
        write(tmp_path / "set [1]" / name, b"a\n")
    assert [f.name for f in find_files(documents("x/*.dat", format="txt"), tmp_path / "set [1]")] == ["1.dat", "2.dat"]
    assert [f.name for f in find_files(documents("*/3*"), tmp_path / "set [1]")] == ["x/3.txt"]


def test_missing_file(tmp_path: Path) -> None:
    assert refusal(documents("a.txt"), tmp_path) == 'source "news": ROOT/a.txt: no such file or folder.'
    write(tmp_path / "a.en", b"")
    message = refusal(pairs("a.en", target_path="a.ig"), tmp_path)
    assert message == 'source "bitext": ROOT/a.ig: no such file.'


def test_empty_folder_names_it_and_the_endings(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw/LICENSE", b"x")
    message = refusal(documents("raw"), tmp_path)
    assert message.startswith('source "news": ROOT/raw: holds no file to read.')
    assert ".jsonl" in message
    assert ".gz" in message


def test_glob_without_a_match(tmp_path: Path) -> None:
    assert "ROOT/*.txt: holds no file to read" in refusal(documents("*.txt"), tmp_path)


def test_unknown_ending(tmp_path: Path) -> None:
    write(tmp_path / "a.docx", b"")
    assert "ROOT/a.docx: the ending does not tell the format. Set `format`" in refusal(documents("a.docx"), tmp_path)


def test_digest_depends_on_names_and_bytes_of_what_is_read(tmp_path: Path) -> None:
    write(tmp_path / "raw/a.txt", b"a\n")
    first = digest_source(documents("raw"), tmp_path)
    write(tmp_path / "raw/README.md", b"not read")
    assert digest_source(documents("raw"), tmp_path) == first
    write(tmp_path / "raw/b.txt", b"")
    second = digest_source(documents("raw"), tmp_path)
    assert second != first
    write(tmp_path / "raw/a.txt", b"b\n")
    assert digest_source(documents("raw"), tmp_path) not in (first, second)


def test_digest_of_aligned_files_sees_the_second_one(tmp_path: Path) -> None:
    source = pairs("a.en", target_path="a.ig")
    write(tmp_path / "a.en", b"a\n")
    write(tmp_path / "a.ig", b"a\n")
    first = digest_source(source, tmp_path)
    write(tmp_path / "a.ig", b"b\n")
    assert digest_source(source, tmp_path) != first


def test_documents_of_a_bare_folder(tmp_path: Path) -> None:
    raw = tmp_path / "data [v1]" / "raw"
    for name in (
        "loose.txt",
        "bbc news/x/1.jsonl",
        "bbc news/2.txt",
        "voa/a.txt.gz",
        "empty/README.md",
        "mt/train.sw",
        "mt/train.en",
    ):
        write(raw / name, b'{"text": "x"}\n')
    sources = sources_from_path(raw, lang="swh", licence="CC0-1.0", segment="sentence")
    assert [s.name for s in sources] == ["raw", "bbc-news", "voa", "mt-train.sw"]
    assert {s.licence for s in sources} == {"CC0-1.0"}
    ids = [i for s in sources for i in rows(s, Path())["id"]]
    assert ids == [
        "raw/loose.txt:1",
        "bbc-news/2.txt:1",
        "bbc-news/x/1.jsonl:1",
        "voa/a.txt.gz:1",
        "mt-train.sw/train.sw:1",
    ]


def test_pairs_of_a_bare_folder(tmp_path: Path) -> None:
    for name in (
        "mt/train.en",
        "mt/train.ibo.gz",
        "mt/dev.en",
        "mt/dev.ig",
        "opus/CC.en-ig.en",
        "opus/CC.en-ig.ig",
        "LICENSE.txt",
    ):
        write(tmp_path / name, b"x\n")
    write(tmp_path / "mined/test.tsv", b"source_text\ttarget_text\na\tb\n")
    sources = sources_from_path(tmp_path, source_lang="eng", target_lang="ibo")
    assert [(s.name, s.split) for s in sources] == [
        ("mt-dev", "validation"),
        ("mt-train", "auto"),
        ("opus-CC.en-ig", "auto"),
        ("mined-test", "test"),
    ]
    assert sum(rows(s, Path()).height for s in sources) == 4


def test_single_files(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"x\n")
    write(tmp_path / "b.sw", b"x\n")
    for name in ("a.txt", "b.sw"):
        (source,) = sources_from_path(tmp_path / name, lang="sw")
        assert rows(source, Path())["text"].to_list() == ["x"]


@pytest.mark.parametrize(
    ("files", "keys", "complaint"),
    [
        ([], {"lang": "sw"}, "holds no file to read"),
        (["a.md"], {"lang": "sw"}, "holds no file to read"),
        (["a.txt"], {"source_lang": "en", "target_lang": "sw"}, "holds no file to read"),
        (["a.txt"], {}, "Say what the files hold"),
        (["a.txt"], {"lang": "sw", "source_lang": "en"}, "Say what the files hold"),
        (["a.txt"], {"source_lang": "en"}, "Pairs need both languages"),
        (["a.txt"], {"lang": "sv"}, 'Unknown language "sv"'),
        (["a.txt"], {"lang": "sw", "licens": "MIT"}, "licens: Extra inputs are not permitted"),
        (["a.en"], {"source_lang": "en", "target_lang": "sw"}, "its translation is missing: no file a.sw"),
        (["a.en", "a.sw", "a.swh.gz"], {"source_lang": "en", "target_lang": "sw"}, "is the same side of the same text"),
    ],
)
def test_bare_folders_that_are_refused(tmp_path: Path, files: list[str], keys: dict[str, str], complaint: str) -> None:
    for name in files:
        write(tmp_path / "raw" / name, b"x\n")
    (tmp_path / "raw").mkdir(exist_ok=True)
    with pytest.raises(InputError) as error:
        sources_from_path(tmp_path / "raw", **keys)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bare_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        sources_from_path(tmp_path / "raw", lang="sw")


def test_two_files_whose_names_do_not_tell(tmp_path: Path) -> None:
    write(tmp_path / "left.txt", b"a\nb\n")
    write(tmp_path / "right.txt", b"c\nd\n")
    (source,) = sources_from_path(
        tmp_path / "left.txt", source_lang="en", target_lang="sw", target_path=tmp_path / "right.txt"
    )
    assert rows(source, Path())["target_text"].to_list() == ["c", "d"]
    with pytest.raises(InputError, match="goes with pairs"):
        sources_from_path(tmp_path / "left.txt", lang="sw", target_path=tmp_path / "right.txt")
