"""The routes of the small hub: a request in, an answer out; nothing here knows of sockets or faults.

As the real one does: large files answer with a redirect to another host that holds them by their SHA-256 and must never see
a token; the page and the list of files of a gated model are public, its files are not; a missing model and a private one
look the same; a commit is taken whole or not at all, and not on another head than the client has seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from tests.servers.hub_answers import About, Answer, Asked, json_answer, may_write, refuse
from tests.servers.hub_state import Account, Blob, CommitRefusedError, Repository, State, is_large
from tests.servers.hub_storage import announce, file_of, storage

_API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>[a-z-]+)(?:/(?P<revision>[^/]+)(?:/(?P<path>.+))?)?)?")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_LFS = re.compile(r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/(?P<what>batch|verify)")
PAGE = 1000  # entries in one answer of `tree`


def file_asked_for(request: str) -> str | None:
    """The file that a "METHOD /path" asks for, if it is one for a file."""
    found = _FILE.fullmatch(request.partition(" ")[2])
    return found["path"] if found else None


def route(state: State, asked: Asked) -> Answer:
    """The answer to a request."""
    if asked.path.startswith("/stored/"):
        return storage(state, asked)
    account = state.accounts.get(asked.token or "")
    if asked.token is not None and account is None:
        return refuse(401, "Invalid credentials in Authorization header")
    if asked.path == "/api/whoami-v2":
        return _whoami(account)
    if asked.path in ("/api/repos/create", "/api/repos/delete"):
        return _create_or_delete(state, account, asked)
    if found := _LFS.fullmatch(asked.path):
        return announce(state, account, asked, found["repo"], found["what"])
    found = _API.fullmatch(asked.path) or _FILE.fullmatch(asked.path)
    if found is None:
        return refuse(404, "Sorry, we can't find the page you are looking for.")
    repository = _visible(state, account, found["repo"])
    if repository is None:
        return refuse(401, "Repository not found", "RepoNotFound")
    what = found.groupdict().get("what") or "revision"
    revision = "main" if what == "auth-check" else (found["revision"] or "main")
    commit = repository.commit_of(revision)
    if commit is None:
        return refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    about = About(state, account, asked, found["repo"], repository, revision, commit, found["path"] or "")
    if _FILE.fullmatch(asked.path):
        return file_of(about)
    answer = _ROUTES.get(what)
    return answer(about) if answer else refuse(404, f"no route {asked.path}")


def _visible(state: State, account: Account | None, repo: str) -> Repository | None:
    repository = state.repositories.get(repo)
    if repository and repository.private and not (account and (account.owns(repo) or repo in account.reads)):
        return None
    return repository


def _whoami(account: Account | None) -> Answer:
    if account is None:
        return refuse(401, "Invalid username or password.")
    organisations = [{"name": name} for name in account.organisations]
    token = {"displayName": "t", "role": account.role}
    return json_answer({"type": "user", "name": account.user, "orgs": organisations, "auth": {"accessToken": token}})


def _create_or_delete(state: State, account: Account | None, asked: Asked) -> Answer:
    given = json.loads(asked.body)
    repo = f"{given.get('organization') or (account.user if account else '')}/{given['name']}"
    if not may_write(account, repo):
        return refuse(403, f'You don\'t have the rights to create a model under the namespace "{repo.partition("/")[0]}"')
    if asked.path.endswith("delete"):
        return json_answer({}) if state.repositories.pop(repo, None) else refuse(404, "Repository not found", "RepoNotFound")
    about = {"url": f"{asked.url}/{repo}", "name": repo, "id": repo}
    if repo in state.repositories:
        return json_answer({"error": "You already created this model repo"} | about, status=409)
    made = state.repositories[repo] = Repository(private=given.get("visibility") == "private")
    made.add("main", "initial commit", {".gitattributes": state.store(".gitattributes", b"*.safetensors filter=lfs\n")})
    return json_answer(about)


def _info(about: About) -> Answer:
    listed = [_entry(name, blob) for name, blob in sorted(about.files.items())]
    siblings = [{"rfilename": e["path"], "size": e["size"], "blobId": e["oid"]} for e in listed]
    repository = about.repository
    known = {"id": about.repo, "sha": about.commit, "private": repository.private, "tags": [], "siblings": siblings}
    card = {"cardData": repository.card} if repository.card else {}
    return json_answer(known | {"gated": repository.gated and "manual"} | card)


def _tree(about: About) -> Answer:
    below = f"{about.path}/" if about.path else ""
    inside = {name: blob for name, blob in about.files.items() if name.startswith(below)}
    if below and not inside:
        return refuse(404, f"{about.path} does not exist", "EntryNotFound")
    recursive = about.asked.query.get("recursive", ["false"])[0].lower() == "true"
    parents = {p for name in inside for p in _parents(name) if p.startswith(below)}
    entries = [_entry(name, blob) for name, blob in inside.items()]
    entries += [{"type": "directory", "path": p, "size": 0, "oid": hashlib.sha1(p.encode()).hexdigest()} for p in parents]
    if not recursive:
        entries = [e for e in entries if "/" not in e["path"].removeprefix(below)]
    entries.sort(key=lambda e: e["path"])
    start = int(about.asked.query.get("cursor", ["0"])[0])
    more = f"{about.asked.url}{about.asked.path}?recursive={recursive}&cursor={start + PAGE}"
    link = {"Link": f'<{more}>; rel="next"'} if start + PAGE < len(entries) else {}
    return json_answer(entries[start : start + PAGE], headers=link)


def _paths_info(about: About) -> Answer:
    form = parse_qs(about.asked.body.decode())
    there = [(p, about.files[p]) for p in form.get("paths", []) if p in about.files]
    expanded = form.get("expand", ["false"])[0].lower() == "true"
    return json_answer([_entry(p, blob) | (_last_commit(about, p) if expanded else {}) for p, blob in there])


def _last_commit(about: About, path: str) -> dict[str, Any]:
    commit = about.repository.last_change(about.commit, path)
    made = about.repository.commits[commit]
    return {"lastCommit": {"id": commit, "title": made.message, "date": made.date}}


def _refs(about: About) -> Answer:
    kinds = {"branches": ("refs/heads/", about.repository.branches), "tags": ("refs/tags/", about.repository.tags)}
    listed = {
        kind: [{"name": n, "ref": where + n, "targetCommit": c} for n, c in named.items()]
        for kind, (where, named) in kinds.items()
    }
    return json_answer(listed | {"converts": []})


def _commits(about: About) -> Answer:
    made = [(c, about.repository.commits[c]) for c in about.repository.history(about.commit)]
    return json_answer([{"id": c, "title": m.message, "message": "", "authors": [], "date": m.date} for c, m in made])


def _auth_check(about: About) -> Answer:
    if about.asked.path.endswith("/write") and not about.writable:
        return refuse(403, "You do not have write access to this repository")
    return json_answer({})


def _preupload(about: About) -> Answer:
    if not about.writable:
        return refuse(403, "Authorization error.")
    given = json.loads(about.asked.body)
    there = about.files.get(".gitignore")
    ignoring = given.get("gitIgnore") or (about.state.blobs[there.digest].decode() if there else "")
    ignored = [line for line in ignoring.splitlines() if line and not line.startswith("#")]

    def one(path: str, size: int) -> dict[str, Any]:
        there = about.files.get(path)
        mode = "lfs" if is_large(path, size) else "regular"
        hidden = any(
            path.startswith(line.replace("*", "").rstrip("/")) for line in ignored
        )  # "checkpoint-*/" is all we need
        return {"path": path, "uploadMode": mode, "shouldIgnore": hidden, "oid": there and there.digest}

    return json_answer({"files": [one(f["path"], f["size"]) for f in given["files"]]})


def _commit(about: About) -> Answer:
    if not about.writable:
        return refuse(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
    try:
        lines = [line for line in about.asked.body.splitlines() if line.strip()]
        made = about.state.apply(about.repository, about.revision, lines)
    except CommitRefusedError as error:
        return refuse(error.status, str(error), "EntryNotFound" if error.status == 404 else None)
    return json_answer({"success": True, "commitUrl": f"{about.asked.url}/{about.repo}/commit/{made}", "commitOid": made})


_ROUTES: dict[str, Callable[[About], Answer]] = {
    "revision": _info,
    "tree": _tree,
    "paths-info": _paths_info,
    "refs": _refs,
    "commits": _commits,
    "auth-check": _auth_check,
    "preupload": _preupload,
    "commit": _commit,
}


def _entry(name: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": blob.size, "oid": blob.git_id}
    if blob.large:
        entry["lfs"] = {"oid": blob.digest, "size": blob.size, "pointerSize": 130}
    return entry


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]
