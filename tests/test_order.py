"""The publish path in ARM's machine code, emitted across: its stores cannot pass each other there.

x86 keeps the order of stores without being told, so that no test run on it can see a missing fence.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
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
        head = other.partition("\n")[0]
        if any(f"@{call}(" in head for call in calls):
            function += f"\n{other}"
    heads = set(re.findall(r"^declare [^\n]+", code, re.MULTILINE))
    # What its reference counting calls is defined beside it. (LLVM before 16 types its pointers.)
    pointer = "i8*" if "i8*" in code else "ptr"
    heads |= {f"declare void @NRT_{name}({pointer})" for name in ("incref", "decref")}
    # Of what else it left as a call, that it is called is all that matters here.
    for other in functions[1:]:
        head, _, rest = other.partition("\n")[0].partition("@")
        called = rest.partition("(")[0]
        if f"@{called}(" in function and other not in function and "NRT_" not in called:
            types_only = re.sub(r" %[\w.]+", "", rest[: rest.rindex(")") + 1])
            heads.add(f"declare {head.split()[-1]} @{types_only}")
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
    write = ["stlr", "stlr", "stlr", "dmb", "stlr"]
    assert ordered in [write[k:] + write[:k] for k in range(len(write))]


def test_clearing_slots_ahead_has_its_fences() -> None:
    """In a write of its own, before slots are cleared, and before the grid moves to them."""
    code = assembly(kernels.clear_ahead, (RECORDS, CONTROLS, WORDS, types.int64, types.int64))
    ordered = re.findall(r"\t(stlr|dmb)\b", code)
    assert ordered.count("dmb") == 3
    # Three words of the write's beginning; three of a start that moves, the last like its end.
    assert ordered.count("stlr") >= 6


def test_a_publication_is_released() -> None:
    """By an addition with release, or by a store-release after a load-exclusive."""
    code = assembly(kernels.announce, (types.uint32[::1],))
    assert re.search(r"\bstlxr\b|\bldaddl\b|__aarch64_ldadd4_rel", code)


FLOAT_BLOCK = types.float64[:, :, ::1]
NUMBER, PRICE = types.int64, types.float64
ARRAYS = (FLOAT_BLOCK, RECORDS, CONTROLS, CONTROLS, types.float64[:, ::1])
MARKING = {
    engine.place: (
        *(*ARRAYS, *[NUMBER] * 3, *[PRICE] * 5, NUMBER, NUMBER),
        *(types.boolean, NUMBER, NUMBER),
    ),
    engine.open_bars: (*ARRAYS, WORDS, types.boolean[::1], *[NUMBER] * 3),
    engine.fill: (
        *(*ARRAYS, *[NUMBER] * 3, types.float64[:, ::1], CONTROLS, *[NUMBER] * 6),
        *(types.boolean, NUMBER),
    ),
}
"""What writes a candle under a mark, and its arguments."""


def between_fences(code: str) -> list[list[str]]:
    """What is done to shared memory from one full fence to the next: stores to it, calls of ours.

    A store is told by the register that is stored, a call by the name.
    """
    parts: list[list[str]] = [[]]
    for line in code.splitlines():
        if re.match(r"\tdmb\t", line):
            parts.append([])
        # The function's own frame, and what its reference counting calls, are nobody else's.
        elif found := re.match(r"\tst[lu]?r\t(\w+), \[(?!sp|x29)", line):
            parts[-1].append(found[1])
        elif found := re.match(r"\tstp\t(\w+), (\w+), \[(?!sp|x29)", line):
            parts[-1].extend(found.groups())
        elif found := re.match(r"\tbl\t(?!NRT)\w*?(_restep|copy_row)", line):
            parts[-1].append(found[1])
    return parts


@pytest.mark.parametrize("kernel", MARKING, ids=lambda kernel: str(kernel.__name__))
def test_a_candle_is_written_between_its_mark_and_what_takes_the_mark_away(kernel: Any) -> None:
    """Mark, fence, candle, fence, unmark, fence, first copy: a death anywhere leaves a whole one.

    Before the first fence is the record's opening; the first copy is made by what is called last.
    """
    code = assembly(kernel, MARKING[kernel])
    parts = between_fences(code)
    marks = [
        re.sub("w", "x", register)
        for register in re.findall(rf"\tmov\t(\w+), #{engine.WORKING}\n", code)
    ]
    (marked,) = (
        k for k, part in enumerate(parts) if part and part[-1] in marks and len(parts[k + 1]) > 2
    )
    opening, candle, unmark, after = (parts[marked + k] for k in (-1, 1, 2, 3))
    assert opening, "the record is opened before the mark"
    # Time, four prices, volume and trades; a loop over the prices may have one store for them.
    assert 3 <= len(candle) <= 7
    assert len(unmark) == 1
    # By a call, or in place where the compiler chose so.
    made = {"_restep", "copy_row"} & set(after) or len(after) >= 3
    assert made, "the first copy is made after the last fence"
    early = [one for part in parts[: marked + 3] for one in part]
    assert not {"_restep", "copy_row"} & set(early)
