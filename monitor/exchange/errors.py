"""What the embedded exchange refuses, and why.

The tree::

    ExchangeError
    ├── ConfigError          a market list, replay file or option that cannot be used
    │   └── UnknownFault     a fault name that does not exist
    ├── RefusedConnection    one websocket too many (the shell answers 429)
    └── BadRequest           an /info request that gets an HTTP error
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BadRequest", "ConfigError", "ExchangeError", "RefusedConnection", "UnknownFault"]


class ExchangeError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigError(ExchangeError):
    """Something given by the user cannot be used: `where`, what was `found`, what is `expected`."""

    def __init__(self, where: str, found: object, expected: str) -> None:
        """Keep the three parts; the sentence is built by `__str__`."""
        super().__init__(where, found, expected)
        self.where = where
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.where}: found {self.found!r}, expected {self.expected}"


class UnknownFault(ConfigError):
    """A fault name that is not in the registry; the nearest known one is named."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """Look for the nearest of the `known` names."""
        self.name = name
        self.known = sorted(known)
        near = get_close_matches(name, self.known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? Known: " if near else "one of "
        super().__init__("fault", name, hint + ", ".join(self.known))


class RefusedConnection(ExchangeError):
    """The websocket is refused: `limit` names which limit, `value` says how much is allowed."""

    def __init__(self, limit: str, value: int) -> None:
        """Keep which limit was met."""
        super().__init__(limit, value)
        self.limit = limit
        self.value = value

    def __str__(self) -> str:
        return f"connection refused: more than {self.value} {self.limit}"


class BadRequest(ExchangeError):
    """An /info request that is answered by HTTP `status` and the text `body`."""

    def __init__(self, status: int, body: str) -> None:
        """Keep what is sent back."""
        super().__init__(status, body)
        self.status = status
        self.body = body

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.body}"
