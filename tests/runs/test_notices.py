"""Notices of clouds, from real HTTP servers that answer as the metadata services do."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lugha.runs.notices import Ec2, Gce, noticed, services

ACTION = "/latest/meta-data/spot/instance-action"
PREEMPTED = "/computeMetadata/v1/instance/preempted"


class Metadata(ThreadingHTTPServer):
    """A metadata service: what it answers is in `answers` (path -> text), what it was asked in `asked`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        self.tokens = 0
        self.broken = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self.server.asked.append(f"PUT {self.path}")
        if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] is None:
            return self._answer(400, "")
        self.server.tokens += 1
        return self._answer(200, f"token-{self.server.tokens}")

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        if self.server.broken:
            return self._answer(500, "")
        if self.path == PREEMPTED and self.headers["Metadata-Flavor"] != "Google":
            return self._answer(403, "")
        if self.path == ACTION and self.headers["X-aws-ec2-metadata-token"] != f"token-{self.server.tokens}":
            return self._answer(401, "")
        if self.path not in self.server.answers:
            return self._answer(404, "")
        return self._answer(200, self.server.answers[self.path])

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *given: Any) -> None:
        """Silent."""


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    for name in ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED", "GCE_METADATA_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a proxy must never see these
    with Metadata() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


class Heard:
    """Stands for `Stop.ask`."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.notices: list[tuple[str, float | None]] = []

    def __call__(self, reason: str, *, within: float | None = None) -> None:
        self.notices.append((reason, within))
        self.event.set()


def planned(seconds: float) -> str:
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return f'{{"action": "terminate", "time": "{when.strftime("%Y-%m-%dT%H:%M:%SZ")}"}}'


def test_ec2_says_when_the_instance_goes(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{metadata.host}/")
    heard = Heard()
    with noticed(heard, poll_seconds=0.01):
        while metadata.asked.count(f"GET {ACTION}") < 3:  # nothing is planned yet
            assert not heard.event.wait(0.01)
        metadata.answers[ACTION] = planned(120)
        assert heard.event.wait(60)
    [(reason, within)] = heard.notices
    assert "EC2's notice to terminate this spot instance" in reason
    assert within == pytest.approx(120, abs=20)
    assert metadata.tokens == 1


def test_a_token_whose_time_is_over_is_asked_for_anew(metadata: Metadata) -> None:
    service = Ec2(f"http://{metadata.host}")
    assert service.notice() is None
    metadata.tokens += 1  # the old one counts no more
    metadata.answers[ACTION] = planned(60)
    notice = service.notice()
    assert notice is not None
    assert notice.within == pytest.approx(60, abs=20)
    assert metadata.tokens == 3


def test_gce_says_that_it_preempts(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", metadata.host)
    metadata.answers[PREEMPTED] = "FALSE"
    heard = Heard()
    with noticed(heard, poll_seconds=0.01):
        while metadata.asked.count(f"GET {PREEMPTED}") < 2:
            assert not heard.event.wait(0.01)
        metadata.answers[PREEMPTED] = "TRUE"
        assert heard.event.wait(60)
    assert heard.notices == [("Google's notice that this instance is preempted", 30.0)]


def test_a_service_that_fails_is_asked_again_and_never_an_error(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", metadata.host)
    metadata.broken = True
    heard = Heard()
    with noticed(heard, poll_seconds=0.01):
        while len(metadata.asked) < 3:
            assert not heard.event.wait(0.01)
        metadata.answers[PREEMPTED] = "TRUE"
        metadata.broken = False
        assert heard.event.wait(60)


def test_an_answer_that_is_not_of_the_service_is_none(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    """A captive portal, or somebody's web server on that address."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{metadata.host}")
    metadata.answers[ACTION] = "<html>hello</html>"
    heard = Heard()
    with noticed(heard, poll_seconds=0.01):
        while metadata.asked.count(f"GET {ACTION}") < 3:
            assert not heard.event.wait(0.01)


def test_only_where_the_machine_or_the_environment_says_so(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    assert services("LENOVO") == []
    assert services("") == []
    assert [type(one) for one in services("Amazon EC2")] == [Ec2]
    assert [type(one) for one in services("Google")] == [Gce]
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert services("Amazon EC2") == []
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{metadata.host}")
    assert services("") == []
    monkeypatch.setenv("GCE_METADATA_HOST", metadata.host)
    assert [type(one) for one in services("")] == [Gce]
