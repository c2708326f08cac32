"""What a user reads when an S3 store fails: the reason given is the true one, and nothing in it is a secret."""

# ruff: noqa: F811

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.stores.protocol import StoreError
from lugha.checkpoints.stores.s3 import S3Store
from lugha.checkpoints.stores.s3_errors import Place, explained
from tests.checkpoints.stores.conformance import FILES, RUN, content, upload
from tests.servers.faults import ALWAYS, FaultyLine
from tests.servers.moto import MotoS3
from tests.servers.rclone import ACCESS_KEY, SECRET_KEY, RcloneS3, point_client_at, rclone_s3  # noqa: F401

NAME = f"{RUN}/step-00000500-a1b2"
_numbers = itertools.count()


@pytest.fixture
def address(rclone_s3: RcloneS3, monkeypatch: pytest.MonkeyPatch) -> str:
    point_client_at(rclone_s3.environment, monkeypatch)
    return f"s3://{rclone_s3.bucket(f'errors{next(_numbers)}')}/runs"


@pytest.fixture
def line(rclone_s3: RcloneS3, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyLine]:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)
    with FaultyLine(rclone_s3.endpoint) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
        yield line


def told(store: S3Store, ask: Callable[[S3Store], Any] = lambda store: store.prepare(private=True)) -> StoreError:
    """The error of a request."""
    with pytest.raises(StoreError) as caught:
        ask(store)
    message = str(caught.value)
    assert message.startswith(store.address)
    assert "\n" not in message
    assert len(message) < 500
    for secret in (ACCESS_KEY, SECRET_KEY):
        assert secret not in message
    return caught.value


