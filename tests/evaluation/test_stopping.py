"""Evaluation hears that the process is to stop between any two tokens, batches and compressors."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from lugha.errors import InterruptedRunError
from lugha.evaluation.compression import compression_baselines
from lugha.evaluation.decode import generate_text, translate
from lugha.evaluation.likelihood import negative_log_likelihood
from lugha.evaluation.preference import score_preferences
from lugha.evaluation.prompted import translate_prompted
from lugha.runs import stopping
from lugha.tokens.template import load_template
from tests.evaluation.tiny_models import LINES, tiny_llama, tiny_m2m100, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@contextlib.contextmanager
def signalled_in_forward(model: torch.nn.Module, number: int) -> Iterator[list[int]]:
    """SIGTERM in the middle of the model's n-th forward; gives the count of forwards that were begun."""
    begun = [0]

    def count(*given: object) -> None:
        begun[0] += 1
        if begun[0] == number:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopping._current is not None
            while stopping._current.reason() is None:
                time.sleep(0.001)

    handle = model.register_forward_pre_hook(count)
    with pytest.raises(InterruptedRunError, match="Stopped by signal SIGTERM; nothing half-written was kept"):
        yield begun
    handle.remove()
    assert begun == [number]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_translation_stops_between_two_tokens(beam: int) -> None:
    model = tiny_m2m100()
    with signalled_in_forward(model, 5):
        translate(model, TOKENIZER, LINES[:2], source_lang="swh", target_lang="eng", beam=beam, max_new_tokens=60)


@pytest.mark.parametrize("beam", [1, 4])
def test_a_prompted_translation_stops_between_two_tokens(beam: int) -> None:
    model, template = tiny_llama(), load_template("instruction")
    with signalled_in_forward(model, 5):
        translate_prompted(
            model, TOKENIZER, template, LINES[:2], source_lang="swh", target_lang="eng", beam=beam, max_new_tokens=40
        )


@pytest.mark.parametrize("strategy", ["greedy", "top_p"])
def test_a_continuation_stops_between_two_tokens(strategy: str) -> None:
    model = tiny_llama()
    with signalled_in_forward(model, 5):
        generate_text(model, TOKENIZER, ["Habari"], strategy=strategy, max_new_tokens=60)  # type: ignore[arg-type]


def test_likelihood_stops_between_two_batches() -> None:
    model, ids = tiny_llama(), torch.arange(3, 19).reshape(2, 8)
    with signalled_in_forward(model.base_model, 2):
        negative_log_likelihood(model, [{"input_ids": ids, "labels": ids}] * 3, "cpu")


def asked(work: Callable[[], object]) -> None:
    with stopping.limited() as stop:
        work()
        stop.ask("somebody")
        with pytest.raises(InterruptedRunError, match="Stopped by somebody"):
            work()


def test_what_has_no_model_stops_as_well() -> None:
    asked(lambda: compression_baselines(LINES, LINES))
    log_probs, ones = np.array([[-1.0, -2.0], [-2.0, -1.0]]), np.ones((2, 2), dtype=int)
    asked(lambda: score_preferences(log_probs, ones, np.arange(2), bootstrap=10))


def test_asking_changes_no_text() -> None:
    model = tiny_m2m100()
    texts = translate(model, TOKENIZER, LINES[:3], source_lang="swh", target_lang="eng", max_new_tokens=20)
    with stopping.stopping():
        again = translate(model, TOKENIZER, LINES[:3], source_lang="swh", target_lang="eng", max_new_tokens=20)
    assert texts == again
