"""MinHash LSH: near-duplicates are found at the rate of the formula, unlike rows hardly ever, and results are stable."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lugha.corpus import shingles as shingles_module
from lugha.corpus.minhash import Bands, band_keys, bucket_pairs, cross_pairs, signatures, write_bands
from lugha.corpus.shingles import key_batches
from lugha.recipe.corpus_sections import DedupSection
from tests.corpus.small_corpus import documents, jaccard, shingles

SECTION = DedupSection()
SIDE = [("text", pl.lit("x"))]


def bands_of(texts: list[str], folder: Path, section: DedupSection = SECTION) -> Bands:
    return write_bands(key_batches([documents(texts)], SIDE), section, folder)


def words(count: int, chance: random.Random) -> list[str]:
    syllables = [c + v for c in "b ch d f g gb k kp l m n ny p r s sh t w y z".split() for v in "aeiịoọuụ"]
    return ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(count)]


def edited(text: str, lexicon: list[str], chance: random.Random) -> str:
    """One to a few words replaced, inserted or taken out."""
    tokens = text.split()
    for _ in range(1 + int(chance.random() * 0.08 * len(tokens))):
        place, what = chance.randrange(len(tokens)), chance.random()
        if what < 0.5:
            tokens[place] = chance.choice(lexicon)
        elif what < 0.75 or len(tokens) < 4:
            tokens.insert(place, chance.choice(lexicon))
        else:
            del tokens[place]
    return " ".join(tokens)


def test_recall_of_planted_near_duplicates(tmp_path: Path) -> None:
    chance = random.Random(7)
    lexicon = words(2000, chance)
    originals = [" ".join(chance.choices(lexicon, k=chance.randint(6, 30))) for _ in range(3000)]
    copies = [edited(text, lexicon, chance) for text in originals]
    similarity = np.array([jaccard(shingles(a), shingles(b)) for a, b in zip(originals, copies, strict=True)])
    bands = bands_of(originals + copies, tmp_path)
    keys = np.stack([bands.read(band) for band in range(SECTION.num_bands)])
    found = (keys[:, :3000] == keys[:, 3000:]).any(axis=0)

    planted = similarity >= 0.85
    assert planted.sum() > 1000
    assert found[planted].mean() >= 0.999
    # the 32-bit signatures behave like the formula 1 - (1 - J^6)^20 over the whole range
    for low, high in ((0.5, 0.7), (0.7, 0.8), (0.8, 0.9)):
        inside = (similarity >= low) & (similarity < high)
        assert found[inside].mean() == pytest.approx((1 - (1 - similarity[inside] ** 6) ** 20).mean(), abs=0.06)

    pairs = bucket_pairs(bands, bands.rows)
    assert {(a, b + 3000) for a, b in zip(*2 * [np.flatnonzero(planted & found)], strict=True)} <= set(
        map(tuple, pairs.tolist())
    )
    assert len(pairs) < 3500  # unlike rows hardly ever meet


def test_equal_keys_always_meet_however_short_and_empty_ones_never(tmp_path: Path) -> None:
    bands = bands_of(["Na", "ya", "na!", "???", "...", "na"], tmp_path)
    assert bucket_pairs(bands, bands.rows).tolist() == [[0, 2], [0, 5], [2, 5]]
    assert all(bands.read(band)[3:5].tolist() == [0, 0] for band in range(SECTION.num_bands))


def test_the_first_member_is_the_first_of_each_pair(tmp_path: Path) -> None:
    bands = bands_of(["sawa", "sawa", "hapana", "sawa"], tmp_path)
    assert bucket_pairs(bands, np.array([3, 2, 0])).tolist() == [[3, 0]]
    assert bucket_pairs(bands, np.array([1, 0, 3])).tolist() == [[1, 0], [1, 3], [0, 3]]
    wanted = bucket_pairs(bands, np.array([1, 0, 3]), lambda a, b: b != 3)
    assert wanted.tolist() == [[1, 0]]
    assert bucket_pairs(bands, np.zeros(0, np.int64)).shape == (0, 2)


def test_pairs_of_a_large_bucket_are_linear_in_its_size(tmp_path: Path) -> None:
    bands = bands_of(["habari yako"] * 200, tmp_path)
    pairs = bucket_pairs(bands, bands.rows)
    assert len(pairs) == 199 + 198 + 197 + 196
    assert set(pairs[:, 0].tolist()) == {0, 1, 2, 3}


def test_cross_pairs_join_two_sets_and_no_row_to_its_own(tmp_path: Path) -> None:
    bands = bands_of(["habari za leo", "karibu sana", "habari za leo", "kwaheri", "karibu sana!"], tmp_path)
    assert cross_pairs(bands, np.array([0, 3]), np.array([1, 2, 4])).tolist() == [[0, 2]]
    assert cross_pairs(bands, np.array([4, 0]), np.array([1, 2])).tolist() == [[0, 2], [4, 1]]
    assert cross_pairs(bands, np.zeros(0, np.int64), np.arange(5)).shape == (0, 2)
    assert cross_pairs(bands, np.arange(2), np.zeros(0, np.int64)).shape == (0, 2)


def test_keys_do_not_depend_on_batches_or_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"sentensi ya {i} " * (1 + i % 9) for i in range(40)]
    whole = bands_of(texts, tmp_path).read(3)
    monkeypatch.setattr(shingles_module, "BATCH_ROWS", 7)
    monkeypatch.setattr(shingles_module, "BLOCK_CHARS", 11)
    assert bands_of(texts, tmp_path).read(3).tolist() == whole.tolist()


def test_the_hash_is_ours_and_stays_the_same() -> None:
    """Stored nowhere, but a manifest says that equal inputs give equal outputs: no library may change it."""
    batch = next(key_batches([documents(["Ọ bụ ng'ombe mweupe", "na"])], SIDE))
    minima = signatures(batch, DedupSection(num_hashes=4, num_bands=2))
    assert minima.tolist() == [
        [549384434, 528210390],
        [484336676, 3432440328],
        [274465513, 3497400848],
        [52853623, 3822618697],
    ]
    assert band_keys(minima, 2).tolist() == [
        [7485069316255540214, 8597919079109443126],
        [17021114916189285435, 15392628528785576652],
    ]


def test_a_text_of_millions_of_characters_is_read_piece_by_piece(tmp_path: Path) -> None:
    long = "moja mbili tatu nne tano sita saba nane tisa kumi " * 60_000
    batch = next(key_batches([documents([long, "moja", long])], SIDE))
    assert len(batch.rows) == 3
    sizes = [len(hashes) for _, _, hashes in shingles_module.shingle_blocks(batch, 5)]
    assert max(sizes) <= 2 * shingles_module.BLOCK_CHARS
    bands = write_bands([batch], SECTION, tmp_path)
    assert bucket_pairs(bands, bands.rows).tolist() == [[0, 2]]
