"""How much a space may cost to evaluate: steps of expressions, items of lists, digits of numbers. Counted, not timed."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial, reduce
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Span
from .axis import largest
from .operator import Operator, Weight
from .shape import Shape
from .sym import Table, Value, apply

STEPS = 400_000
"""No space takes more steps; an expression, an item of a list and a decision's value are one each."""
BITS = 4_096
"""No number is longer."""


NUMBERS, MACS = 1 << 40, 1 << 47
"""No tensor and no parameter holds more numbers, no node takes more MACs: sums of them stay below 2^63."""


class Budget:
    """The steps that are left."""

    def __init__(self) -> None:
        self.left = STEPS

    def spend(self, steps: int, span: Span) -> None:
        """Count some steps. Raises ArchError where none are left."""
        self.left -= steps
        if self.left < 0:
            raise ArchError(errors.too_much_work(STEPS, span))

    def listed(self, items: Any, span: Span) -> Any:
        """A value, its items counted if it is a list, also those of lists within it."""
        if isinstance(items, tuple):
            todo = [items]
            while todo:
                inner = todo.pop()
                self.spend(len(inner), span)
                todo += [i for i in inner if isinstance(i, tuple)]
        return items


def bounded(value: Any, span: Span) -> Any:
    """A number, or a number for each choice, that is not too long."""
    for number in set(value.values) if isinstance(value, Table) else (value,):
        if type(number) in (int, Fraction) and (abs(number.numerator) | number.denominator) >> BITS:
            raise ArchError(errors.too_large("the number", f"more than {BITS:,} bits", BITS, span))
    return value


def affordable(op: Operator, x: tuple[Shape, ...], y: Shape, weights: Iterable[Weight], span: Span) -> None:
    """Raise ArchError where a node is too large to be counted."""
    if not x or y is not x[0]:
        _within("a tensor", NUMBERS, (y.width, *y.extent, y.copies), span)
    for weight in weights:
        _within("a parameter", NUMBERS, [a.limit for a in weight.axes], span)
    for factors in op.work(x, y):
        _within("an operator", MACS, factors, span)


def _within(what: str, most: int, factors: Sequence[Value], span: Span) -> None:
    count = 1
    for f in factors:
        count *= f if type(f) is int and f > 0 else max(1, largest(f))
    if count > most:  # factors that are not large together, as the size and the number of windows
        count = largest(reduce(partial(apply, "*"), factors))
    if count > most:
        raise ArchError(errors.too_large(what, f"{count:,}", most, span))
