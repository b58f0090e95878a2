"""What is imported is frozen, and the garbage collector goes on afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from monitor.imports import frozen


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nothing_is_collected_meanwhile_and_all_of_it_frozen() -> None:
    before = gc.get_freeze_count()
    with frozen():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_collections_go_on_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), frozen():
        raise ImportError
    assert gc.isenabled()
