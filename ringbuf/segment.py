"""The file behind a store: naming, mapping, reserving, locking, putting the name back.

Segments are files of ``/dev/shm``, as POSIX shared memory is on Linux; the standard library's
`SharedMemory` opens the same ones. This module does not use that class: its resource tracker would
unlink a store when the process that wrote it is killed.

Three names belong to a store ``NAME``: the public one, ``NAME.keep`` (a second hard link, from
which a name that a careless reader unlinked is restored) and ``NAME.lock`` (held while the first
two are changed, so that two services starting at once cannot both win).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import stat
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import (
    LayoutError,
    NameHeld,
    NoSpace,
    NotAStore,
    PlatformUnsupported,
    StoreBusy,
    StoreNotFound,
)
from .layout import MAGIC

__all__ = [
    "DIRECTORY",
    "PATIENCE_S",
    "aside_path",
    "can_be_restored",
    "close",
    "free_space",
    "is_held",
    "is_ours",
    "is_usurped",
    "keep_names",
    "keep_path",
    "leads_to",
    "map_readonly",
    "map_writable",
    "name_holder",
    "name_lock",
    "open_readonly",
    "path_of",
    "publish",
    "reserve",
    "restore",
    "take",
    "unlink",
]

DIRECTORY = Path("/dev/shm")
PATIENCE_S = 10.0
"""How long the names may be somebody else's: making the largest store takes a part of it."""
_PAUSE_S = 0.01
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_NO_FILE = {
    errno.ELOOP: "a link to itself",
    errno.ENOTDIR: "a link through what is no folder",
    errno.ENXIO: "a socket",
}
_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid


def path_of(name: str) -> Path:
    """The file of the store `name`.

    Raises LayoutError for names that cannot be files, PlatformUnsupported away from Linux.
    """
    if not sys.platform.startswith("linux"):
        raise PlatformUnsupported(sys.platform)
    if not _NAME.fullmatch(name) or name.endswith((".keep", ".lock")):
        raise LayoutError(
            f"segment name {name!r}: expected letters, digits, '_', '-' or '.', at most 200, not "
            f"ending in .keep or .lock"
        )
    return DIRECTORY / name


def keep_path(name: str) -> Path:
    """The second link of the store `name`."""
    return path_of(name).with_name(f"{name}.keep")


def aside_path(name: str) -> Path:
    """Where a new segment is built before it takes the names. No store can have a name with ~."""
    return path_of(name).with_name(f"{name}~new")


def open_readonly(name: str) -> int:
    """A read-only, close-on-exec descriptor.

    Raises StoreNotFound, NotAStore; PermissionError as it comes.
    """
    try:
        return open_to_look(path_of(name), name)
    except FileNotFoundError:
        raise StoreNotFound(name) from None


def open_to_look(path: Path, name: str) -> int:
    """A read-only descriptor of whatever has the store's name. Raises NotAStore for no file.

    Anybody may have put a FIFO there: nobody is waited for who might write to it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise NotAStore(name, _NO_FILE[error.errno], "a regular file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAStore(name, "a folder, a FIFO or a device", "a regular file")
    return descriptor


def close(descriptor: int) -> None:
    """Close, whatever the interpreter is doing: also called while it shuts down."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def map_readonly(descriptor: int, size: int) -> mmap.mmap:
    """`size` bytes mapped so that nobody in this process can write to them."""
    return mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)


def map_writable(descriptor: int, size: int) -> mmap.mmap:
    """`size` bytes mapped for the writer."""
    return mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def free_space() -> tuple[int, int]:
    """Bytes free for us and bytes in all of /dev/shm."""
    room = os.statvfs(DIRECTORY)
    return room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize


def reserve(name: str, size: int) -> tuple[int, Path]:
    """A new file of `size` bytes beside the public name, its memory really there.

    Returns a read-write descriptor and the temporary path, which only its owner may use yet. To be
    called under `name_lock`. Raises NoSpace instead of letting the
    process die of SIGBUS at some later store.
    """
    # Whoever died here left the same file: its name is used again.
    temporary = aside_path(name)
    _make_way(temporary)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = _made(temporary, flags, name, size)
    try:
        free, total = free_space()
        if size > free:
            raise NoSpace(name, size, free, total)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
                free, total = free_space()
                raise NoSpace(name, size, free, total) from None
            raise
    except BaseException:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
        raise
    return descriptor, temporary


def _make_way(path: Path) -> None:
    """Remove what a death has left under one of the names that we alone use."""
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        raise NotAStore(path.name, "a folder", "nothing: remove it") from None