def error_xml(code: str, message: str = "told by the test", more: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()


# By the server itself


def test_a_wrong_secret(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-of-some-length")
    error = told(S3Store(address))
    assert "the secret key is not that of the access key. Check AWS_SECRET_ACCESS_KEY" in str(error)
    assert error.permanent


def test_an_unknown_access_key(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NOBODYHASTHISKEY0000")
    error = told(S3Store(address))
    assert "does not know this access key. Check AWS_ACCESS_KEY_ID" in str(error)
    assert "NOBODYHASTHISKEY0000" not in str(error)
    assert error.permanent


def test_no_credentials(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = told(S3Store(address))
    assert "no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives them" in str(error)
    assert error.permanent


def test_half_of_the_credentials(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "half of the credentials is missing" in str(told(S3Store(address)))


def test_a_profile_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "no such profile as AWS_PROFILE names" in str(told(S3Store(address)))


def test_a_server_that_is_not_there(address: str) -> None:
    error = told(S3Store(address, endpoint="http://127.0.0.1:1"))
    assert "http://127.0.0.1:1 cannot be reached. Check the network, and publish.s3_endpoint" in str(error)
    assert not error.permanent


def test_renewed_credentials_are_read_by_a_store_that_was_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    file.write_text(f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = an-old-secret-of-some-length\n")
    store = S3Store(address)
    assert "AWS_SECRET_ACCESS_KEY" in str(told(store))
    file.write_text(f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    store.prepare(private=True)


def test_a_user_without_a_right_is_told_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """moto with its policies enforced: the first four requests, which make bucket and user, are free."""
    import boto3

    with MotoS3(environment={"INITIAL_NO_AUTH_ACTION_COUNT": "4"}) as server:
        point_client_at(server.environment, monkeypatch)
        server.bucket("bucket")
        iam = boto3.session.Session().client("iam")
        iam.create_user(UserName="trainer")
        rights = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
        iam.put_user_policy(UserName="trainer", PolicyName="reads", PolicyDocument=policy)
        key = iam.create_access_key(UserName="trainer")["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        store = S3Store("s3://bucket/runs")
        store.prepare(private=True)
        error = told(store, lambda store: upload(store, NAME, tmp_path / "local", FILES))
        assert "access denied to PutObject. Allow these credentials s3:PutObject on arn:aws:s3:::bucket/runs/*" in str(error)
        assert error.permanent
        assert key["AccessKeyId"] not in str(error)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-of-some-length")
        assert "the secret key is not that of the access key" in str(told(S3Store("s3://bucket/runs")))


# By a server that says what rclone never says


@pytest.mark.parametrize(
    ("status", "body", "headers", "says", "permanent"),
    [
        (400, error_xml("ExpiredToken"), {}, "the session token has expired. Log in again", True),
        (400, error_xml("InvalidToken"), {}, "the session token is not valid", True),
        (
            403,
            error_xml("AccessDenied"),
            {},
            "access denied to ListObjectsV2. Allow these credentials s3:ListBucket on",
            True,
        ),
        (403, b"", {}, "access denied to ListObjectsV2", True),
        (403, error_xml("RequestTimeTooSkewed"), {}, "the clock of this machine is too far from that of", True),
        (
            301,
            error_xml("PermanentRedirect", more="<Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>"),
            {"x-amz-bucket-region": "eu-west-1"},
            "in region eu-west-1, not in us-east-1. Set publish.s3_region: eu-west-1",
            True,
        ),
        (
            400,
            error_xml("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-central-1'"),
            {},
            "in region eu-central-1, not in us-east-1. Set publish.s3_region: eu-central-1",
            True,
        ),
        (301, b"", {"Location": "https://s3.example.org"}, "sends every request elsewhere. Check publish.s3_endpoint", True),
        (507, error_xml("XMinioStorageFull"), {}, "no space left there. Make room", False),
        (403, error_xml("QuotaExceeded"), {}, "the quota there is used up. Make room", False),
        (503, error_xml("SlowDown"), {}, "fails for now, it answers ListObjectsV2 with 503 (SlowDown)", False),
        (500, b"<html>Oops", {}, "fails for now", False),
        (429, error_xml("TooManyRequests"), {}, "fails for now", False),
        (501, error_xml("NotImplemented"), {}, "cannot do ListObjectsV2. Use another server", True),
        (
            400,
            error_xml("NewReason", "Because of it."),
            {},
            "refuses ListObjectsV2 with 400 (NewReason: Because of it).",
            True,
        ),
    ],
)
def test_what_a_server_says(
    address: str, line: FaultyLine, status: int, body: bytes, headers: dict[str, str], says: str, permanent: bool
) -> None:
    line.answer(status, body, headers=headers, times=ALWAYS)
    error = told(S3Store(address))
    assert says in str(error)
    assert error.permanent == permanent


def test_a_denied_operation_is_named(address: str, line: FaultyLine, tmp_path: Path) -> None:
    store = S3Store(address)
    upload(store, NAME, tmp_path / "local", FILES)
    line.answer(403, error_xml("AccessDenied"), match="^(PUT|POST|DELETE|GET .*model)", times=ALWAYS)
    resource = f"arn:aws:s3:::{address.removeprefix('s3://')}/*"
    for ask, action in [
        (lambda store: store.mark(NAME, b"{}"), "PutObject"),
        (lambda store: store.promote(RUN, NAME, b"{}"), "PutObject"),
        (lambda store: store.unmark(NAME), "DeleteObject"),
        (lambda store: content(store, NAME, "model.safetensors"), "GetObject"),
    ]:
        assert f"Allow these credentials s3:{action} on {resource}" in str(told(store, ask))


def test_a_server_that_repeats_secrets(address: str, line: FaultyLine) -> None:
    said = f"{ACCESS_KEY} {SECRET_KEY} AKIAIOSFODNN7EXAMPLE "
    said += "https://x/?X-Amz-Signature=abcdef0123&amp;X-Amz-Credential=me/2026 end"
    line.answer(400, error_xml("Odd", said), times=ALWAYS)
    message = str(told(S3Store(address)))
    assert "*** *** ***" in message
    assert message.endswith("end).")
    for secret in ("AKIAIOSFODNN7EXAMPLE", "abcdef0123", "me/2026"):
        assert secret not in message


def test_an_error_does_not_carry_its_origin(address: str, line: FaultyLine) -> None:
    """A log that prints the chain of an error would print what the server said."""
    line.answer(400, error_xml("Odd", f"{SECRET_KEY}"), times=ALWAYS)
    error = told(S3Store(address))
    assert error.__cause__ is None
    assert error.__suppress_context__


# The words alone


PLACE = Place("s3://bucket/runs", "bucket", "runs/", "AWS", "eu-west-1")


@given(code=st.text(), message=st.text(), status=st.integers(0, 999), operation=st.text())
def test_whatever_is_said_becomes_one_line(code: str, message: str, status: int, operation: str) -> None:
    class RefusalError(Exception):
        response: dict[str, Any]
        operation_name: str

    error = RefusalError()
    error.operation_name = operation
    error.response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    line = str(explained(error, PLACE, ["hidden"]))
    assert len(line.splitlines()) == 1
    assert len(line) < 500


def test_a_certificate_that_is_not_trusted() -> None:
    class SSLError(Exception):
        pass

    error = explained(SSLError("SSL validation failed: [SSL: CERTIFICATE_VERIFY_FAILED] unable to get issuer"), PLACE)
    assert "the certificate of AWS is not trusted here. Name the right one in AWS_CA_BUNDLE" in str(error)
    assert error.permanent
    assert not explained(SSLError("EOF occurred in violation of protocol"), PLACE).permanent


def test_without_boto3_the_line_says_what_to_install() -> None:
    program = (
        "import sys\n"
        "find = sys.meta_path[-1].find_spec\n"
        "class Paths:\n"
        "    find_spec = staticmethod(lambda name, *more: None if name == 'boto3' else find(name, *more))\n"
        "sys.meta_path[-1] = Paths\n"
        "from lugha.checkpoints.stores.open import open_store\n"
        "open_store('s3://bucket/runs')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "InputError: s3://bucket/runs: needs boto3, which is not installed. Run: pip install 'lugha[aws]'" in done.stderr


def test_importing_the_stores_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from lugha.checkpoints.stores.open import open_store\n"
        "open_store('s3://bucket/runs'); open_store('/tmp')\n"
        "print(sorted({'boto3', 'botocore', 'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
