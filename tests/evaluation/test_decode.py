"""Decoding against step-by-step argmax loops of our own, on tiny models with random weights."""

from __future__ import annotations

import pytest
import torch

from lugha.errors import InputError
from lugha.evaluation.decode import generate_text, translate
from lugha.languages.normalise import Normaliser
from tests.evaluation.tiny_models import LINES, tiny_llama, tiny_m2m100, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
LLAMA, M2M100 = tiny_llama(), tiny_m2m100()
PAD, BOS, EOS = 0, 1, 2


def _argmax_continuation(prompt: str, new_tokens: int) -> str:
    ids = [BOS, *TOKENIZER.encode(prompt, add_special_tokens=False).ids]
    length = len(ids)
    with torch.no_grad():
        while len(ids) < length + new_tokens:
            ids.append(int(LLAMA(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == EOS:
                break
    before = TOKENIZER.decode(ids[1:length])
    return TOKENIZER.decode(ids[1:])[len(before) :]


def _argmax_translation(text: str, source: str, target: str, new_tokens: int) -> str:
    ids = [TOKENIZER.token_to_id(source), *TOKENIZER.encode(text, add_special_tokens=False).ids, EOS]
    written = [EOS, TOKENIZER.token_to_id(target)]
    with torch.no_grad():
        while len(written) < new_tokens + 2:
            logits = M2M100(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([written])).logits
            written.append(int(logits[0, -1].argmax()))
            if written[-1] == EOS:
                break
    return TOKENIZER.decode(written[2:])


@pytest.mark.parametrize("prompt", ["", "Habari ya", "Ụlọ anyị", "The child"])
def test_greedy_continuation_is_the_argmax_of_each_step(prompt: str) -> None:
    assert generate_text(LLAMA, TOKENIZER, [prompt], max_new_tokens=12) == [_argmax_continuation(prompt, 12)]


def test_greedy_translation_is_the_argmax_of_each_step() -> None:
    found = translate(M2M100, TOKENIZER, LINES, source_lang="swh", target_lang="ibo", beam=1, max_new_tokens=12)
    assert found == [_argmax_translation(Normaliser("swh").normalise(t), "swh_Latn", "ibo_Latn", 12) for t in LINES]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_translation_does_not_depend_on_its_batch(beam: int) -> None:
    options = {"source_lang": "eng", "target_lang": "swh_Latn", "beam": beam, "max_new_tokens": 10}
    alone = [translate(M2M100, TOKENIZER, [text], **options)[0] for text in LINES]
    together = translate(M2M100, TOKENIZER, LINES, batch=4, **options)
    assert together == alone
    assert len(set(alone)) > 1, "a model that says one thing to everything proves no order"


@pytest.mark.parametrize("beam", [1, 3])
def test_texts_of_several_directions_share_a_batch(beam: int) -> None:
    """Each row begins with its own target's code; a forced token of generate's own would be the first row's for all."""
    sources, targets = ["swh", "eng", "ibo", "swh"], ["ibo", "swh", "eng", "eng"]
    options = {"beam": beam, "max_new_tokens": 10}
    mixed = translate(M2M100, TOKENIZER, LINES[:4], source_lang=sources, target_lang=targets, **options)
    alone = [
        translate(M2M100, TOKENIZER, [text], source_lang=a, target_lang=b, **options)[0]
        for text, a, b in zip(LINES, sources, targets, strict=False)
    ]
    assert mixed == alone
    with pytest.raises(InputError, match="2 languages for 4 texts"):
        translate(M2M100, TOKENIZER, LINES[:4], source_lang="swh", target_lang=["ibo", "eng"])


def test_layout_of_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's code stands first and </s> last; the target's code is forced behind the decoder start."""
    seen: dict[str, torch.Tensor] = {}
    search = M2M100.generate

    def spy(input_ids: torch.Tensor, **options: object) -> torch.Tensor:
        seen["input"], seen["output"] = input_ids, search(input_ids, **options)
        return seen["output"]

    monkeypatch.setattr(M2M100, "generate", spy)
    translate(M2M100, TOKENIZER, LINES[:3], source_lang="sw", target_lang="ig", beam=2, max_new_tokens=5)
    swahili, igbo = TOKENIZER.token_to_id("swh_Latn"), TOKENIZER.token_to_id("ibo_Latn")
    for row in seen["input"].tolist():
        text = [i for i in row if i != PAD]
        assert text[0] == swahili
        assert text[-1] == EOS
        assert text.count(EOS) == 1
    assert seen["output"][:, :2].tolist() == [[EOS, igbo]] * 3
    assert seen["output"].shape[1] <= 2 + 5, "max_new_tokens counts the text and its </s>, not the language code"


def test_a_text_with_nothing_in_it_translates_to_nothing() -> None:
    found = translate(M2M100, TOKENIZER, ["", LINES[0], " \u200b "], source_lang="swh", target_lang="eng")
    assert found[0] == found[2] == ""
    assert found[1]
    assert translate(M2M100, TOKENIZER, [], source_lang="swh", target_lang="eng") == []


def test_texts_are_normalised_before_they_are_encoded() -> None:
    options = {"source_lang": "ibo", "target_lang": "eng", "max_new_tokens": 8}
    decomposed = "U\u0323lo\u0323 anyi\u0323"  # NFD
    composed = "Ụlọ anyị"
    assert translate(M2M100, TOKENIZER, [decomposed], **options) == translate(M2M100, TOKENIZER, [composed], **options)
    (continued,) = generate_text(LLAMA, TOKENIZER, [decomposed], max_new_tokens=5, lang="ibo")
    assert continued == generate_text(LLAMA, TOKENIZER, [composed], max_new_tokens=5)[0]
    assert continued != generate_text(LLAMA, TOKENIZER, [decomposed], max_new_tokens=5)[0]


@pytest.mark.parametrize("strategy", ["sample", "top_k", "top_p"])
def test_sampling_is_a_function_of_seed_and_place(strategy: str) -> None:
    prompts = ["Habari ya"] * 3
    options = {"strategy": strategy, "max_new_tokens": 16, "temperature": 1.0}
    state = torch.random.get_rng_state()
    first = generate_text(LLAMA, TOKENIZER, prompts, seed=5, **options)
    assert torch.equal(torch.random.get_rng_state(), state), "the generator of a training run must not move"
    torch.manual_seed(99)
    assert generate_text(LLAMA, TOKENIZER, prompts, seed=5, **options) == first
    assert len(set(first)) > 1, "each prompt has a stream of its own"
    assert generate_text(LLAMA, TOKENIZER, prompts, seed=6, **options) != first
    alone = generate_text(LLAMA, TOKENIZER, prompts[:1], seed=6, **options)
    assert alone == generate_text(LLAMA, TOKENIZER, prompts, seed=5, **options)[1:2]


def test_top_k_of_one_and_a_tiny_top_p_are_greedy() -> None:
    greedy = generate_text(LLAMA, TOKENIZER, LINES[:2], max_new_tokens=10)
    assert generate_text(LLAMA, TOKENIZER, LINES[:2], max_new_tokens=10, strategy="top_k", top_k=1) == greedy
    assert generate_text(LLAMA, TOKENIZER, LINES[:2], max_new_tokens=10, strategy="top_p", top_p=1e-6) == greedy


def test_a_continuation_ends_where_the_context_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama()
    prompt = "Habari " * 40
    tokens = len(TOKENIZER.encode(prompt).ids) + 1
    search, lengths = model.generate, []

    def spy(input_ids: torch.Tensor, **options: object) -> torch.Tensor:
        output = search(input_ids, **options)
        lengths.append(output.shape[1])
        return output

    monkeypatch.setattr(model, "generate", spy)
    model.config.max_position_embeddings = tokens + 3
    generate_text(model, TOKENIZER, [prompt], max_new_tokens=50)
    assert tokens < lengths[0] <= tokens + 3
    model.config.max_position_embeddings = tokens
    with pytest.raises(InputError, match="nothing can follow"):
        generate_text(model, TOKENIZER, [prompt])


def test_models_are_left_in_the_mode_they_were_in() -> None:
    model = tiny_m2m100().train()
    translate(model, TOKENIZER, LINES[:1], source_lang="swh", target_lang="eng", max_new_tokens=3)
    assert model.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "top-k"}, 'Did you mean "top_k"'),
        ({"strategy": "sample", "temperature": 0.0}, "greedy"),
        ({"strategy": "top_k", "top_k": 0}, "top_k 0"),
        ({"strategy": "top_p", "top_p": 1.5}, "top_p 1.5"),
        ({"lang": "igb"}, "Unknown language"),
    ],
)
def test_bad_values_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate_text(LLAMA, TOKENIZER, ["Habari"], **options)


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(InputError, match=f"{TOKENIZER.get_vocab_size()} tokens and the model an embedding of 300"):
        generate_text(tiny_llama(vocab_size=300), TOKENIZER, ["Habari"])
    with pytest.raises(InputError, match="no encoder"):
        translate(LLAMA, TOKENIZER, ["Habari"], source_lang="swh", target_lang="eng")
    with pytest.raises(InputError, match="same language"):
        translate(M2M100, TOKENIZER, ["Habari"], source_lang="swh", target_lang="sw")
    with pytest.raises(InputError, match="hau_Latn"):
        translate(M2M100, TOKENIZER, ["Habari"], source_lang="swh", target_lang="hau")