@contextlib.contextmanager
def name_lock(name: str) -> Iterator[None]:
    """Hold the store's name: nobody else creates, replaces or removes it meanwhile.

    Raises NameHeld where another process has it for longer than PATIENCE_S, NoSpace where no file
    can be made, NotAStore where something else has the lock's name; PermissionError and other
    OSErrors of the file as they come.
    """
    path = _lock_path(name)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    end = time.monotonic() + PATIENCE_S
    while True:
        descriptor = _made(path, flags, name, 0)
        try:
            if not _flocked(descriptor):
                if time.monotonic() > end:
                    raise NameHeld(name, _said_pid(descriptor), PATIENCE_S)
                time.sleep(_PAUSE_S)
                continue
            # The file may have been removed while we waited: a lock on it would protect nothing.
            if not leads_to(path, os.fstat(descriptor).st_ino):
                continue
            # Only told: with no page left in /dev/shm, what is there can still be taken over.
            with contextlib.suppress(OSError):
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def name_holder(name: str) -> int | None:
    """The pid of who holds the store's name just now (-1: it did not say); None for nobody.

    For those who may not sleep in `name_lock` until it is free. A lock that is not ours to open
    (another user's), or no file at all (a link, a FIFO, a folder) counts as held: we could not take
    it either, and whoever asks from time to time goes on until it is gone.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(_lock_path(name), flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO):
            return -1
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return -1
        return None if _flocked(descriptor) else _said_pid(descriptor)
    finally:
        os.close(descriptor)


def _made(path: Path, flags: int, name: str, size: int) -> int:
    """A descriptor of a file that is made if need be. Raises NoSpace, NotAStore."""
    strange = NotAStore(path.name, "a folder, a link, a FIFO or a socket", "a file of ours")
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
            raise strange from None
        if error.errno in (errno.ENOSPC, errno.ENOMEM):
            raise NoSpace(name, size, *free_space(), of_files=True) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise strange
    return descriptor


def _lock_path(name: str) -> Path:
    return path_of(name).with_name(f"{name}.lock")


def _flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _said_pid(descriptor: int) -> int:
    said = os.pread(descriptor, 32, 0)
    return int(said) if said.strip().isdigit() else -1


def take(path: Path, name: str) -> int:
    """Take the life lock of the segment at `path`: held until `close` or until we die.

    Returns the descriptor that holds it. It belongs to an open file of its own, because a mapping
    keeps a duplicate of the descriptor that it was made with, and a forked child inherits both: the
    lock would outlive us in either. Raises StoreBusy where another process has the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        raise StoreBusy(name, -1) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_held(descriptor: int) -> bool:
    """Does some process hold the life lock? A read-only descriptor can ask, not take.

    Asks for what a read lock would meet: a write lock alone, which only a writer can have taken.
    """
    request = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, request)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def publish(temporary: Path, name: str) -> None:
    """Give a finished segment its two names; whatever had them before loses them."""
    temporary.replace(keep_path(name))
    _lead(path_of(name), keep_path(name), name)


def keep_names(path: Path, name: str) -> None:
    """Let both names lead to the segment that `path`, one of them, leads to already.

    To be called under `name_lock`. Whatever had the other name loses it. Raises NoSpace where the
    public name cannot be made; without its second link a store can do until there is room for one.
    """
    inode = path.stat().st_ino
    for other in (keep_path(name), path_of(name)):
        if not leads_to(other, inode):
            try:
                _lead(other, path, name)
            except NoSpace:
                if other == path_of(name):
                    raise


def _lead(name_path: Path, path: Path, name: str) -> None:
    """Let `name_path` lead to where `path` does; whatever had it before loses it."""
    link = path_of(name).with_name(f"{name}~link")
    _make_way(link)
    try:
        os.link(path, link)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.ENOMEM):
            raise
        raise NoSpace(name, 0, *free_space(), of_files=True) from None
    link.replace(name_path)


def restore(name: str, inode: int) -> bool:
    """Put the public name back if somebody unlinked it, True if that was needed; the link, too.

    Nothing that has one of the names is removed for it. Only the process that holds the segment of
    this `inode` may call it.
    """
    path, keep = path_of(name), keep_path(name)
    if leads_to(path, inode):
        # The second link may be the one that is gone: from it alone the name can be restored.
        with contextlib.suppress(OSError):
            if not os.path.lexists(keep):
                os.link(path, keep)
        return False
    if not leads_to(keep, inode):
        return False
    with contextlib.suppress(OSError):
        os.link(keep, path)
        return True
    return False


def unlink(name: str) -> None:
    """Unlink both names. Mapped readers keep their memory."""
    path_of(name).unlink(missing_ok=True)
    keep_path(name).unlink(missing_ok=True)


def leads_to(path: Path, inode: int) -> bool:
    """Is the file at `path` the one of this `inode`? Not if there is none."""
    try:
        return path.stat().st_ino == inode
    except OSError:  # no file, or none that can be reached
        return False


def is_ours(path: Path, *, hidden: bool = False) -> bool | None:
    """Does `path` lead to a segment of this library, in whatever state? None: to nothing at all.

    hidden: the answer where there is a file that this user may not read.
    """
    try:
        descriptor = open_to_look(path, path.name)
    except FileNotFoundError:
        return False if path.is_symlink() else None
    except PermissionError:
        return hidden
    except (OSError, NotAStore):
        return False
    try:
        return os.pread(descriptor, len(MAGIC), 0) == MAGIC
    finally:
        os.close(descriptor)


def can_be_restored(name: str, inode: int) -> bool:
    """Has the store of this `inode` its second link, and no other store the public name?"""
    return leads_to(keep_path(name), inode) and is_ours(path_of(name)) is not True


def is_usurped(name: str, inode: int) -> bool:
    """Has something else the public name, while the store of this `inode` has its second one?"""
    return leads_to(keep_path(name), inode) and is_ours(path_of(name)) is False
