"""What an S3 server or the way to it says, as one line that a user can act on. Pure: an exception in, a `StoreError` out.

The server's own words are used only where nothing better is known, and never with a secret or the id of a key in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lugha.checkpoints.stores.protocol import StoreError

_KEY_IDS = re.compile(r"\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{12,}\b")
_SIGNED = re.compile(r"(?i)\b(X-Amz-[A-Za-z-]+|Signature|Credential)=[^\s&,;)]+")

# Error code -> (what to tell, whether somebody has to change something). Without a field it is used as it is.
_CODES = {
    "NoSuchBucket": ("there is no bucket {bucket} at {server}. Make it there, or mend the address", True),
    "InvalidBucketName": ("no bucket can have the name {bucket}. Mend the address", True),
    "InvalidAccessKeyId": ("{server} does not know this access key. Check AWS_ACCESS_KEY_ID", True),
    "SignatureDoesNotMatch": ("the secret key is not that of the access key. Check AWS_SECRET_ACCESS_KEY", True),
    "ExpiredToken": ("the session token has expired. Log in again, or set a new AWS_SESSION_TOKEN", True),
    "InvalidToken": ("the session token is not valid. Log in again, or mend AWS_SESSION_TOKEN", True),
    "RequestTimeTooSkewed": (
        "the clock of this machine is too far from that of {server}, so it takes no signature. Set the clock (NTP)",
        True,
    ),
    "InvalidObjectState": ("the object lies in an archive (a lifecycle rule of the bucket). Restore it there first", True),
    "InvalidRange": ("the object became shorter while it was read", False),
    "QuotaExceeded": ("the quota there is used up. Make room, or prune its checkpoints", False),
    "XMinioStorageFull": ("no space left there. Make room, or prune its checkpoints", False),
    "InsufficientStorage": ("no space left there. Make room, or prune its checkpoints", False),
    "NotImplemented": ("{server} cannot do {operation}. Use another server", True),
}
_SAME = {
    "404": "NoSuchBucket",  # only requests for the bucket have it: the answer to a HEAD has no body to say more
    "ExpiredTokenException": "ExpiredToken",
    "TokenRefreshRequired": "ExpiredToken",
    "InvalidClientTokenId": "InvalidAccessKeyId",
    "RequestExpired": "RequestTimeTooSkewed",
    "507": "InsufficientStorage",
    "501": "NotImplemented",
    "MethodNotAllowed": "NotImplemented",
}
_DENIED = ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AccountProblem", "Forbidden", "403", "401")
_ELSEWHERE = ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IncorrectEndpoint", "301", "307")

# Operations whose permission has another name.
_ACTIONS = {
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}

# Exceptions of botocore and urllib3 by the name of their class: none of these libraries is imported for an error.
_CLASSES = {
    "NoCredentialsError": (
        "no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives them",
        True,
    ),
    "PartialCredentialsError": (
        "half of the credentials is missing. Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        True,
    ),
    "ProfileNotFound": ("there is no such profile as AWS_PROFILE names. Mend it, or unset it", True),
    "NoRegionError": ("no region. Set publish.s3_region, or AWS_DEFAULT_REGION", True),
    "InvalidRegionError": ("the region is not a name. Mend publish.s3_region, or AWS_DEFAULT_REGION", True),
    "EndpointConnectionError": ("{server} cannot be reached. Check the network, and publish.s3_endpoint", False),
    "ConnectTimeoutError": ("{server} cannot be reached in time. Check the network, and publish.s3_endpoint", False),
    "ProxyConnectionError": ("the proxy on the way to {server} cannot be reached. Check HTTPS_PROXY", False),
    "ReadTimeoutError": ("{server} took a request and does not answer", False),
    "ResponseParserError": ("no S3 server answers there. Check publish.s3_endpoint", False),
    # botocore follows a server that redirects without naming a region (http that wants https, say) until the stack is full.
    "RecursionError": (
        "{server} sends every request elsewhere. Check publish.s3_endpoint (https?) and publish.s3_region",
        True,
    ),
    "MetadataRetrievalError": ("the machine's metadata service gives no credentials", False),
}


@dataclass(frozen=True)
class Place:
    """What a message names."""

    address: str
    bucket: str
    prefix: str  # of every key: empty, or with a slash at its end
    server: str  # URL of the endpoint, or "AWS"
    region: str | None


def explained(error: Exception, place: Place, secrets: Iterable[str] = ()) -> StoreError:
    """The error in one line.

    Args:
        error: of botocore, or of the connection below it.
        secrets: values that must not be in the line.
    """
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        told, permanent = _answer(response, str(getattr(error, "operation_name", "a request")), place)
    else:
        told, permanent = _connection(error, place)
    return StoreError(f"{place.address}: {_clean(told, secrets)}.", permanent=permanent)


def error_code(error: Exception) -> str:
    """Code of an answer of the server; empty for anything else."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _answer(response: dict[str, Any], operation: str, place: Place) -> tuple[str, bool]:
    """What an answer of the server means, and whether somebody has to change something."""
    code, message = str(response["Error"].get("Code", "")), str(response["Error"].get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = _SAME.get(code, code)
    if code in _DENIED:
        action = _ACTIONS.get(operation, operation)
        resource = place.bucket if action == "ListBucket" else f"{place.bucket}/{place.prefix}*"
        return f"access denied to {operation}. Allow these credentials s3:{action} on arn:aws:s3:::{resource}", True
    if code in _ELSEWHERE:
        return _elsewhere(response, message, place), True
    if code in _CODES:
        told, permanent = _CODES[code]
        return told.format(bucket=place.bucket, server=place.server, operation=operation), permanent
    if status >= 500 or code in ("SlowDown", "RequestTimeout", "Throttling", "TooManyRequests", "429", "InternalError"):
        return f"{place.server} fails for now, it answers {operation} with {status} ({code})", False
    # A request that the server will never take is not cured by another try; what it says is all there is to go by.
    return f"{place.server} refuses {operation} with {status} ({code}: {message.strip().rstrip('.')})", 400 <= status < 500


def _elsewhere(response: dict[str, Any], message: str, place: Place) -> str:
    """The bucket lies in another region, or behind another endpoint."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    expected = re.search(r"expecting '([a-z0-9-]+)'", message)
    right = response["Error"].get("Region") or headers.get("x-amz-bucket-region") or (expected[1] if expected else None)
    if right:
        wrong = f", not in {place.region}" if place.region and place.region != right else ""
        return f"the bucket lies in region {right}{wrong}. Set publish.s3_region: {right} (or AWS_DEFAULT_REGION)"
    if endpoint := response["Error"].get("Endpoint"):
        return f"the bucket is reached by another endpoint, {endpoint}. Set publish.s3_endpoint or publish.s3_region"
    return "the bucket lies in another region. Set publish.s3_region (or AWS_DEFAULT_REGION) to that of the bucket"


def _connection(error: Exception, place: Place) -> tuple[str, bool]:
    """What it means that there is no answer."""
    for kind in type(error).__mro__:
        if kind.__name__ in _CLASSES:
            told, permanent = _CLASSES[kind.__name__]
            return told.format(server=place.server), permanent
    name = type(error).__name__
    if "SSL" in name:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return f"the certificate of {place.server} is not trusted here. Name the right one in AWS_CA_BUNDLE", True
        return f"no secure connection to {place.server}", False
    if any(word in name for word in ("Credential", "Token", "SSO", "Login")):
        return (
            f"the credentials cannot be had ({name}). Log in again, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            True,
        )
    return f"the connection to {place.server} broke ({name})", False


def _clean(text: str, secrets: Iterable[str]) -> str:
    """One line, not long, without secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _SIGNED.sub(r"\1=***", _KEY_IDS.sub("***", text))
    text = " ".join(text.split())
    return text if len(text) <= 400 else text[:400] + "..."
