"""The records that make a checkpoint of a store count: `VERIFIED.json` in its folder, `PROMOTED.json` beside its run's folders.

    {"manifest_sha256": "9f2c...", "run": "demo-...", "step": 500, "bytes": 81264, "verified": "2026-11-20T10:42:10+00:00",
     "seal": "5e1a..."}

Both are facts of a manifest with the time, sealed like it: the seal is the SHA-256 of the record without it, and its bytes have
one right form, so that a single altered bit is found.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

from lugha.checkpoints.format import unsealed
from lugha.runs.manifest import MANIFEST


def marker_for(manifest_bytes: bytes) -> bytes:
    """Content of the marker of a checkpoint, at this moment.

    Raises:
        InputError: the manifest is damaged.
    """
    return _sealed(_facts(manifest_bytes) | {"verified": _now()})


def promotion_for(name: str, manifest_bytes: bytes) -> bytes:
    """Content of `PROMOTED.json` of a run whose result is the folder `name`: the marker's facts and the name.

    Raises:
        InputError: the manifest is damaged.
    """
    return _sealed({"name": name} | _facts(manifest_bytes) | {"verified": _now()})


def is_marker_of(manifest_bytes: bytes, marker: bytes) -> bool:
    """Whether these bytes are the marker of this manifest, of whatever moment.

    Raises:
        InputError: the manifest is damaged.
    """
    try:
        verified = json.loads(marker)["verified"]
    except (ValueError, KeyError, TypeError):
        return False
    return marker == _sealed(_facts(manifest_bytes) | {"verified": verified})


def _facts(manifest_bytes: bytes) -> dict[str, Any]:
    manifest = unsealed(manifest_bytes, MANIFEST)
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    return {"manifest_sha256": digest, "run": manifest.run, "step": manifest.step, "bytes": manifest.bytes}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _sealed(facts: dict[str, Any]) -> bytes:
    return _json(facts | {"seal": hashlib.sha256(_json(facts)).hexdigest()})


def _json(facts: dict[str, Any]) -> bytes:
    return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
