"""Waiting and giving up, decided without a clock or a socket."""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
import subprocess
import sys

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from monitor.backoff import delays, retryable


class Highest(random.Random):
    """Always draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_bound_doubles_up_to_the_cap_and_stays_there() -> None:
    bounds = list(itertools.islice(delays(0.5, 5.0, Highest()), 7))
    assert bounds == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


@given(st.floats(1e-3, 10.0), st.floats(1.0, 100.0), st.integers(0, 2**32), st.integers(1, 200))
def test_every_wait_lies_between_zero_and_its_bound(
    base: float, factor: float, seed: int, count: int
) -> None:
    cap = base * factor
    for n, wait in enumerate(itertools.islice(delays(base, cap, random.Random(seed)), count)):
        assert 0.0 <= wait <= min(cap, base * 2.0**n)


def test_it_goes_on_for_ever_without_overflow() -> None:
    *_, last = itertools.islice(delays(1e-3, 30.0, Highest()), 5_000)
    assert last == 30.0


def test_two_clients_do_not_wait_alike() -> None:
    one, other = (list(itertools.islice(delays(1, 60, random.Random(s)), 5)) for s in (1, 2))
    assert one != other


@pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_bounds_that_make_no_sense_are_refused(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="expected 0 < base <= cap"):
        next(delays(base, cap, random.Random()))


def _refused(status: int) -> aiohttp.WSServerHandshakeError:
    request = aiohttp.RequestInfo(URL("ws://exchange"), "GET", CIMultiDictProxy(CIMultiDict()))
    return aiohttp.WSServerHandshakeError(request, (), status=status)


@pytest.mark.parametrize(
    "problem",
    [
        408,
        429,
        500,
        502,
        503,
        504,
        ConnectionResetError(),
        ConnectionRefusedError(),
        TimeoutError(),
        asyncio.TimeoutError(),
        EOFError(),
        OSError("unreachable"),
        ssl.SSLError("bad record"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ServerTimeoutError(),
        aiohttp.ClientPayloadError(),
        aiohttp.ClientOSError(),
        aiohttp.ClientConnectionResetError(),
        _refused(503),
        _refused(429),
    ],
    ids=repr,
)
def test_passing_troubles_are_worth_another_try(problem: BaseException | int) -> None:
    assert retryable(problem)


@pytest.mark.parametrize(
    "problem",
    [
        200,
        400,
        401,
        403,
        404,
        405,
        415,
        422,
        600,
        ValueError("bug"),
        KeyError("bug"),
        aiohttp.InvalidURL("x:"),
        _refused(403),
        _refused(404),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_fatal_ones_are_not(problem: BaseException | int) -> None:
    assert not retryable(problem)


def test_it_needs_neither_an_event_loop_nor_a_network_library() -> None:
    code = (
        "import sys, monitor.backoff\n"
        "print(sorted({'asyncio', 'anyio', 'aiohttp', 'websockets', 'socket'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
