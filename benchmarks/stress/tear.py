"""Does a reader ever see a mixture of two states, against a writer at full speed?

One process writes without a pause, series after series, closing minutes and rolling the grid; two
read `last()` and `snapshot()` and check each answer: the columns of a row are functions of one
number, closed rows of their minute alone. Then the same with the sequence check left out, which has
to find torn rows: a test that cannot see them proves nothing.

    python benchmarks/stress/tear.py --seconds 60

Prints what was found as JSON; exit code 1 if there was a torn row, or none without the check.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import ringbuf
from ringbuf import kernels, layout, ownership
from ringbuf.layout import WORD
from ringbuf.spec import Column, Series, StoreSpec
from ringbuf.writer import Writer, create

SERIES, HISTORY, INTERVAL_MS, FIRST_BAR = 256, 30, 60_000, 1_000
VALUES = "abcd"
COLUMNS = (Column("time", "M"), *map(Column, VALUES))
UPDATES = 40
NEWEST, CLOSED = WORD["newest"], WORD["closed"]


# -- the writer ------------------------------------------------------------------------------------


@kernels.jit
def _burst(records: Any, controls: Any, words: Any, bar: int, first: int, updates: int) -> None:
    """`updates` states of every series' open row, the last of which is the minute's own."""
    capacity = records.shape[2] // 2
    floats = words.view(np.float64)
    words[0] = bar * INTERVAL_MS
    for update in range(updates):
        for series in range(records.shape[0]):
            for column in range(1, records.shape[1]):
                floats[column] = bar if update == updates - 1 else first + update
                floats[column] *= column
            kernels.put_words(records[series], controls[series], words, bar, capacity)
            if update == updates - 1:
                kernels.begin(controls[series], bar)
                controls[series][CLOSED] = bar
                kernels.commit(controls[series])


def write(name: str) -> None:
    """Write until killed."""
    series = tuple(Series(f"s{k}") for k in range(SERIES))
    writer: Writer = create(StoreSpec(name, series, COLUMNS, HISTORY, INTERVAL_MS))
    writer.set_state(layout.RUNNING)
    words = np.zeros(len(COLUMNS), np.int64)
    records = writer.integers[:, : len(COLUMNS)]
    bar, count = FIRST_BAR, 2_000_000_000
    while True:
        writer.advance(bar)
        _burst(records, writer.controls, words, bar, count, UPDATES)
        writer.heartbeat()
        writer.publish()
        if bar == FIRST_BAR:
            print("writing", flush=True)
        bar, count = bar + 1, count + UPDATES


# -- the readers -----------------------------------------------------------------------------------


def read(name: str, seconds: float, least: int, checked: bool) -> dict[str, Any]:
    """Read for so long, and so often; what was found. Not `checked`: without the sequence lock."""
    store = ringbuf.attach(name)
    rings = list(store.values())
    reads, torn, longest, example = 0, 0, 0.0, ""
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end or reads < least:
        for ring in rings:
            last = ring.last() if checked else ring._row(False, None)
            a = last["a"]
            if last["d"] != 4 * a or last["c"] != 3 * a or last["b"] != 2 * a:
                torn, example = torn + 1, str(last)
        some = rings[reads // SERIES % SERIES]
        rows = some.snapshot(8, closed=True) if checked else some._rows(8, True, None)
        whole = (rows["b"] == 2 * rows["a"]) & (rows["d"] == 4 * rows["a"])
        whole &= rows["a"] == rows["time"].astype(np.int64) // INTERVAL_MS
        if not whole.all() or (np.diff(rows["a"]) != 1).any():
            torn, example = torn + 1, str(rows)
        reads += SERIES + 1
        longest = max(longest, time.monotonic() - begun)
    return {"reads": reads, "torn": torn, "longest_round_s": round(longest, 3), "example": example}


def measure(name: str, seconds: float, least: int, checked: bool) -> dict[str, Any]:
    """Two readers in processes of their own, which read at least so often together."""
    command = [sys.executable, __file__, "--name", name, "--read", str(seconds)]
    command += ["--reads", str(-(-least // 2))]
    if not checked:
        command.append("--unchecked")
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [json.loads(reader.communicate()[0]) for reader in readers]
    return {
        "reads": sum(one["reads"] for one in found),
        "torn": sum(one["torn"] for one in found),
        "longest_round_s": max(one["longest_round_s"] for one in found),
        "example": next((one["example"] for one in found if one["torn"]), ""),
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long, with the check")
    parser.add_argument("--reads", type=int, default=10_000_000, help="at least, with the check")
    parser.add_argument("--name", default=f"stress_tear_{os.getpid()}")
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--read", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    parser.add_argument("--unchecked", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        write(asked.name)
    if asked.read is not None:
        print(json.dumps(read(asked.name, asked.read, asked.reads, not asked.unchecked)))
        return 0
    writer = subprocess.Popen(
        [sys.executable, str(Path(__file__)), "--name", asked.name, "--write"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        report = {
            "checked": measure(asked.name, asked.seconds, asked.reads, True),
            "unchecked": measure(asked.name, min(asked.seconds, 5.0), 1, False),
        }
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        ownership.remove(asked.name)
    print(json.dumps(report))
    return bool(report["checked"]["torn"]) or not report["unchecked"]["torn"]


if __name__ == "__main__":
    sys.exit(main())
