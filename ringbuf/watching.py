"""Who waits for a store's news, and what each of them has seen already.

A `Watch` belongs to what can change: a store, or one of its series. Every thread and every task
that waits is told of each change once, whatever the others have been told: what was published
between two of its calls makes the second one return at once, and so does, for its first call, what
was published since the store was attached. A new task starts where its thread has got to: on
Python before 3.12 `asyncio.wait_for` makes a task of every call, and would never sleep otherwise.

A service that died between giving its store's name away and saying so has woken nobody, and never
will: whoever is told nothing for `LOOK_S` asks whether the store is `retired`, and is told that.

A coroutine must not sleep in the kernel, so a thread does it for all of them: one a store, started
when somebody awaits, gone soon after nobody does. It is nobody's executor: a loop that shuts down
does not wait for it, and neither does the interpreter.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from . import waiting

if TYPE_CHECKING:
    import asyncio

__all__ = ["LOOK_S", "Sleeper", "Watch", "seconds"]

LOOK_S = 1.0
"""How often somebody who is told nothing looks for what nobody tells, in seconds: that a service
died while it retired the store, or (`following`) that there is no writer any more."""

_IDLE_S = 1.0
"""How long the thread outlives the last one who awaited: the next one usually comes at once."""

_LONGEST_S = 1e9


def seconds(timeout: object) -> float | None:
    """How long somebody would like to wait; None, which infinity means as well, is no limit.

    Zero or less is a look without a sleep: what is left until a deadline that has passed is less.
    Raises TypeError for what is no number, ValueError for NaN.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, numbers.Real):
        raise TypeError(f"found timeout={timeout!r}, expected seconds, or None for no limit")
    # More than the clock can count is no limit, either. Neither need fit into a float.
    asked: Any = timeout
    if asked >= _LONGEST_S:
        return None
    if asked <= 0:
        return 0.0
    if math.isnan(asked):
        raise ValueError("found timeout=nan, expected seconds, or None for no limit")
    return float(asked)


class Watch:
    """Something that may change whenever ``word: uint32[1]`` does. Safe in threads and in tasks.

    `look` says in what state it is; it is called after `word` was loaded, never before: what
    changes in between changes `word` once more. `attached` is the state that nobody need be told.
    """

    def __init__(
        self,
        word: npt.NDArray[np.uint32],
        look: Callable[[], Any],
        attached: Any,
        replaced: Callable[[], bool],
        sleeper: Sleeper,
    ) -> None:
        self._word = word
        self._look = look
        self._attached = attached, False
        self._replaced = replaced
        self._ended = False
        self._looked = time.monotonic()
        self._sleeper = sleeper
        self._seen: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def wait(self, timeout: float | None) -> bool:
        """Sleep until there is something that this thread has not been told; False after `timeout`.

        KeyboardInterrupt leaves at once.
        """
        timeout = seconds(timeout)
        who = threading.current_thread()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            published = int(self._word[0])
            now = self._look(), self._has_ended()
            if now != self._seen.get(who, self._attached):
                self._seen[who] = now
                return True
            left = math.inf if deadline is None else max(0.0, deadline - time.monotonic())
            if not waiting.wait(self._word, published, min(left, LOOK_S)):
                _, ended = now
                if left <= LOOK_S and self._has_ended() == ended:
                    return False

    def _has_ended(self) -> bool:
        """Has the store been replaced without a word? Looked up every `LOOK_S`, whoever asks."""
        now = time.monotonic()
        if not self._ended and now - self._looked >= LOOK_S:
            self._looked = now
            self._ended = self._replaced()
        return self._ended

    async def wait_async(self, timeout: float | None) -> bool:
        """The same in an asyncio task, without a hand on its loop.

        Whoever is cancelled has been told nothing: the next call is. Always lets the loop turn, so
        that a task which is told something all the time can be cancelled, too.
        """
        import asyncio

        timeout = seconds(timeout)
        loop = asyncio.get_running_loop()
        who, thread = asyncio.current_task(), threading.current_thread()
        # Taken before anything else runs: another task may be told in a moment.
        seen = self._seen.get(who, self._seen.get(thread, self._attached))
        deadline = None if timeout is None else loop.time() + timeout
        await asyncio.sleep(0)
        while True:
            published = int(self._word[0])
            now = self._look(), self._has_ended()
            if now != seen:
                self._seen[who] = self._seen[thread] = now
                return True
            left = LOOK_S if deadline is None else deadline - loop.time()
            if left <= 0:
                return False
            future: asyncio.Future[None] = loop.create_future()
            timer = loop.call_later(min(left, LOOK_S), _finish, future)
            self._sleeper.add(future, loop, published)
            try:
                await future
            finally:
                self._sleeper.drop(future)
                timer.cancel()


class Sleeper:
    """The thread that sleeps on ``word: uint32[1]`` for all coroutines that would like to."""

    def __init__(self, word: npt.NDArray[np.uint32]) -> None:
        self._word = word
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._sleeping: dict[asyncio.Future[None], tuple[asyncio.AbstractEventLoop, int]] = {}
        self._thread: threading.Thread | None = None

    def add(
        self, future: asyncio.Future[None], loop: asyncio.AbstractEventLoop, published: int
    ) -> None:
        """Finish `future` as soon as the word is not `published`."""
        # In a forked child there is no such thread, and its lock may be held for ever.
        if self._process != os.getpid():
            self._reset()
        with self._changed:
            self._sleeping[future] = loop, published
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="ringbuf-sleeper", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        # The thread may have gone to sleep after a change that `published` is older than. From here
        # on it either is in the kernel with the value that was just loaded, or looks again.
        if int(self._word[0]) != published:
            _finish(future)

    def drop(self, future: asyncio.Future[None]) -> None:
        """Forget `future`: it is done, or nobody waits for it any more."""
        with self._changed:
            self._sleeping.pop(future, None)

    def _run(self) -> None:
        while self._wanted():
            published = int(self._word[0])
            if not self._finish_due(published):
                waiting.wait(self._word, published, waiting.SLICE_S)

    def _wanted(self) -> bool:
        """Somebody waits; or nobody does for so long that the thread is over."""
        with self._changed:
            if not self._sleeping:
                self._changed.wait(_IDLE_S)
            if not self._sleeping:
                self._thread = None
            return bool(self._sleeping)

    def _finish_due(self, published: int) -> bool:
        with self._changed:
            due = [
                (future, loop)
                for future, (loop, seen) in self._sleeping.items()
                if seen != published
            ]
            for future, _ in due:
                del self._sleeping[future]
        for future, loop in due:
            # Where its loop was closed without it, there is nobody left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_finish, future)
        return bool(due)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
