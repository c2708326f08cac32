"""A large file to S3 in parts, so that an upload that was cut goes on with the parts that arrived.

    parts        the file in pieces of one size, a function of the file's size alone: every attempt cuts it alike
    upload id    what the server calls an upload that is not complete; nothing of it is visible as an object

After an error, and after a kill, the next attempt asks the server which uploads of this key are not complete and which of
their parts have the right size, and sends the others. A part is not known by its content (an ETag is a hash on some servers
and not on others): it is the same file, since a name in a store is used for one checkpoint. Should a part be wrong after all,
the read-back finds it; the object then stands, differs, and is sent anew from nothing. A server that cannot list uploads, or
lists what it does not have, costs a fresh start and no more.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lugha.checkpoints.stores.s3_errors import error_code
from lugha.checkpoints.stores.source import bytes_in, exactly, opened

MOST_PARTS = 10_000  # of one upload, by the S3 API
_MIB = 1 << 20


@dataclass
class Upload:
    """An upload that is not complete."""

    id: str
    sent: dict[int, str] = field(default_factory=dict)  # number of a part -> its ETag


def part_bytes(total: int, smallest: int) -> int:
    """Size of each part but the last of a file of `total` bytes: `smallest`, or whole MiB so that `MOST_PARTS` suffice."""
    needed = -(-total // MOST_PARTS)
    return max(smallest, -(-needed // _MIB) * _MIB)


def part_sizes(total: int, size: int) -> dict[int, int]:
    """Number of a part (from 1) -> its bytes."""
    return {number + 1: min(size, total - start) for number, start in enumerate(range(0, total, size))}


def _passes(error: Any) -> bool:
    """Whether a refusal is a moment's trouble of the server, and says nothing of the upload."""
    return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500) and error_code(error) != "NotImplemented"


class MultipartSender:
    """Sends files in parts through one client.

    Args:
        client: of boto3; its exceptions pass through.
        mine: uploads that this process began, by key: what is known where the server cannot list them.
    """

    def __init__(self, client: Any, bucket: str, mine: dict[str, Upload]) -> None:
        from botocore.exceptions import ClientError

        self._client, self._bucket, self._mine = client, bucket, mine
        self._refused = ClientError

    def send(self, key: str, source: Path, smallest: int) -> None:
        """Send a file; goes on with what arrived before.

        Args:
            smallest: bytes of a part, unless the file is so large that parts have to be.

        Raises:
            InputError: the local file cannot be read, or changes.
        """
        total = bytes_in(source)
        size = part_bytes(total, smallest)
        sizes = part_sizes(total, size)
        found = self._unfinished(key, sizes)
        if found is not None:
            try:
                self._finish(found, key, source, size, sizes)
                return
            except self._refused as error:
                if _passes(error):
                    raise
                # It does not have the parts that it said it has, or takes no other in their place (rclone). Was it something
                # else, then a fresh upload is refused in the same way.
                self._abort(key, found.id)
        fresh = Upload(self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"])
        self._finish(fresh, key, source, size, sizes)

    def abort_all(self, prefix: str) -> None:
        """Give up what is not complete below a prefix: it is invisible, and paid for."""
        for key, upload in self._listed(prefix) or []:
            self._abort(key, upload)
        for key in [key for key in self._mine if key.startswith(prefix)]:
            self._abort(key, self._mine[key].id)

    def _finish(self, upload: Upload, key: str, source: Path, size: int, sizes: dict[int, int]) -> None:
        """Send the parts that are missing, and complete."""
        self._mine[key] = upload
        with opened(source) as stream:
            for number, bytes_ in sizes.items():
                if number in upload.sent:
                    continue
                stream.seek((number - 1) * size)
                answer = self._client.upload_part(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload.id,
                    PartNumber=number,
                    Body=exactly(stream, source, bytes_),
                )
                upload.sent[number] = answer["ETag"]
        parts = [{"PartNumber": number, "ETag": upload.sent[number]} for number in sizes]
        try:
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload.id, MultipartUpload={"Parts": parts}
            )
        except self._refused as error:
            # An answer that was lost on its way is asked for again, and then the upload is gone because it was completed.
            if error_code(error) != "NoSuchUpload" or not self._stands(key, sum(sizes.values())):
                raise
        del self._mine[key]

    def _unfinished(self, key: str, sizes: dict[int, int]) -> Upload | None:
        """The upload of this key that has most of it; the others are given up."""
        listed = self._listed(key)
        if listed is None:
            return self._mine.get(key)
        uploads = [self._with_parts(key, id_, sizes) for other, id_ in listed if other == key]
        best = max(uploads, key=lambda upload: len(upload.sent), default=None)
        for upload in uploads:
            if upload is not best:
                self._abort(key, upload.id)
        return best

    def _listed(self, prefix: str) -> list[tuple[str, str]] | None:
        """(key, upload id) of what is not complete; None where the server cannot or will not say."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
        try:
            return [(one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", [])]
        except self._refused:
            return None

    def _with_parts(self, key: str, id_: str, sizes: dict[int, int]) -> Upload:
        """An upload with those of its parts that have the right size."""
        pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=id_)
        try:
            parts = [part for page in pages for part in page.get("Parts", [])]
        except self._refused:
            mine = self._mine.get(key)
            return mine if mine is not None and mine.id == id_ else Upload(id_)
        return Upload(id_, {p["PartNumber"]: p["ETag"] for p in parts if p.get("Size") == sizes.get(p["PartNumber"])})

    def _stands(self, key: str, total: int) -> bool:
        """Whether an object of this size is there."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
        except self._refused:
            return False
        return bool(answer["ContentLength"] == total)

    def _abort(self, key: str, id_: str) -> None:
        # What cannot be given up is gone, or stays invisible: neither harms a checkpoint.
        with contextlib.suppress(self._refused):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=id_)
        if key in self._mine and self._mine[key].id == id_:
            del self._mine[key]
