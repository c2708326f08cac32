"""Extend a base model: new language codes and missing characters, as a new folder that is proved before it is kept.

    base/                                        a folder of transformers: NLLB-200, or one of its class
    extended/  config.json, model.safetensors    the same weights, and a row for each new token
               tokenizer.json, ..._config.json   the same ids, and the new ones behind them
               manifest.json                     what was added, like what it begins, figures of the load test

    missing = missing_characters(tokenizer, texts, punctuation)         e.g. ["ọ", "ụ"]
    extend_base(Path("base"), Path("extended"), languages={"efi_Latn": ["ibo_Latn"]}, characters=missing)

The load test opens the new folder as a training run will, and refuses it unless

    1. old text has its old ids, and every new token the id that it was given, in `tokenizers` and in transformers;
    2. what was tied is tied;
    3. the old rows of the embeddings and the last hidden states on probe texts are the same to the last bit, so that the
       model gives every old token the score that it gave before.

A new row begins as a mean and has to be trained: see `model.new_languages` and `model.new_characters` of a recipe.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer

from lugha.errors import InputError, RefusedError
from lugha.languages.registry import LANGUAGES
from lugha.models.base import read_model, weights_digest
from lugha.models.extend import check_rows, embedding_matrices, extend_model, is_tied
from lugha.models.lora import ADAPTER_WEIGHTS
from lugha.models.state import save_whole
from lugha.runs.files import write_text
from lugha.runs.manifest import StageManifest, is_current, read_manifest, stage_output
from lugha.tokens.extend import NewToken, extend_companion, extend_tokenizer, language_code_ids
from lugha.tokens.sample import Texts
from lugha.tokens.special import roles_of
from lugha.tokens.tokenizer import TOKENIZER_CONFIG, TOKENIZER_JSON, load_tokenizer, tokenizer_file, tokenizer_fingerprint
from lugha.tokens.unknown import audit_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE, VERSION = "extend", 1
_COMPANIONS = (TOKENIZER_CONFIG, "special_tokens_map.json")  # of transformers; a slow tokenizer's own files would be stale
_PROBED_CODES = 3
_SENTENCES = ["The child reads a book.", "Mtoto anasoma kitabu, ng'ombe 12.", "Nwata na-agụ akwụkwọ n'ụlọ."]


def missing_characters(tokenizer: Path, texts: Texts, punctuation: Callable[[str], str], *, min_count: int = 1) -> list[str]:
    """Characters of a corpus that a tokenizer reads as `<unk>`, the commonest first, each at least `min_count` times."""
    counts: dict[str, int] = {}
    for audit in audit_texts(load_tokenizer(tokenizer), texts, punctuation).values():
        for character, count in audit.characters.items():
            counts[character] = counts.get(character, 0) + count
    return [c for c, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= min_count]


def _check_code(code: str) -> None:
    """Refuse another spelling of a language that has a code of NLLB's: it would be learned apart from what the base knows."""
    meant = next((language for language in LANGUAGES if code in language.known_as and code != language.nllb), None)
    if meant is not None:
        raise InputError(f'New language "{code}": {meant.name} has the code {meant.nllb}; a base of NLLB knows it already.')


def extend_base(
    base: Path, output: Path, *, languages: Mapping[str, Sequence[str]], characters: Sequence[str] = ()
) -> StageManifest:
    """Write `base` with new tokens to `output`; an output that was made of the same parts is kept.

    Args:
        base: a folder with a whole model and tokenizer.json.
        languages: new code -> codes of similar languages, whose mean it begins as; none: of all languages.
        characters: single characters; those that the tokenizer has are passed over.

    Raises:
        InputError: nothing to add; an adapter; a model with fewer rows than its tokenizer has ids; a code or character that
            cannot be added (`extend_tokenizer`).
        RefusedError: the load test found a difference; the output is not kept.
    """
    if (base / ADAPTER_WEIGHTS).is_file():
        raise InputError(
            f"{base}: an adapter has no embeddings of its own. Extend its base, then train the adapter on that."
        )
    for code in languages:
        _check_code(code)
    file = tokenizer_file(base)
    record = json.loads(file.read_text(encoding="utf-8"))
    extended, new = extend_tokenizer(record, languages, characters)
    if not new:
        raise InputError(f"{base}: nothing to add. Its tokenizer has all of these characters, and no new language is named.")
    parameters = {"languages": {code: list(like) for code, like in languages.items()}, "characters": list(characters)}
    inputs = {"weights": weights_digest(base), "tokenizer": tokenizer_fingerprint(file)}
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)
    model = read_model(base, dtype=_stored_dtype(base))
    check_rows(model, new[0].id)
    with stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs) as out:
        probes = _probes(load_tokenizer(file), record, new)
        before = _observe(model, probes, rows=new[0].id)
        extend_model(model, new[0].id, [token.like for token in new])
        save_whole(model, out.folder)
        del model
        write_text(out.folder / TOKENIZER_JSON, json.dumps(extended, ensure_ascii=False) + "\n")
        _write_companions(base, out.folder, new)
        out.details |= {"base": str(base), "tokens": [asdict(token) for token in new]}
        out.details["load_test"] = _load_test(out.folder, probes, before, new)
    return read_manifest(output)


@dataclass(frozen=True)
class _Probe:
    """A text without new characters, and its ids before anything was added."""

    text: str
    ids: list[int]
    begin: int  # a language code, or the token that begins a text
    end: int


