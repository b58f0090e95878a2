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

__all__ = ["rescue"]


def rescue(writer: Writer) -> bool:
    """Give up a `nameless` store, leaving its rows under its names; False if they were lost.

    The copy is as if its writer had died this moment: whoever opens the store adopts it. The old
    segment is marked retired, so that its readers attach the new one; it must not be written any
    more. Where one of the names is somebody else's by now, or there is no room for a copy, nothing
    is left: what then has the name is told to whoever opens the store.

    Raises NameHeld, NoSpace and OSError; the old segment is retired all the same.
    """
    name = writer.spec.name
    kept = False
    try:
        with segment.name_lock(name):
            # By way of its second link it is adopted as it is: readers keep their memory.
            kept = segment.leads_to(segment.keep_path(name), writer.inode)
            paths = (segment.path_of(name), segment.keep_path(name))
            return kept or (not any(os.path.lexists(path) for path in paths) and _copied(writer))
    finally:
        if not kept:  # whatever kept it from being copied, its readers must not wait for more
            writer.retire()
        writer.disown()


def _copied(writer: Writer) -> bool:
    size = writer.geometry.size
    try:
        descriptor, temporary = segment.reserve(writer.spec.name, size)
    except NoSpace:
        return False
    try:
        with segment.map_writable(descriptor, size) as memory:
            memory[:] = memoryview(writer.memory)[:size]
        os.fchmod(descriptor, writer.mode)
        segment.publish(temporary, writer.spec.name)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)
    return True
