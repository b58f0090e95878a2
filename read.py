"""The reader's command line: what a store holds, as a table, JSON or CSV, once or live.

    python read.py                                   newest row of every market
    python read.py --market btcusd_perp --last 20    its last twenty minutes
    python read.py --watch                           live, until Ctrl-C
    python read.py --plot btcusd_perp                its candles and stats, drawn

Everything shown comes out of the store itself; `reading` has the rows, the table and the live view.

Exit codes: 0 printed, 2 wrong use, 3 no store that can be read.
"""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Sequence

import click

import ringbuf
from reading import DEMO_SEGMENT, SEGMENT, attach, rows, serialized
from reading.naming import configured_segment
from reading.selection import Choice

__all__ = ["main"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--market",
    "markets",
    multiple=True,
    metavar="NAME",
    help="Only this market, by its canonical or the exchange's name. Repeatable.",
)
@click.option(
    "--stat",
    "stats",
    multiple=True,
    metavar="NAME",
    help="Only this stat, such as ATR14. Repeatable.",
)
@click.option(
    "--last",
    type=click.IntRange(min=1),
    metavar="N",
    help="The newest N rows of each market, oldest first.  [default: 1]",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Markets in the order of this column, with - in front descending: --sort -RSI5.",
)
@click.option("--closed", is_flag=True, help="Leave out the minute that is still open.")
@click.option("--watch", "live", is_flag=True, help="Go on as the data changes, until Ctrl-C.")
@click.option(
    "--plot",
    metavar="NAME",
    help="Draw the candles of this market with its stats here, --last many; or, with one --market, "
    "into NAME if that ends with .png, .svg or .pdf.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="For people or for machines.",
)
@click.option(
    "--segment",
    envvar="MONITOR_SEGMENT",
    show_envvar=True,
    metavar="NAME",
    help=f"The store's name.  [default: what .env or monitor.toml say, else {SEGMENT}, or "
    f"{DEMO_SEGMENT} where there is none]",
)
def _command(
    markets: Sequence[str],
    stats: Sequence[str],
    last: int | None,
    sort: str | None,
    closed: bool,
    live: bool,
    plot: str | None,
    form: str,
    segment: str | None,
) -> None:
    """Show the newest row of every market in shared memory, with its stats.

    Times are UTC. In the table, "…" marks a minute that is still open, "–" a value that is not
    there yet, "▲" and "▼" an RSI above 70 and below 30, and ATR14% is ATR14 in percent of close.

    Exit codes: 0 printed, 2 wrong use, 3 no store.
    """
    chosen: Choice = {
        "markets": markets,
        "stats": stats,
        "last": last,
        "closed": closed,
        "sort": sort,
    }
    if plot and (live or form != "table" or sort):
        raise click.UsageError("--plot draws once; it goes without --watch, --format and --sort")
    segment = segment or configured_segment()
    store = attach(segment)
    if form != "table" and store.name == DEMO_SEGMENT and segment is None:
        click.echo("market-read: DEMO: these prices are invented", err=True)
    if plot:
        from reading.plotting import draw

        draw(store, plot, chosen)
    elif live:
        from reading import watch

        # Without this, the terminal would be left on its other screen.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, lambda number, _: sys.exit(128 + number))
        with contextlib.suppress(KeyboardInterrupt):
            watch(store.name, form=form, **chosen)
    elif form == "table":
        from reading.output import drawn

        click.echo(drawn(store, chosen), color=True)
    else:
        click.echo(serialized(rows(store, **chosen), form), nl=False)


def main() -> int:
    """Run the command line and return its exit code; every error is one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a dash shows a question mark, not a traceback.
        sys.stdout.reconfigure(errors="replace")
    problem: Exception
    try:
        return _command.main(prog_name="market-read", standalone_mode=False) or 0
    except click.Abort:
        return 130
    except SystemExit as ended:
        # click's 1: whoever reads our output has read enough.
        return 0 if ended.code == 1 else int(ended.code or 0)
    except (click.ClickException, ringbuf.UnknownName, ringbuf.LayoutError) as error:
        problem, code = error, 2
    except (ringbuf.RingbufError, PermissionError) as error:
        problem, code = error, 3
    from reading.output import sentence

    click.echo(f"market-read: {sentence(problem)}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
