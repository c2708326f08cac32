"""Train the tokenizer of a recipe, or take one that exists: from a corpus to a folder with tokenizer.json.

    split/  ->  tokenizer/tokenizer.json     Hugging Face's format: the record, read by transformers and every export
                tokenizer/manifest.json      style, size, fingerprint, special tokens, fertility on text held out

Trained on the training split alone (a tokenizer that saw the test text has leaked it), on even shares of all languages. The
text is in NFC before it comes here, and nothing in the tokenizer changes it again. The same corpus, section and seed give
the same bytes. The fingerprint, the SHA-256 of tokenizer.json, stands in every artefact made with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from lugha.errors import InputError
from lugha.languages.registry import get_language
from lugha.recipe.sections import TokenizerSection
from lugha.runs.files import sha256_file
from lugha.runs.manifest import StageManifest, StageOutput, input_digest, is_current, read_manifest, stage_output
from lugha.runs.progress import Progress
from lugha.tokens.encode import as_plain_text
from lugha.tokens.fertility import measure_fertility
from lugha.tokens.sample import Draw, SamplePlan, Texts, open_texts, plan_sample, sample
from lugha.tokens.special import roles_of, special_ids, special_tokens
from lugha.tokens.style import choose_alphabet, style_of, train_bytes, train_metaspace

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"  # of transformers; a base model has one
STAGE, VERSION = "tokenizer", 1
_MEASURED_BYTES = 5_000_000  # held-out text for the fertility table, at most
_ALPHABET_SHARE = 4  # metaspace: at most a quarter of the free vocabulary goes to single characters


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json, or the one in a folder. It reads every text as plain text: see `lugha.tokens.special`.

    Raises:
        InputError: there is none, or it is not a tokenizer.json.
    """
    file = tokenizer_file(path)
    try:
        return as_plain_text(Tokenizer.from_file(str(file)))
    except Exception as error:  # the Rust side raises nothing more precise
        raise InputError(f"{file}: not a tokenizer.json of Hugging Face tokenizers ({error}).") from error


def tokenizer_file(path: Path) -> Path:
    """The tokenizer.json that `path` is or holds.

    Raises:
        InputError: neither.
    """
    file = path / TOKENIZER_JSON if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file}: no such file. `lugha tokenizer train` makes a folder with a {TOKENIZER_JSON}.")
    return file


def tokenizer_fingerprint(path: Path) -> str:
    """SHA-256 of the tokenizer.json that `path` is or holds."""
    return sha256_file(tokenizer_file(path))


def train_tokenizer(input: Path, output: Path, *, section: TokenizerSection, seed: int = 42) -> StageManifest:
    """Make the tokenizer of a run; with `section.path`, check that one and take it over byte for byte.

    Args:
        input: a corpus folder (of a split corpus the training part is used), a .txt file, or a folder of .txt files.
        output: the folder to make.
        seed: of the sample, where the text exceeds `section.max_train_bytes` or has no validation part.

    Raises:
        InputError: no text; a vocabulary too small for special tokens and bytes; an existing tokenizer that has no token
            to begin, end or pad a text with.
    """
    texts = open_texts(input)
    languages = [get_language(code).nllb for code in texts.languages]
    special = special_tokens(languages)
    smallest = len(special) + 256 + 1
    if section.path is None and section.vocab_size < smallest:
        raise InputError(
            f"tokenizer.vocab_size {section.vocab_size} is too small: {len(special)} special tokens and 256 bytes come "
            f"first. Set it to {smallest} or more, 4096 to 32768 for one or a few languages."
        )
    parameters = section.model_dump(mode="json", exclude={"path"}) | {"seed": seed, "languages": languages}
    inputs = {"text": input_digest(input)}
    if section.path is not None:
        parameters = {"seed": seed, "languages": languages}
        inputs["tokenizer"] = tokenizer_fingerprint(section.path)
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)
    with stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs) as out:
        file = out.folder / TOKENIZER_JSON
        plan = plan_sample(texts, budget=section.max_train_bytes, seed=seed)
        if section.path is None:
            _train(texts, plan, section, special, out).save(str(file))
        else:
            _check_existing(section.path, load_tokenizer(section.path))
            file.write_bytes(tokenizer_file(section.path).read_bytes())
        tokenizer = load_tokenizer(file)
        where, measured = _text_to_measure(input, texts, plan)
        out.details |= {
            "style": style_of(tokenizer) or "other",
            "vocab_size": tokenizer.get_vocab_size(),
            "vocab_size_asked": None if section.path else section.vocab_size,
            "fingerprint": sha256_file(file),
            "special_tokens": special_ids(tokenizer),
            "languages": list(texts.languages),
            "fertility_on": where,
            "fertility": {k: f.as_dict() for k, f in measure_fertility(tokenizer, measured).items()},
        }
    return read_manifest(output)


