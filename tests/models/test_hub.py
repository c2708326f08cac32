"""Hub ids without surprise: the real client against a small hub on this machine."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from lugha.errors import InputError, InterruptedRunError
from lugha.models.hub import HubModel, fetch, is_hub_id, needed_files
from tests.servers.hub import MiniHub, point_client_at

REPO = "kijiji/mfano"
FILES = {
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "README.md": b"# Mfano\n",
    "config.json": b'{"model_type": "llama"}',
    "generation_config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"{}",
    "model.safetensors": b"weights" * 100,
    "pytorch_model.bin": b"the same, pickled" * 100,
    "tf_model.h5": b"the same for TensorFlow" * 100,
    "flax_model.msgpack": b"the same for Flax" * 100,
    "model.gguf": b"the same for llama.cpp" * 100,
    "onnx/model.onnx": b"the same for ONNX",
}
READ = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"

Fetch = Callable[..., HubModel]


@pytest.fixture
def hub() -> Iterator[MiniHub]:
    with MiniHub() as server:
        yield server


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def fetched(hub: MiniHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Fetch:
    """`fetch` with a cache of its own, whose client talks to the small hub."""
    point_client_at(hub, tmp_path / "client", monkeypatch)

    def call(repo: str = REPO, revision: str | None = None) -> HubModel:
        return fetch(repo, revision=revision, cache=tmp_path / "bases", say=said.append)

    return call


def refused(call: Callable[[], object], *says: str) -> str:
    with pytest.raises(InputError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    assert "http" not in message, "no host"
    assert TOKEN not in message
    for text in says:
        assert text in message, message
    return message


def test_what_a_hub_id_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "base").mkdir(parents=True)
    for text in ("facebook/nllb-200-distilled-600M", "mistralai/Mistral-7B-v0.1", "a/b", "owner/_name"):
        assert is_hub_id(text), text
    for text in (
        *(
            "./x",
            "../x",
            "/x",
            "/x/y",
            "~/x",
            "a/b/c",
            "a/",
            "/b",
            "a",
            "",
            "a b/c",
            "a/b.git",
            "a--b/c",
            "a/b--c",
            "a/b..c",
        ),
        *("a/b-", "a/b.", "ä/b", "a/b\n", "runs/base"),
    ):
        assert not is_hub_id(text), text


def test_a_model_comes_whole_and_only_what_is_read(hub: MiniHub, fetched: Fetch, said: list[str], tmp_path: Path) -> None:
    commit = hub.commit(REPO, FILES, licence="apache-2.0")
    bars = are_progress_bars_disabled()
    found = fetched()
    assert (found.repo, found.revision, found.licence) == (REPO, commit, "apache-2.0")
    assert {p.name: p.read_bytes() for p in found.folder.iterdir()} == {name: FILES[name] for name in READ}
    assert hub.files_asked_for() == READ
    assert len([r for r in hub.requests if r.startswith("GET /stored/")]) == 1
    assert said == [f"hub        {REPO} at {commit[:12]}: downloading 5 files, 0.0 MB"]
    assert are_progress_bars_disabled() == bars
    record = json.loads((tmp_path / "bases" / "kijiji--mfano.json").read_text())
    assert record == {"repo": REPO, "revision": commit, "licence": "apache-2.0", "requested": None}


def test_a_moved_branch_changes_nothing(hub: MiniHub, fetched: Fetch, said: list[str]) -> None:
    first = hub.commit(REPO, FILES, licence="mit")
    before = fetched()
    hub.commit(REPO, FILES | {"model.safetensors": b"other weights"})
    hub.requests.clear()
    said.clear()
    assert fetched() == before
    assert before.revision == first
    assert hub.requests == [], "what is pinned and here needs no network"
    assert said == []


def test_an_explicit_revision_is_obeyed_and_moves_nothing(hub: MiniHub, fetched: Fetch) -> None:
    first = hub.commit(REPO, FILES)
    hub.tag(REPO, "v1.0", first)
    assert fetched().revision == first
    second = hub.commit(REPO, FILES | {"model.safetensors": b"other weights"})
    for asked, commit in (("main", second), ("v1.0", first), (second, second), (None, first)):
        found = fetched(revision=asked)
        assert found.revision == commit, asked
        assert (found.folder / "model.safetensors").read_bytes() == hub.files(REPO, commit)["model.safetensors"]


def test_the_first_revision_asked_for_is_the_one_that_is_kept(hub: MiniHub, fetched: Fetch, tmp_path: Path) -> None:
    first = hub.commit(REPO, FILES)
    hub.tag(REPO, "v1.0", first)
    hub.commit(REPO, FILES | {"model.safetensors": b"other weights"})
    assert fetched(revision="v1.0").revision == first
    assert fetched().revision == first
    assert json.loads((tmp_path / "bases" / "kijiji--mfano.json").read_text())["requested"] == "v1.0"


def test_sharded_weights_and_weights_in_pytorchs_own_format(hub: MiniHub, fetched: Fetch) -> None:
    common = {"config.json": b"{}", "tokenizer.json": b"{}", "sentencepiece.bpe.model": b"sp", "tokenizer.model": b"sp"}
    hub.commit("facebook/nllb", common | {"pytorch_model.bin": b"x", "flax_model.msgpack": b"y"})
    assert {p.name for p in fetched("facebook/nllb").folder.iterdir()} == {*common, "pytorch_model.bin"}
    shards = {f"model-{i:05d}-of-00002.safetensors": bytes([i]) for i in (1, 2)} | {"model.safetensors.index.json": b"{}"}
    hub.commit(
        "m/m", common | shards | {"consolidated.safetensors": b"all", "pytorch_model.bin": b"x", "params.json": b"{}"}
    )
    assert {p.name for p in fetched("m/m").folder.iterdir()} == {*common, *shards}
    incomplete = [n for n in (*common, *shards, "pytorch_model.bin") if "00001" not in n]
    assert "pytorch_model.bin" in needed_files(incomplete), "shards that are not all there are no weights"


def test_a_token_reaches_the_hub_and_nothing_else(hub: MiniHub, fetched: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit(REPO, FILES, gated=True, licence="llama3")
    hub.admit(TOKEN, reads={REPO})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = fetched()
    assert found.licence == "llama3"
    assert hub.tokens_seen_by_storage == []
    assert TOKEN not in "".join(p.read_text() for p in (found.folder.parents[3] / "bases").iterdir())


def test_a_gated_model_names_licence_page_and_what_to_do(
    hub: MiniHub, fetched: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.commit(REPO, FILES, gated=True, licence="llama3")
    refused(fetched, f"{REPO} is gated", "(llama3)", f"the page of {REPO}", "set HF_TOKEN")
    hub.admit(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    refused(fetched, f"{REPO} is gated", "(llama3)", "has no access", "accept")
    assert not (tmp_path / "bases").exists(), "nothing is pinned that was not fetched"


def test_a_missing_and_a_private_model(hub: MiniHub, fetched: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit("kijiji/siri", FILES, private=True)
    for repo in ("kijiji/mfono", "kijiji/siri"):
        refused(lambda repo=repo: fetched(repo), repo, "no such model", "spelling", "private", "HF_TOKEN", "folder")
    hub.admit(TOKEN, reads={"kijiji/siri"})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetched("kijiji/siri").repo == "kijiji/siri"


def test_a_token_that_is_not_accepted(hub: MiniHub, fetched: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit(REPO, FILES)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    refused(fetched, "does not accept HF_TOKEN (401)", "Renew it")


def test_a_revision_that_is_not_there(hub: MiniHub, fetched: Fetch, tmp_path: Path) -> None:
    commit = hub.commit(REPO, FILES)
    hub.tag(REPO, "v1.0", commit)
    message = refused(lambda: fetched(revision="v1.1"), 'no revision "v1.1"', 'Did you mean "v1.0"?', "main, v1.0")
    assert "recorded" not in message
    fetched()
    hub.commit(REPO, FILES | {"config.json": b"{ }"})
    hub.forget(REPO, commit)
    for path in sorted((tmp_path / "client").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    refused(fetched, f'no revision "{commit}"', "recorded in", "kijiji--mfano.json", "delete that file")


@pytest.mark.parametrize(
    ("status", "says"), [(403, "right to read"), (429, "too many requests"), (418, "answers with error 418")]
)
def test_other_answers_of_the_hub(hub: MiniHub, fetched: Fetch, status: int, says: str) -> None:
    hub.faults.answer(".*", status)
    refused(fetched, REPO, str(status), says)


def test_no_network(hub: MiniHub, fetched: Fetch, said: list[str]) -> None:
    first = hub.commit(REPO, FILES, licence="mit")
    found = fetched()
    hub.stop()
    said.clear()
    assert fetched() == found
    assert fetched(revision=first) == found
    assert said == []
    assert fetched(revision="main") == found
    assert said == [f"hub        not reached: {REPO} is used as fetched before, at {first[:12]}"]
    refused(lambda: fetched("kijiji/jingine"), "not reached", "HF_HUB_OFFLINE=1", "folder")


def test_offline(hub: MiniHub, fetched: Fetch, said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = hub.commit(REPO, FILES, licence="mit")
    found = fetched()
    hub.requests.clear()
    said.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetched() == found
    assert fetched(revision=commit) == found
    refused(lambda: fetched("kijiji/jingine"), "HF_HUB_OFFLINE", "folder")
    refused(lambda: fetched(revision="v1.0"), "at v1.0", "HF_HUB_OFFLINE")
    # What another program left in the client's cache will do as well: no record here, no list of files there.
    (tmp_path / "bases" / "kijiji--mfano.json").unlink()
    for path in (tmp_path / "client").glob("models--*/trees/*"):
        path.unlink()
    assert fetched() == HubModel(REPO, commit, found.folder, None)
    (found.folder / "model.safetensors").unlink()
    refused(fetched, "is not on this disk")
    assert hub.requests == []
    assert said == []


def test_a_file_that_was_cut_off_is_fetched_again(hub: MiniHub, fetched: Fetch, said: list[str]) -> None:
    hub.commit(REPO, FILES)
    weights = fetched().folder / "model.safetensors"
    weights.resolve().write_bytes(b"cut")
    (weights.parent / "tokenizer.json").unlink()
    assert (fetched().folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert "downloading 2 files" in said[-1]


def test_a_repository_without_weights_or_configuration(hub: MiniHub, fetched: Fetch) -> None:
    hub.commit("q/gguf", {"config.json": b"{}", "model.Q4.gguf": b"x", "README.md": b""})
    refused(lambda: fetched("q/gguf"), "it lacks model.safetensors or pytorch_model.bin", "model.Q4.gguf")
    hub.commit("q/weights", {"model.safetensors": b"x"})
    refused(lambda: fetched("q/weights"), "it lacks config.json", "It has: model.safetensors.")
    refused(lambda: fetched("datasets/q/data"), "not a hub id")


def test_a_damaged_record_is_named(hub: MiniHub, fetched: Fetch, tmp_path: Path) -> None:
    hub.commit(REPO, FILES)
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "kijiji--mfano.json").write_text('{"repo": 1}')
    refused(fetched, "kijiji--mfano.json", "not the record of a commit", "Delete it")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), InterruptedRunError, "No space left on the disk"),
        (httpx2.ReadError("reset by peer"), InputError, "the connection to the hub was lost (ReadError)"),
    ],
)
def test_a_download_that_breaks_off_is_one_line(
    hub: MiniHub, fetched: Fetch, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], says: str
) -> None:
    real = huggingface_hub.snapshot_download

    def broken(*arguments: object, **options: object) -> str:
        if options.get("local_files_only"):
            return str(real(*arguments, **options))  # type: ignore[call-overload]
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    hub.commit(REPO, FILES)
    with pytest.raises(kind, match=re.escape(says)):
        fetched()


def test_the_clients_own_settings_hold(hub: MiniHub, tmp_path: Path) -> None:
    """In a process of its own, by the variables of the environment that users set."""
    commit = hub.commit(REPO, FILES, gated=True)
    hub.admit(TOKEN, reads={REPO})
    code = (
        "import sys; from pathlib import Path; from lugha.models.hub import fetch\n"
        f"print(fetch('{REPO}', revision=None, cache=Path(sys.argv[1])).revision); assert 'torch' not in sys.modules"
    )
    common = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    common |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    for more in ({"HF_TOKEN": TOKEN}, {"HF_HUB_OFFLINE": "1"}):
        command = [sys.executable, "-c", code, str(tmp_path / "bases")]
        done = subprocess.run(command, env=common | more, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == commit, done.stderr
        assert "%|" not in done.stderr, "no bars"
    assert (tmp_path / "home" / "hub" / "models--kijiji--mfano").is_dir()
