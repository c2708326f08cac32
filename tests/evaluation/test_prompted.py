"""Translation by prompt against a step-by-step argmax loop of our own, on tiny decoders with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from lugha.errors import InputError
from lugha.evaluation.prompted import translate_prompted
from lugha.languages.normalise import Normaliser
from lugha.tokens.encode import as_plain_text
from lugha.tokens.template import load_template
from tests.evaluation.tiny_models import LINES, tiny_llama, tiny_m2m100, tiny_tokenizer

TOKENIZER = as_plain_text(tiny_tokenizer())
TEMPLATE = load_template("instruction")
PAD, BOS, EOS = 0, 1, 2
CONTEXT = 1024
SHORT = [*LINES, "Ee.", "Mtoto anasoma kitabu na mwalimu anaandika barua ndefu sana kwa rafiki yake wa zamani."]


def wide(model: PreTrainedModel) -> PreTrainedModel:
    model.config.max_position_embeddings = CONTEXT  # prompts of a tokenizer that knows few words are long
    return model


def tiny_mistral() -> MistralForCausalLM:
    """A decoder whose attention looks 24 tokens back."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    more = {"num_key_value_heads": 2, "sliding_window": 24, "initializer_range": 0.3, "max_position_embeddings": CONTEXT}
    return MistralForCausalLM(MistralConfig(vocab_size=400, **sizes, **special, **more)).eval()


LLAMA, MISTRAL = wide(tiny_llama()), tiny_mistral()


def ask(model: PreTrainedModel, texts: Sequence[str], **options: object) -> list[str]:
    values = {"source_lang": "swh", "target_lang": "eng", "beam": 1, "max_new_tokens": 12, **options}
    return translate_prompted(model, TOKENIZER, TEMPLATE, texts, **values)  # type: ignore[arg-type]


def prompt_ids(text: str) -> list[int]:
    return [BOS, *TOKENIZER.encode(TEMPLATE.translation_prompt(text, "swh", "eng")).ids]


def argmax_answer(model: PreTrainedModel, text: str, new_tokens: int) -> str:
    ids = prompt_ids(Normaliser("swh").normalise(text))
    length = len(ids)
    with torch.no_grad():
        while len(ids) < length + new_tokens and ids[-1] != EOS:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    answer = [i for i in ids[length:] if i != EOS]
    return " ".join(TOKENIZER.decode(answer).split())


@pytest.mark.parametrize("model", [LLAMA, MISTRAL], ids=["llama", "mistral"])
def test_the_answer_is_the_argmax_of_each_step(model: PreTrainedModel) -> None:
    assert ask(model, SHORT, batch=3) == [argmax_answer(model, text, 12) for text in SHORT]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("model", [LLAMA, MISTRAL], ids=["llama", "mistral"])
def test_a_translation_does_not_depend_on_its_batch(model: PreTrainedModel, beam: int) -> None:
    alone = [ask(model, [text], beam=beam)[0] for text in SHORT]
    assert ask(model, SHORT, beam=beam, batch=len(SHORT)) == alone
    assert ask(model, SHORT, beam=beam, batch=3) == alone
    assert len(set(alone)) > 1, "a model that says one thing to everything proves no order"


def test_rows_are_filled_up_on_the_left_and_masked_by_position(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    search = LLAMA.generate

    def spy(input_ids: torch.Tensor, attention_mask: torch.Tensor, **options: object) -> torch.Tensor:
        seen.append((input_ids, attention_mask))
        return search(input_ids, attention_mask=attention_mask, **options)

    monkeypatch.setattr(LLAMA, "generate", spy)
    texts = ["Ee.", LINES[0], LINES[5]]
    ask(LLAMA, texts)
    ((ids, mask),) = seen
    rows = [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]
    assert sorted(rows) == sorted(prompt_ids(text) for text in texts)
    assert (mask[:, -1] == 1).all()
    assert (mask.diff(dim=1) >= 0).all()
    assert (ids[mask == 0] == PAD).all()


def test_the_answer_ends_at_its_end_and_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {
        "moja": [*TOKENIZER.encode("One\nline  only.\n").ids, EOS, *TOKENIZER.encode("junk").ids],
        "mbili": TOKENIZER.encode(" never ends").ids,
    }
    longest = max(map(len, written.values()))

    def answer(input_ids: torch.Tensor, **_: object) -> torch.Tensor:
        rows = []
        for row in input_ids.tolist():
            text = TOKENIZER.decode(row)
            ids = next(ids for key, ids in written.items() if key in text)
            rows.append([*row, *ids, *[PAD] * (longest - len(ids))])
        return torch.tensor(rows)

    monkeypatch.setattr(LLAMA, "generate", answer)
    assert ask(LLAMA, ["moja", "mbili"]) == ["One line only.", "never ends"]


def test_texts_are_normalised_and_empty_ones_are_not_asked() -> None:
    assert ask(LLAMA, ["", "Ng’ombe  wanakunywa maji", " \u200b "]) == ["", *ask(LLAMA, ["Ng'ombe wanakunywa maji"]), ""]
    assert ask(LLAMA, []) == []


def test_answers_end_where_the_context_is_full() -> None:
    model = tiny_llama()
    lengths = [len(prompt_ids(text)) for text in SHORT]
    model.config.max_position_embeddings = max(lengths) + 3
    found = ask(model, SHORT, batch=len(SHORT), max_new_tokens=40)
    for text, length, answer in zip(SHORT, lengths, found, strict=True):
        assert answer == argmax_answer(model, text, min(40, max(lengths) + 3 - length))
    model.config.max_position_embeddings = max(lengths)
    with pytest.raises(InputError, match=rf"Text {lengths.index(max(lengths)) + 1} has a prompt of {max(lengths)} tokens"):
        ask(model, SHORT)


def test_refusals() -> None:
    with pytest.raises(InputError, match="m2m_100 model is not a decoder"):
        ask(tiny_m2m100(), LINES)
    with pytest.raises(InputError, match="they do not belong together"):
        ask(tiny_llama(vocab_size=300), LINES)
    with pytest.raises(InputError, match=r"the same language \(swh_Latn\)"):
        ask(LLAMA, [], target_lang="sw")
    with pytest.raises(InputError, match='Unknown language "xx"'):
        ask(LLAMA, LINES, target_lang="xx")


def test_the_model_is_left_in_the_mode_it_was_in() -> None:
    model = wide(tiny_llama()).train()
    ask(model, LINES[:1])
    assert model.training
