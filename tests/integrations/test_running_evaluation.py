from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lugha.integrations.running_evaluation import RunningEvaluation, is_overdue, steps_between


class Loader:
    """As many batches of four rows as it says."""

    def __init__(self, batches: int) -> None:
        self.batches, self.dataset = batches, range(4 * batches)

    def __len__(self) -> int:
        return self.batches


def refusal(running: RunningEvaluation, loader: object) -> str | None:
    return running.refusal(loader, steps=10, step_seconds=1.0, share=0.05)


def test_each_data_set_is_projected_by_its_own_batches() -> None:
    running = RunningEvaluation()
    small, large = Loader(20), Loader(10_000)
    for _ in range(20):
        running.batch(small, 0.001)
    assert refusal(running, small) is None
    for _ in range(8):
        assert refusal(running, large) is None
        running.batch(large, 1.0)
    text = refusal(running, large)
    assert text and "40,000 examples at 4.00/s" in text
    assert running.seconds == pytest.approx(8.02)


def test_a_stream_without_an_end_is_not_projected() -> None:
    running = RunningEvaluation()
    stream = object()
    for _ in range(20):
        running.batch(stream, 100.0)
    assert refusal(running, stream) is None


def state(**values: Any) -> Any:
    log: list[dict[str, Any]] = []
    return SimpleNamespace(
        **{"global_step": 8, "eval_steps": 4, "epoch": 0.5, "log_history": log, "max_steps": 100} | values
    )


def arguments(strategy: str = "steps", delay: float = 0) -> Any:
    return SimpleNamespace(eval_strategy=strategy, eval_delay=delay)


@pytest.mark.parametrize(
    ("args", "where", "overdue"),
    [
        (arguments(), state(), True),
        (arguments(), state(global_step=9), False),
        (arguments(), state(global_step=0), False),
        (arguments(), state(log_history=[{"step": 8, "eval_loss": 1.0}]), False),
        (arguments(), state(log_history=[{"step": 8, "loss": 1.0}, {"step": 4, "eval_loss": 1.0}]), True),
        (arguments(delay=9), state(), False),
        (arguments("epoch"), state(), False),
        (arguments("epoch"), state(epoch=2.0), True),
        (arguments("no"), state(epoch=2.0), False),
    ],
)
def test_an_evaluation_is_overdue_when_its_step_was_saved_and_nothing_came_of_it(
    args: Any, where: Any, overdue: bool
) -> None:
    assert is_overdue(args, where) is overdue


def test_steps_between_evaluations() -> None:
    assert steps_between(arguments(), state()) == 4
    assert steps_between(arguments(), state(eval_steps=500)) == 100
    assert steps_between(arguments("epoch"), state(num_train_epochs=3)) == 34
