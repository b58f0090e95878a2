"""A process that answers with one market's history, again and again.

    python benchmarks/clients/answering.py PICKLE SOCKET

For each byte on the Unix socket SOCKET the pickled DataFrame; for each GET over HTTP the same rows
as the exchange's REST writes them. Prints the HTTP port.
"""

from __future__ import annotations

import json
import pickle
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__: list[str] = []


def unix(listening: socket.socket, body: bytes) -> None:
    """Answer one client after the other."""
    while True:
        client, _ = listening.accept()
        with client:
            while client.recv(1):
                client.sendall(body)


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with `body`."""

    protocol_version = "HTTP/1.1"
    body = b""

    def do_GET(self) -> None:
        """One answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(path: str, address: str) -> None:
    """Answer until SIGTERM."""
    # What is sent is what a user would send: the frame, pickled anew by newest protocol.
    frame = pickle.loads(Path(path).read_bytes())
    keys = dict(zip("ohlcv", ("open", "high", "low", "close", "volume"), strict=True))
    rows = [
        {"t": 0, **{key: str(getattr(row, name)) for key, name in keys.items()}, "n": row.trades}
        for row in frame.itertuples()
    ]
    Handler.body = json.dumps(rows).encode()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        body = pickle.dumps(frame, pickle.HIGHEST_PROTOCOL)
        threading.Thread(target=unix, args=(listening, body), daemon=True).start()
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            print(server.server_address[1], flush=True)
            server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
