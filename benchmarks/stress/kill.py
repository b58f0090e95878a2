"""Is a store sound whatever its writer was doing when it was killed?

A slim writer (ring and kernels, no feed) is killed again and again, and another one takes its store
over, while two readers stay attached. It is killed at random moments under full load, now and then
while it starts; and at every single store of the write path, one after the other: the kernels then
run as plain Python over arrays that count what is stored in them.

Every row says by itself whether it is whole (its columns are functions of one number), and a closed
one whether it is right (that number is a function of its minute). What a reader sees is checked all
the time; what the next writer finds, before it publishes anything.

    python benchmarks/stress/kill.py --random 300

Prints what was done as JSON; exit code 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import ringbuf
from ringbuf import kernels, layout, ownership, segment
from ringbuf.adoption import open_store
from ringbuf.check import check
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, in_memory

SERIES, HISTORY, INTERVAL_MS, FIRST_BAR = 3, 8, 60_000, 1_000
COLUMNS = (Column("time", "M"), *map(Column, "xyz"), Column("k", "i"))
SETTLED = 1_000_000.0
LIMIT_S = 60.0


def spec_of(name: str) -> StoreSpec:
    """A small store: its ring turns round every seventy minutes or so."""
    series = tuple(Series(f"s{k}") for k in range(SERIES))
    return StoreSpec(name, series, COLUMNS, HISTORY, INTERVAL_MS, source={"stress": "kill"})


# -- rows that can be checked ----------------------------------------------------------------------


def row(bar: int, x: float) -> dict[str, float]:
    """A row of `bar`, all of it made of `x`."""
    return {"x": x, "y": 2 * x + bar, "z": -x, "k": int(x) ^ bar}


def truth(bar: int) -> float:
    """The `x` of the closed row of `bar`."""
    return SETTLED + bar * 7919 % 10_007


def wrong_with(rows: Any, closed: int) -> str:
    """What is wrong with consecutive rows of a snapshot; those up to bar `closed` are closed."""
    if not len(rows):
        return ""
    bars = rows["time"].astype(np.int64) // INTERVAL_MS
    x = rows["x"]
    if (np.diff(bars) != 1).any():
        return f"rows of bars {bars.tolist()}"
    whole = (
        (rows["y"] == 2 * x + bars) & (rows["z"] == -x) & (rows["k"] == x.astype(np.int64) ^ bars)
    )
    if not whole.all():
        return f"a torn row: {rows[~whole][0]}"
    done = bars <= closed
    right = x[done] == SETTLED + bars[done] * 7919 % 10_007
    return "" if right.all() else f"a wrong closed row: {rows[done][~right][0]}"


# -- readers ---------------------------------------------------------------------------------------


def read_until_told(name: str) -> dict[str, Any]:
    """Read and check, attached once, until stdin ends."""
    store = ringbuf.attach(name)
    inode = segment.path_of(name).stat().st_ino
    reads, longest, wrong = 0, 0.0, ""
    rings = list(store.values())
    os.set_blocking(0, False)
    while not wrong:
        for ring in rings:
            begun = time.monotonic()
            last, rows, done = ring.last(), ring.snapshot(), ring.snapshot(closed=True)
            longest = max(longest, time.monotonic() - begun)
            wrong = wrong or wrong_with(rows, -1) or wrong_with(done, 2**62)
            x, bar = last["x"], last["time"].astype(np.int64) // INTERVAL_MS
            if not np.isnat(last["time"]) and (last["y"] != 2 * x + bar or last["z"] != -x):
                wrong = wrong or f"a torn last row: {last}"
            reads += 3
        try:
            if os.read(0, 1) == b"":
                break
        except BlockingIOError:
            pass
    if segment.path_of(name).stat().st_ino != inode:
        wrong = wrong or "the name leads to another segment"
    return {"reads": reads, "longest_s": round(longest, 3), "wrong": wrong}


# -- the writer ------------------------------------------------------------------------------------


def found_wrong(writer: Writer) -> str:
    """What a new writer finds wrong with the store that it has taken over."""
    problems = check(writer.memory, writer.spec.name)
    if problems:
        return str(problems[0])
    with ringbuf.attach(writer.spec.name) as store:
        for ring in store.values():
            wrong = wrong_with(ring.snapshot(), ring.state()["closed"])
            if wrong:
                return f"{ring.name}: {wrong}"
    return ""


def next_bar(writer: Writer, series: int) -> int:
    """The first bar whose row is not closed."""
    newest, closed = (int(writer.controls[series, WORD[w]]) for w in ("newest", "closed"))
    if newest < 0:
        return max(writer.grid, FIRST_BAR)
    return min(newest, closed) + 1 if closed >= 0 else newest


def close_bar(writer: Writer, series: int, bar: int) -> None:
    """Settle the row of `bar`, then call it closed."""
    writer.put(series, bar, row(bar, truth(bar)))
    control = writer.controls[series]
    kernels.begin(control, bar)
    control[WORD["closed"]] = bar
    kernels.commit(control)


def catch_up(writer: Writer, bar: int) -> None:
    """Close what is before `bar`: a series that lost rows is filled up, as the service would."""
    for series in range(SERIES):
        for missing in range(next_bar(writer, series), bar):
            close_bar(writer, series, missing)


def write_for_ever(writer: Writer) -> None:
    """Full load: a few updates of each minute's open row, then the next minute."""
    x = 0
    while True:
        bar = max(next_bar(writer, series) for series in range(SERIES))
        catch_up(writer, bar)
        for _ in range(4):
            for series in range(SERIES):
                x = x % 100_000 + 1
                writer.put(series, bar, row(bar, x))
            writer.publish()
        for series in range(SERIES):
            close_bar(writer, series, bar)
        writer.heartbeat()
        writer.publish()


