"""A store that does not answer: asked again, then a clear end; never taken for an empty one."""

from __future__ import annotations

import pytest

from lugha.checkpoints import reaching
from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.reaching import reached
from lugha.checkpoints.stores.protocol import StoreError
from lugha.errors import InputError, InterruptedRunError, RefusedError


class Failing:
    """Fails so often, then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "PAUSES", Backoff(first=0.0, cap=0.0))


def test_a_store_that_fails_for_now_is_asked_again() -> None:
    said: list[str] = []
    assert reached(Failing(2, StoreError("503 Slow Down.", permanent=False)), say=said.append) == "answer"
    assert said == ["503 Slow Down. Trying again."] * 2


def test_after_some_attempts_it_is_an_interruption() -> None:
    with pytest.raises(InterruptedRunError, match=r"503 Slow Down\. Tried 5 times\. Run the same command again"):
        reached(Failing(9, StoreError("503 Slow Down.", permanent=False)), say=lambda _: None)


@pytest.mark.parametrize(
    ("error", "raised"), [(StoreError("403", permanent=True), RefusedError), (InputError("wrong"), InputError)]
)
def test_what_will_not_change_is_not_asked_again(error: Exception, raised: type[Exception]) -> None:
    work = Failing(9, error)
    with pytest.raises(raised):
        reached(work, say=lambda _: None)
    assert work.calls == 1
