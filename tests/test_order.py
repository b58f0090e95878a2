"""The publish path in ARM's machine code, emitted across: its stores cannot pass each other there.

x86 keeps the order of stores without being told, so that no test run on it can see a missing fence.
"""

from __future__ import annotations

import re
from typing import Any

from llvmlite import binding
from numba import njit, types

from monitor import kernels as engine
from ringbuf import kernels

TRIPLE = "aarch64-unknown-linux-gnu"
WORDS = types.int64[::1]
RECORDS = types.int64[:, :, ::1]
CONTROLS = types.int64[:, ::1]


def assembly(kernel: Any, signature: tuple[Any, ...]) -> str:
    """The code of `kernel` alone, with what it calls inlined as for this machine, for ARM."""
    fresh = njit(nogil=True, error_model="numpy")(kernel.py_func)
    fresh.compile(signature)
    code = str(fresh.inspect_llvm(fresh.signatures[0]))
    functions = re.findall(r"define [^{]+\{.*?\n\}", code, re.DOTALL)
    name = kernel.py_func.__name__
    function = next(one for one in functions if name in one)
    # What the compiler left as a call of ours comes along.
    calls = set(re.findall(r"call [^@\n]*@(_ZN7ringbuf[^(]+)\(", function))
    for other in functions[1:]:
        head = other.partition("{")[0]
        if any(f"@{call}(" in head for call in calls):
            function += f"\n{other}"
    heads = set(re.findall(r"^declare [^\n]+", code, re.MULTILINE))
    # What its reference counting calls is defined beside it. (LLVM before 16 types its pointers.)
    pointer = "i8*" if "i8*" in code else "ptr"
    heads |= {f"declare void @NRT_{name}({pointer})" for name in ("incref", "decref")}
    used = [one for one in heads if re.findall(r"@[^(]+", one)[0] + "(" in function]
    text = re.sub(r" #\d+|,? ![\w.]+ !\d+", "", "\n".join([function, *used]))
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(TRIPLE).create_target_machine(opt=2)
    module = binding.parse_assembly(text)
    module.triple = TRIPLE
    module.data_layout = str(machine.target_data)
    return str(machine.emit_assembly(module))


def test_closing_a_minute_stores_dirty_from_and_odd_then_a_fence_then_even() -> None:
    """The blocks of its loop may be laid out from anywhere on."""
    code = assembly(engine.close_bars, (RECORDS, CONTROLS, WORDS, WORDS))
    ordered = re.findall(r"\t(stlr|dmb)\b", code)
    write = ["stlr", "stlr", "dmb", "stlr"]
    assert ordered in [write[k:] + write[:k] for k in range(len(write))]


def test_clearing_slots_ahead_has_its_fences() -> None:
    """In a write of its own, before slots are cleared, and before the grid moves to them."""
    code = assembly(kernels.clear_ahead, (RECORDS, CONTROLS, WORDS, types.int64, types.int64))
    ordered = re.findall(r"\t(stlr|dmb)\b", code)
    assert ordered.count("dmb") == 3
    # Two words of the write's beginning; three of a start that moves, the last like its end.
    assert ordered.count("stlr") >= 5


def test_a_publication_is_released() -> None:
    """By an addition with release, or by a store-release after a load-exclusive."""
    code = assembly(kernels.announce, (types.uint32[::1],))
    assert re.search(r"\bstlxr\b|\bldaddl\b|__aarch64_ldadd4_rel", code)