# -- every single store ----------------------------------------------------------------------------


class Counting(np.ndarray[Any, Any]):
    """An array of the store's memory whose every element store is counted, by `tick`."""

    tick: Callable[[], None]

    def __setitem__(self, where: Any, value: Any) -> None:
        Counting.tick()
        super().__setitem__(where, value)


def stepwise(writer: Writer, die_at: int) -> Callable[[], int]:
    """Let `writer` run as plain Python and be killed before its store number `die_at`.

    Returns what tells how many stores there were.
    """
    count = 0

    def tick() -> None:
        nonlocal count
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def store(array: Any, index: int, value: Any) -> None:
        array[index] = value

    def add(array: Any, value: int) -> None:
        array[0] += np.uint32(value)

    Counting.tick = tick
    pure = {"store_release": store, "release_fence": tick, "_add_release": add}
    pure["publish"] = lambda published, _: kernels.announce(published)
    for name in (
        "announce",
        "begin",
        "commit",
        "copy_row",
        "clear_bar",
        "put_words",
        "clear_ahead",
    ):
        pure[name] = getattr(kernels, name).py_func
    for name, function in pure.items():
        setattr(kernels, name, function)
    writer.controls = writer.controls.view(Counting)
    writer.integers = writer.integers.view(Counting)
    writer.header = writer.header.view(Counting)
    writer._published = writer.header["published"]
    return lambda: count


def update(writer: Writer) -> None:
    """Another state of the open row."""
    bar = next_bar(writer, 0)
    writer.put(0, bar, row(bar, 5.0))


def roll(writer: Writer) -> None:
    """Close the minute, begin the next one: the grid moves, slots are cleared, readers wake."""
    bar = next_bar(writer, 0)
    catch_up(writer, bar + 1)
    writer.put(0, bar + 1, row(bar + 1, 6.0))
    writer.publish()


def restart_run(writer: Writer) -> None:
    """A row behind a hole: a new run begins."""
    bar = next_bar(writer, 1)
    writer.put(1, bar + 3, row(bar + 3, truth(bar + 3)))


def fill_backwards(writer: Writer) -> None:
    """A row in front of a run that began late."""
    start = int(writer.controls[1, WORD["start"]])
    writer.put(1, start - 1, row(start - 1, truth(start - 1)))


def leave_behind(writer: Writer) -> None:
    """The grid runs over the rows of series that did not keep up, and over the whole ring."""
    capacity = writer.geometry.capacity
    bar = writer.grid + capacity - 3
    writer.put(2, bar, row(bar, truth(bar)))
    writer.put(2, bar + 1, row(bar + 1, truth(bar + 1)))


SCENARIOS = (update, roll, restart_run, fill_backwards, leave_behind)


# -- killing ---------------------------------------------------------------------------------------


