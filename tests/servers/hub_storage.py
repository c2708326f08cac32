"""Where the small hub keeps large files: how they are announced, sent and fetched. The storage is another host that must
never see a token; an address with a signature is all that it asks for.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs

from tests.servers.hub_answers import About, Answer, Asked, json_answer, may_write, part, refuse
from tests.servers.hub_state import Account, State

SIGNATURE = "signature=c2lnbmVk"  # of the addresses at the storage: who has it needs no token


def announce(state: State, account: Account | None, asked: Asked, repo: str, what: str) -> Answer:
    """Where to send large files: nowhere, if the hub holds such bytes already."""
    if not may_write(account, repo):
        return refuse(403, "Authorization error.")
    if what == "verify":
        return json_answer({}) if json.loads(asked.body)["oid"] in state.blobs else refuse(404, "no such object")
    objects = []
    for wanted in json.loads(asked.body)["objects"]:
        one: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in state.blobs:
            upload = {"href": f"{asked.storage}/stored/{wanted['oid']}?{SIGNATURE}"}
            one["actions"] = {
                "upload": upload,
                "verify": {"href": f"{asked.url}/{repo}.git/info/lfs/objects/verify"},
            }
        objects.append(one)
    return json_answer({"transfer": "basic", "objects": objects})


def storage(state: State, asked: Asked) -> Answer:
    digest = asked.path.removeprefix("/stored/")
    if asked.query != parse_qs(SIGNATURE):
        return Answer(403, b"AccessDenied")
    if asked.method == "PUT":
        if hashlib.sha256(asked.body).hexdigest() != digest:
            return Answer(400, b"the bytes are not those announced")
        state.blobs[digest] = asked.body
        return Answer()
    return part(asked, state.blobs[digest], {})


def file_of(about: About) -> Answer:
    allowed = about.account is not None and (about.account.owns(about.repo) or about.repo in about.account.reads)
    if about.repository.gated and not allowed:
        return refuse(403, "Access is restricted", "GatedRepo")
    blob = about.files.get(about.path)
    if blob is None:
        return refuse(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": about.commit})
    known = {"X-Repo-Commit": about.commit, "ETag": f'"{blob.digest}"'}
    if not blob.large:
        return part(about.asked, about.state.blobs[blob.digest], known)
    elsewhere = f"{about.asked.storage}/stored/{blob.digest}?{SIGNATURE}"
    linked = {"X-Linked-ETag": f'"{blob.digest}"', "X-Linked-Size": str(blob.size), "Location": elsewhere}
    return Answer(302, b"", known | linked)
