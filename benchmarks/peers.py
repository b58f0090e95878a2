"""Peers that are servers of their own: Redis, where the system has one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Redis", "redis_server", "redis_version"]


class Redis:
    """A running redis-server without persistence; `columns` are those of a row in it."""

    def __init__(self, path: str, port: int, columns: Sequence[str]) -> None:
        self.path = path
        self.port = port
        self.columns = tuple(columns)

    def address(self, way: str) -> list[str]:
        """The arguments of a client, by ``unix`` or ``tcp``, as ``name=value``."""
        return [f"unix_socket_path={self.path}"] if way == "unix" else [f"port={self.port}"]

    def client(self, way: str = "unix") -> Any:
        """A client of redis-py."""
        from redis import Redis as Client

        if way == "unix":
            return Client(unix_socket_path=self.path)
        return Client(port=self.port)


def redis_version() -> str | None:
    """What redis-server says of itself; None where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition("v=")[2].split()[0]


@contextmanager
def redis_server(columns: Sequence[str]) -> Iterator[Redis]:
    """A redis-server of our own on a Unix socket and on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "redis")
        options = ["--port", str(port), "--unixsocket", path, "--save", "", "--appendonly", "no"]
        server = subprocess.Popen(
            ["redis-server", *options, "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + 10
            while not Path(path).exists() and time.monotonic() < end:
                time.sleep(0.02)
            yield Redis(path, port, columns)
        finally:
            server.terminate()
            server.wait()