class Child:
    """A forked writer: it opens the store, says so through a pipe, and goes on with `work`."""

    def __init__(self, name: str, work: Callable[[Writer], object]) -> None:
        self._said, told = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                self._live(name, work, told)
            except BaseException as error:  # noqa: BLE001 - it must not run the parent's code
                os.write(told, json.dumps({"wrong": repr(error)}).encode())
            finally:
                os._exit(0)
        os.close(told)

    @staticmethod
    def _live(name: str, work: Callable[[Writer], object], told: int) -> None:
        writer, opening = open_store(spec_of(name))
        report = {"how": opening.how, "repaired": opening.repaired, "wrong": found_wrong(writer)}
        writer.set_state(layout.RUNNING)
        os.write(told, json.dumps(report).encode())
        work(writer)
        writer.disown()

    def report(self) -> dict[str, Any]:
        """What it said when it was ready to write; empty if it died before."""
        text = os.read(self._said, 4096)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """Wait for its end; True if it came to it by itself."""
        os.close(self._said)
        return os.waitpid(self.pid, 0)[1] == 0


class Tally:
    """What happened."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def of(self, report: dict[str, Any], where: str) -> None:
        """Count a start."""
        if not report:
            self.counts["killed_in_start"] += 1
            return
        self.counts[report.get("how", "failed")] += 1
        self.counts["repaired"] += bool(report.get("repaired"))
        if report["wrong"]:
            self.wrong.append(f"{where}: {report['wrong']}")


def kill_at_random(name: str, times: int, chance: random.Random, tally: Tally) -> None:
    """Kill a writer under full load; every tenth one while it starts."""
    for number in range(times):
        child = Child(name, write_for_ever)
        report: dict[str, Any] = {}
        if number % 10 == 9:
            time.sleep(chance.uniform(0, 0.01))
            child.kill()
            report = child.report()
        else:
            report = child.report()
            time.sleep(chance.uniform(0, 0.03))
            child.kill()
        tally.of(report, f"random kill {number}")
        tally.counts["kills"] += not child.ended()


def kill_at_every_store(
    name: str, tally: Tally, every: int, scenarios: Iterator[Callable[[Writer], None]]
) -> None:
    """Kill a writer before its first store, then before its second one, until it lives through."""
    for scenario in scenarios:
        die_at, survived = 0, False
        while not survived:

            def work(
                writer: Writer,
                scenario: Callable[[Writer], None] = scenario,
                die_at: int = die_at,
            ) -> None:
                stepwise(writer, die_at)
                scenario(writer)

            child = Child(name, work)
            tally.of(child.report(), f"{scenario.__name__}, before store {die_at}")
            survived = child.ended()
            tally.counts["kills"] += not survived
            tally.counts[f"{scenario.__name__}_points"] += not survived
            die_at += every


def warm() -> None:
    """Load the compiled kernels once, for all writers that are forked from here."""
    writer = in_memory(spec_of("warm"))
    for bar in (FIRST_BAR, FIRST_BAR + 1):
        close_bar(writer, 0, bar)
    writer.publish()
    kernels.settle()


def run(name: str, at_random: int, every: int, seed: int) -> dict[str, Any]:
    """Everything, with two readers attached; what there is to report."""
    warm()
    tally = Tally()
    first = Child(name, lambda writer: close_bar(writer, 0, FIRST_BAR))
    tally.of(first.report(), "the first writer")
    first.ended()
    command = [sys.executable, str(Path(__file__)), "--read", name]
    readers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        kill_at_random(name, at_random // 2, random.Random(seed), tally)
        kill_at_every_store(name, tally, every, iter(SCENARIOS))
        kill_at_random(name, at_random - at_random // 2, random.Random(seed + 1), tally)
        last = Child(name, lambda _: None)
        tally.of(last.report(), "the last writer")
        last.ended()
        told = [json.loads(reader.communicate(timeout=LIMIT_S)[0]) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
        ownership.remove(name)
    wrong = tally.wrong + [one["wrong"] for one in told if one["wrong"]]
    if tally.counts["created"] != 1:
        wrong.append(f"{tally.counts['created']} stores were created, expected one")
    return {
        **dict(sorted(tally.counts.items())),
        "reads": sum(one["reads"] for one in told),
        "longest_read_s": max(one["longest_s"] for one in told),
        "wrong": wrong,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--random", type=int, default=300, help="kills at random moments")
    parser.add_argument(
        "--every", type=int, default=1, help="of the write path's stores, each n-th"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default=f"stress_kill_{os.getpid()}")
    parser.add_argument("--read", metavar="NAME", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        print(json.dumps(read_until_told(asked.read)))
        return 0
    report = run(asked.name, asked.random, asked.every, asked.seed)
    print(json.dumps(report))
    return bool(report["wrong"])


if __name__ == "__main__":
    sys.exit(main())
