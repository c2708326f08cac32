"""The sample: even shares, drawn by seed, within the budget, held-out text apart."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import InputError
from lugha.tokens.sample import even_shares, open_texts, plan_sample, sample
from tests.tokens.corpora import document, filtered_corpus, pair, split_corpus
from tests.tokens.texts import made_lines

SIZES = st.dictionaries(
    st.tuples(st.sampled_from(["ibo", "swh", "yor"]), st.sampled_from("abcd")), st.integers(0, 1000), min_size=1
)


@given(SIZES, st.integers(0, 5000))
def test_shares_fit_the_streams_and_use_up_the_budget(sizes: dict[tuple[str, str], int], budget: int) -> None:
    shares = even_shares(sizes, budget)
    assert shares.keys() == sizes.keys()
    assert all(0 <= shares[stream] <= size for stream, size in sizes.items())
    assert min(sum(sizes.values()), budget) - sum(shares.values()) in range(len(sizes) + 1)  # rounding, a byte a stream


@given(SIZES, st.integers(0, 5000))
def test_a_language_gets_less_than_another_only_if_it_has_no_more(sizes: dict[tuple[str, str], int], budget: int) -> None:
    shares = even_shares(sizes, budget)
    languages = {language for language, _ in sizes}
    has = {code: sum(size for (c, _), size in sizes.items() if c == code) for code in languages}
    gets = {code: sum(share for (c, _), share in shares.items() if c == code) for code in languages}
    for code in languages:
        assert gets[code] == has[code] or gets[code] >= max(gets.values()) - len(sizes)


def test_a_small_language_is_not_drowned() -> None:
    shares = even_shares({("swh", "web"): 90_000, ("swh", "news"): 6_000, ("ibo", "bible"): 3_000}, 20_000)
    assert shares == {("ibo", "bible"): 3_000, ("swh", "news"): 6_000, ("swh", "web"): 11_000}


def corpus(folder: Path, *, others: bool = False) -> Path:
    lines = made_lines(3000)
    rows = [document(line, "ibo" if i % 3 == 0 else "swh", "a") for i, line in enumerate(lines)]
    rows += [document("zzz zzz " * 9, "swh", "b")] * 50 if others else []
    return filtered_corpus(folder, ["ibo", "swh"], rows)


def drawn(folder: Path, budget: int, seed: int, source: str = "a") -> tuple[list[str], list[str]]:
    texts = open_texts(folder)
    draws = [d for d in sample(texts, plan_sample(texts, budget=budget, seed=seed)) if d.stream[1] == source]
    return [t for d in draws for t in d.training], [t for d in draws for t in d.held_out]


def test_the_same_seed_draws_the_same_texts_and_another_seed_others(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c")
    assert drawn(folder, 40_000, 1) == drawn(folder, 40_000, 1)
    assert drawn(folder, 40_000, 1) != drawn(folder, 40_000, 2)


def test_the_budget_is_kept_evenly(tmp_path: Path) -> None:
    texts = open_texts(corpus(tmp_path / "c"))
    used = {"ibo": 0, "swh": 0}
    for draw in sample(texts, plan_sample(texts, budget=40_000, seed=1)):
        used[draw.stream[0]] += sum(len(t.encode()) for t in draw.training)
    assert all(16_000 < size <= 20_000 for size in used.values())


def test_everything_is_drawn_where_it_fits_but_for_the_held_out_texts(tmp_path: Path) -> None:
    training, held_out = drawn(corpus(tmp_path / "c"), 10_000_000, 1)
    assert len(training) + len(held_out) == 3000
    assert sorted(training + held_out) == sorted(made_lines(3000))
    assert 10 <= len(held_out) <= 60  # 30 expected


def test_another_source_does_not_change_what_is_drawn(tmp_path: Path) -> None:
    alone = drawn(corpus(tmp_path / "one"), 10_000_000, 1)
    beside = drawn(corpus(tmp_path / "two", others=True), 10_000_000, 1)
    assert alone == beside


def test_of_a_split_corpus_all_of_one_split_is_drawn(tmp_path: Path) -> None:
    rows = {"train": [document("moja mbili")] * 300, "validation": [document("tatu nne")]}
    folder = split_corpus(tmp_path / "split", "documents", ["swh"], **rows)
    assert drawn(folder, 10_000, 1, "made") == (["moja mbili"] * 300, [])
    texts = open_texts(folder, "validation")
    assert [d.training for d in sample(texts, plan_sample(texts, budget=99, seed=1))] == [["tatu nne"]]


def test_each_side_of_a_pair_is_a_text_of_its_language(tmp_path: Path) -> None:
    folder = split_corpus(tmp_path / "split", "pairs", ["eng", "ibo"], train=[pair("mmiri", "water"), pair("nwa", "child")])
    streams = dict(open_texts(folder).batches())
    assert streams == {("ibo", "made"): ["mmiri", "nwa"], ("eng", "made"): ["water", "child"]}


def test_a_long_text_is_drawn_in_parts(tmp_path: Path) -> None:
    words = [f"neno{i}" for i in range(9000)]
    folder = split_corpus(tmp_path / "split", "documents", ["swh"], train=[document(" ".join(words))])
    everything, _ = drawn(folder, 10_000_000, 1, "made")
    assert " ".join(everything).split(" ") == words
    some, _ = drawn(folder, 30_000, 1, "made")
    assert 0 < sum(map(len, some)) <= 30_000


def test_plain_text_is_read_by_line_in_nfc(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(unicodedata.normalize("NFD", "ọ́kụ́").encode() + b"\r\n\n  \nlast \xe2\x80\xa8 line")
    (tmp_path / "a.txt").write_text("first\n", encoding="utf-8")
    assert list(open_texts(tmp_path).batches()) == [
        (("und", "a.txt"), ["first"]),
        (("und", "b.txt"), [unicodedata.normalize("NFC", "ọ́kụ́"), "last \u2028 line"]),
    ]
    assert list(open_texts(tmp_path / "a.txt").batches()) == [(("und", "a.txt"), ["first"])]


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\nbad \xff\n")
    with pytest.raises(InputError, match=r"a\.txt, line 2: not UTF-8 at byte 4"):
        list(open_texts(tmp_path).batches())


@pytest.mark.parametrize("name", ["absent", "empty", "table.csv"])
def test_what_is_not_text_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("a,b")
    with pytest.raises(InputError, match=name):
        open_texts(tmp_path / name)


def test_no_text_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    texts = open_texts(tmp_path)
    with pytest.raises(InputError, match="there is no text"):
        plan_sample(texts, budget=100, seed=1)
