"""Exact counting and uniform sampling by variable elimination.

Variables are decisions and auxiliary truths; a factor is a 0/1 table over a few of them. The number of architectures is
the sum over all assignments of the product of all factors; eliminating one variable after the other gives it exactly, and
walking the eliminations backwards draws assignments with exactly equal probability (Dechter 1999, bucket elimination).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .sym import Apply, Decision, Table, Value
from .vector import Array

LARGEST = 1 << 20
"""No table that elimination makes is larger; beyond it, `TooWide`."""


class TooWide(Exception):
    """The constraints tie too many decisions together for an exact count."""


@dataclass(frozen=True, slots=True)
class Factor:
    """`table` has one axis for each variable of `scope`, in order."""

    scope: tuple[int, ...]
    table: Array


@dataclass(frozen=True, slots=True)
class Step:
    """How one variable was eliminated: the product of its factors, the variable on the last axis."""

    variable: int
    scope: tuple[int, ...]
    table: Array


class Factors:
    """Builds factors from conditions; variables below `len(decisions)` are decisions, the others auxiliary."""

    def __init__(self, decisions: tuple[Decision, ...]) -> None:
        self.lengths = [len(d) for d in decisions]
        self.factors: list[Factor] = []
        self.names: dict[Value, int] = {}

    def require(self, condition: Value) -> None:
        """Only assignments that meet the condition count."""
        if condition is True:
            return
        if isinstance(condition, Apply) and condition.function == "and":
            for part in condition.args:
                self.require(part)
        elif isinstance(condition, Apply) and condition.function == "or":
            self.factors.append(Factor(*self._any(condition.args)))
        else:
            scope, truth = self._literal(condition)
            self.factors.append(Factor(scope, truth.astype(object)))

    def pin(self, decision: Decision, active: Value) -> None:
        """Where `active` is false, only gene 0 counts."""
        if active is True:
            return
        scope, truth = self._literal(active)
        free = np.ones(len(decision), dtype=bool)
        zero = np.arange(len(decision)) == 0
        table = np.where(truth[..., None], free, zero)
        self.factors.append(Factor((*scope, decision.index), table.astype(object)))

    def _literal(self, condition: Value) -> tuple[tuple[int, ...], Array]:
        """A condition as a truth table over few variables; a large one gets an auxiliary variable."""
        if isinstance(condition, bool):
            return (), np.array(condition)
        if isinstance(condition, Table):
            shape = [len(d) for d in condition.deps]
            return tuple(d.index for d in condition.deps), np.array(condition.values, dtype=bool).reshape(shape)
        if condition not in self.names:
            self.names[condition] = self._name(condition)
        return (self.names[condition],), np.array([False, True])

    def _name(self, condition: Value) -> int:
        """An auxiliary variable that equals the condition."""
        if not isinstance(condition, Apply) or condition.function not in ("and", "or", "not"):
            raise TooWide
        if condition.function == "not":
            scope, truth = self._literal(condition.args[0])
            return self._define(scope, ~truth)
        return self._join(condition.function, condition.args)

    def _join(self, function: str, args: tuple[Value, ...]) -> int:
        scope, truth = self._literal(args[0])
        for part in args[1:]:
            other, table = self._literal(part)
            both = tuple(sorted({*scope, *other}))
            a, b = self._expand(scope, truth, both), self._expand(other, table, both)
            scope, truth = both, a & b if function == "and" else a | b
            if truth.size > 256:
                scope, truth = (self._define(scope, truth),), np.array([False, True])
        return self._define(scope, truth)

    def _any(self, args: tuple[Value, ...]) -> tuple[tuple[int, ...], Array]:
        return (self._join("or", args),), np.array([0, 1], dtype=object)

    def _define(self, scope: tuple[int, ...], truth: Array) -> int:
        truth = np.broadcast_to(truth, [self.lengths[v] for v in scope])
        if truth.size * 2 > LARGEST:
            raise TooWide
        self.lengths.append(2)
        name = len(self.lengths) - 1
        table = np.stack([~truth, truth], axis=-1)
        self.factors.append(Factor((*scope, name), table.astype(object)))
        return name

    def _expand(self, scope: tuple[int, ...], table: Array, over: tuple[int, ...]) -> Array:
        order = sorted(range(len(scope)), key=lambda k: scope[k])
        table = table.transpose(order) if len(scope) > 1 else table
        return table.reshape([self.lengths[v] if v in scope else 1 for v in over])

    def eliminate(self) -> tuple[int, list[Step]]:
        """The exact total, and the eliminations in order. Raises TooWide."""
        left = list(self.factors)
        todo = set(range(len(self.lengths)))
        steps: list[Step] = []
        total: int = 1
        while todo:
            variable = min(todo, key=lambda v: (self._width(v, left), v))
            todo.discard(variable)
            mine = [f for f in left if variable in f.scope]
            left = [f for f in left if variable not in f.scope]
            scope = tuple(sorted({v for f in mine for v in f.scope} - {variable}))
            table = self._product(mine, (*scope, variable))
            steps.append(Step(variable, scope, table))
            summed = table.sum(axis=-1)
            if scope:
                left.append(Factor(scope, summed))
            else:
                total *= int(summed)
        return total, steps

    def _width(self, variable: int, factors: list[Factor]) -> int:
        size = 1
        for v in {v for f in factors if variable in f.scope for v in f.scope}:
            size *= self.lengths[v]
        return size

    def _product(self, factors: list[Factor], over: tuple[int, ...]) -> Array:
        size = 1
        for v in over:
            size *= self.lengths[v]
        if size > LARGEST:
            raise TooWide
        total = np.ones([self.lengths[v] for v in over], dtype=object)
        for f in factors:
            axes = [f.scope.index(v) for v in over if v in f.scope]
            shape = [self.lengths[v] if v in f.scope else 1 for v in over]
            total = total * f.table.transpose(axes).reshape(shape)
        return total


class Sampler:
    """Draws assignments uniformly, and enumerates them, from the eliminations."""

    def __init__(self, lengths: list[int], steps: list[Step], decisions: int) -> None:
        self.lengths = lengths
        self.decisions = decisions
        self.steps = list(reversed(steps))
        self.shares = [self._cumulative(s.table) for s in self.steps]

    @staticmethod
    def _cumulative(table: Array) -> Array:
        counts = table.cumsum(axis=-1)
        whole = np.maximum(counts[..., -1:], 1)
        shares: Array = (counts / whole).astype(np.float64)
        return shares

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """[count, decisions] genes, each feasible assignment equally likely."""
        values = np.zeros((len(self.lengths), count), dtype=np.int64)
        for step, shares in zip(self.steps, self.shares, strict=True):
            rows = shares[tuple(values[v] for v in step.scope)]
            dice = rng.random(count)
            chosen = (dice[:, None] >= rows).sum(axis=-1)
            values[step.variable] = np.minimum(chosen, self.lengths[step.variable] - 1)
        return values[: self.decisions].T.astype(np.int16)

    def walk(self) -> Iterator[tuple[int, ...]]:
        """Every feasible assignment once."""
        values = [0] * len(self.lengths)

        def visit(k: int) -> Iterator[tuple[int, ...]]:
            if k == len(self.steps):
                yield tuple(values[: self.decisions])
                return
            step = self.steps[k]
            weights = step.table[tuple(values[v] for v in step.scope)]
            for choice, weight in enumerate(weights):
                if weight:
                    values[step.variable] = choice
                    yield from visit(k + 1)

        return visit(0)