def _train(texts: Texts, plan: SamplePlan, section: TokenizerSection, special: list[str], out: StageOutput) -> Tokenizer:
    trained_bytes: dict[str, int] = {}

    def training() -> Iterator[list[str]]:
        total = sum(plan.shares.values())
        with Progress("tokenizer", "bytes", total) as progress:
            for draw in sample(texts, plan):
                size = sum(len(text.encode()) for text in draw.training)
                trained_bytes[draw.stream[0]] = trained_bytes.get(draw.stream[0], 0) + size
                _count(draw, out)
                progress.add(size)
                yield draw.training

    if section.style == "bytes":
        tokenizer = train_bytes(training(), section.vocab_size, section.min_frequency, special)
    else:
        room = (section.vocab_size - len(special) - 256) // _ALPHABET_SHARE
        drawn = (draw.training for draw in sample(texts, plan))
        alphabet = choose_alphabet(drawn, section.min_frequency, room)
        tokenizer = train_metaspace(training(), section.vocab_size, section.min_frequency, special, alphabet)
    if out.tally.rows_out == 0:
        raise InputError(
            f"tokenizer.max_train_bytes {section.max_train_bytes} is less than any text of {texts.folder}: nothing was left "
            "to train on. Set it to 10 MB or more."
        )
    out.details["trained_bytes"] = dict(sorted(trained_bytes.items()))
    return tokenizer


def _count(draw: Draw, out: StageOutput) -> None:
    out.tally.rows_in += draw.texts
    out.tally.rows_out += len(draw.training)
    out.tally.dropped["held out"] += len(draw.held_out)
    out.tally.dropped["max_train_bytes"] += draw.texts - len(draw.training) - len(draw.held_out)


def _text_to_measure(input: Path, texts: Texts, plan: SamplePlan) -> tuple[str, list[tuple[str, str]]]:
    """Where it is from, in words, and (language, text) of it; the training text only where nothing else is left."""
    if texts.split is None:
        held_out = [(draw.stream[0], text) for draw in sample(texts, plan) for text in draw.held_out]
        if held_out:
            return "text held out from training", held_out
    else:
        validation = open_texts(input, "validation")
        if validation.shards:
            return "validation split", _some(validation, plan.seed)
    return "training text", _some(texts, plan.seed)


def _some(texts: Texts, seed: int) -> list[tuple[str, str]]:
    plan = plan_sample(texts, budget=_MEASURED_BYTES, seed=seed)
    return [(draw.stream[0], text) for draw in sample(texts, plan) for text in draw.training]


def _check_existing(path: Path, tokenizer: Tokenizer) -> None:
    """It has a token to begin, end and pad with, and its ids leave no gap (the size is then a bound for them)."""
    try:
        roles_of(tokenizer)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    size, last = tokenizer.get_vocab_size(), max(tokenizer.get_vocab().values())
    if last != size - 1:
        raise InputError(f"{path}: has {size} tokens with ids up to {last}. Number them 0 to {size - 1}, without a gap.")
