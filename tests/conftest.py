"""What several tests share: the real corpora beside the checkout, where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Wall-clock time is never tested: a busy machine would fail a right program.
settings.register_profile("lugha", deadline=None)
settings.load_profile("lugha")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real Igbo, Swahili and Yoruba text; the test is skipped where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "corpora"
    folder = Path(os.environ.get("LUGHA_CORPORA", beside))
    if not folder.is_dir():
        pytest.skip("the real corpora are not beside this checkout (set LUGHA_CORPORA to their folder)")
    return folder
