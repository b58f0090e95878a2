"""Everything that `monitor` raises on purpose.

::

    MonitorError
    ├── SettingsError          settings that cannot be used; lists every problem
    ├── MarketError            a market asked for by name cannot be followed
    │   ├── UnknownMarket      nothing has this name; names the nearest
    │   ├── AmbiguousMarket    two markets share the canonical name that was asked for
    │   ├── DelistedMarket     the exchange does not trade it any more
    │   └── SeveralMarkets     more than one of the above, in the order asked
    ├── ProtocolError          the exchange's answer is not what it should be
    ├── RestError              a REST request failed for good
    ├── ForeignFile            a file under a store's name is not a store
    ├── SourceChanged          the exchange that answers is not the one that filled the store
    ├── ArchiveRefused         what is in MONITOR_ARCHIVE must not be written to, or be read
    └── SeveralProblems        errors of different kinds, all that were found
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = [
    "AmbiguousMarket",
    "ArchiveRefused",
    "DelistedMarket",
    "ForeignFile",
    "MarketError",
    "MonitorError",
    "Problem",
    "ProtocolError",
    "RestError",
    "SettingsError",
    "SeveralMarkets",
    "SeveralProblems",
    "SourceChanged",
    "UnknownMarket",
]


class MonitorError(Exception):
    """Base of the errors of this package."""


class Problem(NamedTuple):
    """One setting that cannot be used: its variable's name, what it holds, what it should."""

    name: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.name}: found {self.found}, expected {self.expected}"


class SettingsError(MonitorError):
    """The settings cannot be used; `problems` has one entry for each that is wrong."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class MarketError(MonitorError):
    """A market cannot be followed; `problems` are the single errors, itself if there is one."""

    @property
    def problems(self) -> tuple[MarketError, ...]:
        """The single errors that this one stands for."""
        return (self,)


class UnknownMarket(MarketError):
    """No market and no selector matches `name`."""

    def __init__(self, name: str, nearest: Sequence[str] = (), exists: str = "") -> None:
        super().__init__(name)
        self.name = name
        self.nearest = tuple(nearest)
        self.exists = exists

    def __str__(self) -> str:
        parts = [f"no market matches {self.name!r}"]
        if self.nearest:
            parts.append(f"nearest: {', '.join(self.nearest)}")
        if self.exists:
            parts.append(self.exists)
        return "; ".join(parts)


class AmbiguousMarket(MarketError):
    """The canonical name that was asked for belongs to several exchange names."""

    def __init__(self, name: str, coins: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.coins = tuple(coins)

    def __str__(self) -> str:
        return (
            f"market {self.name!r} is ambiguous: found {' and '.join(map(repr, self.coins))}, "
            f"expected one; ask for it by its exchange name"
        )


class DelistedMarket(MarketError):
    """The market is known but the exchange does not trade it any more."""

    def __init__(self, name: str, coin: str) -> None:
        super().__init__(name)
        self.name = name
        self.coin = coin

    def __str__(self) -> str:
        return (
            f"market {self.name!r} (exchange name {self.coin!r}) is delisted: "
            f"it will never trade again; take it out of MONITOR_MARKETS"
        )


class SeveralMarkets(MarketError):
    """More than one market cannot be followed."""

    def __init__(self, problems: Iterable[MarketError]) -> None:
        self._problems = tuple(problems)
        super().__init__(self._problems)

    @property
    def problems(self) -> tuple[MarketError, ...]:
        """The single errors, in the order in which the markets were asked for."""
        return self._problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self._problems)


class ProtocolError(MonitorError):
    """An answer of the exchange cannot be understood as what was asked for."""

    def __init__(self, what: str, found: str, expected: str) -> None:
        super().__init__(what, found, expected)
        self.what = what
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"answer to {self.what}: found {self.found}, expected {self.expected}"


class RestError(MonitorError):
    """A REST request failed for good.

    `status` is the HTTP status, None when no answer came; `reason` says what happened instead or
    begins the answer's body; `attempts` counts the requests that were sent. `refused`: the answer
    to the same request would be the same.
    """

    def __init__(
        self,
        request: str,
        url: str,
        status: int | None,
        reason: str,
        attempts: int,
        *,
        refused: bool = False,
    ) -> None:
        super().__init__(request, url, status, reason, attempts)
        self.request = request
        self.url = url
        self.status = status
        self.reason = reason
        self.attempts = attempts
        self.refused = refused

    def __str__(self) -> str:
        found = f"HTTP {self.status}" if self.status is not None else "no answer"
        reason = f" ({self.reason})" if self.reason else ""
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{self.request} at {self.url}: found {found}{reason}{tries}, expected HTTP 200"


class SourceChanged(MonitorError):
    """The embedded exchange was started anew: the rows of its next run are of other prices."""

    def __init__(self, url: str, found: str | None, expected: object) -> None:
        super().__init__(url, found, expected)
        self.url = url
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"the embedded exchange at {self.url} was started anew: found run {self.found}, "
            f"expected {self.expected}; start the service again as well"
        )


class ForeignFile(MonitorError):
    """What has a store's name was not made by this library: it is not removed unasked."""

    def __init__(self, name: str, path: str, found: str, expected: str) -> None:
        super().__init__(name, path, found, expected)
        self.name = name
        self.path = path
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"{self.path}: found {self.found}, expected a store ({self.expected}); nothing was "
            f"removed: if it can go, ask again with --force (python -m monitor store clean "
            f"--force {self.name})"
        )


class ArchiveRefused(MonitorError):
    """The archive is in use, or of another version."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"MONITOR_ARCHIVE: found {self.found}, expected {self.expected}; "
            f"choose another folder, or none"
        )


class SeveralProblems(MonitorError):
    """Errors of different kinds, a line for each."""

    def __init__(self, *problems: Exception) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))
