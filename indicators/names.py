"""The grammar of stat names: text to `StatName` and back. Knows no stat.

    name      = letters [output] [parameter *("_" parameter)] ["_" input]
    letters   = 1*upper                      ; RSI, MACD, BB
    output    = lower                        ; s in MACDs12_26_9, u in BBu20_2
    parameter = 1*digit ["p" 1*digit]        ; p is the decimal point: 2p5 is 2.5
    input     = lower *(lower / digit)       ; EMA20_hlc3

So the name is upper case, whatever is lower case and stands before the digits is one output
letter, and whatever is lower case and stands after an underscore is the input. Whether such a
stat exists, what its usual parameters are and which inputs it takes is for `registry` to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from .errors import MalformedName

__all__ = ["Number", "StatName", "format_number", "parse"]

Number = int | float

# Longer numbers mean nothing here, and int() itself refuses very long ones.
_MAX_DIGITS = 9
_GRAMMAR = re.compile(
    r"(?P<letters>[A-Z]+)(?P<output>[a-z]?)"
    r"(?P<parameters>(?:[0-9]+(?:p[0-9]+)?(?:_[0-9]+(?:p[0-9]+)?)*)?)"
    r"(?:_(?P<input>[a-z][a-z0-9]*))?"
)


@dataclass(frozen=True, slots=True)
class StatName:
    """A stat's name in its parts. `str()` formats it.

    Whole parameters are ints, others floats. `input` is empty where none was named, `output`
    where no letter was.
    """

    letters: str
    parameters: tuple[Number, ...] = ()
    input: str = ""
    output: str = ""

    def __str__(self) -> str:
        parameters = "_".join(format_number(value) for value in self.parameters)
        suffix = f"_{self.input}" if self.input else ""
        return f"{self.letters}{self.output}{parameters}{suffix}"


def format_number(value: Number) -> str:
    """Write a parameter as names do: `14` as "14", `2.5` as "2p5", `2.0` as "2"."""
    if value == int(value):
        return str(int(value))
    # repr is the shortest text that reads back as the same float; Decimal spells its exponent out.
    return f"{Decimal(repr(value)):f}".replace(".", "p")


def parse(text: str) -> StatName:
    """Take a name apart. Raises `MalformedName`, never anything else, for any text."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise MalformedName(
            text,
            "not a stat name; expected an upper-case name, its parameters joined by '_'"
            " and perhaps an input, as in RSI14, BB20_2p5 or EMA20_hlc3",
        )
    parameters = match["parameters"]
    numbers = tuple(_number(text, part) for part in parameters.split("_")) if parameters else ()
    return StatName(match["letters"], numbers, match["input"] or "", match["output"])


def _number(text: str, part: str) -> Number:
    whole, _, decimals = part.partition("p")
    if len(whole) > _MAX_DIGITS or len(decimals) > _MAX_DIGITS:
        raise MalformedName(
            text, f"a parameter has more than {_MAX_DIGITS} digits on a side of its point"
        )
    if not decimals.strip("0"):
        return int(whole)
    return float(f"{whole}.{decimals}")
