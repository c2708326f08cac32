"""A request and an answer of the small hub as plain values, and the ways they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.servers.hub_state import Account, Blob, Repository, State


@dataclass(frozen=True)
class Asked:
    """A request: what it asks, with whose token, and where this server is reached."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    token: str | None
    url: str
    storage: str  # the same server under another name: another host for the client


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class About:
    """A request that names a repository and a commit that are there, and that its token may see."""

    state: State
    account: Account | None
    asked: Asked
    repo: str
    repository: Repository
    revision: str
    commit: str
    path: str

    @property
    def files(self) -> Mapping[str, Blob]:
        return self.repository.commits[self.commit].files

    @property
    def writable(self) -> bool:
        return may_write(self.account, self.repo)


def may_write(account: Account | None, repo: str) -> bool:
    return account is not None and account.role == "write" and account.owns(repo)


def refuse(status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    about = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | dict(headers or {})
    return Answer(status, json.dumps({"error": message}).encode(), about | {"Content-Type": "application/json"})


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def part(asked: Asked, body: bytes, headers: Mapping[str, str]) -> Answer:
    """The whole, or from the byte that the client asks for on."""
    start = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range", ""))
    if start is None:
        return Answer(200, body, headers)
    first = int(start[1])
    return Answer(206, body[first:], {**headers, "Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})
