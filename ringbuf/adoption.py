"""Taking a store over: what a writer does with the segment that it finds under its name.

`open_store` is how a service starts. Under the name's lock it looks at the public name and at the
second link, and then does one of three things:

adopted   the segment is what was asked for: its writer goes on in the same memory. Readers that
          have it mapped notice nothing but new rows.
rebuilt   it is of the same source, but other series, columns or history were asked for: a new
          segment is made aside, rows and columns that are still valid are copied into it, it takes
          both names, and the old one is marked retired, for its readers to attach anew.
created   there is none, or its rows are of another source: those are never mixed with ours. A store
          of another source loses its names; its readers keep their memory, marked retired.

What is not a whole store of this layout (somebody else's file, another version, truncated,
overwritten) is refused and left as it is: `NotReplaced` says what was found and expected. The
decision to remove it is a person's. A store that a live process writes is refused with `StoreBusy`.

Where both names lead to different segments, a swap was cut short between its two steps: the second
link, which is set first, is the newer one.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import kernels, layout, segment
from .check import ahead_of_its_clock, check_outline
from .errors import DAMAGES, LayoutError, NotAStore, NotReplaced, StoreRefused
from .header import Header
from .layout import WORD
from .ownership import refuse_if_held
from .repair import Mender, repair
from .spec import Geometry, StoreSpec
from .writer import Writer, lay_out

__all__ = ["Opening", "found_document", "open_store", "take_over"]

_KEPT_WORDS = ("closed", "revision", "status", "updated_ms", "heard_ns", "confirmed")
_KEPT_COUNTERS = ("frames", "corrected", "repaired", "rejected")


@dataclass(frozen=True)
class Opening:
    """How a store was opened.

    how: "adopted", "rebuilt" or "created".
    kept: series that have rows. repaired: series that a death had left in mid-write.
    fresh: columns whose values in the rows that were kept have to be computed. deeper: the new
    segment holds more rows than the old one did: there may be more to ask the source for.
    """

    how: str
    kept: int = 0
    repaired: int = 0
    fresh: tuple[str, ...] = ()
    deeper: bool = False


@dataclass(frozen=True)
class _Found:
    """A segment that has one of the store's names."""

    path: Path
    inode: int
    header: Header
    spec: StoreSpec

    def is_as(self, spec: StoreSpec) -> bool:
        """Is it what `spec` asks for? What software made it does not matter."""
        geometry = Geometry.of(spec)
        sizes = ("capacity", "column_stride", "record_stride")
        return (
            _asked(self.spec) == _asked(spec)
            and self.header.minor == layout.MINOR
            and all(getattr(self.header, size) == getattr(geometry, size) for size in sizes)
        )

    def is_of(self, spec: StoreSpec) -> bool:
        """Are its rows rows of that store?"""
        same = dict(self.spec.source) == json.loads(json.dumps(dict(spec.source)))
        return same and self.spec.interval_ms == spec.interval_ms


def _asked(spec: StoreSpec) -> Any:
    document = {**spec.document(), "name": "", "software": ""}
    return json.loads(json.dumps(document))


def found_document(name: str) -> dict[str, Any] | None:
    """The document of the segment that `open_store` would look at; None where there is none.

    Raises NotReplaced for what is not a store.
    """
    with segment.name_lock(name):
        found = _find(name)
    return None if found is None else found.spec.document()


def open_store(
    spec: StoreSpec,
    *,
    mode: int = 0o600,
    status: int = 0,
    essential: Sequence[str] = (),
    prepare: Callable[[Writer, Opening], None] | None = None,
    held: Writer | None = None,
    mender: Mender | None = None,
) -> tuple[Writer, Opening]:
    """Become the writer of the store `spec`: adopt it, rebuild it, or create it.

    status: what the status of series that have rows becomes, before anybody can take them for live.
    essential: columns without which a row is worth nothing; where one of them has another
    definition, no row is kept.
    prepare: called before a rebuilt segment takes its names, to compute its `fresh` columns.
    held: the writer that `take_over` returned for this name; it is used up.
    mender: what puts rows right that a death left in work; without one they are dropped.

    Raises StoreBusy, NotReplaced, NoSpace, LayoutError; then everything is as it was.
    """
    with segment.name_lock(spec.name):
        if held is None:
            refuse_if_held(spec.name)
        found = _find(spec.name)
        if found is not None and found.is_as(spec):
            if held is not None:
                return held.hand_over(spec), Opening("adopted", _with_rows(held))
            return _adopt(found, spec, mode, status, mender)
        return _build(spec, found, mode, status, essential, prepare, held, mender)


