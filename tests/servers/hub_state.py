"""What the small hub remembers: accounts, blobs by their digest, and repositories as chains of commits."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_LARGE = (".safetensors", ".bin", ".h5", ".msgpack", ".gguf")
_LARGE_BYTES = 1 << 20


@dataclass
class Account:
    """Whose token it is and what the token may do."""

    user: str
    role: str = "write"  # or "read"
    organisations: tuple[str, ...] = ()
    reads: set[str] = field(default_factory=set)  # private and gated repositories of others that it may read

    def owns(self, repo: str) -> bool:
        return repo.partition("/")[0] in (self.user, *self.organisations)


@dataclass(frozen=True)
class Blob:
    """A file of a commit; its bytes lie in `State.blobs` under `digest`."""

    digest: str  # SHA-256 where large, else the SHA-1 that git gives it
    size: int
    large: bool

    @property
    def git_id(self) -> str:
        return _sha1(f"pointer to {self.digest}".encode()) if self.large else self.digest


@dataclass(frozen=True)
class Commit:
    message: str
    parent: str | None
    date: str
    files: Mapping[str, Blob]


@dataclass
class Repository:
    card: dict[str, Any] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        return self.branches.get(revision) or self.tags.get(revision) or (revision if revision in self.commits else None)

    def add(self, branch: str, message: str, files: Mapping[str, Blob]) -> str:
        """A new head of `branch` with exactly these files; returns the commit."""
        commit = _sha1(uuid.uuid4().bytes)
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.commits[commit] = Commit(message, self.branches.get(branch), date, dict(files))
        self.branches[branch] = commit
        return commit

    def history(self, commit: str | None) -> list[str]:
        """The commit and its ancestors, newest first."""
        found = []
        while commit in self.commits:
            assert commit is not None
            found.append(commit)
            commit = self.commits[commit].parent
        return found

    def last_change(self, commit: str, path: str) -> str:
        """The newest commit in which this file (or a file below it) is another one than in the commit before."""

        def of(one: str) -> dict[str, Blob]:
            files = self.commits[one].files
            return {p: b for p, b in files.items() if p == path or p.startswith(f"{path}/")}

        history = self.history(commit)
        for one, before in zip(history, [*history[1:], None], strict=True):
            if before is None or of(one) != of(before):
                return one
        raise AssertionError("no history")


class CommitRefusedError(Exception):
    """A commit that the hub does not take: status, and what it says."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class State:
    """Everything that the hub holds."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}  # by token
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}

    def store(self, path: str, body: bytes) -> Blob:
        """Keep the bytes; large or not is decided as the hub does, by name and size."""
        large = is_large(path, len(body))
        digest = hashlib.sha256(body).hexdigest() if large else git_sha1(body)
        self.blobs[digest] = body
        return Blob(digest, len(body), large)

    def apply(self, repository: Repository, branch: str, lines: Iterable[bytes]) -> str:
        """A commit as the client writes it, one JSON object in a line; all of it or nothing.

        Raises:
            CommitRefusedError: another parent, an object that was never sent, a file to delete that is not there.
        """
        head = repository.branches[branch]
        files = dict(repository.commits[head].files)
        message = ""
        for line in lines:
            operation = json.loads(line)
            kind, value = operation["key"], operation["value"]
            path = value.get("path", "")
            if kind == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, head):
                    raise CommitRefusedError(412, "A commit has happened since. Please refresh and try again.")
            elif kind == "file":
                body = base64.b64decode(value["content"])
                self.blobs[git_sha1(body)] = body
                files[path] = Blob(git_sha1(body), len(body), large=False)
            elif kind == "lfsFile":
                if value["oid"] not in self.blobs:
                    raise CommitRefusedError(400, f"LFS pointer pointed to a file that does not exist: {path}")
                files[path] = Blob(value["oid"], len(self.blobs[value["oid"]]), large=True)
            elif kind in ("deletedFile", "deletedFolder"):
                gone = [p for p in files if p == path or (kind == "deletedFolder" and p.startswith(path.rstrip("/") + "/"))]
                if not gone:
                    raise CommitRefusedError(404, f"A file with this name doesn't exist: {path}")
                for name in gone:
                    del files[name]
            else:
                raise CommitRefusedError(400, f"unknown operation {kind}")
        return repository.add(branch, message, files)


def is_large(path: str, size: int) -> bool:
    """Whether the hub keeps such a file in its storage of large files."""
    return size > 0 and (path.endswith(_LARGE) or size >= _LARGE_BYTES)


def git_sha1(body: bytes) -> str:
    """The id that git gives a file."""
    return _sha1(b"blob %d\0" % len(body) + body)


def _sha1(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()
