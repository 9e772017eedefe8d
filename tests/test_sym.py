"""Values that depend on decisions against their meaning: pointwise over every combination of choices."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdsl.compiler.conditions import both, either
from hrdsl.compiler.sym import Decision, Value, apply, at, chosen, forget, tabulate, variable
from hrdsl.dsl.diagnostic import Source, Span

AT = Span(Source("t.arch", ""), 0, 0)
DECISIONS = tuple(Decision(f"d{k}", k, values, (), AT) for k, values in enumerate(((1, 2), (3, 5, 7), (True, False))))
ROWS = [*product(*(range(len(d)) for d in DECISIONS))]


@st.composite
def tables(draw: st.DrawFn, entries: st.SearchStrategy[Any]) -> Value:
    over = tuple(d for d in DECISIONS if draw(st.booleans()))
    values = {row: draw(entries) for row in product(*(range(len(d)) for d in over))}
    return tabulate(over, values.__getitem__)


TRUTHS, NUMBERS = tables(st.booleans()), tables(st.integers(0, 2))


def same(value: Value, wanted: Callable[[tuple[int, ...]], Any]) -> bool:
    """Equal in value and in type for every combination."""
    return all((type(a), a) == (type(b), b) for a, b in ((at(value, row), wanted(row)) for row in ROWS))


@given(NUMBERS, NUMBERS, TRUTHS)
def test_functions_are_pointwise(a: Value, b: Value, c: Value) -> None:
    assert same(apply("+", a, b), lambda row: at(a, row) + at(b, row))
    assert same(apply("min", a, b), lambda row: min(at(a, row), at(b, row)))
    assert same(apply("select", apply("select", c, 0, 1), a, b), lambda row: at(a if at(c, row) is False else b, row))


@given(st.lists(TRUTHS, max_size=4))
def test_conditions_are_pointwise(many: list[Value]) -> None:
    assert same(both(*many), lambda row: all(at(c, row) for c in many))
    assert same(either(*many), lambda row: any(at(c, row) for c in many))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_truths_are_no_numbers(order: tuple[int, int]) -> None:
    """What was said of a table of numbers is not said of an equal table of truths."""
    forget()
    first = DECISIONS[1]
    options = [tabulate((first,), lambda row: row[0] > 0), tabulate((first,), lambda row: int(row[0] > 0))]
    for k in order:
        picked = apply("select", chosen(DECISIONS[0]), options[k], options[k])
        assert same(picked, lambda row, k=k: at(options[k], row))
        assert same(apply("max", options[k], options[k]), lambda row, k=k: at(options[k], row))


def test_what_was_said_is_forgotten() -> None:
    before = apply("*", variable(DECISIONS[0]), variable(DECISIONS[1]))
    assert apply("*", variable(DECISIONS[0]), variable(DECISIONS[1])) is before
    forget()
    again = apply("*", variable(DECISIONS[0]), variable(DECISIONS[1]))
    assert again == before and again is not before
