# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A bot's loop
#
# A bot sleeps until the service has published something, looks at the rows that have closed since,
# and decides. It holds no connection to the exchange and computes no indicator. This one only keeps
# a notebook of what it would have done: it is a pattern for the loop, not a strategy.
#
# The output that is kept here was made on the embedded exchange at twenty times the clock's speed.

# %%
import os
import time

import numpy as np

import ringbuf

store = ringbuf.attach(os.environ.get("MONITOR_SEGMENT", "market_monitor"))
ring = store["btcusd_perp"]
print(store.condition, ring.status)

# %% [markdown]
# ## What the loop must get right
#
# - **Closed rows only.** The open minute changes with every trade; its indicators do, too.
# - **Every row once**, also when two minutes close between two looks: so count by `time`.
# - **Only what is live.** `quiet` is fine (no trade, and that is known); `stale` and `syncing` mean
#   that the exchange may know more than the store: do not trade on that.
# - **Another store.** After a change of the service's settings `store.retired` is true: `refresh`
#   gives the new one.


# %%
def closed_since(ring, seen):
    """The rows that have closed after the minute `seen`: a consistent copy, oldest first."""
    rows = ring.snapshot(last=60, closed=True)
    return rows[rows["time"] > seen]


def decide(row, position):
    """1 to hold, 0 to be out: a mean reversion that everybody knows."""
    if row["RSI5"] < 35:
        return 1
    if row["RSI5"] > 65:
        return 0
    return position


# %% [markdown]
# ## Over the history
#
# The same decision over every minute in memory: one copy, no request, and the indicator is the one
# that the loop below will see.

# %%
position, entry, booked = 0, np.nan, 0.0
for row in ring.snapshot(closed=True)[-240:]:
    wanted = decide(row, position)
    if wanted > position:
        entry = row["close"]
        print(f"{row['time']}  in   {entry:>10,.1f}  RSI5 {row['RSI5']:5.1f}")
    elif wanted < position:
        booked += row["close"] - entry
        print(f"{row['time']}  out  {row['close']:>10,.1f}  {row['close'] - entry:+.1f}")
    position = wanted
print(f"booked {booked:+.1f} in four hours, before fees")

# %% [markdown]
# ## Live

# %%
booked = 0.0
seen = ring.view("time", last=1, closed=True)[0]
minutes, end = 0, time.monotonic() + 900
while minutes < 6 and time.monotonic() < end:
    store.wait(timeout=5.0)
    if store.retired:
        store = store.refresh()
        ring = store["btcusd_perp"]
    if ring.status not in ("live", "quiet"):
        print("not trading:", ring.status)
        continue
    for row in closed_since(ring, seen):
        seen, minutes = row["time"], minutes + 1
        wanted = decide(row, position)
        if wanted > position:
            entry = row["close"]
        elif wanted < position:
            booked += row["close"] - entry
        position = wanted
        print(f"{seen}  close {row['close']:>10,.1f}  RSI5 {row['RSI5']:5.1f}  hold {position}")
print(f"booked {booked:+.1f}, before fees")

# %%
store.close()
