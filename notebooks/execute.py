"""Execute the notebooks: each ``NAME.py`` here, kept beside its source as ``NAME.ipynb``.

    python notebooks/execute.py [--into FOLDER] [NAME …]

The source is plain Python in the percent format (paired by jupytext), so that it is read, linted
and compared like other code. It runs on a service of its own that follows the embedded exchange,
twenty times as fast as the clock, over a store of its own. What is written names neither the
machine nor the duration. Exit code 1, and the notebook's own traceback, if a cell fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

import ringbuf
from ringbuf import ownership

HERE = Path(__file__).resolve().parent
MARKETS = 30
SPEED = 20
PATIENCE_S = 300.0
MONITOR = [sys.executable, "-m", "monitor"]


def sources() -> list[Path]:
    """The notebooks' sources, in alphabetical order."""
    return sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name)


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


@contextmanager
def service(segment: str) -> Iterator[None]:
    """A service on the embedded exchange, over a store named `segment`, up to date."""
    plain = {key: text for key, text in os.environ.items() if not key.startswith("MONITOR_")}
    command = [*MONITOR, "exchange", "--markets", str(MARKETS), "--speed", str(SPEED)]
    begin = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain)
    with _ended(begin) as exchange:
        assert exchange.stdout is not None
        urls = dict(pair.split("=", 1) for pair in exchange.stdout.readline().split())
        settings = {
            "MONITOR_SEGMENT": segment,
            "MONITOR_MARKETS": "perps,spot",
            "MONITOR_WS_URL": urls["ws_url"],
            "MONITOR_API_URL": urls["api_url"],
            "MONITOR_LOG_LEVEL": "ERROR",
        }
        begin = subprocess.Popen([*MONITOR, "run"], text=True, env={**plain, **settings})
        try:
            with _ended(begin) as process:
                _until_live(segment, process)
                yield
        finally:
            ownership.remove(segment)


def _until_live(segment: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with ringbuf.attach(segment) as store:
                if store.condition == "live":
                    return
        except ringbuf.StoreNotFound:
            pass
        time.sleep(0.1)
    raise SystemExit("the service did not become live")


def execute(source: Path, into: Path) -> Path:
    """Run one notebook; what it is with its outputs, written to `into`."""
    notebook = jupytext.read(source)
    local = Config(KernelManager={"transport": "ipc"})
    NotebookClient(
        notebook,
        config=local,
        timeout=int(PATIENCE_S),
        record_timing=False,
        coalesce_streams=True,
    ).execute()
    # What names the machine's interpreter, or is another one each time, is no part of a notebook.
    notebook.metadata.pop("language_info", None)
    notebook.metadata.pop("jupytext", None)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem}-{number}"
    path = into / f"{source.stem}.ipynb"
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, default=HERE, help="another folder for what is made")
    parser.add_argument("names", nargs="*", help="only these")
    asked = parser.parse_args(arguments)
    known = {path.stem: path for path in sources()}
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no notebook {', '.join(unknown)}; there are {', '.join(known)}")
    segment = f"market_monitor_notebooks_{os.getpid()}"
    os.environ["MONITOR_SEGMENT"] = segment
    try:
        with service(segment):
            for name in asked.names or known:
                print(execute(known[name], asked.into), flush=True)
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