def take_over(
    name: str,
    accept: Callable[[StoreSpec], bool],
    *,
    mode: int = 0o600,
    status: int = 0,
    mender: Mender | None = None,
) -> Writer | None:
    """Adopt whatever store has this name if `accept` says so of what it holds; None otherwise.

    For a writer that cannot know yet what to ask for. Raises StoreBusy, NotReplaced.
    """
    with segment.name_lock(name):
        refuse_if_held(name)
        found = _find(name)
        if found is None or found.header.minor != layout.MINOR or not accept(found.spec):
            return None
        return _adopt(found, found.spec, mode, status, mender)[0]


# -- what is there ---------------------------------------------------------------------------------


def _find(name: str) -> _Found | None:
    """The segment of this name. Raises NotReplaced for what is not one."""
    try:
        public = _look(segment.path_of(name), name)
    except StoreRefused as error:
        raise NotReplaced(name, error, kept=_is_kept(name)) from error
    try:
        return _look(segment.keep_path(name), name) or public
    except StoreRefused as error:
        # The second link's suffix is ours: beside a sound store it may be anything.
        if public is None:
            raise NotReplaced(name, error) from error
        return public


def _is_kept(name: str) -> bool:
    try:
        return _look(segment.keep_path(name), name) is not None
    except StoreRefused:
        return False


def _look(path: Path, name: str) -> _Found | None:
    try:
        descriptor = segment.open_to_look(path, name)
    except FileNotFoundError:
        return None
    try:
        header = Header.read(descriptor, name)
        text = os.pread(descriptor, header.document_size, header.document_offset)
        live = np.frombuffer(os.pread(descriptor, layout.HEADER_SIZE, 0), layout.HEADER_DTYPE)[0]
        inode = os.fstat(descriptor).st_ino
        if wrong := ahead_of_its_clock(header, live):
            raise NotAStore(name, *wrong)
        # Not closed here: whatever is raised may hold views of it.
        outline = check_outline(segment.map_readonly(descriptor, header.size), name)
    finally:
        os.close(descriptor)
    held, odd = divmod(header.record_stride, header.column_stride)
    if odd or header.column_stride != 2 * header.capacity * layout.WORD_SIZE:
        raise NotAStore(name, f"records of {header.record_stride} bytes", "whole columns")
    if header.control_stride != layout.CONTROL_DTYPE.itemsize:
        expected = str(layout.CONTROL_DTYPE.itemsize)
        raise NotAStore(name, f"control_stride = {header.control_stride}", expected)
    try:
        spec = StoreSpec.of_document(json.loads(text))
        dict(spec.source)
    except (LayoutError, *DAMAGES) as error:
        raise NotAStore(name, f"{type(error).__name__}: {error}", "a whole document") from error
    said, counted = (len(spec.series), len(spec.columns)), (header.series, header.columns)
    if said != counted or held < len(spec.columns):
        raise NotAStore(name, f"series and columns {said}", str(counted))
    if outline:
        raise NotAStore(name, str(outline[0]), "header, tables and document that agree")
    return _Found(path, inode, header, spec)


