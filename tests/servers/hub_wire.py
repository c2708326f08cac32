"""Bytes between a client and the small hub, with what can go wrong on the way."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler

from tests.servers.hub_answers import Answer
from tests.servers.hub_faults import Fault

_BLOCK = 1 << 14


def wait(faults: Iterable[Fault]) -> None:
    for fault in faults:
        time.sleep(fault.seconds)
        if fault.hold:
            fault.hold.arrived.set()
            fault.hold.release.wait()


def receive(request: BaseHTTPRequestHandler, rate: float | None, cut: int | None) -> bytes | None:
    """The body; None where it is to be cut off before its end."""
    body = bytearray()
    chunked = request.headers.get("Transfer-Encoding", "").lower() == "chunked"
    left = int(request.headers.get("Content-Length") or 0)
    while True:
        if chunked and left == 0:
            left = int(request.rfile.readline().strip() or b"0", 16) or -1
        if left <= 0:
            return bytes(body)
        block = request.rfile.read(min(left, _BLOCK, (cut - len(body)) if cut is not None else _BLOCK))
        if not block or (cut is not None and len(body) + len(block) >= cut):
            return None
        body += block
        left -= len(block)
        if chunked and left == 0:
            request.rfile.readline()
        time.sleep(len(block) / rate if rate else 0)


def send(request: BaseHTTPRequestHandler, answer: Answer, rate: float | None = None, cut: int | None = None) -> None:
    request.send_response(answer.status)
    for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command == "HEAD":
        return
    body = answer.body if cut is None else answer.body[:cut]
    for start in range(0, len(body), _BLOCK):
        request.wfile.write(body[start : start + _BLOCK])
        time.sleep(_BLOCK / rate if rate else 0)
    if cut is not None and cut < len(answer.body):
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    """Cut a connection so that the other side notices at once."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
