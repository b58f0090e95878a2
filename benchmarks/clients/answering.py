"""A process that answers with histories, again and again.

    python benchmarks/clients/answering.py PICKLE SOCKET

PICKLE is a dict of DataFrames: ``one`` and ``ten`` columns of a market, ``matrix`` with a column
for each market. For a line with such a name on the Unix socket SOCKET the frame, pickled; for a GET
of ``/NAME`` its columns as lists in a JSON object, which is as short as JSON gets; for a GET of
``/`` the candles of ``ten`` as the exchange's REST writes them. Prints the HTTP port.
"""

from __future__ import annotations

import json
import pickle
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

__all__: list[str] = []


def unix(listening: socket.socket, bodies: dict[str, bytes]) -> None:
    """Answer one client after the other."""
    while True:
        client, _ = listening.accept()
        with client, client.makefile("r", encoding="ascii") as lines:
            for line in lines:
                client.sendall(bodies[line.strip()])


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the body of its path."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        """One answer."""
        body = self.bodies[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def numbers(column: Any) -> list[Any]:
    """A column as JSON has it; times in milliseconds."""
    values = column.to_numpy()
    listed: list[Any] = values.view("int64" if values.dtype.kind == "M" else values.dtype).tolist()
    return listed


def main(path: str, address: str) -> None:
    """Answer until SIGTERM."""
    frames = pickle.loads(Path(path).read_bytes())
    keys = dict(zip("ohlcv", ("open", "high", "low", "close", "volume"), strict=True))
    rows = [
        {"t": 0, **{key: str(getattr(row, name)) for key, name in keys.items()}, "n": row.trades}
        for row in frames["ten"].itertuples()
    ]
    Handler.bodies = {"/": json.dumps(rows).encode()}
    for name, frame in frames.items():
        columns = {column: numbers(frame[column]) for column in frame}
        Handler.bodies[f"/{name}"] = json.dumps(columns).encode()
    # What is sent is what a user would send: the frame, pickled anew by newest protocol.
    bodies = {name: pickle.dumps(one, pickle.HIGHEST_PROTOCOL) for name, one in frames.items()}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        threading.Thread(target=unix, args=(listening, bodies), daemon=True).start()
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            print(server.server_address[1], flush=True)
            server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
