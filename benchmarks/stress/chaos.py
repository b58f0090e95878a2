"""A day of 200 markets under every fault at once: is every closed row what the exchange says?

Exchange core, protocol, engine and ring in one process on a virtual clock, two streams of each
market, without sockets: a seed reproduces its run to the bit. A third of the markets is mostly
silent. In the end all faults stop; after three quarters of an hour more, every readable closed row
of every market is compared with the exchange's truth, and every stat with TA-Lib's.

    python benchmarks/stress/chaos.py --seeds 1 2 3

Prints what was done as JSON; exit code 1 if anything was wrong. A day of 200 markets takes about
a quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from chaos_kit import MINUTE, Chaos, many_markets  # noqa: E402 - what it needs lies beside it


def one(seed: int, markets: int, hours: float) -> dict[str, Any]:
    """One run; `wrong` says what was wrong first, empty if nothing was."""
    began = time.monotonic()
    chaos = Chaos(many_markets(markets, seed), {"chaos": seed}, seed=seed)
    wrong, compared = "", {}
    try:
        chaos.run(int(hours * 60) * MINUTE, look_every=2_000)
        chaos.calm()
        compared = chaos.finish()
    except AssertionError as error:
        wrong = str(error)
    counters = chaos.engine.book.counters
    return {
        "seed": seed,
        "wrong": wrong,
        "compared": compared,
        "closed_flat_and_corrected": len(chaos.guessed),
        "confirmed_and_corrected": len(chaos.mistaken),
        "faults": {name: count for name, count in chaos.exchange.faults.counts.items() if count},
        "engine": dict(counters),
        "feed": dict(chaos.seen),
        "rest_weight": chaos.budget.total,
        "seconds": round(time.monotonic() - began),
    }


def main() -> int:
    """Run each seed, tell of each at once."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--hours", type=float, default=24.0)
    given = parser.parse_args()
    wrong = False
    for seed in given.seeds:
        report = one(seed, given.markets, given.hours)
        wrong = wrong or bool(report["wrong"])
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
