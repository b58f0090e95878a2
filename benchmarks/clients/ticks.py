"""Readers of single ticks, each of its kind; they say what they got and when.

    python benchmarks/clients/ticks.py KIND ARGUMENTS…

Prints ``ready``, then for each tick ``[number, CLOCK_MONOTONIC in ns]``, taken when the row was in
hand and before it is printed.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import socket
import sys
import time
from pathlib import Path

import numpy as np

__all__: list[str] = []


def say(number: int, at: int) -> None:
    """Tell one tick."""
    sys.stdout.write(f"[{number}, {at}]\n")
    sys.stdout.flush()


def ready() -> None:
    """Tell that ticks may come."""
    print("ready", flush=True)


def store(kind: str, segment: str, coin: str, base: str) -> None:
    """Our reader, asleep in `wait` or polling; numbers count from `base` trades on."""
    import ringbuf

    found = ringbuf.attach(segment)
    ring, before, polls = found[coin], int(base), kind == "poll"
    if not polls:
        found.wait(0)
    ready()
    while True:
        if polls:
            time.sleep(0.1)
        elif not found.wait():
            continue
        row = ring.last()
        at = time.monotonic_ns()
        if row["trades"] > before:
            before = row["trades"]
            say(before - int(base), at)


def redis(kind: str, **address: str) -> None:
    """Redis: a subscription, and HGETALL when it says something."""
    from redis import Redis

    client = Redis(**address)  # type: ignore[arg-type]
    listening = client.pubsub(ignore_subscribe_messages=True)
    listening.subscribe("ticks")
    listening.get_message(timeout=5.0)
    ready()
    while True:
        if listening.get_message(timeout=1.0) is None:
            continue
        row = {name: float(value) for name, value in client.hgetall("tick").items()}
        at = time.monotonic_ns()
        say(int(row[b"trades"]), at)


def unix_socket(path: str) -> None:
    """A line of JSON."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        ready()
        for line in client.makefile("rb"):
            row = json.loads(line)
            at = time.monotonic_ns()
            say(row["trades"], at)


def futex(path: str, call: int) -> None:
    """The word of a futex, and nothing else."""
    libc = ctypes.CDLL(None)
    with Path(path).open("r+b") as file:
        word = np.frombuffer(mmap.mmap(file.fileno(), 4_096), np.uint32)
    address, seen = ctypes.c_void_p(word.ctypes.data), 0
    ready()
    while True:
        libc.syscall(call, address, 0, ctypes.c_uint32(seen), None, None, 0)
        at = time.monotonic_ns()
        if word[0] != seen:
            seen = int(word[0])
            say(seen, at)


def main(kind: str, *arguments: str) -> None:
    """Read until SIGTERM."""
    if kind in {"wait", "poll"}:
        store(kind, *arguments)
    elif kind == "redis":
        redis(kind, **dict(one.split("=", 1) for one in arguments))
    elif kind == "socket":
        unix_socket(*arguments)
    else:
        from ringbuf import waiting

        futex(*arguments, waiting.FUTEX)


if __name__ == "__main__":
    main(*sys.argv[1:])
