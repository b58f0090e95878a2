"""A store that has lost all of its names while it was being written.

``rm /dev/shm/NAME*`` does that, and so does systemd where a user's last session ends and
``RemoveIPC=yes``. Mapped readers would go on seeing rows that nobody else can find, and a second
service could start beside the first. A file without a name cannot be given one again, so its bytes
go into a new segment.
"""

from __future__ import annotations

import os

from . import segment
from .errors import NoSpace
from .writer import Writer

__all__ = ["is_kept", "rescue"]


def rescue(writer: Writer) -> bool:
    """Give up a `nameless` store, leaving its rows under its names; False if they were lost.

    The copy is as if its writer had died this moment: whoever opens the store adopts it. The old
    segment is marked retired, so that its readers attach the new one; it must not be written any
    more. Where a file that is no store has one of the names, the copy gets the other alone: whoever
    opens the store is told of that file, and finds the copy once it is gone. Where both are
    somebody's, or another store has one, or there is no room for a copy, nothing is left.

    Raises NameHeld, NoSpace and OSError; the old segment is retired all the same. But where its
    second link leads to it, whatever is raised, it is kept: nobody has lost it.
    """
    name = writer.spec.name
    try:
        with segment.name_lock(name):
            # By way of its second link it is adopted as it is: readers keep their memory.
            return is_kept(writer) or _copied(writer)
    finally:
        if not is_kept(writer):  # whatever prevented a copy: readers must not wait for more
            writer.retire()
        writer.disown()


def is_kept(writer: Writer) -> bool:
    """Does the second link lead to this very segment? Then whoever opens the store adopts it."""
    return segment.leads_to(segment.keep_path(writer.spec.name), writer.inode)


def _copied(writer: Writer) -> bool:
    name, size = writer.spec.name, writer.geometry.size
    names = (segment.keep_path(name), segment.path_of(name))
    free = [path for path in names if not os.path.lexists(path)]
    if not free or any(segment.is_ours(path) for path in names):
        return False
    try:
        descriptor, temporary = segment.reserve(name, size)
    except NoSpace:
        return False
    try:
        with segment.map_writable(descriptor, size) as memory:
            memory[:] = memoryview(writer.memory)[:size]
        os.fchmod(descriptor, writer.mode)
        if len(free) == len(names):
            segment.publish(temporary, name)
        else:
            temporary.replace(free[0])
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)
    return True
