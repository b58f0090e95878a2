"""docs/stats.md is what its command writes: every stat, all within a billionth of the oracle."""

from __future__ import annotations

import re

import pytest
from oracle_table import PAGE, compared, page

from oracles import ORACLES


@pytest.mark.parametrize("letters", ORACLES)
def test_a_stat_is_within_a_billionth_of_its_oracle_at_every_row(letters: str) -> None:
    result = compared(letters)
    assert result.rows > 5_000
    assert result.difference < 1e-9


def test_the_page_in_the_docs_has_every_stat_as_it_is_declared() -> None:
    """Only what depends on the machine may differ: differences, and the oracles' versions."""
    found, wanted = PAGE.read_text("utf-8"), page()
    assert found.partition("## Beside")[0] == wanted.partition("## Beside")[0]
    names = re.compile(r"^\| (`[A-Z]+`) \|", re.MULTILINE)
    assert names.findall(found) == names.findall(wanted)
