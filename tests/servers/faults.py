"""A bad line between a client and a server of this machine: a small HTTP proxy that can be told what goes wrong.

    with FaultyLine(server.endpoint) as line:
        client = ...(endpoint=line.url)
        line.answer(503, match="PUT", times=2)          the next two PUTs are answered with 503; the server never sees them
        line.answer(500, skip=3)                        the fourth request from now on
        line.cut_upload(at=100_000, match="PUT")        the line breaks when so many bytes of the request's body have passed
        line.cut_download(at=5000, match="GET")         ... of the answer's body
        line.lose_answer(match="PUT")                   the server did it, the client never hears of it
        line.flip_download(at=17, match="GET")          one bit of the answer's body arrives wrong
        line.hang(match="GET")                          accepted, and no answer until `heal` or `stop`
        line.bytes_per_second = 5e6                     each connection is that slow, in both directions; None: as fast as it goes
        line.heal()                                     no more faults
        line.stop(); line.start()                       the network is gone, and back at the same port
        line.requests                                   "PUT /bucket/key?partNumber=2" of everything that was asked

`match` is a regular expression, searched in "METHOD target"; `skip` lets so many matching requests pass first; `times` is how
often it happens. Of several faults the first that matches happens; `happened` counts them all.

Requests go on as they came, Host header included: a signature (SigV4 signs Host) stays right. Each request has its own
connection to the server, and the client's connection is closed after each answer.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_BLOCK = 1 << 14
ALWAYS = 10**9


class _CutError(Exception):
    """The line breaks here."""


@dataclass
class _Fault:
    match: re.Pattern[str]
    skip: int
    times: int
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    upload_bytes: int | None = None
    download_bytes: int | None = None
    flipped_byte: int | None = None
    answer_is_lost: bool = False
    hangs: bool = False


_NONE = _Fault(re.compile(""), 0, 0)


class FaultyLine:
    """The line; see the module's story."""

    def __init__(self, endpoint: str) -> None:
        to = urlsplit(endpoint)
        self.server = (to.hostname, to.port)
        self.requests: list[str] = []
        self.happened = 0
        self.bytes_per_second: float | None = None
        self._faults: list[_Fault] = []
        self._healed = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        line = self

        class Handler(_Relay):
            pass

        Handler.line = line
        self._listener = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._listener.daemon_threads = True
        self._listener.block_on_close = False
        self._port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections and break those that are open."""
        if self._listener is None:
            return
        self._listener.shutdown()
        self._listener.server_close()
        self._listener = None
        self.heal()
        with self._lock:
            for connection in self._open:
                _break(connection)

    def heal(self) -> None:
        """Forget all faults; what hangs is cut."""
        with self._lock:
            self._faults = []
            self._healed.set()
            self._healed = threading.Event()

    def answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        match: str = "",
        skip: int = 0,
        times: int = 1,
    ) -> None:
        """Answer in the server's place."""
        self._add(_Fault(re.compile(match), skip, times, status=status, body=body, headers=headers or {}))

    def cut_upload(self, *, at: int, match: str = "", skip: int = 0, times: int = 1) -> None:
        """Break the line when `at` bytes of the request's body have reached the server."""
        self._add(_Fault(re.compile(match), skip, times, upload_bytes=at))

    def cut_download(self, *, at: int, match: str = "", skip: int = 0, times: int = 1) -> None:
        """Break the line when `at` bytes of the answer's body have reached the client."""
        self._add(_Fault(re.compile(match), skip, times, download_bytes=at))

    def flip_download(self, *, at: int, match: str = "", skip: int = 0, times: int = 1) -> None:
        """Flip a bit of byte `at` of the answer's body."""
        self._add(_Fault(re.compile(match), skip, times, flipped_byte=at))

    def lose_answer(self, *, match: str = "", skip: int = 0, times: int = 1) -> None:
        """Let the server do it, and break the line before the client hears of it."""
        self._add(_Fault(re.compile(match), skip, times, answer_is_lost=True))

    def hang(self, *, match: str = "", skip: int = 0, times: int = ALWAYS) -> None:
        """Take the request and say nothing until `heal` or `stop`."""
        self._add(_Fault(re.compile(match), skip, times, hangs=True))

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _fault_of(self, request: str) -> tuple[_Fault, threading.Event]:
        """What goes wrong with a request, and the event that ends what hangs."""
        with self._lock:
            self.requests.append(request)
            happens = _NONE
            for fault in self._faults:
                if not fault.match.search(request):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                elif fault.times > 0 and happens is _NONE:
                    fault.times -= 1
                    self.happened += 1
                    happens = fault
            return happens, self._healed

    @contextlib.contextmanager
    def _tracked(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def _slowly(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            if self.bytes_per_second is not None:
                time.sleep(len(block) / self.bytes_per_second)
            yield block


class _Relay(BaseHTTPRequestHandler):
    """One request after the other of one connection of a client."""

    line: FaultyLine
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _relay(self) -> None:
        self.close_connection = True
        fault, healed = self.line._fault_of(f"{self.command} {self.path}")
        with self.line._tracked(self.connection), contextlib.suppress(_CutError, OSError):
            try:
                if fault.hangs:
                    healed.wait()
                    raise _CutError
                if fault.status is not None:
                    for _ in self._body():
                        pass
                    self._say(fault.status, fault.body, fault.headers)
                else:
                    self._pass_on(fault)
            finally:
                _break(self.connection)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _relay  # noqa: N815

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response_only(status, responses.get(status, "Unknown"))
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _pass_on(self, fault: _Fault) -> None:
        with socket.create_connection(self.line.server) as server, self.line._tracked(server):
            head = f"{self.command} {self.path} HTTP/1.1\r\n"
            # The client has its 100 Continue from this proxy already.
            kept = [(n, v) for n, v in self.headers.items() if n.lower() not in ("connection", "expect")]
            head += "".join(f"{name}: {value}\r\n" for name, value in [*kept, ("Connection", "close")])
            # A server may answer, and close, before it has the whole body.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                server.sendall(head.encode("latin-1") + b"\r\n")
                for block in _up_to(fault.upload_bytes, self.line._slowly(self._body())):
                    server.sendall(block)
            answer = server.makefile("rb")
            head_bytes = _head(answer)
            if fault.answer_is_lost:
                raise _CutError
            self.connection.sendall(head_bytes)
            blocks = iter(lambda: answer.read1(_BLOCK), b"")
            for block in _up_to(fault.download_bytes, self.line._slowly(_flipped(fault.flipped_byte, blocks))):
                self.connection.sendall(block)

    def _body(self) -> Iterator[bytes]:
        """The request's body as it is on the wire."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            size = -1
            while size != 0:
                line = self.rfile.readline()
                size = int(line.split(b";")[0], 16)
                yield line + self.rfile.read(size) + self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            block = self.rfile.read1(min(left, _BLOCK))
            if not block:
                raise _CutError
            left -= len(block)
            yield block


def _head(answer: Any) -> bytes:
    """Status line and headers of an answer; interim ones (100) are dropped."""
    while True:
        lines = [answer.readline()]
        if not lines[0]:
            raise _CutError
        while lines[-1] not in (b"\r\n", b"\n", b""):
            lines.append(answer.readline())
        if not lines[0].split()[1].startswith(b"1"):
            kept = [line for line in lines[:-1] if not line.lower().startswith(b"connection:")]
            return b"".join([*kept, b"Connection: close\r\n\r\n"])


def _up_to(limit: int | None, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks up to `limit` bytes, and then the cut."""
    if limit is None:
        yield from blocks
        return
    if limit == 0:
        raise _CutError
    for block in blocks:
        yield block[:limit]
        limit -= len(block)
        if limit <= 0:
            raise _CutError


def _flipped(place: int | None, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks with a bit of byte `place` flipped."""
    passed = 0
    for block in blocks:
        if place is not None and passed <= place < passed + len(block):
            at = place - passed
            yield block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]
        else:
            yield block
        passed += len(block)


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
