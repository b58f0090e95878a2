"""The command line: ``python -m monitor``, installed as ``market-monitor``.

Each command imports what it needs when it runs, so that ``--help`` and ``status`` do not wait for a
compiler. Whatever a person can mend is one line on stderr and exit code 2; a bug is a traceback.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from . import __version__, imports

if TYPE_CHECKING:
    from .settings import Settings

__all__ = ["main"]

WRONG = 2
OUR_ROOMS = ("indicators", "monitor", "reading", "ringbuf")
"""What these raise on purpose is for people; every other exception is a bug."""
LIVE, DEGRADED, NO_SERVICE = 0, 1, 3
BROKEN = 1

_T = TypeVar("_T")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="market-monitor")
def main() -> None:
    """Hyperliquid's 1-minute candles and their indicators, in shared memory."""


@contextmanager
def _plain_errors() -> Iterator[None]:
    """One line a problem on stderr, and exit 2, for everything that a person can mend."""
    try:
        yield
    except Exception as error:
        cause = _innermost(error)
        if isinstance(cause, PermissionError) and cause.filename is not None:
            click.echo(f"market-monitor: not allowed: {cause}", err=True)
            sys.exit(WRONG)
        # Told by the module: importing every errors module would load most of the program.
        if type(cause).__module__.partition(".")[0] not in OUR_ROOMS:
            raise
        # Errors that stand for several problems have a line for each.
        for line in str(cause).splitlines():
            click.echo(f"market-monitor: {line}", err=True)
        sys.exit(WRONG)


def _innermost(error: BaseException) -> BaseException:
    """The one error inside of task groups' wrappers; the wrapper where there are several.

    Two sockets may have found out the same thing: that is one error.
    """
    inner = [_innermost(each) for each in getattr(error, "exceptions", ())]
    return inner[0] if len({(type(each), str(each)) for each in inner}) == 1 else error


def _load(**overrides: object) -> Settings:
    from monitor import logs
    from monitor.settings import Settings

    settings = Settings.load(**overrides)
    logs.setup(settings.log_level, settings.log_format)
    return settings


def _serve(task: Callable[[], object]) -> None:
    """Run an anyio task with the errors of `_plain_errors`."""
    import anyio

    with _plain_errors():
        anyio.run(task)  # type: ignore[arg-type]


@main.command()
def run() -> None:
    """Follow the markets until SIGINT or SIGTERM.

    Settings: MONITOR_… variables, .env, monitor.toml.
    """
    import functools

    with _plain_errors():
        with imports.frozen():
            settings = _load()
            from monitor import compiled

            compiled.keep_cache()
            from monitor import service

        _serve(functools.partial(service.run, settings))


@main.command()
@click.option("--seconds", type=click.FloatRange(min=0), help="Stop by itself after this long.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Faster than the clock.")
@click.option("--markets", help="Markets and selectors, as MONITOR_MARKETS.")
def demo(seconds: float | None, speed: float, markets: str | None) -> None:
    """Watch it work: an embedded exchange with invented prices, the service on it, a live table."""
    with _plain_errors():
        from monitor import demo

        sys.exit(demo.run(seconds=seconds, speed=speed, markets=markets))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any free one.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Faster than the clock.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same prices.")
@click.option("--markets", help="A JSON file, or how many markets to invent.")
@click.option("--fault", "faults", multiple=True, metavar="NAME=VALUE", help="See --list-faults.")
@click.option("--list-faults", is_flag=True, help="Say which faults there are, and stop.")
def exchange(
    host: str,
    port: int,
    speed: float,
    seed: int,
    markets: str | None,
    faults: tuple[str, ...],
    list_faults: bool,
) -> None:
    """Run the embedded exchange alone. Prints its URLs when it is ready; prices are invented."""
    import functools

    with imports.frozen():
        from monitor.exchange import FAULTS, ExchangeConfig, parse_faults

    if list_faults:
        for fault in FAULTS.values():
            click.echo(f"{fault.name:12} {fault.unit:12} {fault.help}")
        return
    with _plain_errors():
        chosen: int | Path | None = None
        if markets:
            chosen = int(markets) if markets.isdecimal() else Path(markets)
        config = ExchangeConfig(markets=chosen, seed=seed, rate=speed, faults=parse_faults(faults))
        _serve(functools.partial(_exchange, config, host, port))


async def _exchange(config: object, host: str, port: int) -> None:
    import signal

    import anyio

    from monitor.errors import Problem, SettingsError
    from monitor.exchange import ExchangeConfig, serve

    assert isinstance(config, ExchangeConfig)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            async with serve(config, host, port) as running:
                click.echo(f"ws_url={running.ws_url} api_url={running.api_url}")
                sys.stdout.flush()
                async for _ in signals:
                    break
        except OSError as error:
            problem = Problem(f"{host}:{port}", str(error), "an address that is free")
            raise SettingsError([problem]) from None


