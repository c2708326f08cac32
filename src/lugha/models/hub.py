"""Models from a hub, without surprise: the commit is pinned, only what is read is downloaded, an error is one line.

    found = fetch("owner/name", revision=None, cache=Path("runs/bases"))
    found.folder, found.revision, found.licence

In: a hub id, and perhaps a revision (branch, tag or commit). Out: a folder with configuration, tokenizer and one copy of the
weights, the commit that they are of, and the licence that the model's page names.

Invariants:
- `cache/<owner>--<name>.json` says which commit the id was resolved to the first time. Without a revision that commit is
  used ever after, also where the branch has moved; delete the file to take the newest. An explicit revision is obeyed and
  moves nothing.
- What is pinned and on the disk needs no network and no token.
- The files lie in the cache of the Hugging Face client, where every other program finds them too. Endpoint, token, place of
  the cache and offline mode are the client's own settings: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from lugha.errors import InputError
from lugha.models.hub_errors import one_line_errors
from lugha.runs.files import disk_full_is_one_line, write_json

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

Say = Callable[[str], None]

_ID = re.compile(r"(?!.*(?:--|\.\.))(?!.*\.git$)[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*(?<![.-])", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"(?:model|pytorch_model)-\d{5}-of-(\d{5})\.(?:safetensors|bin)")
_CONFIGURATION = ("config.json", "generation_config.json")
# The fast tokenizer, the files that slow ones are made of (SentencePiece, BPE, WordPiece), and how a chat is written.
_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("tokenizer.model", "sentencepiece.bpe.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt"),
)
_DEFAULT_BRANCH = "main"
_SECONDS = 30.0  # for an answer to a question; a download has the client's own limits


@dataclass(frozen=True)
class HubModel:
    """A model of the hub on this disk."""

    repo: str
    revision: str  # commit, 40 hex digits
    folder: Path
    licence: str | None  # as its page names it; None where it names none, or where the page could not be read


class _Pin(BaseModel):
    """`<owner>--<name>.json`: to which commit a hub id was resolved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repo: str
    revision: str
    licence: str | None
    requested: str | None  # the revision that was asked for; None: the default branch


def is_hub_id(text: str) -> bool:
    """Whether `text` is `owner/name` as a hub writes it and no folder here; `./x`, `/x` and `a/b/c` are paths."""
    return _ID.fullmatch(text) is not None and not Path(text).exists()


def fetch(repo: str, *, revision: str | None, cache: Path, say: Say | None = None) -> HubModel:
    """The files of a hub model on this disk; downloaded where they are not here yet.

    Args:
        repo: `owner/name`.
        revision: branch, tag or commit. None: the commit recorded in `cache`, the first time that of the default branch.
        cache: folder of the records of commits.
        say: gets one line before a download; default: stderr.

    Raises:
        InputError: no such model or revision, gated or private without access, a token that is not accepted, no network
            and not on this disk, or no weights that transformers reads.
        InterruptedRunError: the disk is full; the same call goes on with the download.
    """
    if _ID.fullmatch(repo) is None:
        raise InputError(f'"{repo}" is not a hub id: write it as owner/name.')
    say = say or _to_stderr
    path = cache / f"{repo.replace('/', '--')}.json"
    pin = _read_pin(path)
    wanted = revision or (pin.revision if pin else None)
    if pin and wanted and _COMMIT.fullmatch(wanted) and (folder := _on_disk(repo, wanted)):
        return HubModel(repo, wanted, folder, pin.licence)
    with one_line_errors(repo, wanted, record=path if pin and not revision else None):
        info = _ask(repo, wanted)
    if info is None:
        folder = _on_disk(repo, wanted or _DEFAULT_BRANCH)
        if folder is None:
            raise InputError(_not_here(repo, wanted))
        found = HubModel(repo, folder.name, folder, pin.licence if pin else None)
        if not _offline():
            say(f"hub        not reached: {repo} is used as fetched before, at {found.revision[:12]}")
    else:
        found = _download(repo, info, say)
    if pin is None:
        record = _Pin(repo=repo, revision=found.revision, licence=found.licence, requested=revision)
        write_json(path, record.model_dump())
    return found


def needed_files(names: Iterable[str]) -> list[str]:
    """Which files of a repository are read: configuration, tokenizer, and the weights once.

    Weights are `model.safetensors`, whole or in shards with their index, else the same as `pytorch_model.bin`. The other
    copies that repositories hold (TensorFlow, Flax, ONNX, GGUF, `consolidated.safetensors`) are left where they are.
    """
    there = set(names)
    kept = [name for name in (*_CONFIGURATION, *_TOKENIZER) if name in there]
    return kept + (_weights(there, "model", "safetensors") or _weights(there, "pytorch_model", "bin"))


def _weights(names: set[str], stem: str, ending: str) -> list[str]:
    """One copy of the weights in one format; empty where it is not there whole."""
    if (single := f"{stem}.{ending}") in names:
        return [single]
    index = f"{stem}.{ending}.index.json"
    shards = sorted(n for n in names if n.startswith(f"{stem}-") and n.endswith(f".{ending}") and _SHARD.fullmatch(n))
    whole = shards and all(int(_SHARD.fullmatch(s)[1]) == len(shards) for s in shards)  # type: ignore[index]
    return [index, *shards] if index in names and whole else []


