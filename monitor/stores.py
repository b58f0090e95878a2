"""The stores of this machine: which there are, what one says of itself, whether it is sound.

What ``python -m monitor store`` does. Everything here only looks, but for `clean`. Nothing needs
the compiler, and a segment need not be sound to be looked at.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ringbuf
from ringbuf import layout, ownership, segment
from ringbuf.check import check

from .errors import ForeignFile

__all__ = ["Listed", "clean", "doctor", "found", "inspect", "listing"]

_LEFT_OVERS = (".keep", ".lock", "~new", "~link")
_REMOVE = "python -m monitor store clean"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Listed:
    """One line of the list.

    `status` is `Store.condition`, or with the reason why ``refused``, ``unlinked``, ``building``
    (beside the name that it is going to take) or ``unfinished`` (its writer died before that).
    """

    name: str
    status: str
    pid: int
    mib: float
    markets: int
    software: str
    reason: str = ""


def found() -> list[Listed]:
    """Every segment of ours, whatever its state. Those we may not read are ``refused``, too."""
    names = [path.name for path in _segments()]
    aside = [one for path in segment.DIRECTORY.glob("*~new") if (one := _aside(path)) is not None]
    return sorted([*(_listed(name) for name in names), *aside], key=lambda one: one.name)


def listing(stores: list[Listed]) -> str:
    """`stores` as a table for people."""
    if not stores:
        return f"no stores in {segment.DIRECTORY}"
    rows = [("NAME", "STATUS", "WRITER", "MIB", "MARKETS", "SOFTWARE")]
    rows += [
        (s.name, s.status, str(s.pid or "-"), f"{s.mib:.1f}", str(s.markets or "-"), s.software)
        for s in stores
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *(f"{s.name}: {s.reason}" for s in stores if s.reason)])


def inspect(name: str) -> dict[str, Any]:
    """What the header and the document of `name` say, as plain values.

    Raises StoreNotFound and the StoreRefused that `attach` would.
    """
    with ringbuf.attach(name) as store:
        header = asdict(store.header)
        live = store.live()
        document = dict(store.document)
        document.pop("counters")
        # Long, and nothing that the columns and offsets beside it do not say.
        document.get("data", {}).pop("dtype", None)
        return {
            "name": name,
            "status": store.condition,
            "layout": {"major": layout.MAJOR, "minor": store.header.minor},
            "header": header,
            "live": {
                **live,
                "state": _state(live["state"]),
                "heartbeat_age_s": round(store.heartbeat_age, 3),
            },
            "counters": store.health()["counters"],
            "document": document,
        }


def _state(number: int) -> str:
    known = 0 <= number < len(layout.STATES)
    return layout.STATES[number] if known else f"unknown ({number})"


def doctor(name: str) -> list[str]:
    """What is wrong with the segment `name`, the first broken promise first; nothing: it is sound.

    Live or dead. Raises StoreNotFound, PermissionError.
    """
    descriptor = segment.open_readonly(name)
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            return ["header: an empty file, expected a store"]
        memory = segment.map_readonly(descriptor, size)
        wrong = [str(problem) for problem in check(memory, name)]
        return wrong + list(_names(name, os.fstat(descriptor).st_ino))
    finally:
        segment.close(descriptor)


def clean(name: str, *, force: bool = False) -> list[str]:
    """Remove the segment `name` and what its writers left behind; the names that are gone.

    A store of any version and in any state, if no live process writes it or builds its successor.
    All or nothing: raises StoreBusy, and ForeignFile, unless by `force`, where one of the names has
    what was not made by this library. By `force` a store is not removed together with something
    else that has its public name: that one goes alone, and the next service puts the name back.
    """
    path = segment.path_of(name)
    with segment.name_lock(name):
        ownership.refuse_if_held(name, whatever=True)
        there = [path, *(path.with_name(name + suffix) for suffix in _LEFT_OVERS)]
        # The lock's own file is ours just now, and goes when we do.
        gone = [one for one in there if one.suffix != ".lock" and os.path.lexists(one)]
        if not force:
            for one in gone:
                _refuse_foreign(one, name)
        if segment.is_ours(path) is False and segment.is_ours(segment.keep_path(name)):
            gone = [path]
        for one in gone:
            _remove_one(one, name)
    return [one.name for one in gone]


def _remove_one(path: Path, name: str) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    except OSError as error:
        found = f"what cannot be removed ({error.strerror})"
        raise ForeignFile(name, str(path), found, "an empty folder or a file of yours") from error


def _refuse_foreign(path: Path, name: str) -> None:
    expected = f"a file that begins with {layout.MAGIC!r}"
    if not stat.S_ISREG(path.lstat().st_mode):
        # Even a link to a store: who made that link was not this library.
        found = "a link" if path.is_symlink() else "a folder, a FIFO or a device"
        raise ForeignFile(name, str(path), found, expected)
    with path.open("rb") as file:
        begins = file.read(len(layout.MAGIC))
    # Whoever died while a segment was built aside had written nothing yet, or not its first word.
    aside = path.name.endswith("~new") or path.name.endswith("~link")
    if begins != layout.MAGIC and not (aside and not any(begins)):
        found = f"{path.stat().st_size} bytes that begin with {begins!r}" if begins else "no bytes"
        raise ForeignFile(name, str(path), found, expected)


def _segments() -> Iterator[Path]:
    """The public names that lead to something of ours, or once did."""
    for path in segment.DIRECTORY.iterdir():
        name = path.name
        if name.endswith(".keep"):
            # Its public name is gone, or somebody's: the store is still there, to be put back.
            public = path.with_name(name.removesuffix(".keep"))
            if not _is_ours(public) and _NAME.fullmatch(public.name) and _is_ours(path):
                yield public
        elif _NAME.fullmatch(name) and not name.endswith(_LEFT_OVERS) and _is_ours(path):
            yield path


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False  # a FIFO would be waited for
    try:
        with path.open("rb") as file:
            return file.read(len(layout.MAGIC)) == layout.MAGIC
    except PermissionError:
        # Whose it is cannot be said; its second name can.
        return path.with_name(f"{path.name}.keep").exists()
    except OSError:
        return False


def _listed(name: str) -> Listed:
    try:
        with ringbuf.attach(name) as store:
            # A damaged document may hold what no terminal can show.
            software = store.document["software"].encode(errors="backslashreplace").decode()
            mib = store.header.size / 2**20
            writer = store.header.writer_pid
            return Listed(name, store.condition, writer, mib, len(store), software)
    except ringbuf.StoreNotFound:
        return Listed(name, "unlinked", 0, 0.0, 0, "", "only its second link is left")
    except (ringbuf.StoreRefused, PermissionError) as error:
        return Listed(name, "refused", 0, 0.0, 0, "", str(error))


def _aside(path: Path) -> Listed | None:
    """What is built, or was, beside the name that it is for; None for what is not ours or gone."""
    name = path.name.removesuffix("~new")
    if not _NAME.fullmatch(name):
        return None
    try:
        _refuse_foreign(path, name)
        descriptor = segment.open_to_look(path, path.name)
    except (ForeignFile, ringbuf.StoreRefused, OSError):
        return None
    try:
        held, mib = segment.is_held(descriptor), os.fstat(descriptor).st_blocks * 512 / 2**20
    finally:
        segment.close(descriptor)
    if held:
        return Listed(path.name, "building", 0, mib, 0, "", f"going to be store {name}")
    reason = f"its writer died before it became store {name}: {_REMOVE} {name}"
    return Listed(path.name, "unfinished", 0, mib, 0, "", reason)


def _names(name: str, inode: int) -> Iterator[str]:
    """The links: with the second one gone, nobody could put an unlinked name back."""
    keep = segment.keep_path(name)
    if not keep.exists():
        yield f"names: {keep.name} is missing, expected a second link"
    elif keep.stat().st_ino != inode:
        yield f"names: {keep.name} leads to another segment"
