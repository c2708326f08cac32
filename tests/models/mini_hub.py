"""A small hub on this machine: as much of the Hugging Face Hub's HTTP API as downloading a model needs, in memory.

    with MiniHub() as hub:
        commit = hub.commit("owner/name", {"config.json": b"{}"})
        hub.url           what HF_ENDPOINT is set to
        hub.requests      "METHOD PATH" of everything that was asked

As the real one does: large files (weights) answer with a redirect to another host that holds them by their SHA-256 and must
never see a token; the page and the list of files of a gated model are public, its files are not; a missing model and a
private one look the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

_API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>revision|tree|refs)(?:/(?P<revision>[^/]+))?)?")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")
_LARGE = (".safetensors", ".bin", ".h5", ".msgpack", ".gguf")


@dataclass
class _Repository:
    card: dict[str, Any]
    private: bool
    gated: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        return self.branches.get(revision) or self.tags.get(revision) or (revision if revision in self.commits else None)


class MiniHub:
    """The server, in a thread of the test; see the module's story."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.tokens_seen_by_storage: list[str] = []
        self.readers: dict[str, set[str]] = {}  # token -> models that its account may read beside the public ones
        self.failing: int | None = None  # HTTP status of every answer while it is set
        self._repositories: dict[str, _Repository] = {}
        self._stored: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                hub._answer(self)

            def do_HEAD(self) -> None:
                hub._answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """No longer reachable: the port refuses connections."""
        self._server.shutdown()
        self._server.server_close()

    def commit(
        self,
        repo: str,
        files: Mapping[str, bytes],
        *,
        branch: str = "main",
        licence: str | None = None,
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Put a state of all files on a branch; the repository is made where it is new. Returns the commit."""
        card = {} if licence is None else {"license": licence}
        repository = self._repositories.setdefault(repo, _Repository(card, private, gated))
        content = json.dumps([repo, branch, len(repository.commits), {n: _sha256(b) for n, b in files.items()}])
        commit = hashlib.sha1(content.encode()).hexdigest()
        repository.commits[commit] = dict(files)
        repository.branches[branch] = commit
        return commit

    def tag(self, repo: str, name: str, commit: str) -> None:
        """Name a commit."""
        self._repositories[repo].tags[name] = commit

    def forget(self, repo: str, commit: str) -> None:
        """Rewrite history: the commit is gone."""
        del self._repositories[repo].commits[commit]

    def files_asked_for(self) -> set[str]:
        """Names of the files that a client asked for in any way."""
        return {found["name"] for r in self.requests if (found := _FILE.fullmatch(r.partition(" ")[2]))}

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.requests.append(f"{request.command} {path}")
        authorization = request.headers.get("Authorization")
        token = authorization.removeprefix("Bearer ") if authorization else None
        if path.startswith("/stored/"):
            if token:
                self.tokens_seen_by_storage.append(token)
            _send(request, 200, self._stored[path.removeprefix("/stored/")])
        elif self.failing is not None:
            _send(request, self.failing, b"")
        elif token is not None and token not in self.readers:
            _send(request, 401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif asked := _API.fullmatch(path):
            self._about(request, asked, self.readers.get(token or "", set()))
        elif asked := _FILE.fullmatch(path):
            self._file(request, asked, self.readers.get(token or "", set()))
        else:
            _send(request, 404, b"")

    def _find(
        self, request: BaseHTTPRequestHandler, asked: re.Match[str], readable: set[str]
    ) -> tuple[_Repository, str] | None:
        """The repository and the commit asked for; where there is none the answer is sent."""
        repository = self._repositories.get(asked["repo"])
        if repository is None or (repository.private and asked["repo"] not in readable):
            _send(request, 401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        commit = repository.commit_of(asked["revision"] or "main")
        if commit is None:
            _send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return repository, commit

    def _about(self, request: BaseHTTPRequestHandler, asked: re.Match[str], readable: set[str]) -> None:
        found = self._find(request, asked, readable)
        if found is None:
            return
        repository, commit = found
        entries = [_entry(name, body) for name, body in sorted(repository.commits[commit].items())]
        if asked["what"] == "tree":
            _send_json(request, entries)
        elif asked["what"] == "refs":
            kinds = {"branches": ("refs/heads/", repository.branches), "tags": ("refs/tags/", repository.tags)}
            _send_json(
                request,
                {
                    kind: [{"name": n, "ref": where + n, "targetCommit": c} for n, c in named.items()]
                    for kind, (where, named) in kinds.items()
                }
                | {"converts": []},
            )
        else:
            siblings = [{"rfilename": e["path"], "size": e["size"], "blobId": e["oid"]} for e in entries]
            card = {"cardData": repository.card} if repository.card else {}
            _send_json(
                request,
                {"id": asked["repo"], "sha": commit, "private": repository.private, "gated": repository.gated and "manual"}
                | {"tags": [], "siblings": siblings}
                | card,
            )

    def _file(self, request: BaseHTTPRequestHandler, asked: re.Match[str], readable: set[str]) -> None:
        found = self._find(request, asked, readable)
        if found is None:
            return
        repository, commit = found
        if repository.gated and asked["repo"] not in readable:
            _send(request, 403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return
        body = repository.commits[commit].get(asked["name"])
        if body is None:
            _send(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        digest = _sha256(body)
        about = {"X-Repo-Commit": commit, "ETag": f'"{digest}"'}
        if asked["name"].endswith(_LARGE):
            self._stored[digest] = body
            elsewhere = f"http://localhost:{self.port}/stored/{digest}"
            about |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(body)), "Location": elsewhere}
            _send(request, 302, b"", about)
        else:
            _send(request, 200, body, about)


def _entry(name: str, body: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(body), "oid": _sha256(body)[:40]}
    if name.endswith(_LARGE):
        entry["lfs"] = {"oid": _sha256(body), "size": len(body), "pointerSize": 130}
    return entry


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _send_json(request: BaseHTTPRequestHandler, value: object) -> None:
    _send(request, 200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def point_client_at(hub: MiniHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the real client of this process talk to `hub`, with an empty cache and no token of this machine's."""
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
