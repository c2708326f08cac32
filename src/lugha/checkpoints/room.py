"""What a save does on a full disk: make room by the policy, else wait, red, until there is some; then go on.

    folder = saved_with_room(save, run=run, section=recipe.checkpoints, stores=..., status=status,
                             expected_bytes=size_of_the_last, give_up=lambda: stop.reason() is not None)

The last good checkpoints are never touched: only what stands behind two newer verified ones goes, the oldest first, and only as
much as is needed. While the run waits, a store may verify more of them, or a person may make room.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from lugha.checkpoints.retention import free_local
from lugha.errors import InterruptedRunError
from lugha.recipe import CheckpointsSection
from lugha.runs.folder import RunFolder
from lugha.runs.rates import format_duration
from lugha.runs.status import RunStatus

T = TypeVar("T")

SPARE = 1.1  # of the expected size: file systems and their journals need some themselves
ALARM = "disk"
_FIRST_PAUSE, _LONGEST_PAUSE, _SLICE = 0.5, 5.0, 0.1  # seconds
_TRY_ANYWAY = 12  # polls: a quota may be lifted without any disk becoming emptier


def saved_with_room(
    save: Callable[[], T],
    *,
    run: RunFolder,
    section: CheckpointsSection,
    stores: Sequence[str],
    status: RunStatus,
    expected_bytes: int,
    give_up: Callable[[], bool],
    say: Callable[[str], None] = lambda text: None,
) -> T:
    """The result of `save`, once there was room for it.

    Args:
        save: writes a checkpoint; on a full disk it leaves nothing and raises an InterruptedRunError.
        stores: those that the recipe names, for what may go (retention.py).
        expected_bytes: what it will write, about; 0: unknown.
        give_up: whether the run may not wait any longer; what fits is tried all the same.
        say: gets a line when the run begins to wait.

    Raises:
        InterruptedRunError: no room within `section.disk_wait`, or `give_up` said so.
    """
    waits = _Waits(run, section, status, say)
    needed = int(SPARE * expected_bytes)
    failed_at: int | None = None  # bytes that were free when a save found no room
    while True:
        free = shutil.disk_usage(run.path).free
        hurried = give_up() or waits.over
        if hurried or (free >= needed and (failed_at is None or free > failed_at or waits.polls % _TRY_ANYWAY == 0)):
            try:
                saved = save()
            except InterruptedRunError as error:
                if hurried:
                    raise
                failed_at = free
                useless = _is_too_large_a_file(error)
            else:
                waits.end()
                return saved
        else:
            useless = False
        short = max(needed - free, 1)
        if not useless and _freed(run, section, stores, short):
            failed_at = None
            continue
        waits.once(give_up, needed=needed, free=free)


class _Waits:
    """The pauses of one save: begun with an alarm, ended with its end."""

    def __init__(self, run: RunFolder, section: CheckpointsSection, status: RunStatus, say: Callable[[str], None]) -> None:
        self.polls = 0
        self._run, self._section, self._status, self._say = run, section, status, say
        self._since: float | None = None

    @property
    def over(self) -> bool:
        """Whether it waited as long as it may."""
        return self._since is not None and time.monotonic() - self._since >= self._section.disk_wait

    def once(self, give_up: Callable[[], bool], *, needed: int, free: int) -> None:
        """One pause; it ends early when nobody may wait any longer."""
        text = (
            f"no room for a checkpoint below {self._run.path} (about {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free), "
            f"and nothing more may be deleted. Make room; the run waits {format_duration(self._section.disk_wait)}."
        )
        if self._since is None:
            self._since = time.monotonic()
            self._status.note("paused")
            self._say(text)
        self._status.alarm(ALARM, "red", text)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 1.5**self.polls)
        self.polls += 1
        until = time.monotonic() + pause
        while time.monotonic() < until and not (give_up() or self.over):
            time.sleep(_SLICE)

    def end(self) -> None:
        """There was room."""
        if self._since is not None:
            self._status.clear(ALARM)
            self._status.note("running")


def _freed(run: RunFolder, section: CheckpointsSection, stores: Sequence[str], needed: int) -> bool:
    """Whether anything could go."""
    try:
        return any(not one.keep for one in free_local(run, section, stores=stores, needed=needed))
    except InterruptedRunError:  # it went, but the spool still has its bytes: there was no room to write that down
        return True


def _is_too_large_a_file(error: InterruptedRunError) -> bool:
    """Whether a limit on the size of files was met: then deleting others is of no use."""
    cause = error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return number == errno.EFBIG or f"os error {errno.EFBIG})" in str(cause)
