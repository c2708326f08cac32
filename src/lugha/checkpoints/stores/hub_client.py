"""The Hugging Face client, made fit for a worker in the background: it says nothing, and it never waits for ever.

    with hub_client() as api:
        api.create_commit(...)

As it comes, the client waits without limit for a server that hangs, draws progress bars over the run's own lines, and warns on
stderr at each of its own retries, with addresses that carry a signature. Its session, its bars and its log are those of the
whole process, so that what is changed here is changed for the process: the limits for good, where a request has none of its
own; bars and warnings while a call of ours is running.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

# Seconds. `read` and `write` are for one piece that does not move, not for a whole file. The hub may take its time over a
# commit of many files; the client repeats most requests that ran into a limit, five times.
LIMITS = {"connect": 20.0, "read": 120.0, "write": 120.0, "pool": 120.0}

_LOG = "huggingface_hub"
_lock = threading.Lock()
_running = 0
_before: tuple[bool, int] = (False, logging.NOTSET)
_factory: Callable[[], httpx2.Client] | None = None


@contextlib.contextmanager
def hub_client() -> Iterator[HfApi]:
    """The client for the endpoint and the token of this process's settings, silent and with limits."""
    from huggingface_hub import HfApi, constants

    _set_limits()
    _hush()
    try:
        yield HfApi(endpoint=constants.ENDPOINT, library_name="lugha")
    finally:
        _speak()


def _set_limits() -> None:
    """Make the process's session one whose requests all end."""
    global _factory
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    with _lock:
        # There is no public way to ask which factory is set; it is wrapped, since it may hold a proxy or certificates.
        present = _http._GLOBAL_CLIENT_FACTORY
        if present is _factory:
            return

        def factory() -> httpx2.Client:
            client = present()
            client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], _limit]}
            return client

        _factory = factory
        set_client_factory(factory)


def _limit(request: httpx2.Request) -> None:
    """Also for calls of the client that ask for no limit by name."""
    asked = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = LIMITS | {kind: seconds for kind, seconds in asked.items() if seconds is not None}


def _hush() -> None:
    """No bars and no warnings while any of our calls is running: several stores have a thread each."""
    global _running, _before
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars

    with _lock:
        _running += 1
        if _running > 1:
            return
        log = logging.getLogger(_LOG)
        # HF_HUB_DISABLE_PROGRESS_BARS=0 asks for bars, and the client lets nobody overrule it.
        _before = (are_progress_bars_disabled() or constants.HF_HUB_DISABLE_PROGRESS_BARS is False, log.level)
        if not _before[0]:
            disable_progress_bars()
        log.setLevel(logging.CRITICAL)


def _speak() -> None:
    """As it was, after the last call."""
    global _running
    from huggingface_hub.utils.tqdm import enable_progress_bars

    with _lock:
        _running -= 1
        if _running:
            return
        if not _before[0]:
            enable_progress_bars()
        logging.getLogger(_LOG).setLevel(_before[1])