@contextlib.contextmanager
def _mapped(found: _Found) -> Iterator[mmap.mmap]:
    descriptor = os.open(found.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield segment.map_writable(descriptor, found.header.size)
    finally:
        os.close(descriptor)


def _with_rows(writer: Writer) -> int:
    return int((writer.controls[:, WORD["newest"]] >= 0).sum())


# -- in place --------------------------------------------------------------------------------------


def _adopt(
    found: _Found, spec: StoreSpec, mode: int, status: int, mender: Mender | None
) -> tuple[Writer, Opening]:
    with _mapped(found) as memory:
        geometry = Geometry.found(found.header)
        _mark(Writer(spec, geometry, memory), status)
        writer = Writer(spec, geometry, memory, segment.take(found.path, spec.name))
        try:
            # By its path: where it is another user's, the error names it. Before anything is said.
            if writer.mode != mode:
                found.path.chmod(mode)
            writer.begin_life()
            _unsettle(writer)
            repaired = repair(writer, mender)
            segment.keep_names(found.path, spec.name)
        except BaseException:
            writer.disown()
            raise
    writer.publish()
    return writer, Opening("adopted", _with_rows(writer), repaired)


def _unsettle(writer: Writer) -> None:
    """Let readers that were attached all along look again at what they have found out.

    A death may have left a change that no word tells of yet, such as a run's new start, and a
    reader may have slept over all of it.
    """
    controls = writer.controls
    controls[:, WORD["rewinds"]] += 1
    at_rest = controls[:, WORD["sequence"]] & 1 == 0
    controls[at_rest, WORD["sequence"]] += 2
    kernels.settle()  # SYNC: before any row is changed


def _mark(writer: Writer, status: int) -> None:
    """Nothing of what the last writer knew about its series' being up to date is known now."""
    there = writer.controls[:, WORD["newest"]] >= 0
    writer.controls[there, WORD["status"]] = status


# -- aside -----------------------------------------------------------------------------------------


def _build(
    spec: StoreSpec,
    found: _Found | None,
    mode: int,
    status: int,
    essential: Sequence[str],
    prepare: Callable[[Writer, Opening], None] | None,
    held: Writer | None,
    mender: Mender | None,
) -> tuple[Writer, Opening]:
    geometry = Geometry.of(spec)
    opening = Opening("created")
    descriptor, temporary = segment.reserve(spec.name, geometry.size)
    try:
        memory = segment.map_writable(descriptor, geometry.size)
        writer = Writer(spec, geometry, memory, segment.take(temporary, spec.name))
        try:
            lay_out(writer)
            with contextlib.ExitStack() as stack:
                old: Writer | None = None
                if found is not None:
                    before = stack.enter_context(_mapped(found))
                    old = Writer(found.spec, Geometry.found(found.header), before)
                    if found.is_of(spec):
                        repaired = 0 if held is not None else repair(old, mender)
                        opening = _carry(old, writer, essential, repaired)
                        _mark(writer, status)
                if prepare is not None and opening.kept:
                    prepare(writer, opening)
                os.fchmod(descriptor, mode)
                segment.publish(temporary, spec.name)
                if old is not None:
                    old.retire()
            if held is not None:
                held.disown()
        except BaseException:
            writer.disown()
            raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)
    return writer, opening


def _carry(old: Writer, new: Writer, essential: Sequence[str], repaired: int) -> Opening:
    """Copy what is still valid: rows of the same series, columns of the same definition."""
    before = {(c.name, c.kind, c.definition): k for k, c in enumerate(old.spec.columns)}
    pairs = [
        (before[c.name, c.kind, c.definition], k)
        for k, c in enumerate(new.spec.columns)
        if (c.name, c.kind, c.definition) in before
    ]
    columns = [new.spec.columns[k].name for _, k in pairs]
    if not {"time", *essential} <= set(columns):
        return Opening("created")
    where = {(s.name, s.alias): k for k, s in enumerate(old.spec.series)}
    grid = old.grid
    new.header["grid"] = grid
    oldest = grid + 2 - min(old.geometry.capacity, new.geometry.capacity)
    bars = np.arange(max(oldest, 0), grid + 1)
    kept = 0
    for position, series in enumerate(new.spec.series):
        source = where.get((series.name, series.alias))
        if source is not None:
            kept += _carry_series(old, new, source, position, pairs, bars)
    fresh = tuple(c.name for c in new.spec.columns if c.name not in columns)
    deeper = new.geometry.capacity > old.geometry.capacity
    return Opening("rebuilt", kept, repaired, fresh, deeper)


def _carry_series(
    old: Writer, new: Writer, source: int, target: int, pairs: list[tuple[int, int]], bars: Any
) -> bool:
    words, control = old.controls[source], new.controls[target]
    for word in _KEPT_COUNTERS:
        control[WORD[word]] = words[WORD[word]]
    newest = int(words[WORD["newest"]])
    here = old.integers[source, 0, bars % old.geometry.capacity] == bars * old.spec.interval_ms
    bars = bars[here & (bars <= newest) & (bars >= words[WORD["origin"]])]
    if not len(bars) or bars[-1] != newest:
        return False
    for before, after in pairs:
        values = old.integers[source, before, bars % old.geometry.capacity]
        for copy in (0, new.geometry.capacity):
            new.integers[target, after, bars % new.geometry.capacity + copy] = values
    for word in _KEPT_WORDS:
        control[WORD[word]] = words[WORD[word]]
    control[WORD["newest"]] = newest
    control[WORD["start"]] = max(int(words[WORD["start"]]), int(bars[0]))
    # Values that depend on rows before it are there already; new ones cannot.
    control[WORD["origin"]] = bars[0]
    return True
