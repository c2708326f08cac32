"""What the Hub or the way to it refuses, in one line: which repository, why, what to do, and whether to try again.

with store_errors("hf://user/repo", "write"):
    ...calls of the Hugging Face client...

The words are ours alone: what the client says holds addresses, and those of its storage carry a signature.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from lugha.checkpoints.stores.protocol import MissingError, StoreError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

Right = Literal["read", "write"]


@contextlib.contextmanager
def store_errors(address: str, right: Right) -> Iterator[None]:
    """Turn what the client raises into a `StoreError`.

    Args:
        address: of the store, or of a file in it.
        right: what the token needs for what is done inside.

    Raises:
        StoreError: the client failed, in whatever way.
        MissingError: the hub says that the file is not there.
    """
    import httpx2

    try:
        yield
    except StoreError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        # Not `from error`: its text and that of its causes must not get into a traceback that somebody logs.
        raise _told(address, right, _innermost(error)) from None


def no_token(address: str, right: Right) -> StoreError:
    """There is no token on this machine."""
    may = "" if right == "write" else "no such repository, or it is private, and "
    return StoreError(
        f"{address}: {may}there is no token here. Set HF_TOKEN to one that may {right} there (on the hub: Settings, Access "
        "Tokens), or run `hf auth login`.",
        permanent=True,
    )


def _innermost(error: BaseException) -> BaseException:
    """The client wraps what goes wrong with a large file."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _told(address: str, right: Right, error: BaseException) -> StoreError:
    import httpx2
    from huggingface_hub import errors

    kind = type(error).__name__
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(address, right, error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return StoreError(
            f"{address}: HF_HUB_OFFLINE forbids to reach the hub. Unset it, or take this store out of the recipe.",
            permanent=True,
        )
    if isinstance(error, errors.LocalTokenNotFoundError):
        return no_token(address, right)
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        where = " (and HF_ENDPOINT, which is set)" if os.environ.get("HF_ENDPOINT") else ""
        return StoreError(f"{address}: the hub is not reached. Check the network{where}.", permanent=False)
    if isinstance(error, httpx2.TimeoutException):
        return StoreError(f"{address}: the hub does not answer in time ({kind}).", permanent=False)
    if isinstance(error, httpx2.HTTPError):
        return StoreError(f"{address}: the connection to the hub was cut ({kind}).", permanent=False)
    if isinstance(error, PermissionError) and not error.filename:  # how the client of the newer storage says 401 and 403
        return StoreError(f"{address}: the token may not {right} there. {_rights(right)}.", permanent=True)
    if isinstance(error, OSError) and error.filename:
        return StoreError(f"{address}: {error.filename} cannot be read here ({error.strerror}).", permanent=False)
    return StoreError(
        f"{address}: the client of the hub gave up ({kind}): what answers may not be the hub, or its storage failed.",
        permanent=False,
    )


def _refused(address: str, right: Right, error: HfHubHTTPError) -> StoreError:
    """The words for an answer with an error status."""
    from huggingface_hub import constants, errors, get_token

    status = error.response.status_code
    if not str(error.response.request.url).startswith(constants.ENDPOINT):
        # Another host, that an address with a signature led to: it knows no token, and 403 says that the address is too old.
        return StoreError(f"{address}: the storage of the hub answers with error {status}.", permanent=False)
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return MissingError(f"{address}: there is no such file.")
    if isinstance(error, errors.GatedRepoError):
        return StoreError(
            f"{address} is gated, and the account of this token has no access: ask for it on its page, or use another.",
            permanent=True,
        )
    if isinstance(error, errors.DisabledRepoError):
        return StoreError(f"{address}: the hub has withdrawn this repository. Use another.", permanent=True)
    if status in (401, 403) and get_token() is None:
        return no_token(address, right)
    if isinstance(error, errors.RepositoryNotFoundError):
        return StoreError(
            f"{address}: the hub has no such repository, or this token may not see it. Check the spelling (hf://user/repo) and "
            f"that the token may {right} there.",
            permanent=True,
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return StoreError(
            f"{address}: its history was rewritten while it was read, or its branch is not main.", permanent=False
        )
    says = (error.server_message or "").lower()
    if status in (402, 413) or (status == 403 and any(word in says for word in ("storage", "quota", "exceed"))):
        return StoreError(
            f"{address}: the hub takes no more ({status}): the storage of this account is full, or a file is too large. Delete "
            "large files in the settings of its repositories on the hub (a commit that removes them frees nothing), or use "
            "another account.",
            permanent=True,
        )
    words = {
        401: f"the hub does not accept {_whose_token()} (401): mistyped, expired or revoked. {_renew()}",
        403: f"the token may not {right} there (403). {_rights(right)}",
        404: "the hub does not know what was asked for (404). Check the spelling (hf://user/repo)",
        429: "the hub answers 429, too many requests. Save or publish less often if it stays so",
    }
    told = words.get(status, f"the hub answers with error {status}")
    return StoreError(f"{address}: {told}.", permanent=status in (401, 402, 403, 404, 413))


def _whose_token() -> str:
    return "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token that `hf auth login` stored"


def _renew() -> str:
    if os.environ.get("HF_TOKEN"):
        return "Set it to a valid one that may write, and start the same command again"
    return "Run `hf auth login` again: the next attempt takes the new token"


def _rights(right: Right) -> str:
    if right == "read":
        return "Use one of an account that may read it"
    return "Use one with the role write, or with the right to write to this repository, of an account that it belongs to"