@dataclass(frozen=True)
class _Observation:
    """What a model is and does, as far as new tokens must not change it."""

    tied: bool
    rows: int  # of the embedding
    matrices: list[torch.Tensor]  # the rows of old ids, of the input embedding and of an output layer of its own
    hidden: list[torch.Tensor]  # for each probe [tokens, width]
    logits: list[torch.Tensor]  # for each probe [tokens, old ids]


def _probes(tokenizer: Tokenizer, record: Mapping[str, Any], new: Sequence[NewToken]) -> list[_Probe]:
    """Sentences, and the letters of every language of the registry, in the first few codes that the tokenizer has."""
    roles, added = roles_of(tokenizer), {token.token for token in new}
    begins = list(language_code_ids(record).values())[:_PROBED_CODES] or [roles.bos]
    texts = [*_SENTENCES, *(" ".join(language.alphabet) for language in LANGUAGES)]
    found = []
    for number, text in enumerate(texts):
        kept = "".join(c for c in text if c not in added)
        ids = tokenizer.encode(kept, add_special_tokens=False).ids
        found.append(_Probe(kept, ids, begins[number % len(begins)], roles.eos))
    return found


@torch.no_grad()
def _observe(model: PreTrainedModel, probes: Sequence[_Probe], *, rows: int) -> _Observation:
    model.eval()
    hidden, logits = [], []
    for probe in probes:
        ids = torch.tensor([[probe.begin, *probe.ids, probe.end]])
        inputs = {"input_ids": ids}
        if model.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = ids.roll(1)  # starts at the end of text, as NLLB does
        last = model.model(**inputs).last_hidden_state
        hidden.append(last[0])
        logits.append(model.get_output_embeddings()(last)[0, :, :rows].float())
    matrices = [matrix[:rows].detach().clone() for matrix in embedding_matrices(model)]
    return _Observation(is_tied(model), model.get_input_embeddings().weight.shape[0], matrices, hidden, logits)


def _load_test(folder: Path, probes: Sequence[_Probe], before: _Observation, new: Sequence[NewToken]) -> dict[str, Any]:
    """Open the folder again and compare; the figures of the test.

    Raises:
        RefusedError: something old has changed, or something new is not there.
    """
    tokenizer = load_tokenizer(folder)
    _refuse_if([p.text for p in probes if tokenizer.encode(p.text, add_special_tokens=False).ids != p.ids], "has other ids")
    _refuse_if([t.token for t in new if tokenizer.token_to_id(t.token) != t.id], "does not have its id")
    if (folder / TOKENIZER_CONFIG).is_file():
        _compare_with_transformers(folder, tokenizer, probes, new)
    model = read_model(folder, dtype=before.matrices[0].dtype)
    after = _observe(model, probes, rows=new[0].id)
    if after.tied != before.tied:
        raise RefusedError(f"The load test failed: embeddings that were {'' if before.tied else 'not '}tied are no more so.")
    if not all(torch.equal(a, b) for a, b in zip(before.matrices, after.matrices, strict=True)):
        raise RefusedError("The load test failed: rows of the old tokens' embeddings have changed.")
    changed = [p.text for p, a, b in zip(probes, before.hidden, after.hidden, strict=True) if not torch.equal(a, b)]
    _refuse_if(changed, "has other hidden states")
    largest = max(float((a - b).abs().max()) for a, b in zip(before.logits, after.logits, strict=True))
    return {
        "probes": len(probes),
        "tied": after.tied,
        "rows_before": before.rows,
        "rows_after": after.rows,
        # From equal states and equal rows: not zero only where the matrix product sums in another order for more columns.
        "largest_logit_difference": largest,
    }


def _compare_with_transformers(folder: Path, ours: Tokenizer, probes: Sequence[_Probe], new: Sequence[NewToken]) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    _refuse_if(
        [t.token for t in new if theirs.convert_tokens_to_ids(t.token) != t.id], "does not have its id in transformers"
    )
    with_new = " ".join(t.token for t in new if len(t.token) == 1)
    other = [
        text
        for text in [*(p.text for p in probes), with_new]
        if theirs(text, add_special_tokens=False).input_ids != ours.encode(text, add_special_tokens=False).ids
    ]
    _refuse_if(other, "has other ids in transformers")


def _refuse_if(culprits: Sequence[str], what: str) -> None:
    if culprits:
        raise RefusedError(f'The load test failed: "{culprits[0]}" {what} ({len(culprits)} in all). Nothing was kept.')


def _write_companions(base: Path, folder: Path, new: Sequence[NewToken]) -> None:
    for name in _COMPANIONS:
        if (base / name).is_file():
            content = json.loads((base / name).read_text(encoding="utf-8"))
            write_text(folder / name, json.dumps(extend_companion(content, new), indent=2, ensure_ascii=False) + "\n")
    for path in [*base.glob("LICENSE*"), *base.glob("README*")]:
        shutil.copyfile(path, folder / path.name)


def _stored_dtype(folder: Path) -> torch.dtype:
    """The type that the weights are stored in, as config.json says under the name of transformers 4 or 5."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) if (folder / "config.json").is_file() else {}
    dtype = getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "float32"), torch.float32)
    assert isinstance(dtype, torch.dtype)
    return dtype
