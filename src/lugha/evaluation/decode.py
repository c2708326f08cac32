"""Text out of a model: continuations of a decoder, translations of an encoder-decoder.

The search itself is `model.generate` of transformers; what stands here is the layout that the models were trained on, by id:

    continuation   <s> prompt ...                     until </s>
    translation    source  `code ids </s>`            code = the language's own token, e.g. `swh_Latn`
                   target  `</s> code ids ... </s>`   behind a decoder start of </s>, the target's code forced (NLLB-200)

Results are a function of the text alone and come in its order. A sampled continuation has a random stream of its own, from
(seed, number of the prompt); a translation does not depend on the batch it was in, up to the rounding of the device (padding
is masked). Before each token stands the question whether the process is to stop: a batch of a large model takes minutes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from tokenizers import Tokenizer

from lugha.errors import InputError, nearest
from lugha.evaluation.likelihood import evaluating
from lugha.languages.normalise import Normaliser
from lugha.languages.registry import Language, get_language
from lugha.runs.progress import Progress
from lugha.runs.stopping import stop_if_asked, stopping
from lugha.tokens.punctuation import Punctuation, punctuation_of
from lugha.tokens.special import roles_of, token_id

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, StoppingCriteriaList

Strategy = Literal["greedy", "sample", "top_k", "top_p"]


def generate_text(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 128,
    strategy: Strategy = "greedy",
    temperature: float = 0.8,
    top_k: int = 50,
    top_p: float = 0.9,
    seed: int = 0,
    lang: str | None = None,
) -> list[str]:
    """Continue each prompt; returns the continuations alone, without the prompts.

    Args:
        prompts: beginnings of text; an empty one lets the model begin by itself.
        max_new_tokens: a continuation ends here, at `</s>`, or where the model's context is full.
        strategy: greedy: the likeliest token each time; sample: by the model's probabilities at `temperature`; top_k, top_p:
            the same among the k likeliest tokens, or among the likeliest that have probability p together.
        lang: language whose normaliser the prompts pass first (the text that the model saw in training did).

    Raises:
        InputError: an unknown strategy or language, a value out of range, a prompt that fills the context, or a tokenizer
            and model that do not belong together.
        InterruptedRunError: the process is asked to stop.
    """
    check_belongs(model, tokenizer)
    search = _search(strategy, temperature=temperature, top_k=top_k, top_p=top_p)
    roles = _roles(tokenizer)
    context = int(model.config.max_position_embeddings)
    if lang is not None:
        prompts = as_trained(prompts, lang)
    continuations = []
    with Progress("generate", "prompts", len(prompts)) as progress, stopping(), evaluating(model):
        for number, prompt in enumerate(prompts):
            ids = [roles["bos_token_id"], *tokenizer.encode(prompt, add_special_tokens=False).ids]
            room = min(max_new_tokens, context - len(ids))
            if room < 1:
                raise InputError(
                    f"Prompt {number + 1} has {len(ids):,} tokens and the model's context holds {context:,}: "
                    "nothing can follow it. Shorten it."
                )
            config = _generation_config(max_new_tokens=room, **search, **roles)
            input_ids = torch.tensor([ids], device=model.device)
            with _random_stream(model.device, seed + number):
                mask = torch.ones_like(input_ids)
                output = model.generate(
                    input_ids, attention_mask=mask, generation_config=config, stopping_criteria=until_asked()
                )
            written = _before_end(output[0, len(ids) :].tolist(), roles["eos_token_id"])
            continuations.append(_continuation(tokenizer, ids[1:], written))
            progress.add(1)
    return continuations


def translate(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    source_lang: str | Sequence[str],
    target_lang: str | Sequence[str],
    beam: int = 4,
    max_new_tokens: int = 128,
    batch: int = 32,
    punctuation: Punctuation = "none",
) -> list[str]:
    """Translate sentences with an M2M100-class model; beam 1 is greedy search.

    Args:
        texts: one sentence (or paragraph) each; they pass the source language's normaliser first. A text with nothing in it
            translates to nothing.
        source_lang, target_lang: any code the registry knows; one for all texts, or one for each. Every row begins with its
            own target's code, so texts for several languages may share a batch.
        max_new_tokens: tokens of a translation, with its `</s>`.
        batch: sentences searched together, chosen by similar length.
        punctuation: `tokens.punctuation` of the recipe: what the training text passed after the normaliser.

    Raises:
        InputError: an unknown language, one that the tokenizer has no token for, the same language twice, or a model that is
            not an encoder-decoder or does not belong to the tokenizer.
        InterruptedRunError: the process is asked to stop.
    """
    check_belongs(model, tokenizer)
    if not model.config.is_encoder_decoder:
        raise InputError(f"A {model.config.model_type} model has no encoder and does not translate; use generate.")
    sources, targets = (_one_for_each(langs, len(texts)) for langs in (source_lang, target_lang))
    for source, target in set(zip(sources, targets, strict=True)):
        if source == target:
            raise InputError(f"Source and target are the same language ({source.nllb}): nothing to translate.")
    roles = _roles(tokenizer)
    end = roles["eos_token_id"]
    config = beam_search(tokenizer, beam, max_new_tokens=max_new_tokens, decoder_start_token_id=end)
    prepared = list(texts)
    for lang in set(sources):
        rows = [i for i, source in enumerate(sources) if source == lang]
        for i, text in zip(rows, as_trained([texts[i] for i in rows], lang.code, punctuation), strict=True):
            prepared[i] = text
    encoded = tokenizer.encode_batch(prepared, add_special_tokens=False)
    inputs = [[token_id(tokenizer, lang.nllb), *one.ids, end] for one, lang in zip(encoded, sources, strict=True)]
    # A forced token of generate's own is one for the whole batch; a prefix is each row's.
    prefixes = [[end, token_id(tokenizer, lang.nllb)] for lang in targets]
    translations = [""] * len(texts)
    # Longest first: what does not fit in memory shows at once, and the time left is never too hopeful.
    order = sorted((i for i, one in enumerate(encoded) if one.ids), key=lambda i: -len(inputs[i]))
    directions = sorted({f"{source.code}-{target.code}" for source, target in zip(sources, targets, strict=True)})
    with Progress(f"translate {' '.join(directions)}", "sentences", len(order)) as progress, stopping(), evaluating(model):
        for first in range(0, len(order), batch):
            members = order[first : first + batch]
            input_ids = _padded([inputs[i] for i in members], roles["pad_token_id"], model.device)
            lengths = torch.tensor([[len(inputs[i])] for i in members], device=model.device)
            mask = (torch.arange(input_ids.shape[1], device=model.device) < lengths).long()
            begun = torch.tensor([prefixes[i] for i in members], device=model.device)
            output = model.generate(
                input_ids,
                attention_mask=mask,
                decoder_input_ids=begun,
                generation_config=config,
                stopping_criteria=until_asked(),
            )
            for i, row in zip(members, output.tolist(), strict=True):
                written = _before_end(row[2:], end)  # behind the decoder start and the language code
                translations[i] = tokenizer.decode(written, skip_special_tokens=True)
            progress.add(len(members))
    return translations


def beam_search(tokenizer: Tokenizer, beam: int, **values: Any) -> GenerationConfig:
    """The search of a translation; beam 1 is greedy."""
    search: dict[str, Any] = {"do_sample": False, "num_beams": beam}
    if beam > 1:
        search["early_stopping"] = True  # stop at `beam` finished candidates, as fairseq does
    return _generation_config(**values, **search, **_roles(tokenizer))


def until_asked() -> StoppingCriteriaList:
    """Criteria for `generate` that stop no text, but raise an InterruptedRunError when the process is asked to stop."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    class UntilAsked(StoppingCriteria):  # type: ignore[misc]  # its package is not typed
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **more: Any) -> torch.Tensor:
            stop_if_asked()
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    return StoppingCriteriaList([UntilAsked()])


