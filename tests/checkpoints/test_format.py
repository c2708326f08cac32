"""The manifest: one right form of its bytes, and no path that leads out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.format import CheckpointManifest, list_checkpoints, sealed, unsealed
from lugha.errors import InputError
from lugha.runs.manifest import FileRecord
from tests.checkpoints.small import small_checkpoint


def manifest_of(*paths: str, **changes: object) -> CheckpointManifest:
    files = [FileRecord(path=path, bytes=3, sha256="a" * 64) for path in paths]
    values: dict[str, object] = {"run": "demo-20261120T104210Z-3fa9", "step": 7, "parent": None, "created": "2026-11-20"}
    values |= {"files": files, "depends_on": {"data": "ọ́ṅ"}, "versions": {}} | changes
    return CheckpointManifest.model_validate(values)


def test_a_sealed_manifest_is_read_back() -> None:
    manifest = manifest_of("model.safetensors", "deep/er/file")
    again = unsealed(sealed(manifest), "here")
    assert again.model_copy(update={"seal": ""}) == manifest
    assert sealed(again) == sealed(manifest)


def test_every_single_bit_counts() -> None:
    content = sealed(manifest_of("a", "b"))
    for place in range(len(content)):
        for bit in range(8):
            altered = bytearray(content)
            altered[place] ^= 1 << bit
            with pytest.raises(InputError, match="here: (altered|damaged)"):
                unsealed(bytes(altered), "here")
    for end in range(len(content)):
        with pytest.raises(InputError, match="here: (altered|damaged)"):
            unsealed(content[:end], "here")


@given(st.binary(max_size=200))
def test_no_other_bytes_are_a_manifest(content: bytes) -> None:
    with pytest.raises(InputError):
        unsealed(content, "here")


@given(st.text(max_size=8), st.text(max_size=8))
def test_texts_of_any_kind_are_sealed_or_refused_but_never_crash(run: str, path: str) -> None:
    try:
        manifest = manifest_of(path, run=run)
        content = sealed(manifest)
    except (ValueError, UnicodeEncodeError):
        return  # a lone surrogate is no text
    try:
        assert unsealed(content, "here").run == run
    except InputError as error:
        assert "path" in str(error) or "file" in str(error)


@pytest.mark.parametrize(
    "path",
    ["../secret.json", "/etc/passwd", "deep/../../secret", "a\\b", "", ".", "..", "./a", "a//b", "a/", "manifest.json"],
)
def test_a_path_that_no_checkpoint_holds_is_refused_though_the_seal_is_right(path: str) -> None:
    with pytest.raises(InputError, match="outside the checkpoint|no checkpoint holds"):
        unsealed(sealed(manifest_of("model.safetensors", path)), "here")


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("a/b/c", "a/b")])
def test_files_that_cannot_lie_in_one_folder_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="twice, or one as a folder"):
        unsealed(sealed(manifest_of(*paths)), "here")


def test_order_is_that_of_manifests_never_of_names_or_times(tmp_path: Path) -> None:
    for step, name in ((3, "step-00000099"), (20, "step-00000001"), (100, "zzz")):
        small_checkpoint(tmp_path, step).rename(tmp_path / name)
    (tmp_path / "step-00000500").mkdir()  # no manifest: no checkpoint
    (tmp_path / "step-00000600").mkdir()
    (tmp_path / "step-00000600" / "manifest.json").write_text("{")
    listed = [(step, path.name) for step, path in list_checkpoints(tmp_path)]
    assert listed == [(100, "zzz"), (20, "step-00000001"), (3, "step-00000099"), (-1, "step-00000600")]
