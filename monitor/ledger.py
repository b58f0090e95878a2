"""What is certain about one market, and what has to be asked: pure bookkeeping.

The rows themselves and the marks that readers see (newest, closed, start, confirmed) are in the
ring. A `Ledger` holds what only the engine needs to know about the exchange's streams:

* a *stream* is one socket's flow of frames; it tells all of a market's bars from the ``since`` it
  has for that market, and is proven to have delivered everything up to its ``alive_ms``;
* ``certain`` is the last bar up to which every row from the origin on is closed, -1 before there is
  a history. Bars between it and the oldest stream's ``since`` were not observed to their end: they
  are *missing*, whether the ring has no row for them (a hole) or one that may lack trades
  (doubtful). REST settles them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Ask", "Ledger", "Stream"]


@dataclass(eq=False)
class Stream:
    """One socket's flow of frames, shared by the markets subscribed on it.

    A socket and the one that takes its place have one `name`: side by side for a moment, they are
    no second witness that a market can count on.
    `alive_ms` is raised by whoever reads the socket. Frames of one socket come in order, so a frame
    or a pong that left the exchange at that time proves that nothing before it is still to come.
    """

    name: str = ""
    alive_ms: float = 0.0


@dataclass(frozen=True)
class Ask:
    """A request to REST: bars first..last of a market; bars up to `settled` have had their grace.

    kind: ``fill`` (first history), ``repair`` (missing bars), ``confirm`` (background), or
    ``last_close`` (of a market that has not traded for so long that its history is empty).
    traded: the newest bar with trades that was known when this was asked.
    """

    market: int
    kind: str
    first: int
    last: int
    settled: int
    traded: int = -1

    @property
    def until(self) -> int:
        """The last bar to ask for: where a later trade is known, one more than is wanted.

        REST lists every minute up to a trade: an answer without that one is too old.
        """
        return self.last + (self.traded > self.last)

    @property
    def urgent(self) -> bool:
        """Does somebody wait for it? Confirmations are for the background."""
        return self.kind != "confirm"


@dataclass
class Ledger:
    """The state of one market; bars are minutes since the epoch, -1 is none.

    filled: the first history is there. dormant: it was empty, its last close must be asked for.
    empties: how often it was.
    traded: newest bar that had a trade. heard_ms: exchange's time of the last frame.
    silence: first and last bar in which the day's volume shows that there was no trade.
    checked_ms: when REST last said all that it knew.
    asked: the request under way. attempts: answers in a row that lagged behind the socket.
    refusals: times in a row that the exchange refused to answer. vain: confirmations in a row that
    confirmed nothing.
    status: what readers were last told, see `book.STATUSES`.
    delisted: the exchange trades it no more.
    unsure: first and last bar of a silence that turned out to prove nothing; REST is to be asked.
    """

    streams: dict[Stream, int] = field(default_factory=dict)
    certain: int = -1
    filled: bool = False
    dormant: bool = False
    empties: int = 0
    traded: int = -1
    heard_ms: float = 0.0
    silence: tuple[int, int] | None = None
    checked_ms: float = 0.0
    asked: Ask | None = None
    retry_ms: float = 0.0
    attempts: int = 0
    refusals: int = 0
    vain: int = 0
    status: int = 0
    delisted: bool = False
    unsure: tuple[int, int] | None = None

    @property
    def since(self) -> int | None:
        """The first bar that some stream tells wholly; None while nobody watches."""
        return min(self.streams.values(), default=None)

    def missing(self, depth: int, start: int) -> tuple[int, int] | None:
        """First and last bar that REST has to settle; `depth` bars for a first history.

        `start`: first bar of the readable run. Where it is behind a hole, the hole reaches up to
        it, whatever the streams are believed to have told since.
        """
        since = self.since
        if since is None:
            return None
        since = max(since, start) if start > self.certain + 1 else since
        first = self.certain + 1 if self.filled else since - depth
        return (first, since - 1) if first < since else None

    def doubt(self, bar: int, which: Stream | None = None) -> None:
        """Something told of `bar` was lost: no stream (or not `which`) has told all of it."""
        for stream, since in self.streams.items():
            if which is None or stream is which:
                self.streams[stream] = max(since, bar + 1)

    def watch(self, stream: Stream, since: int) -> None:
        """`stream` tells all bars from `since` on."""
        self.streams[stream] = since

    def observed(self, bar: int, until_ms: float) -> int:
        """How many streams told all of `bar`, and lived until `until_ms`, its end and grace?

        A socket and its successor are one.
        """
        told = {
            stream.name
            for stream, since in self.streams.items()
            if since <= bar and stream.alive_ms >= until_ms
        }
        return len(told)

    def proven(self, bar: int) -> bool:
        """Is it known from elsewhere than the streams that `bar` had no trade?"""
        return self.silence is not None and self.silence[0] <= bar <= self.silence[1]

    def disbelieve(self, first: int, last: int) -> None:
        """A stream was silent from `first` to `last`, and there was something to tell."""
        if self.unsure is not None:
            first, last = min(first, self.unsure[0]), max(last, self.unsure[1])
        self.unsure = (first, last)

    def asked_about(self, last: int) -> None:
        """REST has answered about everything up to `last`."""
        if self.unsure is not None:
            first, until = max(self.unsure[0], last + 1), self.unsure[1]
            self.unsure = (first, until) if first <= until else None

    def restart(self) -> None:
        """Forget the history: what is missing is more than can be asked for."""
        self.certain = -1
        self.filled = self.dormant = False
        self.empties = 0
        self.unsure = None
        self.attempts = 0
