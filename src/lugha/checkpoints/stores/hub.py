"""A repository of the Hugging Face Hub, or a folder of one, as a store of one run's checkpoints.

    store = HubStore("hf://user/repo")        or hf://user/repo/some/folder
    checkpoint-500/model.safetensors, ...     a checkpoint: from_pretrained("user/repo", subfolder="checkpoint-500") loads it
    checkpoint-500/VERIFIED.json              its marker
    config.json, model.safetensors, ...       the model that was promoted: from_pretrained("user/repo") loads it
    PROMOTED.json                             which one that is

A checkpoint appears in one commit with all its files, so that a torn upload is never seen, and its history reads
"checkpoint-500", "checkpoint-500 verified", "final: checkpoint-1500". The names have no room for a second run: whoever
publishes looks first whether another run's checkpoints lie there, and takes another repository or folder.

A folder that is removed is gone from the head. Its large files stay in the history, and count for the account's storage until
somebody deletes them in the settings of the repository: that cannot be undone, so it is not done here.

What counts is read back from the Hub at its head, never from the cache of this machine; and the marker is set only on files
that are still those that were read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lugha.checkpoints.stores.hub_access import make_ready
from lugha.checkpoints.stores.hub_commit import HubFile, HubRepository
from lugha.checkpoints.stores.names import key_of, split_key
from lugha.checkpoints.stores.protocol import MARKER, PROMOTED, Entry, MissingError, StoreError
from lugha.checkpoints.stores.source import bytes_in
from lugha.errors import InputError
from lugha.runs.manifest import MANIFEST

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    from lugha.checkpoints.stores.hub_commit import Operation

_ADDRESS = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<folder>.+?))?/?", re.ASCII)
_OTHER_KINDS = ("datasets", "spaces", "buckets", "models")
# What from_pretrained and our own export read; nothing that only goes on with the training.
_MODEL_FILES = re.compile(
    r"(config|generation_config|adapter_config)\.json"
    r"|(model|adapter_model)(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|(tokenizer|tokenizer_config|special_tokens_map)\.json|chat_template\.jinja|template\.yaml"
)


def model_files(names: Sequence[str]) -> list[str]:
    """Those files of a checkpoint that are the model: weights or adapter, configurations, tokenizer, templates."""
    return [name for name in names if _MODEL_FILES.fullmatch(name)]


class HubStore:
    """A repository of the Hub as a store; see the module's story and `protocol.Store`.

    Attributes:
        notes: what `prepare` found that the user should know of, one line each.
    """

    def __init__(self, address: str) -> None:
        """Nothing is asked of the Hub yet.

        Raises:
            InputError: not the address of a model repository or a folder of one.
        """
        self.notes: list[str] = []
        self._repo, self._folder = _parse(address)
        self._address = f"hf://{self._repo}" + (f"/{self._folder}" if self._folder else "")
        self._repository = HubRepository(self._repo, self._address)
        self._seen: dict[str, dict[str, str]] = {}  # name -> file -> commit at which it was read since it was uploaded

    @property
    def address(self) -> str:
        """As the recipe names it."""
        return self._address

    def prepare(self, *, private: bool) -> None:
        """Make the repository where it is missing, and check that the token may write to it.

        A repository that is there is never made private or public: `notes` says where it differs.

        Raises:
            StoreError: no token or one that is not accepted, no right to write, not reached; the message says what to do.
        """
        self.notes[:] = make_ready(self._repo, self._address, private=private)

    def name_for(self, run: str, step: int) -> str:
        """`checkpoint-500`, whatever the run: the repository or the folder holds one."""
        return f"checkpoint-{step}"

    def entries(self) -> list[Entry]:
        """All folders of checkpoints, in no particular order."""
        head = self._repository.head()
        found: dict[str, dict[str, int]] = {}
        for path, file in self._files(head).items():
            if place := split_key(path):
                found.setdefault(place[0], {})[place[1]] = file.bytes
        unmarked = {n: MANIFEST if MANIFEST in files else min(files) for n, files in found.items() if MARKER not in files}
        changed = self._repository.changed(head, [self._path(name, file) for name, file in unmarked.items()])
        return [
            Entry(
                name=name,
                files={file: size for file, size in files.items() if file != MARKER},
                marked=MARKER in files,
                changed=changed.get(self._path(name, unmarked[name])) if name in unmarked else None,
            )
            for name, files in found.items()
        ]

    def upload(self, name: str, folder: Path, files: Sequence[str]) -> None:
        """Send the files, and commit them as the whole content of `name`, at once; a marker that was there goes with it."""
        additions = [self._addition(name, file, folder / file) for file in files]
        self._seen.pop(name, None)
        self._repository.head()  # where the network is down this fails at once; the client would retry the next call for long
        self._repository.send(additions)
        self._repository.commit(
            self._path(name),
            lambda head: [*additions, *(_deletion(self._path(name, f)) for f in self._files(head, name) if f not in files)],
        )

    def read(self, name: str, file: str) -> Iterator[bytes]:
        """The bytes of a file at the head of the repository, from the Hub.

        Raises:
            MissingError: no such file.
        """
        path = self._path(name, file)
        head = self._repository.head()
        self._seen.setdefault(name, {})[file] = head
        yield from self._repository.stream(path, head, f"{self._address}/{key_of(name, file)}")

    def mark(self, name: str, content: bytes) -> None:
        """Write the marker of a folder.

        Raises:
            StoreError: its files are not those any more that were read.
        """
        marker = self._addition(name, MARKER, content)
        self._repository.send([marker])

        def plan(head: str) -> list[CommitOperationAdd]:
            self._check_unchanged(name, head)
            return [marker]

        self._repository.commit(f"{self._path(name)} verified", plan)
        self._seen.pop(name, None)

    def unmark(self, name: str) -> None:
        """Remove the marker; nothing where there is none."""
        marker = self._path(name, MARKER)
        self._repository.commit(
            f"{self._path(name)} unmarked", lambda head: [_deletion(marker)] if MARKER in self._files(head, name) else []
        )

    def remove(self, name: str) -> None:
        """Remove all files of a folder at once; nothing where there is none."""
        folder = self._path(name)
        self._repository.commit(
            f"remove {folder}", lambda head: [_deletion(f"{folder}/")] if self._files(head, name) else []
        )

    def promote(self, run: str, name: str, content: bytes) -> None:
        """Put the model of `name` at the root, with `PROMOTED.json`, in one commit; the Hub copies what is large.

        Files of a model that was promoted before and that this one has not are removed from the root.

        Raises:
            MissingError: there is no model in that folder.
        """
        promotion = self._addition("", PROMOTED, content)
        self._repository.send([promotion])

        def plan(head: str) -> list[Operation]:
            files = list(self._files(head))
            new = model_files([file.removeprefix(f"{name}/") for file in files if file.startswith(f"{name}/")])
            if not new:
                raise MissingError(f"{self._address}/{name}: there is no model in it that could be promoted.")
            stale = [file for file in model_files(files) if file not in new]
            copies = [_copy(self._path(name, file), self._path("", file), head) for file in new]
            return [promotion, *copies, *(_deletion(self._path("", file)) for file in stale)]

        self._repository.commit(f"final: {self._path(name)}", plan)

    def promoted(self) -> dict[str, bytes]:
        """Run -> content of `PROMOTED.json`: one, or none."""
        try:
            content = b"".join(self._repository.stream(self._path("", PROMOTED), self._repository.head(), self._address))
        except MissingError:
            return {}
        try:
            return {str(json.loads(content)["run"]): content}
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._address}/{PROMOTED}: damaged, it names no run. Remove it, and promote again.", permanent=True
            ) from error

    def _check_unchanged(self, name: str, head: str) -> None:
        """Whether the files that were read are still the same at `head`.

        Raises:
            StoreError: they are not, or there are none.
        """
        now = self._files(head, name)
        if not set(now) - {MARKER}:
            raise StoreError(f"{self._address}/{name}: removed by somebody else before it was marked.", permanent=False)
        seen = {file: commit for file, commit in self._seen.get(name, {}).items() if file != MARKER and commit != head}
        then = {commit: self._files(commit, name) for commit in set(seen.values())}
        for file, commit in seen.items():
            if then[commit].get(file) != now.get(file):
                raise StoreError(
                    f"{self._address}/{name}/{file}: changed by somebody else after it was read back.", permanent=False
                )

    def _files(self, commit: str, name: str = "") -> dict[str, HubFile]:
        """Path below the store, or below one of its folders, -> file."""
        below = key_of(*(part for part in (self._folder, name) if part)) if self._folder or name else ""
        return {path[len(below) :].lstrip("/"): file for path, file in self._repository.files(commit, below).items()}

    def _path(self, name: str, *file: str) -> str:
        """The path in the repository of a folder of the store, or of a file in it."""
        return key_of(*(part for part in (self._folder, name) if part), *file)

    def _addition(self, name: str, file: str, content: Path | bytes) -> CommitOperationAdd:
        from huggingface_hub import CommitOperationAdd, constants

        path = self._path(name, file)
        if isinstance(content, Path) and bytes_in(content) > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise StoreError(
                f"{self._address}: {content} is larger than {constants.MAX_HTTP_DOWNLOAD_SIZE / 1e9:.0f} GB, and the hub "
                "does not give such a file back in one piece, so it could not be verified. Use a store on S3 or a disk.",
                permanent=True,
            )
        return CommitOperationAdd(path, content)


def _deletion(path: str) -> CommitOperationDelete:
    """Of a file, or of a folder where the path ends with a slash."""
    from huggingface_hub import CommitOperationDelete

    return CommitOperationDelete(path)


def _copy(source: str, target: str, commit: str) -> CommitOperationCopy:
    from huggingface_hub import CommitOperationCopy

    return CommitOperationCopy(source, target, src_revision=commit)


def _parse(address: str) -> tuple[str, str]:
    """(repository, folder in it or "") of an address."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(f"{address}: not the address of a repository. Write hf://user/repo, or hf://user/repo/folder.")
    repo, folder = found["repo"], found["folder"] or ""
    kind = repo.partition("/")[0]
    if kind in _OTHER_KINDS:
        raise InputError(f"{address}: checkpoints go to a model repository. Write hf://user/repo, without {kind}/.")
    if folder:
        key_of(folder)
        if place := split_key(f"{folder}/x"):
            above, _, last = place[0].rpartition("/")
            store = f"hf://{repo}" + (f"/{above}" if above else "")
            step = last.split("-")[1].lstrip("0") or "0"
            raise InputError(f"{address}: that is one checkpoint. Its store is {store}, and the checkpoint {store}@{step}.")
    return repo, folder
