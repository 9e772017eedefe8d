"""Exact values that depend on decisions.

A value is a plain Python value, or a `Table` (every value over the joint domain of a few decisions: canonical, so equal
functions are equal objects), or an `Apply` where the joint domain is too large to tabulate. Pure Python: `check` uses it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any
from weakref import WeakValueDictionary
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

    __slots__ = ("_hash", "_truth", "deps", "strides", "values")

    def __init__(self, deps: tuple[Decision, ...], values: tuple[Any, ...]) -> None:
        self.deps = deps
        self.values = values
        self.strides = _strides(deps)
        kinds = set(map(type, values))
        texts = str in kinds
        self._truth = bool in kinds
        self._hash = hash((tuple(d.index for d in deps), tuple(map(_stable, values)) if texts else values))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Table)
            and self._hash == other._hash
            and self._truth == other._truth
            and self.deps == other.deps
            and self.values == other.values
        )

    def __repr__(self) -> str:
        return f"Table({', '.join(d.path for d in self.deps)}: {self.values if len(self.values) < 9 else '...'})"

    def at(self, genes: Sequence[int]) -> Any:
        return self.values[sum(genes[d.index] * s for d, s in zip(self.deps, self.strides, strict=True))]


class Apply:
    """`function(*args)` over more decisions than a table holds. Equal ones are one object, so a value is a graph."""

    __slots__ = ("__weakref__", "_hash", "args", "deps", "function", "priced")

    function: str
    args: tuple["Value", ...]
    deps: tuple[Decision, ...]
    priced: bool
    """Whether it reads a cost."""
    _hash: int

    def __new__(cls, function: str, args: tuple["Value", ...]) -> "Apply":
        key = (function, tuple((type(a), a) for a in args))
        known = _KNOWN.get(key)
        if known is None:
            known = super().__new__(cls)
            known.function, known.args = function, args
            known.deps = merge(deps(a) for a in args)
            known.priced = any(depends_on_cost(a) for a in args)
            known._hash = hash((_stable(function), tuple(map(_stable, args))))
            _KNOWN[key] = known
        return known

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{self.function}(over {', '.join(d.path for d in self.deps[:4])}{', ...' if self.deps[4:] else ''})"

    def at(self, genes: Sequence[int]) -> Any:
        return _at(self, genes, {})


_KNOWN: "WeakValueDictionary[Any, Apply]" = WeakValueDictionary()


def _at(value: "Value", genes: Sequence[int], memo: dict[int, Any]) -> Any:
    """The value for one genome; parts that occur again are computed once."""
    if not isinstance(value, Apply):
        return at(value, genes)
    if id(value) not in memo:
        memo[id(value)] = FUNCTIONS[value.function](*(_at(a, genes, memo) for a in value.args))
    return memo[id(value)]


Sym = Table | Apply
Value = Any
"""A Sym, a Metric, or a plain value."""
_SYMBOLIC = frozenset({Table, Apply, Metric})


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
    "round": round,
    "all": lambda *a: all(a),
    "any": lambda *a: any(a),
    "count": lambda *a: sum(map(bool, a)),
}
"""Every function of values, by name. Division by zero in a combination that no architecture reaches gives 0."""
TRUTHS = frozenset({"<", "<=", ">", ">=", "==", "!=", "not", "and", "or", "whole", "all", "any"})
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
    return isinstance(value, Metric) or (isinstance(value, Apply) and value.priced)


def size(decisions: Iterable[Decision]) -> int:
    return prod(len(d) for d in decisions)


def variable(decision: Decision) -> Value:
    """The chosen value of a decision."""
    return _canonical((decision,), decision.values)


def chosen(decision: Decision) -> Value:
    """The index of the chosen value."""
    return _canonical((decision,), tuple(range(len(decision))))


def tabulate(over: tuple[Decision, ...], value: Callable[[tuple[int, ...]], Any]) -> Value:
    """The canonical table of a function of choices: decisions that change nothing are dropped."""
    return _canonical(over, tuple(value(row) for row in product(*(range(len(d)) for d in over))))


def _canonical(over: tuple[Decision, ...], values: tuple[Any, ...]) -> Value:
    if len(over) == 1:
        return values[0] if values.count(values[0]) == len(values) else Table(over, values)
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
    if _SYMBOLIC.isdisjoint(map(type, args)):
        return FUNCTIONS[function](*args)
    return _applied(function, *args)


@lru_cache(maxsize=1 << 12, typed=True)
def _applied(function: str, *args: Value) -> Value:
    if any(isinstance(a, Apply | Metric) for a in args):
        return _shorter(function, args)
    over = merge(deps(a) for a in args)
    if size(over) > LIMIT:
        return _shorter(function, args)
    run = FUNCTIONS[function]
    columns = [_spread(a, over) for a in args]
    return _canonical(over, tuple(map(run, *columns)))


def forget() -> None:
    """Drop what was remembered of other spaces: their values equal none of a new one, but many have the same hash."""
    _applied.cache_clear()


def _shorter(function: str, args: tuple[Value, ...]) -> Value:
    """`function(*args)` where no table holds it, with what is plain at a glance left out."""
    if function in ("and", "or"):
        decided = function == "or"
        if any(a is decided for a in args):
            return decided
        args = tuple(a for a in args if not isinstance(a, bool))
        if len(args) == 1:
            return args[0]
    if function == "select":
        index, *options = args
        if not is_sym(index):
            return options[index]
        if all(type(o) is type(options[0]) and o == options[0] for o in options):
            return options[0]
        if len(options) == 2 and _where_equal(index, *options):
            return options[1]
    if function == "%" and args[1] == 1 and _whole(args[0]):
        return 0
    return Apply(function, args)


@lru_cache(maxsize=1 << 12)
def _whole(value: Value) -> bool:
    """Whether a value is seen to be a whole number for every choice."""
    if isinstance(value, Table):
        return all(isinstance(v, int) for v in value.values)
    if isinstance(value, Apply):
        parts = value.args[1:] if value.function == "select" else value.args
        return value.function in ("select", "+", "-", "*", "min", "max") and all(map(_whole, parts))
    return isinstance(value, int)


def _where_equal(index: Value, first: Value, second: Value) -> bool:
    """Whether the first of two options is picked only where it equals the second."""
    picks = isinstance(index, Apply) and index.function == "select" and index.args[1:] == (1, 0)
    equal = {("==", first, second), ("==", second, first)}
    return picks and any(isinstance(c, Apply) and (c.function, *c.args) in equal for c in conjuncts(index.args[0]))


AGGREGATES = frozenset({"all", "any", "count", "sum"})
"""Functions of lists that leave out what an architecture does not have."""


def aggregate(name: str, items: tuple[Value, ...]) -> Value:
    """A function of a list, its elements kept apart: a constraint leaves out those that are inactive."""
    return Apply(name, items) if any(map(is_sym, items)) else FUNCTIONS[name](*items)


def settled(value: Value) -> Value:
    """An aggregate as a plain value, for use outside constraints."""
    return apply(value.function, *value.args) if isinstance(value, Apply) and value.function in AGGREGATES else value


def _spread(value: Value, over: tuple[Decision, ...]) -> Sequence[Any]:
    """The values of a table over a larger set of decisions, row-major."""
    if not isinstance(value, Table):
        return (value,) * size(over)
    if value.deps == over:
        return value.values
    return tuple(map(value.values.__getitem__, _places(value.deps, over)))


@lru_cache(maxsize=1 << 9)
def _places(deps: tuple[Decision, ...], over: tuple[Decision, ...]) -> tuple[int, ...]:
    """Where in a table over `deps` the value of each row over more decisions stands."""
    own = dict(zip(deps, _strides(deps), strict=True))
    places = [0]
    for d in over:
        step, count = own.get(d, 0), len(d)
        places = [p + step * i for p in places for i in range(count)]
    return tuple(places)


def _strides(deps: tuple[Decision, ...]) -> tuple[int, ...]:
    """How far apart in a table the values of neighbouring choices stand, for each decision."""
    strides: list[int] = []
    step = 1
    for d in reversed(deps):
        strides.append(step)
        step *= len(d)
    return tuple(reversed(strides))


# Conditions --------------------------------------------------------------------------------------------------------


def conjuncts(condition: Value) -> tuple[Value, ...]:
    return condition.args if isinstance(condition, Apply) and condition.function == "and" else (condition,)


def both(*conditions: Value) -> Value:
    """Their conjunction: one table for what fits in it, large factors kept apart."""
    conditions = tuple(c for c in conditions if c is not True)
    if not conditions or (len(conditions) == 1 and not isinstance(conditions[0], Apply)):
        return conditions[0] if conditions else True
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
    first, *others = map(conjuncts, options)
    common = [f for f in first if all(f in factors for factors in others)]
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
    shared = _most_shared(every)
    if shared is not None:
        group = [o for o in every if shared in conjuncts(o)]
        inside = either(*(both(*(f for f in conjuncts(o) if f != shared)) for o in group))
        return both(*common, either(both(shared, inside), *(o for o in every if o not in group)))
    every = _absorbed(every)
    inner = every[0] if len(every) == 1 else Apply("or", tuple(sorted(every, key=hash))) if every else False
    return both(*common, inner)


def _most_shared(options: list[Value]) -> Value | None:
    """The factor that most options have, if two or more have one."""
    counts: dict[Value, int] = {}
    for factor in (f for o in options for f in conjuncts(o)):
        counts[factor] = counts.get(factor, 0) + 1
    most = max(counts, key=counts.__getitem__, default=None)
    return most if most is not None and counts[most] > 1 else None


def _absorbed(options: list[Value]) -> list[Value]:
    """Options without those that can be seen to imply another that is kept."""
    kept = list(options)
    for o in options:
        others = [k for k in kept if k is not o]
        if any(_implies(o, k) for k in others):
            kept = others
    return kept


def _implies(one: Value, other: Value, depth: int = 3) -> bool:
    """Whether `one` can be seen to imply `other`, factor by factor, through so many levels of alternatives."""
    factors = conjuncts(one)
    return all(
        any(_entails(mine, factor, depth) for mine in factors) or _follows(factors, factor)
        for factor in conjuncts(other)
    )


def _follows(factors: tuple[Value, ...], fact: Value) -> bool:
    """Whether what the tables among the factors say of the decisions of another, each by itself, implies it."""
    if not isinstance(fact, Table):
        return False
    near = [f for f in factors if isinstance(f, Table) and not {*f.deps}.isdisjoint(fact.deps)]
    if not near:
        return False
    columns = [_spread(_projected(f, fact.deps), fact.deps) for f in near]
    return all(fact.values[i] for i, row in enumerate(zip(*columns, strict=True)) if all(row))


@lru_cache(maxsize=1 << 10)
def _projected(table: Table, onto: tuple[Decision, ...]) -> Table:
    """Whether a condition can hold, by those of its decisions that are among `onto`."""
    kept = tuple(d for d in table.deps if d in onto)
    found = [False] * size(kept)
    for place, value in zip(_places(kept, table.deps), table.values, strict=True):
        found[place] = found[place] or bool(value)
    return Table(kept, tuple(found))


def _entails(one: Value, other: Value, depth: int) -> bool:
    if one == other:
        return True
    if isinstance(one, Apply):
        return one.function == "or" and depth > 0 and all(_implies(o, other, depth - 1) for o in one.args)
    if not isinstance(one, Table) or not isinstance(other, Table) or not {*other.deps} <= {*one.deps}:
        return False  # a table says nothing about decisions that it does not read
    return all(b or not a for a, b in zip(one.values, _spread(other, one.deps), strict=True))


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
    elif _implies(condition, fact):
        return None
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
