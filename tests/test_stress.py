"""A small part of the stress tests; ``make stress`` runs them whole."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor import protocol
from monitor.exchange import Exchange, ExchangeConfig
from monitor.markets import Universe, resolve

ROOT = Path(__file__).resolve().parent.parent
STRESS = ROOT / "benchmarks" / "stress"
LIMIT_S = 250


def stress(script: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(STRESS / script), *arguments],
        # The rooms that this suite runs against: the checkout's, or those that are installed.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_killed_writers_store_is_taken_over_sound_and_no_reader_sees_a_torn_row() -> None:
    """At random moments under load, and before every 97th single store of the write path."""
    report = stress("kill.py", "--random", "20", "--every", "97")
    assert report["wrong"] == []
    assert report["kills"] >= 20 + 5
    assert report["created"] == 1
    assert report["reads"] > 0


def test_a_reader_never_sees_a_mixture_of_two_states_and_would_without_the_check() -> None:
    report = stress("tear.py", "--seconds", "1", "--reads", "20000")
    assert report["checked"]["torn"] == 0
    assert report["checked"]["reads"] >= 20_000
    assert report["unchecked"]["torn"] > 0


@pytest.mark.parametrize("asked", [1, 2, 12, 100])
def test_a_week_s_endurance_is_of_as_many_markets_as_were_asked_for(asked: int) -> None:
    """Of builders' and of spot, too: what the exchange lists beyond them is delisted."""
    script = runpy.run_path(str(STRESS / "endurance.py"))
    listed, selectors = script["chosen"](asked)
    exchange = Exchange(ExchangeConfig(markets=listed, seed=script["SEED"]), 1_795_377_833_665)
    perps, spot = (
        exchange.info(f'{{"type": "{document}"}}'.encode()).body.encode()
        for document in ("allPerpMetas", "spotMeta")
    )
    universe = Universe.from_documents(
        protocol.decode_all_perp_metas(perps), protocol.decode_spot_meta(spot)
    )
    assert len(resolve(selectors.split(","), universe).markets) == asked
