"""Exact values that depend on decisions.

A value is a plain Python value, or a `Table` (every value over the joint domain of a few decisions: canonical, so equal
functions are equal objects), or an `Apply` where the joint domain is too large to tabulate. Pure Python: `check` uses it.
"""

import operator as python
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import chain, product
from math import gcd, inf, prod
from typing import Any
from weakref import WeakValueDictionary
from zlib import crc32

from ..dsl.diagnostic import Span

LIMIT = 1024
"""Joint domains up to this size are tabulated."""
LONGEST = 10_000
"""So is the domain of one decision, which is never longer."""


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


_INDEX = python.attrgetter("index")
_TRUTHS = {bool}
_WHOLE = {int}


class Table:
    """A function of `deps` (sorted by index), row-major over their domains."""

    __slots__ = ("_greatest", "_hash", "_kinds", "_least", "deps", "strides", "truths", "values")

    def __init__(self, deps: tuple[Decision, ...], values: tuple[Any, ...], truths: bool = False) -> None:
        """`truths`: all values are known to be true or false."""
        self.deps = deps
        self.values = values
        self.strides = _strides(tuple([len(d.values) for d in deps]))
        self._kinds = _TRUTHS if truths else set(map(type, values))
        self.truths = truths or self._kinds == _TRUTHS
        """Whether all its values are true or false."""
        texts = str in self._kinds
        self._hash = hash((tuple(map(_INDEX, deps)), tuple(map(_stable, values)) if texts else values))
        self._greatest: Any = None
        self._least: Any = None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(other) is Table
            and self._hash == other._hash
            and (bool in self._kinds) == (bool in other._kinds)
            and self.deps == other.deps
            and self.values == other.values
        )

    def __repr__(self) -> str:
        return f"Table({', '.join(d.path for d in self.deps)}: {self.values if len(self.values) < 9 else '...'})"

    @property
    def greatest(self) -> Any:
        """Its largest value."""
        if self._greatest is None:
            self._greatest = max(self.values)
        return self._greatest

    def starts(self, least: int) -> bool:
        """Whether all its values are whole numbers of at least that."""
        if self._least is None:
            self._least = min(self.values) if self._kinds == _WHOLE else -inf
        return bool(self._least >= least)

    def at(self, genes: Sequence[int]) -> Any:
        return self.values[sum(genes[d.index] * s for d, s in zip(self.deps, self.strides, strict=True))]


class Apply:
    """`function(*args)` over more decisions than a table holds. Equal ones are one object, so a value is a graph."""

    __slots__ = ("__weakref__", "_deps", "_hash", "args", "function", "priced")

    function: str
    args: tuple["Value", ...]
    priced: bool
    """Whether it reads a cost."""
    _hash: int
    _deps: tuple[Decision, ...] | None

    def __new__(cls, function: str, args: tuple["Value", ...]) -> "Apply":
        key = (function, args, *map(type, args))
        known = _KNOWN.get(key)
        if known is None:
            known = super().__new__(cls)
            known.function, known.args = function, args
            known.priced = any(map(depends_on_cost, args))
            known._deps = None
            known._hash = hash((_stable(function), tuple(map(_stable, args))))
            _KNOWN[key] = known
        return known

    @property
    def deps(self) -> tuple[Decision, ...]:
        if self._deps is None:
            self._deps = merge(map(deps, self.args))
        return self._deps

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
_SYM = frozenset({Table, Apply})
_UNTABLED = frozenset({Apply, Metric})


def _divide(a: Any, b: Any) -> Any:
    return plain(Fraction(a, b)) if b else Fraction(0)


def _log2(value: Any) -> int:
    """The logarithm to the base 2, rounded down."""
    if value <= 0:
        return 0
    exact = Fraction(value)
    log = exact.numerator.bit_length() - exact.denominator.bit_length()
    return log if Fraction(2) ** log <= exact else log - 1


def plain(value: Any) -> Any:
    """A fraction without a remainder is an int."""
    return value.numerator if type(value) is Fraction and value.denominator == 1 else value


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
    "<": python.lt,
    "<=": python.le,
    ">": python.gt,
    ">=": python.ge,
    "==": python.eq,
    "!=": python.ne,
    "min": min,
    "max": max,
    "not": python.not_,
    "and": lambda *a: all(a),
    "or": lambda *a: any(a),
    "select": lambda i, *a: a[i],
    "sum": lambda *a: plain(sum(a)),
    "ceil": lambda a, b: -(-a // b),
    "whole": lambda a: isinstance(a, int) or a.denominator == 1,
    "round": round,
    "log2": _log2,
    "gcd": gcd,
    "all": lambda *a: all(a),
    "any": lambda *a: any(a),
    "count": lambda *a: sum(map(bool, a)),
}
"""Every function of values, by name. Division by zero, and the logarithm of what is not above zero, give 0: no architecture
reaches such a combination."""
BITWISE: dict[str, Callable[[Any, Any], Any]] = {"and": python.and_, "or": python.or_}
"""The same of two truths, faster."""
TOGETHER: dict[str, Callable[[tuple[Any, ...]], bool]] = {"and": all, "or": any}
"""The same of many in a row."""
TRUTHS = frozenset({"<", "<=", ">", ">=", "==", "!=", "not", "and", "or", "whole", "all", "any"})
"""Those that give true or false."""


