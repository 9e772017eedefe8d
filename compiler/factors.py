"""Exact counting by variable elimination: conditions over decisions in, how many assignments meet them out.

Variables are decisions and auxiliary values; a factor is a table over a few of them. The number of architectures is the sum
over all assignments of the product of all factors; eliminating one variable after the other gives it exactly (Dechter 1999,
bucket elimination). `ranking` walks the eliminations backwards.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import prod

import numpy as np

from .activity import Activity
from .conditions import negate
from .sym import FUNCTIONS, TRUTHS, Apply, Decision, Table, Value, apply
from .vector import Array

LARGEST = 1 << 20
"""No table that elimination makes is larger; beyond it, `TooWide`."""
JOINED = 256
"""An expression whose table grows larger gets an auxiliary variable for its value."""
LONG = 32
"""So does one of a single decision with more values, if it has few."""
FOLDS = {"and": "and", "all": "and", "or": "or", "any": "or", "sum": "+", "count": "+", "min": "min", "max": "max"}
"""Functions of many arguments that take them one after the other, each with its function of two."""
LOGICAL = {"and": np.logical_and, "or": np.logical_or, "not": np.logical_not}


class TooWide(Exception):
    """The constraints tie too many decisions together for an exact count."""


@dataclass(frozen=True, slots=True)
class Factor:
    """`table` has one axis for each variable of `scope`, in ascending order."""

    scope: tuple[int, ...]
    table: Array


@dataclass(frozen=True, slots=True)
class Step:
    """How one variable was eliminated: the product of its factors, the variable on the last axis."""

    variable: int
    scope: tuple[int, ...]
    table: Array


@dataclass(frozen=True, slots=True)
class Elimination:
    """`joint`: the exact number of assignments for each combination of the variables that were kept, of all if none was.

    `defined` says how auxiliary variables follow from those before them.
    """

    joint: Array
    kept: tuple[int, ...]
    steps: tuple[Step, ...]
    lengths: tuple[int, ...]
    defined: tuple[tuple[int, Factor], ...]


class Factors:
    """Builds factors from conditions; variables below `len(decisions)` are decisions, the others auxiliary."""

    def __init__(self, decisions: tuple[Decision, ...]) -> None:
        self.lengths = [len(d) for d in decisions]
        self.factors: list[Factor] = []
        self.defined: list[tuple[int, Factor]] = []
        self.known: dict[Value, Factor] = {}

    def require(self, condition: Value) -> None:
        """Only assignments that meet the condition count."""
        if isinstance(condition, Apply) and condition.function in ("and", "all"):
            for part in condition.args:
                self.require(part)
        elif condition is not True:
            truth = self._value(condition)
            self.factors.append(Factor(truth.scope, truth.table.astype(bool).astype(object)))

    def pin(self, decision: Decision, activity: Activity) -> None:
        """Where a decision is inactive, only gene 0 counts; where all that it decides is `none`, only its closing code."""
        if not activity.closing:
            self._only(decision, 0, activity.active)
            return
        self._only(decision, 0, apply("or", activity.computed, activity.asked))
        closed = apply("or", activity.computed, negate(activity.asked))
        self._only(decision, activity.closing[decision.index], closed)

    def _only(self, decision: Decision, code: int, unless: Value) -> None:
        if unless is True:
            return
        own = Factor((decision.index,), np.arange(len(decision)) == code)
        truth = self._join("or", self._value(unless), own)
        self.factors.append(Factor(truth.scope, truth.table.astype(object)))

    def keep(self, quantity: Value, values: tuple[Value, ...]) -> int:
        """A variable for which of `values` a quantity has; assignments with any other value do not count."""
        found = self._value(quantity)
        places = {value: i for i, value in enumerate(values)}
        codes = np.array([places.get(v, -1) for v in found.table.ravel()]).reshape(found.table.shape)
        return self._define(found.scope, codes, len(values))

    def possible(self, quantity: Value) -> tuple[Value, ...]:
        """The values that a quantity has for some assignment, constraints aside. Raises TooWide."""
        return tuple(dict.fromkeys(self._value(quantity).table.ravel().tolist()))

    # expressions

    def _value(self, value: Value) -> Factor:
        """An expression as a table of its values; a large one through auxiliary variables."""
        if not isinstance(value, Table | Apply):
            return Factor((), _array((value,)).reshape(()))
        if value not in self.known:
            self.known[value] = self._compact(self._applied(value) if isinstance(value, Apply) else self._table(value))
        return self.known[value]

    def _table(self, table: Table) -> Factor:
        values = _array(table.values).reshape([len(d) for d in table.deps])
        return Factor(tuple(d.index for d in table.deps), values)

    def _applied(self, value: Apply) -> Factor:
        parts = [self._value(a) for a in value.args]
        if value.function == "count":
            parts = [Factor(p.scope, p.table.astype(bool).astype(int).astype(object)) for p in parts]
        if value.function == "select":
            return self._select(*parts)
        if value.function not in FOLDS:
            return self._join(value.function, *parts)
        total = parts[0]
        for part in parts[1:]:
            total = self._compact(self._join(FOLDS[value.function], total, part))
        return total

    def _select(self, index: Factor, *options: Factor) -> Factor:
        """One option after the other, so that their tables need not be joined."""
        total = options[0]
        for k, option in enumerate(options[1:], 1):
            here = Factor(index.scope, index.table == k)
            total = self._compact(self._joined(lambda a, i, b: np.where(i, b, a), total, here, option))
        return total

    def _join(self, function: str, *parts: Factor) -> Factor:
        if function in LOGICAL and all(p.table.dtype == bool for p in parts):
            return self._joined(LOGICAL[function], *parts)
        run = np.frompyfunc(FUNCTIONS[function], len(parts), 1)
        found = self._joined(run, *parts)
        return Factor(found.scope, found.table.astype(bool)) if function in TRUTHS else found

    def _joined(self, run: "np.ufunc | object", *parts: Factor) -> Factor:
        scope = tuple(sorted({v for p in parts for v in p.scope}))
        self._check(scope)
        shape = [self.lengths[v] for v in scope]
        table = run(*(p.table.reshape([self.lengths[v] if v in p.scope else 1 for v in scope]) for p in parts))  # type: ignore[operator]
        return Factor(scope, np.broadcast_to(np.asarray(table), shape))

    def _compact(self, value: Factor) -> Factor:
        """A table that has grown large, as an auxiliary variable with one code for each of its values."""
        if value.table.size <= (LONG if len(value.scope) == 1 else JOINED):
            return value
        values = tuple(dict.fromkeys(value.table.ravel().tolist()))
        if len(value.scope) == 1 and 4 * len(values) > value.table.size:
            return value
        places = {v: i for i, v in enumerate(values)}
        codes = np.array([places[v] for v in value.table.ravel().tolist()]).reshape(value.table.shape)
        return Factor((self._define(value.scope, codes, len(values)),), _array(values))

    def _define(self, scope: tuple[int, ...], codes: Array, length: int) -> int:
        """A variable that equals `codes` over `scope`; where they are negative, nothing counts."""
        self.lengths.append(length)
        name = len(self.lengths) - 1
        self._check((*scope, name))
        self.factors.append(Factor((*scope, name), (codes[..., None] == np.arange(length)).astype(object)))
        self.defined.append((name, Factor(scope, codes)))
        return name

    def _check(self, scope: tuple[int, ...]) -> None:
        if prod(self.lengths[v] for v in scope) > LARGEST:
            raise TooWide

    # elimination

    def independent(self, kept: tuple[int, ...]) -> list[set[int]]:
        """The variables in sets that no factor ties to each other; first those that are tied to none of the kept ones."""
        above = list(range(len(self.lengths)))

        def root(v: int) -> int:
            while above[v] != v:
                above[v] = v = above[above[v]]
            return v

        for first, *others in (f.scope for f in self.factors if f.scope):
            for v in others:
                above[root(v)] = root(first)
        sets: dict[int, set[int]] = {-1: set(), **{root(v): set() for v in kept}}
        for v in range(len(self.lengths)):
            sets[root(v) if root(v) in sets else -1].add(v)
        return list(sets.values())

    def eliminate(self, kept: tuple[int, ...] = (), among: Collection[int] | None = None) -> Elimination:
        """Every variable but the kept ones summed out, the one with the smallest table first. Raises TooWide.

        `among`: only these variables, which no factor ties to others.
        """
        variables = range(len(self.lengths)) if among is None else sorted(among)
        factors = [f for f in self.factors if among is None or not f.scope or f.scope[0] in among]
        touching: list[list[Factor]] = [[] for _ in self.lengths]
        for factor in factors:
            for v in factor.scope:
                touching[v].append(factor)
        width = {v: self._width(touching[v]) for v in variables if v not in kept}
        steps: list[Step] = []
        left = [f for f in factors if not set(f.scope) - set(kept)]
        while width:
            variable = min(width, key=lambda v: (width[v], v))
            del width[variable]
            mine = touching[variable]
            scope = tuple(sorted({v for f in mine for v in f.scope} - {variable}))
            table = self._product(mine, (*scope, variable))
            steps.append(Step(variable, scope, table))
            summed = Factor(scope, np.asarray(table.sum(axis=-1), dtype=object))
            if not set(scope) - set(kept):
                left.append(summed)
            for v in scope:
                touching[v] = [f for f in touching[v] if variable not in f.scope] + [summed]
                if v in width:
                    width[v] = self._width(touching[v])
        return Elimination(self._product(left, kept), kept, tuple(steps), tuple(self.lengths), tuple(self.defined))

    def _width(self, factors: list[Factor]) -> int:
        return prod(self.lengths[v] for v in {v for f in factors for v in f.scope})

    def _product(self, factors: list[Factor], over: tuple[int, ...]) -> Array:
        self._check(over)
        total: Array = np.ones([self.lengths[v] for v in over], dtype=object)
        for f in factors:
            axes = [f.scope.index(v) for v in over if v in f.scope]
            shape = [self.lengths[v] if v in f.scope else 1 for v in over]
            total = np.asarray(total * f.table.transpose(axes).reshape(shape), dtype=object)
        return total


def _array(values: tuple[Value, ...]) -> Array:
    """Truths as bool, everything else as exact objects."""
    if all(isinstance(v, bool) for v in values):
        return np.array(values, dtype=bool)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
