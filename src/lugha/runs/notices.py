"""Notices of a cloud that it takes the machine away: EC2 (spot, two minutes before) and Google Compute Engine (30 s before).

    with noticed(stop.ask): ...

A daemon thread asks the machine's own metadata service every five seconds, and only where the machine says of itself that it
is one of that cloud (DMI), or where the environment names a service (`AWS_EC2_METADATA_SERVICE_ENDPOINT`, `GCE_METADATA_HOST`):
nothing is sent anywhere else. A service that does not answer is asked less often, and never an error: notices are a bonus, the
clock saves.

EC2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html (IMDSv2).
GCE: https://cloud.google.com/compute/docs/instances/create-use-preemptible#detecting_if_an_instance_was_preempted.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

POLL_SECONDS = 5.0
_PATIENCE, _POLL_SECONDS_SILENT = 12, 60.0  # a minute of silence: the service is not reachable from here
_TIMEOUT_SECONDS = 2.0
_LINK_LOCAL = "169.254.169.254"  # of both clouds; the address needs no name server
_TOKEN_SECONDS = 21_600
_GCE_GRACE_SECONDS = 30.0
_DMI = Path("/sys/class/dmi/id/sys_vendor")

# No proxy: what it asks is this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Notice:
    """The machine goes."""

    reason: str
    within: float  # seconds


class Ask(Protocol):
    """What a notice is passed to: `Stop.ask`."""

    def __call__(self, reason: str, *, within: float | None = None) -> None:
        """Ask to stop."""


class Ec2:
    """The instance metadata service of EC2, version 2."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token: str | None = None

    def notice(self) -> Notice | None:
        """What it says now.

        Raises:
            OSError: no answer, or none of this service.
        """
        try:
            return self._asked()
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.UNAUTHORIZED:
                raise
            self._token = None  # its time was over
            return self._asked()

    def _asked(self) -> Notice | None:
        if self._token is None:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            self._token = _answer(f"{self._endpoint}/latest/api/token", lifetime, method="PUT")
        try:
            answer = _answer(
                f"{self._endpoint}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": self._token}
            )
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.NOT_FOUND:  # nothing is planned
                return None
            raise
        planned = json.loads(answer)
        when = datetime.datetime.fromisoformat(planned["time"])
        within = max(0.0, (when - datetime.datetime.now(datetime.UTC)).total_seconds())
        return Notice(f"EC2's notice to {planned['action']} this spot instance at {planned['time']}", within)


class Gce:
    """The metadata server of Google Compute Engine."""

    def __init__(self, host: str) -> None:
        self._host = host

    def notice(self) -> Notice | None:
        """What it says now.

        Raises:
            OSError: no answer.
        """
        address = f"http://{self._host}/computeMetadata/v1/instance/preempted"
        if _answer(address, {"Metadata-Flavor": "Google"}).strip() != "TRUE":
            return None
        return Notice("Google's notice that this instance is preempted", _GCE_GRACE_SECONDS)


def services(vendor: str | None = None) -> list[Ec2 | Gce]:
    """The metadata services that this machine has.

    Args:
        vendor: who made the machine; default: what its DMI says.
    """
    vendor = _vendor() if vendor is None else vendor
    found: list[Ec2 | Gce] = []
    ec2, gce = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"), os.environ.get("GCE_METADATA_HOST")
    disabled = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    if not disabled and (ec2 or vendor == "Amazon EC2"):
        found.append(Ec2(ec2 or f"http://{_LINK_LOCAL}"))
    if gce or vendor == "Google":
        found.append(Gce(gce or _LINK_LOCAL))
    return found


@contextlib.contextmanager
def noticed(ask: Ask, *, poll_seconds: float = POLL_SECONDS) -> Iterator[None]:
    """Pass the first notice of each service to `ask`, in threads that end with the block."""
    over = threading.Event()
    for service in services():
        threading.Thread(target=_poll, args=(service, ask, over, poll_seconds), name="lugha-notices", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _poll(service: Ec2 | Gce, ask: Ask, over: threading.Event, poll_seconds: float) -> None:
    silent = 0
    while not over.wait(poll_seconds if silent < _PATIENCE else _POLL_SECONDS_SILENT):
        try:
            notice = service.notice()
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            silent += 1  # not reachable, or not what it was taken for
            continue
        silent = 0
        if notice:
            ask(notice.reason, within=notice.within)
            return


def _answer(address: str, headers: dict[str, str], *, method: str = "GET") -> str:
    request = urllib.request.Request(address, headers=headers, method=method)
    with _opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
        content: bytes = answer.read(65_536)
    return content.decode()


def _vendor() -> str:
    try:
        return _DMI.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
