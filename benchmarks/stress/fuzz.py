"""A million mutated frames and REST bodies: no crash, nothing invalid in the ring, nothing grows.

Recorded shapes of every channel are mutated (bytes flipped, cut, repeated, numbers and types
exchanged, two messages grafted together) and go the way of the real ones: `protocol.decode`, then
the engine; REST bodies through their decoders, then `History.answer`. What the ring holds keeps its
invariants; the notes for the log are counted, and memory is measured after a tenth of the
run and at its end.

    python benchmarks/stress/fuzz.py --count 1000000

Prints what was done as JSON; exit code 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from validity import assert_valid  # noqa: E402

import engine_kit as kit  # noqa: E402 - what it needs lies beside it
from monitor import protocol  # noqa: E402
from monitor.errors import ProtocolError  # noqa: E402
from monitor.protocol import Candle, Malformed  # noqa: E402

COINS = ("BTC", "@107", "xyz:TSLA")
CANDLE = (
    '{"t":%d,"T":%d,"s":"BTC","i":"1m","o":"85827.0","c":"85812.0","h":"85827.0","l":"85801.0",'
    '"v":"0.73617","n":20}'
)
FRAMES = (
    '{"channel":"candle","data":' + CANDLE + "}",
    '{"channel":"bbo","data":{"coin":"BTC","time":%d,"bbo":[{"px":"1.0","sz":"2","n":%d},null]}}',
    '{"channel":"allMids","data":{"mids":{"BTC":"80868.5","@142":"80907.5"},"x":[%d,%d]}}',
    '{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"dayNtlVlm":"%d","midPx":"%d"}}}',
    '{"channel":"subscriptionResponse","data":{"method":"x","subscription":{"type":"c","t":[%d,%d]}}}',
    '{"channel":"error","data":"Already subscribed: {\\"type\\":\\"candle\\",\\"t\\":%d}","n":%d}',
    '{"channel":"pong","n":[%d,%d]}',
)
BODIES: tuple[tuple[str, Callable[[bytes], Any]], ...] = (
    ("[" + CANDLE + "," + CANDLE.replace("20}", "7}") + "]", protocol.decode_candles),
    ('{"universe":[{"szDecimals":5,"name":"BTC","maxLeverage":%d}],"x":%d}', protocol.decode_meta),
    (
        '{"universe":[{"tokens":[1,0],"name":"@1","index":%d}],"tokens":[{"name":"H","index":%d}]}',
        protocol.decode_spot_meta,
    ),
    ('[null,{"name":"xyz","n":[%d,%d]}]', protocol.decode_perp_dexs),
    ('{"specialStatuses":null,"time":%d,"x":%d}', protocol.decode_exchange_status),
)
TOKENS = (
    *(b"null", b"true", b"{}", b"[]", b'""', b"-1", b"0", b"1e999", b"-0.0", b"NaN", b'"NaN"'),
    *(b'"Infinity"', b'"-inf"', b"1e308", b'"1e-320"', b"9223372036854775808", b'"\xff"', b"\x00"),
    *(b'"0x10"', b'"1_000"', b'" 1"', b"[[[[", b'"@107"', b'"XYZ"', b'"1h"', b'"\\ud800"', b"1.5"),
    *(b'"85801.0"', b'"85900.5"', b'"0.5"', b"21", b"300", b'"85812"', b"1", b'"C0"', b'"1m"'),
)


def mutate(data: bytes, dice: Random, others: tuple[bytes, ...]) -> bytes:
    """None to three changes; half of the messages are broken in their values alone."""
    changed = bytearray(data)
    values_alone = dice.random() < 0.5
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(changed) + 1)
        kind = 6 if values_alone else dice.randrange(7)
        if kind == 0 and changed:
            changed[at % len(changed)] = dice.randrange(256)
        elif kind == 1:
            del changed[at : at + dice.randrange(1, 30)]
        elif kind == 2:
            changed[at:at] = changed[at : at + dice.randrange(60)]
        elif kind == 3:
            other = dice.choice(others)
            changed[at:] = other[dice.randrange(len(other)) :]
        elif kind == 4:
            changed[at:at] = dice.choice(TOKENS)
        else:
            # A whole value, between a colon and what ends it.
            colons = [k for k, byte in enumerate(changed) if byte == 0x3A]
            if colons:
                begin = dice.choice(colons) + 1
                end = begin
                while end < len(changed) and changed[end] not in b",}]":
                    end += 1
                changed[begin:end] = dice.choice(TOKENS)
    return bytes(changed)


class Fuzz:
    """An engine that is fed with nonsense; `counts` says what became of it."""

    def __init__(self, seed: int) -> None:
        """Three markets, one of them with a history."""
        self.dice = Random(seed)
        self.desk = kit.Desk()
        self.desk.settle()
        self.counts: Counter[str] = Counter()
        self.lines = 0
        self.trades = 300

    def feed(self, count: int) -> None:
        """So many messages, four frames to a body; the clock goes on all the while."""
        for k in range(count):
            now = int(self.desk.now)
            open_ms = now - now % kit.MINUTE
            numbers = (open_ms, open_ms + kit.MINUTE - 1)
            if k % 5:
                self._frame(
                    self._message(FRAMES, numbers, self.dice.choice((0, 0, 1, 2, 3, 4, 5, 6)))
                )
            else:
                self._body(numbers)
            if k % 500 == 0:
                self.desk.go(7.0)
                self.lines += len(self.desk.engine.book.notes)
                self.desk.engine.book.notes.clear()
            if k % 5_000 == 0:
                self.desk.settle()
                kit.check(self.desk.engine)

    def _message(self, shapes: tuple[str, ...], numbers: tuple[int, int], which: int) -> bytes:
        filled = tuple(
            (shape % numbers).encode()
            if shape.count("%d") == 2
            else (shape % (numbers * 2)).encode()
            for shape in shapes
        )
        coin = self.dice.choice(("C0", "C0", "C0", *COINS)).encode()
        # More trades than any before, or the engine would pass over it as an older state.
        self.trades += 1
        fresh = filled[which].replace(b'"n":20', b'"n":%d' % self.trades)
        return mutate(fresh.replace(b"BTC", coin), self.dice, filled)

    def _frame(self, frame: bytes) -> None:
        event = protocol.decode(frame)
        self.counts[type(event).__name__] += 1
        desk = self.desk
        if isinstance(event, Candle):
            if desk.engine.candle(event, desk.now, 1):
                self.counts["placed"] += 1
                assert_valid(event)
                assert event.open_ms <= desk.now + kit.MINUTE, event
        elif isinstance(event, Malformed):
            assert len(event.excerpt) <= 900, event
            desk.engine.unreadable(desk.stream, desk.now)

    def _body(self, numbers: tuple[int, int]) -> None:
        shapes = tuple(shape for shape, _ in BODIES)
        which = self.dice.choice((0, 0, 0, 1, 2, 3, 4))
        body = self._message(shapes, numbers, which)
        found = None
        try:
            found = BODIES[which][1](body)
        except ProtocolError as error:
            self.counts["refused bodies"] += 1
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert len(refused) < 2_000, refused
            return
        self.counts["bodies"] += 1
        asks = self.desk.asks()
        if which == 0 and asks:
            self.counts["answers"] += 1
            self.desk.answer(asks[0], found)
            for name in ("open", "high", "low", "close"):
                assert (kit.column(self.desk.engine, name) > 0.0).all(), (name, found)


def main() -> int:
    """Feed, check, tell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    fuzz = Fuzz(given.seed)
    fuzz.feed(given.count // 10)
    early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fuzz.feed(given.count - given.count // 10)
    kit.check(fuzz.desk.engine)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early
    report = {
        "messages": given.count,
        "became": dict(fuzz.counts),
        "engine": dict(fuzz.desk.engine.book.counters),
        "notes": fuzz.lines,
        "grown_kib": grown,
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return int(grown > 20_000)


if __name__ == "__main__":
    sys.exit(main())
