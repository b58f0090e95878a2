"""Kernels are compiled once, when bound, and without a cache where none can be written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from indicators import default_registry
from indicators.jit import OPTIONS, Kernel, _taken, compile_with, helper


def test_names_and_plans_are_had_without_numba() -> None:
    code = (
        "import sys, indicators;"
        "plan = indicators.plan(['ATR14', 'RSI5', 'EMA20_hlc3', 'SMA3'], history=1440);"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_kernel_is_compiled_once() -> None:
    kernel = default_registry().resolve("SMA").definition.kernel
    assert kernel.compile(2, 1) is kernel.compile(2, 1)
    assert kernel.compile(2, 1).address != 0
    assert repr(kernel) == "Kernel(indicators.averages.sma)"


def test_results_do_not_depend_on_how_it_was_compiled() -> None:
    """No fastmath: sums keep their order. Errors are numpy's: a callback cannot raise."""
    assert OPTIONS == {"cache": True, "error_model": "numpy"}


def decorator(message: str, seen: list[Any]) -> Callable[..., Any]:
    def decorate(signature: str, **options: Any) -> Callable[..., Any]:
        seen.append(options["cache"])
        if options["cache"]:
            raise RuntimeError(message)
        return lambda function: function

    return decorate


def test_where_no_cache_can_be_written_it_is_compiled_without() -> None:
    seen: list[Any] = []
    message = "cannot cache function 'sma': no locator available for file '<stdin>'"
    assert compile_with(decorator(message, seen), "void()", len) is len
    assert seen == [True, False]


def test_another_failure_of_the_compiler_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="out of registers"):
        compile_with(decorator("out of registers", []), "void()", len)


def test_a_kernel_made_in_a_notebook_cell_compiles() -> None:
    space: dict[str, Any] = {}
    exec("def one(F, ints, i, age, cols, par):\n    F[cols[1], i] = 1.0\n", space)
    assert Kernel(space["one"]).compile(2, 0).address != 0


def test_a_cached_kernel_is_not_used_with_another_helper_or_constant() -> None:
    """Numba looks at the kernel's own file, which a change of another file leaves as it is."""

    def taken(constant: float, helped: str) -> str:
        space: dict[str, Any] = {"LIMIT": constant, "helper": helper}
        exec(f"@helper\ndef half(x):\n    return {helped}\n", space)
        text = "def one(F, ints, i, age, cols, par):\n    F[cols[1], i] = half(LIMIT)\n"
        exec(text, space)
        return _taken(space["one"])

    assert taken(1.0, "x / 2.0") == taken(1.0, "x / 2.0")
    assert len({taken(1.0, "x / 2.0"), taken(2.0, "x / 2.0"), taken(1.0, "x / 4.0")}) == 3
