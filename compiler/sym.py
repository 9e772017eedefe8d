"""Exact values that depend on decisions.

A value is a plain Python value, or a `Table` (every value over the joint domain of a few decisions: canonical, so equal
functions are equal objects), or an `Apply` where the joint domain is too large to tabulate. Pure Python: `check` uses it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from itertools import product
from math import prod
from typing import Any
from zlib import crc32

from ..dsl.diagnostic import Span

LIMIT = 1024
"""Joint domains up to this size are tabulated."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One open choice: `path` names it, `values` is its ordered finite domain, `index` its place in a genome.

    `labels` are the values as text: numbers as written, cells by their name.
    """

    path: str
    index: int
    values: tuple[Any, ...]
    labels: tuple[str, ...]
    span: Span = field(repr=False)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Metric:
    """A cost of the whole network, as a constraint names it. `unit` is `""` or `bytes`."""

    name: str
    unit: str = ""

    def __hash__(self) -> int:
        return crc32(self.name.encode())


class Table:
    """A function of `deps` (sorted by index), row-major over their domains."""

    __slots__ = ("_hash", "deps", "strides", "values")

    def __init__(self, deps: tuple[Decision, ...], values: tuple[Any, ...]) -> None:
        self.deps = deps
        self.values = values
        strides: list[int] = []
        step = 1
        for d in reversed(deps):
            strides.append(step)
            step *= len(d)
        self.strides = tuple(reversed(strides))
        self._hash = hash((tuple(d.index for d in deps), tuple(map(_stable, values))))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Table)
            and self._hash == other._hash
            and self.deps == other.deps
            and self.values == other.values
        )

    def __repr__(self) -> str:
        return f"Table({', '.join(d.path for d in self.deps)}: {self.values if len(self.values) < 9 else '...'})"

    def at(self, genes: Sequence[int]) -> Any:
        return self.values[sum(genes[d.index] * s for d, s in zip(self.deps, self.strides, strict=True))]


class Apply:
    """`function(*args)` over more decisions than a table holds. Arguments are shared, so a value is a graph."""

    __slots__ = ("_hash", "args", "deps", "function")

    def __init__(self, function: str, args: tuple["Value", ...]) -> None:
        self.function = function
        self.args = args
        self.deps = merge(deps(a) for a in args)
        self._hash = hash((_stable(function), tuple(map(_stable, args))))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Apply)
            and self._hash == other._hash
            and self.function == other.function
            and self.args == other.args
        )

    def __repr__(self) -> str:
        return f"{self.function}({', '.join(map(repr, self.args))})"

    def at(self, genes: Sequence[int]) -> Any:
        return FUNCTIONS[self.function](*(at(a, genes) for a in self.args))


Sym = Table | Apply
Value = Any
"""A Sym, a Metric, or a plain value."""


def _divide(a: Any, b: Any) -> Any:
    return plain(Fraction(a) / b) if b else Fraction(0)


def plain(value: Any) -> Any:
    """A fraction without a remainder is an int."""
    return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value


def _stable(value: Any) -> int:
    """A hash that is the same in every process (texts are salted by Python)."""
    return crc32(value.encode()) if isinstance(value, str) else hash(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: plain(a + b),
    "-": lambda a, b: plain(a - b),
    "*": lambda a, b: plain(a * b),
    "/": _divide,
    "//": lambda a, b: a // b if b else 0,
    "%": lambda a, b: plain(a % b) if b else 0,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "min": min,
    "max": max,
    "not": lambda a: not a,
    "and": lambda *a: all(a),
    "or": lambda *a: any(a),
    "select": lambda i, *a: a[i],
    "sum": lambda *a: plain(sum(a)),
    "ceil": lambda a, b: -(-a // b),
    "whole": lambda a: isinstance(a, int) or a.denominator == 1,
}
"""Every function of values, by name. Division by zero in a combination that no architecture reaches gives 0."""
TRUTHS = frozenset({"<", "<=", ">", ">=", "==", "!=", "not", "and", "or", "whole"})
"""Those that give true or false."""


def is_sym(value: Value) -> bool:
    return isinstance(value, Table | Apply)


def is_truth(value: Value) -> bool:
    """Whether a value is true or false for every choice."""
    if isinstance(value, Table):
        return all(isinstance(v, bool) for v in value.values)
    if isinstance(value, Apply):
        return all(map(is_truth, value.args[1:])) if value.function == "select" else value.function in TRUTHS
    return isinstance(value, bool)


def deps(value: Value) -> tuple[Decision, ...]:
    return value.deps if isinstance(value, Table | Apply) else ()


def merge(many: Iterable[tuple[Decision, ...]]) -> tuple[Decision, ...]:
    found = {d.index: d for one in many for d in one}
    return tuple(found[i] for i in sorted(found))


def at(value: Value, genes: Sequence[int]) -> Any:
    """The value for one genome."""
    return value.at(genes) if isinstance(value, Table | Apply) else value


def depends_on_cost(value: Value) -> bool:
    return isinstance(value, Metric) or (isinstance(value, Apply) and any(depends_on_cost(a) for a in value.args))


def size(decisions: Iterable[Decision]) -> int:
    return prod(len(d) for d in decisions)


def variable(decision: Decision) -> Value:
    """The chosen value of a decision."""
    return tabulate((decision,), lambda row: decision.values[row[0]])


def chosen(decision: Decision) -> Value:
    """The index of the chosen value."""
    return tabulate((decision,), lambda row: row[0])


def tabulate(over: tuple[Decision, ...], value: Callable[[tuple[int, ...]], Any]) -> Value:
    """The canonical table of a function of choices: decisions that change nothing are dropped."""
    return _canonical(over, tuple(value(row) for row in product(*(range(len(d)) for d in over))))


def _canonical(over: tuple[Decision, ...], values: tuple[Any, ...]) -> Value:
    kept = list(over)
    for d in over:
        place = kept.index(d)
        inner = prod(len(k) for k in kept[place + 1 :])
        block = inner * len(d)
        same = all(
            values[start + inner * i : start + inner * (i + 1)] == values[start : start + inner]
            for start in range(0, len(values), block)
            for i in range(1, len(d))
        )
        if same:
            values = tuple(v for start in range(0, len(values), block) for v in values[start : start + inner])
            kept.remove(d)
    return Table(tuple(kept), values) if kept else values[0]


def apply(function: str, *args: Value) -> Value:
    """`function(*args)`, tabulated where it can be."""
    if not any(isinstance(a, Table | Apply | Metric) for a in args):
        return FUNCTIONS[function](*args)
    if any(isinstance(a, Apply | Metric) for a in args):
        return Apply(function, args)
    over = merge(deps(a) for a in args)
    if size(over) > LIMIT:
        return Apply(function, args)
    run = FUNCTIONS[function]
    columns = [_spread(a, over) for a in args]
    return _canonical(over, tuple(map(run, *columns)))


def _spread(value: Value, over: tuple[Decision, ...]) -> Sequence[Any]:
    """The values of a table over a larger set of decisions, row-major."""
    if not isinstance(value, Table):
        return (value,) * size(over)
    if value.deps == over:
        return value.values
    own = dict(zip(value.deps, value.strides, strict=True))
    places = [0]
    for d in over:
        step = own.get(d, 0)
        places = [p + step * i for p in places for i in range(len(d))]
    return [value.values[p] for p in places]


# Conditions --------------------------------------------------------------------------------------------------------


def conjuncts(condition: Value) -> tuple[Value, ...]:
    return condition.args if isinstance(condition, Apply) and condition.function == "and" else (condition,)


def both(*conditions: Value) -> Value:
    """Their conjunction: one table for what fits in it, large factors kept apart."""
    table: Value = True
    large: list[Value] = []
    for factor in (f for c in conditions for f in conjuncts(c)):
        if isinstance(factor, Apply):
            if factor not in large:
                large.append(factor)
            continue
        if factor is True or factor == table:
            continue
        joined = factor if table is True else apply("and", table, factor)
        if isinstance(joined, Apply):
            large.append(table)
            table = factor
        else:
            table = joined
    if table is False:
        return False
    factors = (*(() if table is True else (table,)), *sorted(large, key=hash))
    return True if not factors else factors[0] if len(factors) == 1 else Apply("and", factors)


def either(*conditions: Value) -> Value:
    """Their disjunction, with common factors taken out."""
    options = list(dict.fromkeys(c for c in conditions if c is not False))
    if True in [o for o in options if o is True]:
        return True
    if len(options) < 2:
        return options[0] if options else False
    common = reduce(
        lambda a, b: [f for f in a if f in b], [[f for f in conjuncts(o) if isinstance(f, Apply)] for o in options]
    )
    rest = [both(*(f for f in conjuncts(o) if f not in common)) for o in options]
    tables = [r for r in rest if not isinstance(r, Apply)]
    large = [r for r in rest if isinstance(r, Apply)]
    joined: list[Value] = []
    for t in tables:
        for i, j in enumerate(joined):
            merged = apply("or", j, t)
            if not isinstance(merged, Apply):
                joined[i] = merged
                break
        else:
            joined.append(t)
    if any(j is True for j in joined):
        return both(*common)
    joined = [j for j in joined if j is not False]
    every = [*joined, *large]
    inner = every[0] if len(every) == 1 else Apply("or", tuple(sorted(every, key=hash))) if every else False
    return both(*common, inner)


def negate(condition: Value) -> Value:
    return apply("not", condition)


def implied(condition: Value, fact: Value) -> dict[Decision, int] | None:
    """None if `fact` holds wherever `condition` does; else one choice of the decisions where it does not.

    Exact where both fit into a table together; otherwise 2,000 fixed pseudo-random combinations are tried.
    """
    if fact is True or condition is False:
        return None
    over = merge((deps(condition), deps(fact)))
    if size(over) <= 4 * LIMIT:
        rows: Iterable[tuple[int, ...]] = product(*(range(len(d)) for d in over))
    else:
        rows = _scatter(over, 2000)
    genes = [0] * (over[-1].index + 1 if over else 0)
    for row in rows:
        for d, g in zip(over, row, strict=True):
            genes[d.index] = g
        if at(condition, genes) and not at(fact, genes):
            return dict(zip(over, row, strict=True))
    return None


def _scatter(over: tuple[Decision, ...], count: int) -> Iterable[tuple[int, ...]]:
    state = 12345
    for _ in range(count):
        row = []
        for d in over:
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            row.append((state >> 33) % len(d))
        yield tuple(row)