def check_belongs(model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer whose ids the model has no embedding for.

    Raises:
        InputError: with both sizes.
    """
    size, rows = tokenizer.get_vocab_size(), int(model.config.vocab_size)
    if size > rows:
        raise InputError(
            f"The tokenizer has {size:,} tokens and the model an embedding of {rows:,}: they do not belong together. "
            "Use the tokenizer.json that lies beside the model."
        )


def _search(strategy: str, *, temperature: float, top_k: int, top_p: float) -> dict[str, Any]:
    """Arguments of GenerationConfig for a strategy; what transformers would add by itself (top_k 50) is switched off."""
    if strategy not in get_args(Strategy):
        raise InputError(f'No decoding strategy "{strategy}".{nearest(strategy, get_args(Strategy))}')
    if strategy == "greedy":
        return {"do_sample": False, "num_beams": 1}
    if not temperature > 0:
        raise InputError(f"temperature {temperature} must be above 0; for the likeliest token use strategy greedy.")
    if strategy == "top_k" and top_k < 1:
        raise InputError(f"top_k {top_k} must be at least 1.")
    if strategy == "top_p" and not 0 < top_p <= 1:
        raise InputError(f"top_p {top_p} must be above 0 and at most 1.")
    return {
        "do_sample": True,
        "num_beams": 1,
        "temperature": temperature,
        "top_k": top_k if strategy == "top_k" else 0,
        "top_p": top_p if strategy == "top_p" else 1.0,
    }


def _roles(tokenizer: Tokenizer) -> dict[str, int]:
    roles = roles_of(tokenizer)
    return {"pad_token_id": roles.pad, "bos_token_id": roles.bos, "eos_token_id": roles.eos}


def _generation_config(**values: Any) -> GenerationConfig:
    from transformers import GenerationConfig

    return GenerationConfig(**values)


def as_trained(texts: Sequence[str], lang: str, punctuation: Punctuation = "none") -> list[str]:
    """Texts in the form that the model's training text had: through the language's normaliser, then its punctuation rules."""
    normaliser, rules = Normaliser(lang), punctuation_of(punctuation)
    return [rules(normaliser.normalise(text)) for text in texts]


def _one_for_each(langs: str | Sequence[str], count: int) -> list[Language]:
    """The language of each of `count` texts."""
    each = [langs] * count if isinstance(langs, str) else list(langs)
    if len(each) != count:
        raise InputError(f"{len(each)} languages for {count} texts: give one for all, or one for each.")
    return [get_language(code) for code in each]


def _padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> torch.Tensor:
    """[rows, longest], filled up with `pad` on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=device)


def _before_end(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


def _continuation(tokenizer: Tokenizer, prompt: list[int], written: list[int]) -> str:
    """Text of `written` as it stands behind the prompt: decoded alone it would lose its leading blank (metaspace)."""
    before = tokenizer.decode(prompt, skip_special_tokens=True)
    whole = tokenizer.decode(prompt + written, skip_special_tokens=True)
    return whole[len(before) :]


@contextlib.contextmanager
def _random_stream(device: torch.device, seed: int) -> Iterator[None]:
    """Within it torch draws from `seed`; after it the generators are as they were (a training run may own them)."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
