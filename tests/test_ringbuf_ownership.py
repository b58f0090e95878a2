"""Who holds a store's name, asked without a compiler."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ringbuf
from ringbuf import StoreBusy, ownership, segment
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import create

SHARED_MEMORY = Path("/dev/shm")


def spec(name: str) -> StoreSpec:
    return StoreSpec(name, (Series("a"),), (Column("time", "M"), Column("x")), 5, 60_000)


def test_a_store_without_a_living_writer_is_removed_under_both_names(segment_name: str) -> None:
    create(spec(segment_name)).close()
    ownership.remove(segment_name)
    assert not list(SHARED_MEMORY.glob(f"{segment_name}*"))
    ownership.remove(segment_name)


def test_a_living_writers_store_is_not_removed(segment_name: str) -> None:
    with create(spec(segment_name)):
        with pytest.raises(StoreBusy, match=f"written by process {os.getpid()}; stop that one"):
            ownership.remove(segment_name)
        assert ringbuf.attach(segment_name).alive


def test_the_holder_is_found_when_a_reader_has_unlinked_the_public_name(
    segment_name: str,
) -> None:
    with create(spec(segment_name)):
        segment.path_of(segment_name).unlink()
        with pytest.raises(StoreBusy, match=re.escape(str(os.getpid()))):
            ownership.refuse_if_held(segment_name)


def test_a_foreign_file_of_that_name_is_nobodys_store(segment_name: str) -> None:
    (SHARED_MEMORY / segment_name).write_bytes(b"foreign")
    ownership.refuse_if_held(segment_name)
    ownership.remove(segment_name)
    assert not (SHARED_MEMORY / segment_name).exists()


def test_it_needs_no_compiler() -> None:
    code = "import sys, ringbuf.ownership; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
