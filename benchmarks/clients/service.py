"""The real service, without the budgets that protect a real exchange: history is there at once.

Run as a script; settings come from ``MONITOR_…`` variables as always.
"""

from __future__ import annotations

import anyio

from monitor import compiled, imports

with imports.frozen():
    compiled.keep_cache()  # before: what is compiled looks for it

    from monitor import asking, logs, service
    from monitor.budget import WeightBudget
    from monitor.settings import Settings

__all__: list[str] = []


class Unlimited(WeightBudget):
    """Every request may go at once."""

    def reserve(self, weight: int, now_ms: float, *, urgent: bool = False) -> float:
        """Now."""
        return now_ms


if __name__ == "__main__":
    service.WeightBudget = Unlimited  # type: ignore[misc]
    asking.URGENT_AT_ONCE = 8
    asking.ASK_S = 0.02
    settings = Settings.load()
    logs.setup(settings.log_level, settings.log_format)
    anyio.run(service.run, settings)
