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
# # All markets at once
#
# `store.matrix(column, last=n)` is float64[markets, n], aligned by minute: row *i* is
# `store.markets[i]`, the last column is the same minute everywhere, the one that is still open.
# With `copy=True` it is one consistent state, without it the live memory itself.
#
# The output that is kept here was made on the embedded exchange: its prices are invented, and
# independent of each other, so do not look for a market structure in them.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import ringbuf

store = ringbuf.attach(os.environ.get("MONITOR_SEGMENT", "market_monitor"))
names = np.array(store.markets)
closes = store.matrix("close", last=242, copy=True)[:, :-1]  # closed minutes only
whole = np.isfinite(closes).all(axis=1)  # markets that have four hours of history
print(closes.shape, "of them whole:", whole.sum())

# %% [markdown]
# ## How do they move together?
#
# Correlation of the 1-minute log returns over four hours. Markets without a single move in that
# time have none.

# %%
returns = np.diff(np.log(closes), axis=1)
moving = whole & (returns.std(axis=1) > 0)
correlation = np.corrcoef(returns[moving])
figure, axes = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
image = axes.imshow(correlation, vmin=-1, vmax=1, cmap="RdBu")
axes.set_xticks(range(moving.sum()), names[moving], rotation=90, fontsize=7)
axes.set_yticks(range(moving.sum()), names[moving], fontsize=7)
axes.set_title("correlation of 1-minute returns, 4 hours")
figure.colorbar(image)
plt.show()

# %% [markdown]
# ## Who is overbought?
#
# A stat is a column like any other: the RSI of all markets over the last hour, as a heat map.

# %%
rsi = store.matrix("RSI5", last=61, copy=True)[:, :-1]
order = np.argsort(np.nan_to_num(rsi[:, -1], nan=50.0))
figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
image = axes.imshow(rsi[order], vmin=0, vmax=100, cmap="RdYlGn_r", aspect="auto")
axes.set_yticks(range(len(order)), names[order], fontsize=7)
axes.set_xlabel("minutes, the newest at the right")
axes.set_title("RSI5")
figure.colorbar(image)
plt.show()

# %% [markdown]
# ## Which ones are worth the fees?
#
# The average true range in basis points of the price, and what was traded in the last hour.

# %%
atr = store.matrix("ATR14", last=2, copy=True)[:, 0]
traded = store.matrix("volume", last=61, copy=True)[:, :-1].sum(axis=1) * closes[:, -1]
points = 1e4 * atr / closes[:, -1]
print(f"{'market':<16}{'ATR14, bp':>10}{'traded, 1 h':>16}")
ranked = np.argsort(-points)  # NaN, a market without history, comes last
for i in ranked[: min(8, whole.sum())]:
    print(f"{names[i]:<16}{points[i]:>10.2f}{traded[i]:>16,.0f}")

# %%
store.close()
