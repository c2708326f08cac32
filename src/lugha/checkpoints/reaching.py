"""Asking a store something that a person waits for: a few more attempts, then a clear end.

    listed = reached(lambda: list_published(store), say=print)

A store that cannot be asked is never taken for an empty one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.stores.protocol import StoreError
from lugha.errors import InterruptedRunError, RefusedError

T = TypeVar("T")
ATTEMPTS = 5
PAUSES = Backoff(first=1.0, cap=15.0)


def reached(work: Callable[[], T], *, say: Callable[[str], None]) -> T:
    """The result of `work`, tried again where a store fails for now.

    Raises:
        RefusedError: the store will not do it until somebody changes something.
        InterruptedRunError: it could not be reached in several attempts.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except StoreError as error:
            if error.permanent:
                raise RefusedError(str(error)) from error
            if attempt == ATTEMPTS:
                raise InterruptedRunError(
                    f"{error} Tried {ATTEMPTS} times. Run the same command again when the store answers."
                ) from error
            say(f"{error} Trying again.")
            time.sleep(PAUSES.pause(attempt))
    raise AssertionError("the last attempt returns or raises")
