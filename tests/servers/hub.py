"""A small hub on this machine: as much of the Hugging Face Hub's HTTP API as models and checkpoints need, in memory.

    with MiniHub() as hub:
        commit = hub.commit("owner/name", {"config.json": b"{}"})
        hub.url                 what HF_ENDPOINT is set to
        hub.environment         what another process needs to talk to it
        hub.requests            "METHOD PATH" of everything that was asked
        hub.messages("o/n")     of the commits, oldest first
        hub.faults.answer("POST .*/commit/", 503, times=2)
        hub.stop(); hub.start() the network is cut, and comes back at the same port

What it answers stands in hub_api.py and hub_storage.py, what it remembers in hub_state.py, what can go wrong in
hub_faults.py.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import constants

from tests.servers.hub_answers import Answer, Asked
from tests.servers.hub_api import file_asked_for, route
from tests.servers.hub_faults import Faults
from tests.servers.hub_state import Account, Blob, Repository, State
from tests.servers.hub_wire import receive, reset, send, wait

USER = "mwalimu"
TOKEN = "hf_writerwriterwriterwriterwriterwr"


class MiniHub:
    """The server, in threads of the test; see the module's story."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.bytes_received: dict[str, int] = {}  # path -> bytes of bodies that arrived whole
        self.tokens_seen_by_storage: list[str] = []
        self.before_commit: list[
            Callable[[], object]
        ] = []  # other writers: one is called before each commit, then forgotten
        self.faults = Faults()
        self.state = State()
        self.user, self.token = USER, TOKEN
        self.admit(TOKEN, user=USER)
        self._folder = tempfile.TemporaryDirectory(prefix="mini-hub-")
        self._connections: set[socket.socket] = set()
        self._lock = threading.RLock()
        self._server: ThreadingHTTPServer | None = self._bind(0)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Reachable, with everything that it held before, at the same port."""
        self._server = self._server or self._bind(self.port)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """No longer reachable: the port refuses connections, and those that were open are cut."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        self.faults.release()
        for connection in list(self._connections):
            reset(connection)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a process whose client talks to this hub alone, as the account that may write."""
        home = str(Path(self._folder.name) / "home")
        quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": self.token, "HF_HOME": home, **quiet}

    def admit(
        self,
        token: str,
        *,
        user: str = "someone",
        role: str = "write",
        organisations: Iterable[str] = (),
        reads: Iterable[str] = (),
    ) -> None:
        """A token is valid from now on, for what is said here (instead of what was said before)."""
        self.state.accounts[token] = Account(user, role, tuple(organisations), set(reads))

    def revoke(self, token: str) -> None:
        """A token is valid no more."""
        del self.state.accounts[token]

    def commit(
        self,
        repo: str,
        files: Mapping[str, bytes],
        *,
        branch: str = "main",
        licence: str | None = None,
        private: bool = False,
        gated: bool = False,
        message: str = "by hand",
        keep: bool = False,
    ) -> str:
        """Put a state of all files on a branch; the repository is made where it is new. Returns the commit.

        Args:
            keep: the files that were there and are not named stay.
        """
        with self._lock:
            card = {} if licence is None else {"license": licence}
            repository = self.state.repositories.setdefault(repo, Repository(card, private, gated))
            head = repository.branches.get(branch)
            before = dict(repository.commits[head].files) if keep and head else {}
            return repository.add(branch, message, before | {n: self.state.store(n, b) for n, b in files.items()})

    def tag(self, repo: str, name: str, commit: str) -> None:
        """Name a commit."""
        self.state.repositories[repo].tags[name] = commit

    def forget(self, repo: str, commit: str) -> None:
        """Rewrite history: the commit is gone."""
        del self.state.repositories[repo].commits[commit]

    def alter(self, repo: str, path: str, body: bytes) -> None:
        """The bytes at rest are others, and nothing that the hub says of them has changed."""
        self.state.blobs[self._files(repo, "main")[path].digest] = body

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """What a branch, tag or commit holds."""
        return {name: self.state.blobs[blob.digest] for name, blob in self._files(repo, revision).items()}

    def messages(self, repo: str) -> list[str]:
        """Of the commits of `main`, oldest first; the first is that of the repository's making."""
        repository = self.state.repositories[repo]
        return [repository.commits[c].message for c in reversed(repository.history(repository.branches["main"]))]

    def is_private(self, repo: str) -> bool:
        return self.state.repositories[repo].private

    def files_asked_for(self) -> set[str]:
        """Names of the files that a client asked for in any way."""
        return {name for r in self.requests if (name := file_asked_for(r))}

    def _files(self, repo: str, revision: str) -> Mapping[str, Blob]:
        repository = self.state.repositories[repo]
        return repository.commits[repository.commit_of(revision) or ""].files

    def _bind(self, port: int) -> ThreadingHTTPServer:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def setup(self) -> None:
                super().setup()
                hub._connections.add(self.connection)

            def finish(self) -> None:
                hub._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def answer(self) -> None:
                with contextlib.suppress(OSError):  # the client is gone, or was cut off
                    hub._answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        return server

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        path = unquote(parts.path)
        name = f"{request.command} {path}"
        with self._lock:
            self.requests.append(name)
        faults = self.faults.of(name)
        rate = min((f.bytes_per_second for f in faults if f.bytes_per_second), default=None)
        cut = next((f.cut_after for f in faults if f.cut_after is not None), None)
        uploads = request.command in ("PUT", "POST")
        body = receive(request, rate, cut if uploads else None)
        if body is None:
            reset(request.connection)
            return
        self.bytes_received[path] = self.bytes_received.get(path, 0) + len(body)
        wait(faults)
        failing = next((Answer(f.status, b"", {"X-Error-Message": f.says}) for f in faults if f.status is not None), None)
        answer = failing or self._done(request, path, parse_qs(parts.query), body)
        if any(f.lose_answer for f in faults):
            reset(request.connection)
        else:
            send(request, answer, rate, None if uploads else cut)

    def _done(self, request: BaseHTTPRequestHandler, path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        authorization = request.headers.get("Authorization")
        token = authorization.removeprefix("Bearer ") if authorization else None
        if token and path.startswith("/stored/"):
            self.tokens_seen_by_storage.append(token)
        if request.command == "POST" and "/commit/" in path and self.before_commit:
            self.before_commit.pop(0)()
        storage = f"http://localhost:{self.port}"
        headers = dict(request.headers.items())
        asked = Asked(request.command, path, query, headers, body, token, self.url, storage)
        with self._lock:
            return route(self.state, asked)


def point_client_at(hub: MiniHub, cache: Path, monkeypatch: pytest.MonkeyPatch, *, token: str | None = None) -> None:
    """Make the real client of this process talk to `hub`, with an empty cache and no token of this machine's."""
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
