"""Translations by a decoder that follows instructions: the template's prompt in, the answer out.

    <s> prompt ...   ->   answer ... </s>

The prompt is `template.translation_prompt`, to the letter the one that training saw for the direction, and encoded whole as
there. The answer is all that the model writes before `</s>`; its line breaks become blanks, because a translation is scored
line by line. Rows of a batch are filled up on the left and masked there, so that every row goes on at its own end and at its
own position: a translation does not depend on the batch it was in, up to the rounding of the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer

from lugha.errors import InputError
from lugha.evaluation.decode import as_trained, beam_search, check_belongs, until_asked
from lugha.evaluation.likelihood import evaluating
from lugha.languages.registry import get_language
from lugha.runs.progress import Progress
from lugha.runs.stopping import stopping
from lugha.tokens.special import roles_of
from lugha.tokens.template import Template

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def translate_prompted(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    template: Template,
    texts: Sequence[str],
    *,
    source_lang: str,
    target_lang: str,
    beam: int = 4,
    max_new_tokens: int = 128,
    batch: int = 32,
) -> list[str]:
    """Translate sentences with a causal LM; beam 1 is greedy search.

    Args:
        texts: one sentence (or paragraph) each; they pass the source language's normaliser first. A text with nothing in it
            translates to nothing.
        source_lang, target_lang: any code the registry knows.
        max_new_tokens: tokens of an answer, with its `</s>`; fewer where the model's context is full before.
        batch: sentences searched together, chosen by similar length.

    Raises:
        InputError: an unknown language, the same language twice, a template that cannot ask for this direction, a text whose
            prompt fills the model's context, or a model that is not a decoder or does not belong to the tokenizer.
        InterruptedRunError: the process is asked to stop.
    """
    check_belongs(model, tokenizer)
    if model.config.is_encoder_decoder:
        raise InputError(f"A {model.config.model_type} model is not a decoder and reads no prompt; use translate.")
    source, target = get_language(source_lang), get_language(target_lang)
    if source.nllb == target.nllb:
        raise InputError(f"Source and target are the same language ({source.nllb}): nothing to translate.")
    roles, clean = roles_of(tokenizer), as_trained(texts, source.code)
    asked = [i for i, text in enumerate(clean) if text]
    prompts = [template.translation_prompt(clean[i], source.code, target.code) for i in asked]
    encoded = tokenizer.encode_batch(prompts, add_special_tokens=False)
    inputs = {i: [roles.bos, *one.ids] for i, one in zip(asked, encoded, strict=True)}
    room = _rooms(inputs, int(model.config.max_position_embeddings), max_new_tokens)
    translations = [""] * len(texts)
    label = f"translate {source.code}-{target.code}"
    with Progress(label, "sentences", len(asked)) as progress, stopping(), evaluating(model):
        for members in _batches(inputs, room, batch):
            input_ids = _filled_left([inputs[i] for i in members], roles.pad, model.device)
            # What stands on the left to fill up is told by position: a prompt may hold any id.
            mask = _filled_left([[1] * len(inputs[i]) for i in members], 0, model.device)
            config = beam_search(tokenizer, beam, max_new_tokens=room[members[0]])
            output = model.generate(
                input_ids, attention_mask=mask, generation_config=config, stopping_criteria=until_asked()
            )
            for i, written in zip(members, output[:, input_ids.shape[1] :].tolist(), strict=True):
                answer = written[: written.index(roles.eos)] if roles.eos in written else written
                translations[i] = " ".join(tokenizer.decode(answer, skip_special_tokens=True).split())
            progress.add(len(members))
    return translations


def _rooms(inputs: dict[int, list[int]], context: int, max_new_tokens: int) -> dict[int, int]:
    """How many tokens each answer may have."""
    room = {i: min(max_new_tokens, context - len(ids)) for i, ids in inputs.items()}
    for i, tokens in room.items():
        if tokens < 1:
            raise InputError(
                f"Text {i + 1} has a prompt of {len(inputs[i]):,} tokens and the model's context holds {context:,}: "
                "nothing can follow it. Shorten it."
            )
    return room


def _batches(inputs: dict[int, list[int]], room: dict[int, int], size: int) -> Iterator[list[int]]:
    """Texts of similar length whose answers may be equally long; the longest first, since what does not fit shows at once."""
    by_length = sorted(inputs, key=lambda i: -len(inputs[i]))
    for _, members in itertools.groupby(by_length, key=room.__getitem__):
        alike = list(members)
        for first in range(0, len(alike), size):
            yield alike[first : first + size]


def _filled_left(rows: Sequence[Sequence[int]], filler: int, device: torch.device) -> torch.Tensor:
    """[rows, longest], filled up on the left."""
    longest = max(map(len, rows))
    return torch.tensor([[*[filler] * (longest - len(row)), *row] for row in rows], device=device)
