"""Who holds a store's name: asked before it is taken over or removed.

Apart from `writer`, because it needs no compiler: tools that only look, and the demo that cleans up
behind itself, use it.
"""

from __future__ import annotations

import contextlib
import os

from . import segment
from .errors import NotAStore, StoreBusy, StoreRefused
from .header import Header

__all__ = ["refuse_if_held", "remove"]


def refuse_if_held(name: str, *, whatever: bool = False) -> None:
    """Raise StoreBusy, with the pid, if a live process writes the store `name`.

    Looks at both of its names, for the public one may have been unlinked by a reader, and at what
    is built aside. To be called under `segment.name_lock`, or the answer is old before it is used.
    Raises NotAStore for what is no file, unless `whatever` may be there.
    """
    foreign: NotAStore | None = None
    for path in (segment.path_of(name), segment.keep_path(name), segment.aside_path(name)):
        try:
            descriptor = segment.open_to_look(path, name)
        except FileNotFoundError:
            continue
        except NotAStore as error:
            foreign = foreign or error
            continue
        try:
            if segment.is_held(descriptor):
                raise StoreBusy(name, _writer_pid(descriptor, name))
        finally:
            os.close(descriptor)
    if foreign is not None and not whatever:
        raise foreign


def remove(name: str) -> None:
    """Unlink a store that no live process writes; mapped readers keep their memory.

    Raises StoreBusy.
    """
    with segment.name_lock(name):
        refuse_if_held(name)
        segment.unlink(name)


def _writer_pid(descriptor: int, name: str) -> int:
    with contextlib.suppress(StoreRefused):
        return Header.read(descriptor, name).writer_pid
    return -1