def is_sym(value: Value) -> bool:
    return type(value) in _SYM


def is_truth(value: Value) -> bool:
    """Whether a value is true or false for every choice."""
    if isinstance(value, Table):
        return value.truths
    if isinstance(value, Apply):
        return all(map(is_truth, value.args[1:])) if value.function == "select" else value.function in TRUTHS
    return isinstance(value, bool)


def samples(value: Value) -> tuple[Any, ...]:
    """A plain value of each type that a value can have."""
    if isinstance(value, Table):
        return tuple({type(v): v for v in value.values}.values())
    if isinstance(value, Apply) and value.function == "select":
        return tuple({type(v): v for a in value.args[1:] for v in samples(a)}.values())
    return (value.function in TRUTHS or 0,) if isinstance(value, Apply) else (value,)


def deps(value: Value) -> tuple[Decision, ...]:
    return value.deps if type(value) in _SYM else ()


def merge(many: Iterable[tuple[Decision, ...]]) -> tuple[Decision, ...]:
    """All of these decisions, in their order."""
    different = {*many, ()}
    different.discard(())
    if len(different) < 2:
        return different.pop() if different else ()
    return tuple(sorted(set().union(*different), key=_INDEX))


def at(value: Value, genes: Sequence[int]) -> Any:
    """The value for one genome."""
    return value.at(genes) if type(value) in _SYM else value


def depends_on_cost(value: Value) -> bool:
    return isinstance(value, Metric) or (isinstance(value, Apply) and value.priced)


def reads(value: Value, names: Iterable[str]) -> bool:
    """Whether a value reads one of these costs of the whole network."""
    if isinstance(value, Metric):
        return value.name in names
    return isinstance(value, Apply) and value.priced and any(reads(a, names) for a in value.args)


def size(decisions: Iterable[Decision]) -> int:
    return prod([len(d.values) for d in decisions])


def variable(decision: Decision) -> Value:
    """The chosen value of a decision."""
    return _canonical((decision,), decision.values)


def chosen(decision: Decision) -> Value:
    """The index of the chosen value."""
    return _canonical((decision,), tuple(range(len(decision))))


def tabulate(over: tuple[Decision, ...], value: Callable[[tuple[int, ...]], Any]) -> Value:
    """The canonical table of a function of choices: decisions that change nothing are dropped."""
    return _canonical(over, tuple(value(row) for row in product(*(range(len(d)) for d in over))))


