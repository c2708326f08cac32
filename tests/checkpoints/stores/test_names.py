"""Keys of a store: which of them are checkpoints, and which are not ours."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.stores.names import Listed, entries_of, key_of, new_name, promoted_runs, split_key
from lugha.checkpoints.stores.protocol import MARKER, PROMOTED
from lugha.errors import InputError

THEN = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
LATER = THEN + datetime.timedelta(minutes=5)
PARTS = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda part: part not in (".", "..")
)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("run/step-00000500-a1b2/model.safetensors", ("run/step-00000500-a1b2", "model.safetensors")),
        ("step-00000500-a1b2/model.safetensors", ("step-00000500-a1b2", "model.safetensors")),
        ("a/b/run/step-00000500/x/y", ("a/b/run/step-00000500", "x/y")),
        ("checkpoint-500/model.safetensors", ("checkpoint-500", "model.safetensors")),
        ("run/step-5/step-6/file", ("run/step-5", "step-6/file")),
        # A run whose recipe is called "step-2" or "step": its id is no checkpoint.
        ("step-2-20261120T104210Z-3fa9/step-00000500-a1b2/f", ("step-2-20261120T104210Z-3fa9/step-00000500-a1b2", "f")),
        ("step-20261120T104210Z-3fa9/step-00000500-a1b2/f", ("step-20261120T104210Z-3fa9/step-00000500-a1b2", "f")),
        ("step-00000500", None),  # a file
        ("run/step-00000500-a1b2/", None),  # what some clients put down for a folder
        ("run/step-/x", None),
        ("run/steps-5/x", None),
        ("run/global_step-5/x", None),
        ("run/step-5.partial/x", None),
        ("README.md", None),
        ("run/PROMOTED.json", None),
    ],
)
def test_which_keys_are_checkpoints(key: str, place: tuple[str, str] | None) -> None:
    assert split_key(key) == place


def test_the_entries_of_a_listing() -> None:
    listing = [
        Listed("run/step-5/b", 2, THEN),
        Listed(f"run/step-5/{MARKER}", 9, LATER),
        Listed("run/step-5/a/c", 3, THEN),
        Listed("run/step-50/b", 1, THEN),
        Listed(f"run/step-7/{MARKER}", 9, THEN),
        Listed("run/notes.txt", 1, THEN),
        Listed(f"run/step-50/deep/{MARKER}", 4, THEN),
    ]
    found = {entry.name: entry for entry in entries_of(listing)}
    assert set(found) == {"run/step-5", "run/step-50", "run/step-7"}
    assert (dict(found["run/step-5"].files), found["run/step-5"].marked) == ({"b": 2, "a/c": 3}, True)
    assert found["run/step-5"].changed == LATER
    assert (dict(found["run/step-50"].files), found["run/step-50"].marked) == ({"b": 1, f"deep/{MARKER}": 4}, False)
    assert (dict(found["run/step-7"].files), found["run/step-7"].marked) == ({}, True)


def test_the_runs_that_are_promoted() -> None:
    keys = [f"run/{PROMOTED}", f"a/b/other/{PROMOTED}", PROMOTED, f"run/step-5/{PROMOTED}", f"run/x{PROMOTED}"]
    assert promoted_runs([Listed(key, 1, THEN) for key in keys], "root") == {
        "run": f"run/{PROMOTED}",
        "other": f"a/b/other/{PROMOTED}",
        "root": PROMOTED,
    }


@given(run=st.from_regex(r"[A-Za-z0-9_.-]{1,20}-\d{8}T\d{6}Z-[0-9a-f]{4}", fullmatch=True), step=st.integers(0, 10**9))
def test_every_name_is_found_again(run: str, step: int) -> None:
    name = new_name(run, step)
    assert split_key(f"{name}/adapter/file") == (name, "adapter/file")
    assert split_key(f"{run}/{PROMOTED}") is None


@given(parts=st.lists(PARTS, min_size=1, max_size=4))
def test_a_key_is_its_parts(parts: list[str]) -> None:
    assert key_of(*parts).split("/") == parts


@pytest.mark.parametrize("key", ["", "/", "/etc/x", "a//b", "a/", "..", "a/../b", "a/..", "./a", "a\\b", "a\0b"])
def test_a_key_that_leads_out_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="not a name in a store"):
        key_of(key)
    with pytest.raises(InputError):
        key_of("run/step-5", key)
