"""The functions of the language over values; `repeat` is the evaluator's own, `sum` shares its name with an operator."""

from collections.abc import Callable
from itertools import combinations, product
from math import comb
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import ArchError
from ..dsl.syntax import Call
from .conditions import both
from .kinds import is_numeric, is_point
from .sym import Table, aggregate, apply, is_sym, is_truth
from .values import Function, kind_of

WIDEST = 10_000
"""No domain, list or repetition is longer."""
WIDEST_PAIRS = 300
"""Fewer values than this are compared pair by pair."""


def _fold(name: str) -> Callable[[Call, list[Any]], Any]:
    def run(call: Call, values: list[Any]) -> Any:
        items = list(values[0]) if len(values) == 1 and isinstance(values[0], tuple) else values
        if not items:
            raise ArchError(errors.missing_argument("a value", name, call.span))
        total = _number(items[0], name, call)
        for item in items[1:]:
            total = apply(name, total, _number(item, name, call))
        return total

    return run


def _number(value: Any, name: str, call: Call) -> Any:
    if is_numeric(value):
        return value
    raise ArchError(errors.wrong_kind(f"{kind_of(value)} in `{name}`", "a number", call.span))


def _log2(call: Call, values: list[Any]) -> Any:
    if len(values) != 1 or not is_numeric(values[0]) or not all(v > 0 for v in _every(values[0])):
        raise ArchError(errors.wrong_kind("no positive number", "one positive number", call.span))
    return apply("log2", values[0])


def _every(value: Any) -> tuple[Any, ...]:
    """All values that are known at once."""
    return value.values if isinstance(value, Table) else () if is_sym(value) else (value,)


def _round(call: Call, values: list[Any]) -> Any:
    if len(values) != 1 or not is_numeric(values[0]):
        raise ArchError(errors.wrong_kind("not that", "one number", call.span))
    return apply("round", values[0])


def _gcd(call: Call, values: list[Any]) -> Any:
    good = len(values) == 2 and all(map(is_numeric, values))
    if not good or not all(isinstance(v, int) and v > 0 for value in values for v in _every(value)):
        raise ArchError(errors.wrong_kind("not that", "two whole numbers above zero", call.span))
    return apply("gcd", *values)


def _length(call: Call, values: list[Any]) -> Any:
    return len(_one_list(call, values))


def _range(call: Call, values: list[Any]) -> Any:
    if not values or not all(isinstance(v, int) and not isinstance(v, bool) for v in values) or len(values) > 2:
        raise ArchError(errors.wrong_kind("not that", "one or two fixed whole numbers", call.span))
    items = range(*values)
    count = max(0, items.stop - items.start)
    if count > WIDEST:
        raise ArchError(errors.too_large("the list", f"{count:,} items", WIDEST, call.span))
    return tuple(items)


def _subsets(call: Call, values: list[Any]) -> Any:
    if len(values) != 2 or not isinstance(values[0], tuple) or not isinstance(values[1], int):
        raise ArchError(errors.wrong_kind("not that", "a list and a fixed whole number", call.span))
    items, size = values
    if not 0 <= size <= len(items):
        raise ArchError(errors.out_of_range("the size of the subsets", str(size), f"from 0 to {len(items)}", call.span))
    if comb(len(items), size) > WIDEST:
        raise ArchError(errors.too_large("the list", f"{comb(len(items), size):,} subsets", WIDEST, call.span))
    return tuple(combinations(items, size))


# aggregates of lists


def _one_list(call: Call, values: list[Any]) -> tuple[Any, ...]:
    if len(values) != 1 or not isinstance(values[0], tuple):
        raise ArchError(errors.wrong_kind("no list", "one list", call.span))
    return values[0]


