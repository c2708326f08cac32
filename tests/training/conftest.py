"""Tiny prepared worlds, made once for all tests of the loop."""

from __future__ import annotations

import pytest

from tests.worlds import World, documents_world, pairs_world


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Swahili sentences, tokenised, with a decoder's recipe."""
    return documents_world(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Swahili-English pairs, tokenised, with an encoder-decoder's recipe."""
    return pairs_world(tmp_path_factory.mktemp("pairs"))
