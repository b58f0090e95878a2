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
# # Quick start
#
# A service on this machine follows the markets; this notebook looks into its memory. Nothing is
# requested, nothing is copied: an array below *is* the service's array, read-only.
#
# The output that is kept here was made on the embedded exchange, whose prices are invented.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import ringbuf

store = ringbuf.attach(os.environ.get("MONITOR_SEGMENT", "market_monitor"))
print(store.condition, "·", len(store.markets), "markets ·", store.header.history, "minutes each")
print(", ".join(store.columns))

# %% [markdown]
# ## One market
#
# `ring[...]` is a column's whole history, oldest to newest. The last row is the minute that is
# still open; `closed=True` leaves it out.

# %%
ring = store["btcusd_perp"]  # or store["BTC"], the exchange's own name
close = ring["close"]
print(close.shape, close.dtype, "writeable:", close.flags.writeable)
print(ring.view("time", last=3, closed=True))
print(ring.view("close", last=3, closed=True))

# %% [markdown]
# The newest row, every column of one and the same moment:

# %%
for name, value in ring.last().items():
    print(f"{name:>8}  {value}")

# %% [markdown]
# ## Candles and indicators
#
# `snapshot` copies one consistent state: what a chart or a backtest wants.


# %%
def draw_candles(axes, rows):
    """Candlesticks of a structured array with time, open, high, low and close."""
    up = rows["close"] >= rows["open"]
    colours = np.where(up, "#2a9d8f", "#d1495b")
    body = np.abs(rows["close"] - rows["open"])
    axes.vlines(rows["time"], rows["low"], rows["high"], color=colours, linewidth=0.8)
    axes.bar(
        rows["time"],
        np.maximum(body, 1e-9),
        bottom=np.minimum(rows["open"], rows["close"]),
        width=np.timedelta64(42, "s"),
        color=colours,
    )
    axes.use_sticky_edges = False  # or the lowest body would stand on the frame
    axes.set_ylabel("quote currency")
    axes.grid(alpha=0.2)


rows = ring.snapshot(last=120)
figure, (price, rsi, atr) = plt.subplots(
    3, 1, figsize=(10, 6), sharex=True, height_ratios=[4, 1, 1], layout="constrained"
)
draw_candles(price, rows)
price.set_title(f"{ring.name}, the last two hours, UTC")
rsi.plot(rows["time"], rows["RSI5"], color="#33658a")
rsi.axhspan(30, 70, color="#33658a", alpha=0.08)
rsi.set(ylabel="RSI5", ylim=(0, 100))
atr.plot(rows["time"], rows["ATR14"], color="#f26419")
atr.set_ylabel("ATR14")
plt.show()

# %% [markdown]
# ## How sure is it?
#
# Every row says where it comes from: carried (a minute without a trade, known from silence),
# confirmed by the exchange's REST answers, closed. And the store says how it is as a whole.

# %%
CARRIED, CONFIRMED, CLOSED = 1, 2, 4
flags = ring.snapshot()["flags"]
for name, bit in (("carried", CARRIED), ("confirmed", CONFIRMED), ("closed", CLOSED)):
    print(f"{name:>9}: {np.count_nonzero(flags & bit):5} of {len(flags)} rows")
print("status:", ring.status, "· source:", store.source["network"])

# %% [markdown]
# ## News
#
# `ring.wait` sleeps until this market has news, `store.wait` until any has. The view from above
# shows it without being taken again; after an hour its oldest rows are overwritten, so a program
# takes its views anew.

# %%
before = ring.last()["close"]
for _ in range(3):
    if ring.wait(timeout=5.0):
        row = ring.last()
        print(row["time"], row["close"], f"{row['close'] - before:+.1f}")

# %%
store.close()  # views stay valid
