"""The functions of the language over values: `min`, `max`, `log2`, `length`, `range`; `repeat` is the evaluator's own."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError
from ..dsl.syntax import Call
from .sym import apply, deps
from .values import Function

WIDEST = 10_000
"""No domain, list or repetition is longer."""


def _fold(name: str) -> Callable[[Call, list[Any]], Any]:
    def run(call: Call, values: list[Any]) -> Any:
        items = list(values[0]) if len(values) == 1 and isinstance(values[0], tuple) else values
        if not items:
            raise ArchError(errors.missing_argument("a value", name, call.span))
        total = items[0]
        for item in items[1:]:
            total = apply(name, total, item)
        return total

    return run


def _log2(call: Call, values: list[Any]) -> Any:
    if len(values) != 1 or deps(values[0]) or not isinstance(values[0], int | Fraction) or values[0] <= 0:
        raise ArchError(errors.wrong_kind("no positive fixed number", "one positive fixed number", call.span))
    value = Fraction(values[0])
    log = value.numerator.bit_length() - value.denominator.bit_length()
    return log if Fraction(2) ** log <= value else log - 1


def _length(call: Call, values: list[Any]) -> Any:
    if len(values) != 1 or not isinstance(values[0], tuple):
        raise ArchError(errors.wrong_kind("no list", "one list", call.span))
    return len(values[0])


def _range(call: Call, values: list[Any]) -> Any:
    if not values or not all(isinstance(v, int) for v in values) or len(values) > 2:
        raise ArchError(errors.wrong_kind("not that", "one or two fixed whole numbers", call.span))
    items = range(*values)
    if len(items) > WIDEST:
        raise ArchError(errors.too_large("the list", f"{len(items):,} items", WIDEST, call.span))
    return tuple(items)


FUNCTIONS: dict[str, Function] = {
    f.name: f
    for f in (
        Function("min", _fold("min")),
        Function("max", _fold("max")),
        Function("log2", _log2),
        Function("length", _length),
        Function("range", _range),
        Function("repeat", lambda call, values: None),
    )
}