@main.command()
def warm() -> None:
    """Compile the configured stats now, so that the first start does not wait for it."""
    with _plain_errors():
        settings = _load()
        from monitor import compiled

        folder = compiled.keep_cache()
        from monitor import store, warming

        warming.warm(store.plan_of(settings))
        click.echo(f"compiled {', '.join(settings.stats)} into {folder}")


@main.command()
@click.argument("names", nargs=-1)
def stats(names: tuple[str, ...]) -> None:
    """List the stats there are, or explain those that are named (RSI, MACD12_26_9)."""
    with _plain_errors():
        settings = _load()
        from indicators import load
        from monitor import explain

        load(settings.stats_modules)
        width = explain.terminal_width()
        explain.explain(names, width) if names else explain.overview(width)


@main.command()
def check() -> None:
    """Check the settings; say what would run, and what it takes in memory and in time."""
    import functools

    with _plain_errors():
        settings = _load()
        from monitor import compiled

        compiled.keep_cache()
        from monitor import checking

        _serve(functools.partial(checking.run, settings))


@main.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def status(form: str) -> None:
    """Is the service well? Exit code 0: live, 1: degraded, 3: no service."""
    with _plain_errors():
        settings = _load()
        import ringbuf

        try:
            with ringbuf.attach(settings.segment) as store:
                health = store.health()
        except (ringbuf.StoreNotFound, ringbuf.StoreRefused, PermissionError) as error:
            health = {"name": settings.segment, "status": "none", "error": str(error)}
        click.echo(json.dumps(health) if form == "json" else _sentence(health))
        codes = {"live": LIVE, "starting": DEGRADED, "degraded": DEGRADED}
        sys.exit(codes.get(health["status"], NO_SERVICE))


def _sentence(health: dict[str, object]) -> str:
    if "error" in health:
        return str(health["error"])
    markets, writer = health["markets"], health["writer"]
    assert isinstance(markets, dict)
    assert isinstance(writer, dict)
    by_status: dict[str, int] = {}
    for market in markets.values():
        by_status[market["status"]] = by_status.get(market["status"], 0) + 1
    counted = ", ".join(f"{count} {status}" for status, count in sorted(by_status.items()))
    counters = health["counters"]
    assert isinstance(counters, dict)
    from reading.counting import counted as counts

    line = (
        f"{health['status']}: store {health['name']}, writer {writer['pid']}, heartbeat "
        f"{float(str(health['heartbeat_age_s'])):.1f} s ago, {len(markets)} markets ({counted})"
    )
    return "\n".join([line, *([" · ".join(told)] if (told := counts(counters)) else [])])


@main.group()
def store() -> None:
    """Look after the stores of this machine. NAME defaults to MONITOR_SEGMENT."""


def _named(name: str | None) -> str:
    return name or _load().segment


@store.command("ls")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def store_ls(form: str) -> None:
    """List the stores, live or dead."""
    import dataclasses

    with _plain_errors():
        from monitor import stores

        there = stores.found()
        as_json = json.dumps([dataclasses.asdict(one) for one in there], indent=2)
        click.echo(as_json if form == "json" else stores.listing(there))


@store.command("inspect")
@click.argument("name", required=False)
def store_inspect(name: str | None) -> None:
    """Say what a store's header says, as JSON. Exit code 3: there is none."""
    with _plain_errors():
        from monitor import stores

        click.echo(json.dumps(_there(stores.inspect, _named(name)), indent=2))


@store.command("doctor")
@click.argument("name", required=False)
def store_doctor(name: str | None) -> None:
    """Check every invariant of a store, live or dead.

    Exit code 0: sound, 1: the first broken one is named, 3: there is no store.
    """
    with _plain_errors():
        from monitor import stores

        segment = _named(name)
        wrong = _there(stores.doctor, segment)
        if not wrong:
            click.echo(f"{segment}: sound")
            return
        click.echo(f"{segment}: {wrong[0]}")
        if len(wrong) > 1:
            click.echo(f"({len(wrong) - 1} more)")
        sys.exit(BROKEN)


@store.command("clean")
@click.argument("name", required=False)
@click.option("--force", is_flag=True, help="Remove what is not a store, too.")
def store_clean(name: str | None, force: bool) -> None:
    """Remove a store that no live process writes, and what its writers left behind.

    Readers that have it mapped keep their memory. A file that is not a store is named and left
    where it is (exit code 2), unless by force.
    """
    with _plain_errors():
        from monitor import stores

        segment = _named(name)
        gone = stores.clean(segment, force=force)
        click.echo(f"removed {', '.join(gone)}" if gone else f"there is nothing named {segment}")


def _there(look: Callable[[str], _T], name: str) -> _T:
    """``look(name)``, or exit 3 with one line where there is no such store."""
    import ringbuf

    try:
        return look(name)
    except ringbuf.StoreNotFound as error:
        click.echo(f"market-monitor: {error}", err=True)
        sys.exit(NO_SERVICE)
