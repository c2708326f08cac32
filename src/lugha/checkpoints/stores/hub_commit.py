"""A repository of the Hub as a chain of commits: read the head, send what is large, commit on that head and on no other.

    repository = HubRepository("user/repo", "hf://user/repo")
    head = repository.head()
    repository.files(head)                       path -> what the hub says of the file
    repository.send([addition, ...])             large files go to the hub's storage; nothing is visible yet
    repository.commit("checkpoint-500", plan)    plan(head) -> operations; all of them at once, or none
    for block in repository.stream(path, head): ...

A commit names its parent, and the hub refuses it where somebody else has committed since: then the head is read again and the
plan made anew. A commit whose answer was lost is no trouble: the same plan on the new head finds nothing left to do.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lugha.checkpoints.stores.hub_client import LIMITS, hub_client
from lugha.checkpoints.stores.hub_errors import store_errors
from lugha.checkpoints.stores.protocol import StoreError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete

_BRANCH = "main"
_RACES = 8  # commits of others that may come in between before this one is given up for now
_CUTS = 5  # of one download, each after some progress
# A repository may hold a .gitignore, and the hub then leaves such files out of a commit without a word. Earlier versions of
# transformers' Trainer wrote one with `checkpoint-*/`.
_IGNORE_NOTHING = "# every file of a checkpoint is sent\n"


@dataclass(frozen=True)
class HubFile:
    """What the hub says of a file at a commit."""

    bytes: int
    content: str  # equal for two files with the same bytes


class HubRepository:
    """A model repository; see the module's story. Every method raises `StoreError`."""

    def __init__(self, repo: str, address: str) -> None:
        self.repo = repo
        self.address = address

    def head(self) -> str:
        """The newest commit of the branch `main`."""
        with store_errors(self.address, "read"), hub_client() as api:
            info = api.model_info(self.repo, revision=_BRANCH, timeout=LIMITS["read"])
            if info.sha is None:
                raise StoreError(f"{self.address}: the hub names no commit of it.", permanent=False)
            return info.sha

    def files(self, commit: str, folder: str = "") -> dict[str, HubFile]:
        """Path in the repository -> file, of a commit, below `folder`; empty where there is no such folder."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import EntryNotFoundError

        with store_errors(self.address, "read"), hub_client() as api:
            tree = api.list_repo_tree(self.repo, folder or None, recursive=True, revision=commit)
            try:
                return {f.path: HubFile(f.size, f.blob_id) for f in tree if isinstance(f, RepoFile)}
            except EntryNotFoundError:
                return {}

    def changed(self, commit: str, paths: Sequence[str]) -> Mapping[str, datetime.datetime]:
        """Path -> when the commit was made that last changed it, by the hub's clock."""
        from huggingface_hub import RepoFile

        if not paths:
            return {}
        with store_errors(self.address, "read"), hub_client() as api:
            found = api.get_paths_info(self.repo, list(paths), expand=True, revision=commit)
            return {f.path: f.last_commit.date for f in found if isinstance(f, RepoFile) and f.last_commit}

    def send(self, additions: Sequence[CommitOperationAdd]) -> None:
        """Send what the hub keeps in its storage of large files; what it holds already, by SHA-256, is not sent again.

        One after the other, in this thread: the client's own threads would hold up the end of the process.
        """
        with store_errors(self.address, "write"), hub_client() as api:
            for addition in additions:
                api.preupload_lfs_files(self.repo, [addition], gitignore_content=_IGNORE_NOTHING, free_memory=False)

    def commit(self, message: str, plan: Callable[[str], Sequence[Operation]]) -> None:
        """Commit what `plan` says for a head, on that head; nothing where it says nothing.

        Additions of the plan must have gone through `send`.
        """
        from huggingface_hub.errors import HfHubHTTPError

        for _ in range(_RACES):
            head = self.head()
            operations = plan(head)
            if not operations:
                return
            with store_errors(self.address, "write"), hub_client() as api:
                try:
                    api.create_commit(self.repo, operations, commit_message=message, parent_commit=head)
                except HfHubHTTPError as error:
                    if error.response.status_code != 412:
                        raise
                else:
                    return
        raise StoreError(
            f"{self.address}: others commit there all the time, {_RACES} attempts came too late. Give this run a repository of "
            "its own.",
            permanent=False,
        )

    def stream(self, path: str, commit: str, address: str) -> Iterator[bytes]:
        """The bytes of a file of a commit, from the hub; a connection that is cut is taken up where it was.

        Args:
            address: names the file in errors.

        Raises:
            MissingError: the commit has no such file.
        """
        read = 0
        for attempt in range(_CUTS + 1):
            before = read
            try:
                for block in self._stream_from(read, path, commit, address):
                    read += len(block)
                    yield block
                return
            except StoreError as error:
                if error.permanent or read == before or attempt == _CUTS:
                    raise

    def _stream_from(self, start: int, path: str, commit: str, address: str) -> Iterator[bytes]:
        from huggingface_hub import constants, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        # Compressed answers have no length, and no middle to go on from.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with store_errors(address, "read"):
            with hub_client():  # the token goes to the hub; the session takes it off where it is sent on to another host
                url = hf_hub_url(self.repo, path, revision=commit, endpoint=constants.ENDPOINT)
                answer = get_session().stream("GET", url, headers=build_hf_headers(library_name="lugha", headers=headers))
            with answer as response:
                hf_raise_for_status(response)
                if start and response.status_code != 206:
                    raise StoreError(f"{address}: the connection to the hub was cut.", permanent=False)
                yield from response.iter_bytes()  # as it comes: a cut must not lose what has arrived
