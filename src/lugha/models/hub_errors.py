"""What a hub refuses, in one line: which model, why, what to do. No address and no token stands in a message.

with one_line_errors("owner/name", "main", licence="llama3"):
    ...calls of the Hugging Face client...
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lugha.errors import InputError, nearest


@contextlib.contextmanager
def one_line_errors(
    repo: str, revision: str | None, *, licence: str | None = None, record: Path | None = None
) -> Iterator[None]:
    """Turn what the client raises into one line; the words are ours alone, so that no address and no token is in them.

    Args:
        record: the file that `revision` comes from, where it was not the user who named it.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(_gated(repo, licence)) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{repo}: the hub has no such model, or it is private. Check the spelling (owner/name); for a private one set "
            "HF_TOKEN to a token that may read it; if a folder was meant, there is none of that name here."
        ) from error
    except errors.RevisionNotFoundError as error:
        anew = f"It is the one recorded in {record}: delete that file to resolve the id anew. " if record else ""
        raise InputError(f'{repo} has no revision "{revision}". {anew}{_revisions(repo, str(revision))}') from error
    except errors.DisabledRepoError as error:
        raise InputError(f"{repo}: the hub has withdrawn this model. Name another, or a folder with a copy.") from error
    except errors.HfHubHTTPError as error:
        raise InputError(_refused(repo, error.response.status_code)) from error
    except (httpx2.TransportError, errors.LocalEntryNotFoundError) as error:
        raise InputError(
            f"{repo}: the connection to the hub was lost ({type(error).__name__}). What was downloaded is kept: run the same "
            "command again."
        ) from error


def _gated(repo: str, licence: str | None) -> str:
    whose = f"its licence ({licence})" if licence else "its licence"
    page = f"on the page of {repo} on the hub"
    if _has_token():
        return (
            f"{repo} is gated, and the account of this token has no access: accept {whose} {page} (some owners then approve "
            "each request by hand), and run the same command again."
        )
    return f"{repo} is gated: log in and accept {whose} {page}, then set HF_TOKEN to a token of that account."


def _refused(repo: str, status: int) -> str:
    if status == 401:
        which = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token that `hf auth login` stored"
        return f"{repo}: the hub does not accept {which} (401): mistyped or expired. Renew it; public models need none."
    if status == 403:
        return f"{repo}: the token may not read this model (403). Give it the right to read, or use another in HF_TOKEN."
    if status == 429:
        return f"{repo}: the hub answers 429, too many requests. Wait some minutes; with a token in HF_TOKEN the limit is higher."
    return f"{repo}: the hub answers with error {status}. Try again later, or name a folder with the model."


def _revisions(repo: str, revision: str) -> str:
    """Which branches and tags there are, the nearest first."""
    from huggingface_hub import HfApi, constants

    with one_line_errors(repo, None):
        refs = HfApi(endpoint=constants.ENDPOINT).list_repo_refs(repo)
    names = [r.name for r in (*refs.branches, *refs.tags)]
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    near = nearest(revision, names).strip()
    hint = f"{near} " if near.startswith("Did") else ""
    return f"{hint}Branches and tags: {shown}. A commit is written with all its 40 digits."


def _has_token() -> bool:
    from huggingface_hub import get_token

    return bool(get_token())