def _read_pin(path: Path) -> _Pin | None:
    if not path.is_file():
        return None
    try:
        return _Pin.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise InputError(f"{path}: not the record of a commit ({problem}). Delete it to resolve the id anew.") from error


def _offline() -> bool:
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def _ask(repo: str, revision: str | None) -> ModelInfo | None:
    """What the hub says about a revision: commit, licence, files with sizes. None where the hub is not reached."""
    import httpx2
    from huggingface_hub import HfApi, constants, errors

    hub = HfApi(endpoint=constants.ENDPOINT)
    try:
        info = hub.model_info(repo, revision=revision, files_metadata=True, timeout=_SECONDS)
        if revision is None or not _COMMIT.fullmatch(revision):
            hub.resolve_revision(repo, revision=revision)  # the client notes what the branch is: so it is known offline
    except (errors.OfflineModeIsEnabled, errors.RevisionResolutionError, httpx2.TransportError):
        return None
    return info


def _on_disk(repo: str, revision: str) -> Path | None:
    """The folder of a commit (or of what a branch was when it was last fetched) if every file needed is in it, whole."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=[_CONFIGURATION[0]]))
    except LocalEntryNotFoundError:
        return None
    try:
        sizes = {f.path: f.size for f in get_cached_repo_tree(repo, revision=folder.name)}
    except CachedRepoTreeNotFoundError:  # another program fetched it file by file: what is there is all that is known
        sizes = {f.name: f.stat().st_size for f in folder.iterdir() if f.is_file()}
    needed = needed_files(sizes)
    whole = _has_a_model(needed) and not _missing(folder, {name: sizes[name] for name in needed})
    return folder if whole else None


def _has_a_model(needed: Iterable[str]) -> bool:
    needed = set(needed)
    return _CONFIGURATION[0] in needed and bool(needed - {*_CONFIGURATION, *_TOKENIZER})


def _missing(folder: Path, sizes: Mapping[str, int]) -> list[str]:
    """Names of files that are not in `folder` with their size."""
    return [n for n, size in sizes.items() if not (folder / n).is_file() or (folder / n).stat().st_size != size]


def _download(repo: str, info: ModelInfo, say: Say) -> HubModel:
    """Bring a commit's files to the disk; what is there already is kept."""
    from huggingface_hub import constants, snapshot_download

    assert info.sha is not None
    licence = _licence(info)
    sizes = {f.rfilename: f.size or 0 for f in info.siblings or []}
    needed = needed_files(sizes)
    if not _has_a_model(needed):
        raise InputError(_no_model(repo, sizes))
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots" / info.sha
    missing = _missing(folder, {name: sizes[name] for name in needed})
    for name in missing:  # a file of another size was cut off or altered: the client would take it for the right one
        (folder / name).resolve().unlink(missing_ok=True)
        (folder / name).unlink(missing_ok=True)
    if missing:
        say(f"hub        {repo} at {info.sha[:12]}: downloading {len(missing)} files, {_size(sizes[n] for n in missing)}")
    with one_line_errors(repo, info.sha, licence=licence), disk_full_is_one_line(folder), _no_bars():
        patterns = [re.sub(r"([*?[])", r"[\1]", name) for name in needed]
        placed = snapshot_download(repo, revision=info.sha, allow_patterns=patterns, endpoint=constants.ENDPOINT)
    return HubModel(repo, info.sha, Path(placed), licence)


def _licence(info: ModelInfo) -> str | None:
    """The licence that the model's card names; its own name where it is none of the common ones."""
    card = info.card_data
    named = card and (card.license_name or card.license)
    tagged = next((t.removeprefix("license:") for t in info.tags or [] if t.startswith("license:")), None)
    return ", ".join(named) if isinstance(named, list) else (named or tagged)


def _size(sizes: Iterable[int]) -> str:
    total = sum(sizes)
    return f"{total / 1e9:.1f} GB" if total >= 1e9 else f"{total / 1e6:.1f} MB"


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Without the client's progress bars inside; as it was after."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


def _not_here(repo: str, revision: str | None) -> str:
    at = f" at {revision}" if revision else ""
    if _offline():
        return (
            f"{repo}{at} is not on this disk, and HF_HUB_OFFLINE forbids to download it. Unset it once, or name a folder "
            "with the model."
        )
    return (
        f"{repo}{at}: the hub is not reached, and the model is not on this disk. Check the network (and HF_ENDPOINT, where it "
        "is set). Without a network: fetch it once elsewhere, bring its cache here and set HF_HUB_OFFLINE=1, or name a folder."
    )


def _no_model(repo: str, names: Iterable[str]) -> str:
    there = set(names)
    lacks = "config.json" if _CONFIGURATION[0] not in there else "model.safetensors or pytorch_model.bin (whole)"
    shown = ", ".join(sorted(there)[:8]) + (", ..." if len(there) > 8 else "")
    return f"{repo} holds no model that transformers reads: it lacks {lacks}. It has: {shown or 'no files'}."
