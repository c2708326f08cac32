"""Before the first step: is there a repository on the Hub, made as the recipe says, and may this token write to it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lugha.checkpoints.stores.hub_client import LIMITS, hub_client
from lugha.checkpoints.stores.hub_errors import no_token, store_errors
from lugha.checkpoints.stores.protocol import StoreError

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def make_ready(repo: str, address: str, *, private: bool) -> list[str]:
    """Make the repository where it is missing, and check that the token may write to it.

    The client would make it public unless told. One that is there is never made private or public.

    Returns what the user should know of, one line each.

    Raises:
        StoreError: no token or one that is not accepted, no right to write, not reached; the message says what to do.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    if not constants.is_offline_mode() and get_token() is None:
        raise no_token(address, "write")
    with store_errors(address, "write"), hub_client() as api:
        try:
            info = api.model_info(repo, timeout=LIMITS["read"])
        except RepositoryNotFoundError:
            _create(api, repo, address, private=private)
            info = api.model_info(repo, timeout=LIMITS["read"])
        else:
            _check_right(api, repo)
    if not private or info.private:
        return []
    return [
        f"{address} is public, and the recipe says private: it stays as it is, and everybody can read what is published there. "
        "Make it private in its settings on the hub, or set publish.private to false."
    ]


def _check_right(api: HfApi, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.auth_check(repo, write=True)
    except HfHubHTTPError as error:
        if error.response.status_code != 404:  # a hub of one's own may not know the question
            raise


def _create(api: HfApi, repo: str, address: str, *, private: bool) -> None:
    """Make the repository.

    Raises:
        StoreError: the account of the token may not.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo, private=private)
    except HfHubHTTPError as error:
        if error.response.status_code == 409:  # somebody else made it in this moment
            return
        if error.response.status_code != 403:
            raise
        raise StoreError(_may_not_create(repo, address, api.whoami()), permanent=True) from None


def _may_not_create(repo: str, address: str, account: Mapping[str, Any]) -> str:
    """Why the hub refused to make a repository, from what it says of the account."""
    owner, _, name = repo.partition("/")
    user = str(account.get("name", "?"))
    own = [user, *(str(one.get("name")) for one in account.get("orgs", []))]
    if owner not in own:
        return (
            f"{address}: the hub has no such repository, and the account of this token may not make one under {owner}. Write "
            f"{' or '.join(f'hf://{one}/{name}' for one in own[:5])}, or use a token of {owner}."
        )
    role = account.get("auth", {}).get("accessToken", {}).get("role", "?")
    return (
        f"{address}: the hub has no such repository, and this token (role {role}) may not make one. Use one with the role "
        f"write, or make the repository on the hub and give the token the right to write there."
    )