def _truths(name: str) -> Callable[[Call, list[Any]], Any]:
    """`all`, `any`, `count`: over a list of conditions."""

    def run(call: Call, values: list[Any]) -> Any:
        items = _one_list(call, values)
        wrong = next((v for v in items if not is_truth(v)), None)
        if wrong is not None:
            raise ArchError(errors.wrong_kind(f"{kind_of(wrong)} in `{name}`", "a condition", call.span))
        return aggregate(name, items)

    return run


def _sum(call: Call, values: list[Any]) -> Any:
    items = values[0] if len(values) == 1 and isinstance(values[0], tuple) else tuple(values)
    return aggregate("sum", tuple(_number(v, "sum", call) for v in items))


def _points(call: Call, items: tuple[Any, ...]) -> tuple[Any, ...]:
    wrong = next((v for v in items if not (is_point(v) or is_sym(v))), None)
    if wrong is not None:
        raise ArchError(errors.wrong_kind(f"a list with {kind_of(wrong)}", "a list of numbers", call.span))
    return items


def _distinct(call: Call, values: list[Any]) -> Any:
    items = _points(call, _one_list(call, values))
    return _apart(call, list(combinations(items, 2)) if len(items) < WIDEST_PAIRS else None)


def _disjoint(call: Call, values: list[Any]) -> Any:
    if len(values) < 2 or not all(isinstance(v, tuple) for v in values):
        raise ArchError(errors.wrong_kind("not that", "two or more lists", call.span))
    lists = [_points(call, v) for v in values]
    small = sum(map(len, lists)) < WIDEST_PAIRS
    return _apart(call, [p for one, two in combinations(lists, 2) for p in product(one, two)] if small else None)


def _apart(call: Call, pairs: list[tuple[Any, Any]] | None) -> Any:
    """No two of a pair are equal."""
    if pairs is None:
        raise ArchError(errors.too_large("the comparison", f"{WIDEST_PAIRS:,} values or more", WIDEST_PAIRS, call.span))
    return aggregate("all", tuple(apply("!=", a, b) for a, b in pairs))


def _contains(call: Call, values: list[Any]) -> Any:
    if len(values) != 2 or not isinstance(values[0], tuple):
        raise ArchError(errors.wrong_kind("not that", "a list and a value", call.span))
    return aggregate("any", tuple(apply("==", v, values[1]) for v in _points(call, values[0])))


def contains(items: tuple[Any, ...], value: Any) -> Any:
    """Whether a value is in a list, as one condition."""
    return apply("not", both(*(apply("!=", v, value) for v in items)))


FUNCTIONS: dict[str, Function] = {
    f.name: f
    for f in (
        Function("min", ("min(a, b, ...)",), "the smallest of some numbers, or of a list", _fold("min")),
        Function("max", ("max(a, b, ...)",), "the largest of some numbers, or of a list", _fold("max")),
        Function("sum", ("sum(a, b, ...)",), "the sum of some numbers, or of a list", _sum),
        Function("round", ("round(a)",), "the nearest whole number", _round),
        Function("log2", ("log2(a)",), "the logarithm to the base 2, rounded down", _log2),
        Function("gcd", ("gcd(a, b)",), "the greatest common divisor", _gcd),
        Function("length", ("length(list)",), "how many elements a list has", _length),
        Function("range", ("range(n)", "range(a, b)"), "the whole numbers in a row", _range),
        Function("subsets", ("subsets(list, n)",), "all lists of n elements of a list", _subsets),
        Function("all", ("all(list)",), "whether all truths of a list hold", _truths("all")),
        Function("any", ("any(list)",), "whether any truth of a list holds", _truths("any")),
        Function("count", ("count(list)",), "how many truths of a list hold", _truths("count")),
        Function("distinct", ("distinct(list)",), "whether no two elements of a list are equal", _distinct),
        Function("disjoint", ("disjoint(list, list, ...)",), "whether lists have no element in common", _disjoint),
        Function("contains", ("contains(list, value)",), "whether an element of a list equals a value", _contains),
        Function("repeat", ("repeat(cell, times = n)",), "a cell applied n times", lambda call, values: None),
    )
}
