"""What a user of lugha reads when something is wrong: one line, and the exit code that goes with it.

Every error that is the user's to mend is a `LughaError` whose message says what is wrong, where (file, row, key), the
nearest right value, and what to do. The command line prints the message alone and leaves with `exit_code`; a caller of
the library catches the class. Anything else that escapes is a fault of ours (exit code 1, with its traceback).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LughaError(Exception):
    """Base of all errors that lugha raises on purpose."""

    exit_code = 1


class InputError(LughaError):
    """Bad usage or bad input: a file, a row, a key, a value."""

    exit_code = 2


class RefusedError(LughaError):
    """A plan, a gate or a check said no; nothing was started."""

    exit_code = 3


class DivergedError(RefusedError):
    """The loss of a training is not a number any more; the update was not made."""


class InterruptedRunError(LughaError):
    """The work stopped before its end (a signal, a full disk) and the same command goes on with it."""

    exit_code = 75


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggestion to append to an error about an unknown `word`: ` Did you mean "x"?`, or the list of `known` words.

    Returns a string that starts with a blank, or an empty one when nothing is known.
    """
    options = sorted(set(known))
    if not options:
        return ""
    close = difflib.get_close_matches(word.lower(), [o.lower() for o in options], n=1, cutoff=0.6)
    if close:
        right = next(o for o in options if o.lower() == close[0])
        return f' Did you mean "{right}"?'
    shown = ", ".join(options[:12]) + (", ..." if len(options) > 12 else "")
    return f" Known: {shown}."
