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
# # Raw access: shared memory and numpy, nothing else
#
# The store describes itself. Whoever can map a file and read JSON can use it: this notebook does it
# with the standard library and numpy alone, and another language does it likewise
# (`ringbuf/layout.py` is the specification).
#
# Three traps of `SharedMemory`, all avoided below:
#
# - arrays made with `buffer=` must not outlive it: that crashes the interpreter;
# - it maps read-write: switch writing off;
# - before Python 3.13 the process would unlink the store's name at its end: unregister it.

# %%
import json
import os
import sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np

name = os.environ.get("MONITOR_SEGMENT", "market_monitor")
if sys.version_info >= (3, 13):
    shm = SharedMemory(name, track=False)
else:
    shm = SharedMemory(name)
    resource_tracker.unregister(shm._name, "shared_memory")

# %% [markdown]
# ## What is in it
#
# Two words at byte 24 tell where the JSON document is and how long.

# %%
at, size = np.ndarray(2, "<i8", shm.buf, 24)
about = json.loads(bytes(shm.buf[at : at + size]))
print(", ".join(about))
print([series["name"] for series in about["series"]][:4])
print(about["data"]["shape"], "markets;", about["capacity"], "slots, each written twice")

# %% [markdown]
# ## Columns
#
# One structured array with a record for each market, in which each field is a whole column.

# %%
data, control = about["data"], about["control"]
columns = np.ndarray(data["shape"], np.dtype(data["dtype"]), shm.buf, data["offset"])
columns.flags.writeable = False
words = np.ndarray((*data["shape"], control["stride"] // 8), "<i8", shm.buf, control["offset"])
words.flags.writeable = False
word = {name: place for place, name in enumerate(control["words"])}

market = [series["name"] for series in about["series"]].index("btcusd_perp")
newest = int(words[market, word["newest"]])
end = newest % about["capacity"] + about["capacity"] + 1  # one slice, whatever the minute
print(columns["time"][market, end - 5 : end])
print(columns["close"][market, end - 5 : end])

# %% [markdown]
# The same slice over all markets is a matrix, still without a copy:

# %%
matrix = columns["close"][:, end - 60 : end]
print(matrix.shape, "shares the store's memory:", np.shares_memory(matrix, columns))

# %% [markdown]
# ## A copy that is consistent
#
# The writer makes a market's sequence word odd before it writes and even afterwards. A copy counts
# if the word was even before it and is the same after it. (This order of plain reads is right on
# x86; `ringbuf` says what other processors need.)


# %%
def last_rows(columns, words, market, count):
    """The newest rows of a market, all of one moment: {column: array}."""
    while True:
        before = int(words[market, word["sequence"]])
        end = int(words[market, word["newest"]]) % about["capacity"] + about["capacity"] + 1
        rows = {
            name: columns[name][market, end - count : end].copy()
            for name in columns.dtype.names
            if not name.startswith("_")
        }
        if before % 2 == 0 and int(words[market, word["sequence"]]) == before:
            return rows


for name, values in last_rows(columns, words, market, 2).items():
    print(f"{name:>8}  {values}")

# %% [markdown]
# ## Leaving
#
# First everything that looks at the memory, then the memory.

# %%
del columns, words, matrix
shm.close()
