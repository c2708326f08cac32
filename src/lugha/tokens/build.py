"""From text to token ids: encode a corpus into memory-mapped shards, every row, whole.

    split/{train,validation,test}/*.parquet + tokenizer/  ->  tokens/{train,validation,test}/   (lugha.tokens.shards)

A corpus without splits becomes `train` alone. Nothing about examples is decided here: directions, templates, special tokens
and packing are made from the sequences when they are read, so that changing them costs no second encoding. Reading and
writing stay within a tenth of the time of `encode_batch` alone (`bench/tokens/encode.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lugha.corpus.shards import SPLITS, kind_of, open_corpus, read_frames, shard_paths
from lugha.errors import InputError
from lugha.recipe.sections import TokensSection
from lugha.runs.manifest import StageManifest, StageOutput, input_digest, is_current, read_manifest, stage_output
from lugha.runs.progress import Progress
from lugha.tokens.encode import Encoder, batches
from lugha.tokens.punctuation import punctuation_digest, punctuation_of
from lugha.tokens.sample import CORPUS_STAGES
from lugha.tokens.shards import STAGE, VERSION, Sequences, TokenShardWriter
from lugha.tokens.tokenizer import load_tokenizer, tokenizer_fingerprint


def build_tokens(input: Path, tokenizer: Path, output: Path, *, section: TokensSection) -> StageManifest:
    """Encode every row of a corpus.

    Args:
        input: a corpus folder; its text is already in the form (NFC, normalised) that the tokenizer was trained on.
        tokenizer: a tokenizer.json or a folder with one.
        output: the folder to make.
        section: `tokens_per_shard` and `punctuation`; the other keys are for the reader.

    Raises:
        InputError: not a finished corpus, an empty one, more than 256 languages, or no tokenizer.
    """
    manifest = open_corpus(input, CORPUS_STAGES)
    loaded = load_tokenizer(tokenizer)
    encoder = Encoder(loaded)
    kind, languages = kind_of(manifest), list(manifest.details["languages"])
    if len(languages) > 256:
        raise InputError(f"{input}: {len(languages)} languages; a tokens folder tells at most 256 apart. Divide the corpus.")
    parameters = {"tokens_per_shard": section.tokens_per_shard, "punctuation": punctuation_digest(section.punctuation)}
    inputs = {"corpus": input_digest(input), "tokenizer": tokenizer_fingerprint(tokenizer)}
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)
    with (
        stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs) as out,
        Progress("tokens", "rows", manifest.rows_out) as progress,
    ):
        out.details |= {
            "kind": kind,
            "languages": languages,
            "directions": manifest.details.get("directions", []),
            "width": encoder.dtype.itemsize,
            "vocab_size": loaded.get_vocab_size(),
            "fingerprint": inputs["tokenizer"],
            "punctuation": section.punctuation,
            "splits": {},
        }
        for split in SPLITS if manifest.stage == "split" else (None,):
            paths = shard_paths(input, split)
            _write_split(paths, encoder, out, split or "train", section, progress)
    return read_manifest(output)


def _write_split(
    paths: list[Path], encoder: Encoder, out: StageOutput, split: str, section: TokensSection, progress: Progress
) -> None:
    rules = punctuation_of(section.punctuation)
    sums = {"sequences": 0, "tokens": 0, "bytes": 0, "words": 0, "longest": 0}
    pairs, languages = out.details["kind"] == "pairs", out.details["languages"]
    columns = ["source_text", "target_text", "source_lang", "target_lang"] if pairs else ["text", "lang"]
    with TokenShardWriter(out, split, tokens_per_shard=section.tokens_per_shard, together=2 if pairs else 1) as writer:
        for frame in read_frames(paths, columns):
            rows = _sides_in_turn(frame) if pairs else frame
            langs = _language_numbers(rows["lang"], languages)
            sizes = rows["text"].str.len_bytes().cast(pl.Int32).to_numpy()
            sums["words"] += int(rows["text"].str.count_matches(r"\S+").sum())
            texts = [rules(text) for text in rows["text"].to_list()]
            for part in batches(texts, together=writer.together):
                encoded = encoder.encode(texts[part])
                writer.write(Sequences(encoded.ids, encoded.offsets, langs[part], sizes[part]))
                sums["tokens"] += encoded.ids.size
                sums["longest"] = max(sums["longest"], int(np.diff(encoded.offsets).max()))
            sums["sequences"] += len(texts)
            sums["bytes"] += int(sizes.sum())
            out.tally.rows_in += len(frame)
            out.tally.rows_out += len(frame)
            progress.add(len(frame))
    out.details["splits"][split] = sums


def _sides_in_turn(pairs: pl.DataFrame) -> pl.DataFrame:
    """(text, lang): source and target of the first pair, of the second, ..."""
    sides = pairs.select(
        text=pl.concat_list("source_text", "target_text"), lang=pl.concat_list("source_lang", "target_lang")
    )
    return sides.explode("text", "lang")


def _language_numbers(langs: pl.Series, languages: list[str]) -> NDArray[np.uint8]:
    unknown = sorted(set(langs.unique()) - set(languages))
    if unknown:
        raise InputError(f"A row is in {unknown[0]}, but the corpus' manifest names only {', '.join(languages)}.")
    numbers = {code: i for i, code in enumerate(languages)}
    found: NDArray[np.uint8] = langs.replace_strict(numbers, return_dtype=pl.UInt8).to_numpy()
    return found