def _canonical(over: tuple[Decision, ...], values: tuple[Any, ...], truths: bool = False) -> Value:
    if values[0] == values[-1] and values.count(values[0]) == len(values):
        return values[0]
    kept, outer = over, 1
    for d in over:
        if len(kept) == 1:
            break
        count = len(d.values)
        first, *others = _cuts(len(values), len(values) // (outer * count), count)
        least = first(values)
        for cut in others:
            if cut(values) != least:
                outer *= count
                break
        else:
            values, kept = least, tuple([k for k in kept if k is not d])
    return Table(kept, values, truths)


@lru_cache(maxsize=1 << 8)
def _cuts(length: int, step: int, count: int) -> tuple[Callable[[tuple[Any, ...]], tuple[Any, ...]], ...]:
    """For each value of a decision, what picks the values of a table where it is chosen."""
    starts = [start for block in range(0, length, step * count) for start in range(block, block + step)]
    return tuple(python.itemgetter(*(start + step * i for start in starts)) for i in range(count))


def apply(function: str, *args: Value) -> Value:
    """`function(*args)`, tabulated where it can be."""
    for a in args:
        if type(a) in _SYMBOLIC:
            return _applied(function, *args)
    return FUNCTIONS[function](*args)


@lru_cache(maxsize=1 << 15, typed=True)
def _applied(function: str, *args: Value) -> Value:
    over = joint(args)
    if over is None:
        return _shorter(function, args)
    if function in BITWISE and all([type(a) is Table and a.truths for a in args]):
        return _joined(function, over, args)
    values = tuple(map(FUNCTIONS[function], *[spread(a, over) for a in args]))
    return _canonical(over, values, function in TRUTHS)


def _joined(function: str, over: tuple[Decision, ...], tables: Sequence[Table]) -> Value:
    """`and` or `or` of conditions."""
    if len(tables) != 2:
        columns = [spread(t, over) for t in tables]
        return _canonical(over, tuple(map(TOGETHER[function], zip(*columns, strict=True))), True)
    apart = _apart(*tables)
    if apart:
        return _crossed(function, *apart)
    one, other = tables
    values = tuple(map(BITWISE[function], spread(one, over), spread(other, over)))
    disjoint = len(over) == len(one.deps) + len(other.deps)  # each decision changes something
    return Table(over, values, True) if disjoint else _canonical(over, values, True)


def _apart(one: Table, other: Table) -> tuple[Table, Table] | None:
    """Two tables, if all decisions of one come before those of the other; that one first."""
    if one.deps[0].index > other.deps[0].index:
        one, other = other, one
    return (one, other) if one.deps[-1].index < other.deps[0].index else None


def _crossed(function: str, first: Table, last: Table) -> Table:
    """Two conditions on different decisions, joined: each of these decisions changes something."""
    fixed = (function == "or",) * len(last.values)
    rows = (fixed, last.values) if function == "and" else (last.values, fixed)
    return Table(first.deps + last.deps, tuple(chain.from_iterable(map(rows.__getitem__, first.values))), True)


def joint(values: tuple[Value, ...]) -> tuple[Decision, ...] | None:
    """The decisions that some values read together; None where no table holds what is made of them."""
    if not _UNTABLED.isdisjoint(map(type, values)):
        return None
    return _tabled(tuple([v.deps for v in values if type(v) is Table]))


@lru_cache(maxsize=1 << 12)
def _tabled(many: tuple[tuple[Decision, ...], ...]) -> tuple[Decision, ...] | None:
    over = merge(many)
    return over if size(over) <= (LIMIT if len(over) > 1 else LONGEST) else None


def forget() -> None:
    """Drop what was remembered of other spaces: their values equal none of a new one, but many have the same hash."""
    for cache in (_applied, _tabled, _whole, projected):
        cache.cache_clear()


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


def conjuncts(condition: Value) -> tuple[Value, ...]:
    """The factors of a conjunction; a condition of another form is its only one."""
    return condition.args if type(condition) is Apply and condition.function == "and" else (condition,)


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


def spread(value: Value, over: tuple[Decision, ...]) -> Sequence[Any]:
    """The values of a table over a larger set of decisions, row-major."""
    if not isinstance(value, Table):
        return (value,) * size(over)
    if value.deps == over:
        return value.values
    sizes = tuple([len(d.values) for d in over])
    picked: tuple[Any, ...] = _picker(sizes, tuple(map(over.index, value.deps)))(value.values)
    return picked


@lru_cache(maxsize=1 << 12)
def _picker(sizes: tuple[int, ...], read: tuple[int, ...]) -> Callable[[tuple[Any, ...]], Any]:
    """What picks from a table the value of each row over more decisions."""
    return python.itemgetter(*_places(sizes, read))


@lru_cache(maxsize=1 << 12)
def _places(sizes: tuple[int, ...], read: tuple[int, ...]) -> tuple[int, ...]:
    """Where in a table over some of so many choices, those at `read`, the value of each row over all stands."""
    steps = dict(zip(read, _strides(tuple(sizes[k] for k in read)), strict=True))
    places = [0]
    for k, count in enumerate(sizes):
        step = steps.get(k, 0)
        places = [p + step * i for p in places for i in range(count)]
    return tuple(places)


@lru_cache(maxsize=1 << 10)
def projected(table: Table, onto: tuple[Decision, ...]) -> Table:
    """Whether a condition can hold, by those of its decisions that are among `onto`."""
    read = tuple(k for k, d in enumerate(table.deps) if d in onto)
    kept = tuple(table.deps[k] for k in read)
    found = [False] * size(kept)
    for place, value in zip(_places(tuple(map(len, table.deps)), read), table.values, strict=True):
        found[place] = found[place] or bool(value)
    return Table(kept, tuple(found))


@lru_cache(maxsize=1 << 12)
def _strides(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """How far apart in a table the values of neighbouring choices stand, for each decision of so many."""
    strides: list[int] = []
    step = 1
    for count in reversed(sizes):
        strides.append(step)
        step *= count
    return tuple(reversed(strides))
