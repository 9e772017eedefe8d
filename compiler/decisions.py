"""The architectures of a space: activity, canonical form, constraints, count, sampling, enumeration.

A genome is one int for each decision, the index of its value; inactive decisions are 0. Implements the search's `Space`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic
from ..dsl.model import COSTS
from ..dsl.syntax import Require
from .activity import activity
from .cost import Costs
from .factors import Factors, Sampler, TooWide
from .graph import Constraint, Graph
from .sym import Apply, Decision, Value, apply, at, depends_on_cost, deps, is_sym
from .vector import Array, Evaluation, Genes

ENUMERABLE = 200_000
"""Up to this many architectures are enumerated when a constraint names a cost."""
SMALL = 2_000
"""Up to this many, the ends of the space are found by looking at all."""
PATIENCE = 400
"""Batches that rejection may draw for one sample."""


@dataclass(frozen=True, slots=True)
class Count:
    """The number of architectures: exact, or an upper bound that `note` explains."""

    value: int
    exact: bool
    note: str = ""


class Decisions:
    """What may vary in a graph, and which combinations are architectures."""

    def __init__(self, graph: Graph, costs: Costs) -> None:
        self.graph = graph
        self.costs = costs
        self.decisions = graph.decisions
        self.cardinalities = tuple(len(d) for d in graph.decisions)
        self.active = activity(graph)
        self.constraints = tuple(self._where_active(c) for c in graph.constraints)
        self.structural = tuple(c for c in self.constraints if not depends_on_cost(c.condition))
        self.priced = tuple(c for c in self.constraints if depends_on_cost(c.condition))

    def _where_active(self, constraint: Constraint) -> Constraint:
        """A constraint says nothing about architectures in which a decision that it reads does not exist."""
        condition = constraint.condition
        for d in deps(condition):
            if self.active[d.index] is not True:
                condition = apply("or", apply("not", self.active[d.index]), condition)
        return Constraint(condition, constraint.syntax)

    # matrices of genes

    def _ask(self, genes: Genes) -> Evaluation:
        found: dict[str, Array] = {}

        def metric(name: str) -> Array:
            if name not in found:
                found.update(self.costs(genes, peak=name == "peak_activation_bytes"))
            return found[name]

        return Evaluation(genes, metric)

    def canonical(self, genes: Genes) -> Genes:
        """Inactive decisions set to 0. [P, G] -> [P, G]."""
        out = self._reset(np.array(genes, dtype=np.int16), self.decisions)
        while self._entangled:
            before = out.copy()
            for d in self._entangled:
                out = self._reset(out, (d,))
            out = self._reset(out, self.decisions)
            if (out == before).all():
                break
        return out

    def _reset(self, genes: Genes, decisions: Sequence[Decision]) -> Genes:
        ask = self._ask(genes)
        out = genes.copy()
        for d in decisions:
            active = self.active[d.index]
            if active is not True and (len(decisions) == 1 or d not in self._entangled):
                out[~ask(active).astype(bool), d.index] = 0
        return out

    @cached_property
    def _entangled(self) -> tuple[Decision, ...]:
        """Decisions whose activity depends on each other (a gate after a gate): reset one after the other, never together."""
        import networkx

        edges = ((d.index, e.index) for d, a in zip(self.decisions, self.active, strict=True) for e in deps(a))
        knots = (k for k in networkx.strongly_connected_components(networkx.DiGraph(edges)) if len(k) > 1)
        return tuple(self.decisions[i] for i in sorted(i for k in knots for i in k))

    def feasible(self, genes: Genes, constraints: Sequence[Constraint] | None = None) -> Array:
        """Which rows meet every `require`. [P, G] -> bool [P]."""
        ask = self._ask(np.asarray(genes))
        good: Array = np.ones(len(genes), dtype=bool)
        for c in self.constraints if constraints is None else constraints:
            good = good & ask(c.condition).astype(bool)
        return good

    def excess(self, genes: Genes) -> Array:
        """How far rows are from meeting every `require`: 0 if they do. [P, G] -> float [P]."""
        ask = self._ask(np.asarray(genes))
        return sum((_excess(c.condition, ask) for c in self.constraints), np.zeros(len(genes)))

    # counting and sampling

    @cached_property
    def _sampler(self) -> tuple[int, Sampler] | None:
        """The structural count and its sampler; None where the constraints tie too much together."""
        factors = Factors(self.decisions)
        try:
            for d, active in zip(self.decisions, self.active, strict=True):
                factors.pin(d, active)
            for c in self.structural:
                factors.require(c.condition)
            total, steps = factors.eliminate()
        except TooWide:
            return None
        return total, Sampler(factors.lengths, steps, len(self.decisions))

    def count(self) -> Count:
        """How many architectures there are."""
        found = self._sampler
        if found is None:
            bound = 1
            for n in self.cardinalities:
                bound *= n
            return Count(bound, False, "upper bound: the constraints tie too many decisions together")
        total, sampler = found
        if not self.priced or total == 0:
            return Count(total, True)
        if total <= ENUMERABLE:
            genes = np.array(list(sampler.walk()), dtype=np.int16).reshape(total, len(self.decisions))
            return Count(int(self.feasible(genes).sum()), True)
        share = float(self.feasible(sampler.draw(np.random.default_rng(0), 10_000)).mean())
        return Count(
            total, False, f"upper bound: about {share:.2%} of them meet the constraints on costs (10,000 drawn)"
        )

    def enumerate(self) -> Iterator[tuple[int, ...]]:
        """Every architecture once. Raises ValueError where the constraints tie too many decisions together."""
        if self._sampler is None:
            raise ValueError("the constraints tie too many decisions together")
        rows = self._sampler[1].walk()
        while chunk := list(islice(rows, 4096)):
            good = self.feasible(np.array(chunk, dtype=np.int16).reshape(len(chunk), len(self.decisions)), self.priced)
            yield from (row for row, ok in zip(chunk, good, strict=True) if ok)

    def sample(self, rng: np.random.Generator, count: int) -> Genes:
        """Architectures drawn uniformly, [count, G]. Raises ArchError where none was found.

        Not uniform in two cases: constraints that tie too many decisions together, and ones that all but none meets.
        """
        kept: list[Genes] = []
        missing, batch = count, max(64, count)
        for _ in range(PATIENCE):
            if not missing:
                break
            rows = self._draw(rng, batch)
            rows = rows[self.feasible(rows, None if self._sampler is None else self.priced)][:missing]
            kept.append(rows)
            missing -= len(rows)
        if missing:
            kept.append(self._walk(rng, missing))
        return np.concatenate(kept) if kept else np.zeros((0, len(self.decisions)), dtype=np.int16)

    def _draw(self, rng: np.random.Generator, count: int) -> Genes:
        if self._sampler is not None:
            return self._sampler[1].draw(rng, count)
        return self._free(rng, count)

    def _free(self, rng: np.random.Generator, count: int) -> Genes:
        """Each decision by itself, constraints aside, then canonical."""
        return self.canonical(np.stack([rng.integers(0, n, count) for n in self.cardinalities], axis=1))

    def _walk(self, rng: np.random.Generator, count: int) -> Genes:
        """Where rejection all but never accepts: repaired draws (not uniform)."""
        rows = self.repair(self._draw(rng, count), rng)
        if not self.feasible(rows).all():
            raise ArchError(self.hopeless())
        return rows

    def repair(self, genes: Genes, rng: np.random.Generator) -> Genes:
        """Canonical rows, made feasible where a walk of single changes finds the way."""
        out = self.canonical(genes)
        for i in np.flatnonzero(~self.feasible(out)):
            out[i] = self._repaired(out[i], rng)
        return out

    def _repaired(self, row: Array, rng: np.random.Generator) -> Array:
        best = float(self.excess(row[None])[0])
        for _ in range(200):
            tries = np.repeat(row[None], 64, axis=0)
            which = rng.integers(0, len(row), 64)
            tries[np.arange(64), which] = (rng.random(64) * np.array(self.cardinalities)[which]).astype(np.int16)
            tries = self.canonical(tries)
            excess = self.excess(tries)
            pick = int(excess.argmin())
            if excess[pick] <= best:
                row, best = tries[pick], float(excess[pick])
            if best == 0:
                break
        return row

    # the ends of the space

    @cached_property
    def _ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        low, high = self._climb(-1), self._climb(+1)
        return low, high

    def largest(self) -> tuple[int, ...]:
        """The architecture with most MACs that single changes reach; used for shared training and reports."""
        return self._ends[1]

    def smallest(self) -> tuple[int, ...]:
        """The architecture with fewest MACs that single changes reach."""
        return self._ends[0]

    def _climb(self, sign: int) -> tuple[int, ...]:
        if not self.decisions:
            return ()
        rows = self._starts()
        rows = rows[self.feasible(rows)]
        row = rows[self._rank(rows, sign).argmax()]
        while True:
            around = self._neighbours(row)
            around = around[self.feasible(around)]
            rank = self._rank(np.concatenate([row[None], around]), sign)
            if rank.argmax() == 0 or rank.max() <= rank[0]:
                return tuple(int(g) for g in row)
            row = around[rank.argmax() - 1]

    def _starts(self) -> Genes:
        """Where the climb starts: every architecture of a small space, else the corners and some drawn ones."""
        if self._sampler is not None and self._sampler[0] <= SMALL:
            return np.array(list(self._sampler[1].walk()), dtype=np.int16).reshape(-1, len(self.decisions))
        corners = np.array([[0] * len(self.decisions), [n - 1 for n in self.cardinalities]], dtype=np.int16)
        return np.concatenate([self.canonical(corners), self.sample(np.random.default_rng(0), 32)])

    def _neighbours(self, row: Array) -> Genes:
        out = []
        for i, n in enumerate(self.cardinalities):
            for value in range(n):
                if value != row[i]:
                    out.append(row.copy())
                    out[-1][i] = value
        return self.canonical(np.array(out, dtype=np.int16).reshape(len(out), len(self.decisions)))

    def _rank(self, rows: Genes, sign: int) -> Array:
        costs = self.costs(rows, peak=False)
        rank: Array = sign * (costs["macs"].astype(np.float64) + costs["parameters"] * 1e-6)
        return rank

    # faults and warnings

    def check(self) -> list[Diagnostic]:
        """Warnings on constraints. Raises ArchError if no architecture meets them all."""
        found: list[Diagnostic] = []
        for c in self.constraints:
            if c.condition is True and self.decisions:
                found.append(errors.always_met(c.syntax.span))
            if c.condition is False:
                raise ArchError(errors.never_met(c.syntax.span, self.parts(c.syntax)))
        if self._sampler is not None and self._sampler[0] == 0:
            raise ArchError(self.hopeless())
        if self.priced:
            self.sample(np.random.default_rng(0), 1)
        return found

    def hopeless(self) -> Diagnostic:
        """Which constraints cannot be met: one alone, or all together."""
        for c in self.constraints:
            if self._alone(c) is False:
                return errors.never_met(c.syntax.span, self.parts(c.syntax))
        spans = tuple(c.syntax.span for c in self.constraints)
        return errors.never_met_together(
            spans, "each can be met alone" if self._sampler else "no architecture was found"
        )

    def _alone(self, constraint: Constraint) -> bool:
        if not is_sym(constraint.condition):
            return bool(constraint.condition)
        if not depends_on_cost(constraint.condition):
            return apply("or", constraint.condition, False) is not False
        return any(self._repair_alone(constraint, row) == 0 for row in self._free(np.random.default_rng(0), 4))

    def _repair_alone(self, constraint: Constraint, row: Array) -> float:
        for _ in range(50):
            around = np.concatenate([row[None], self._neighbours(row)])
            excess = _excess(constraint.condition, self._ask(around))
            if excess.argmin() == 0:
                return float(excess[0])
            row = around[excess.argmin()]
        return float(excess.min())

    def parts(self, syntax: Require) -> str:
        """The ranges of the costs that a constraint names, for the message."""
        names = [n for n in COSTS if n in syntax.span.text]
        if not names or not self.decisions:
            values = self.costs.one([0] * len(self.decisions)) if names else {}
            return ", ".join(f"{n} is {values[n]:,}" for n in names) or "it is false for every choice"
        costs = self.costs(self._free(np.random.default_rng(0), 2000))
        return ", ".join(
            f"{n} lies between {int(costs[n].min()):,} and {int(costs[n].max()):,} in 2,000 draws" for n in names
        )

    # text

    def labels(self, genes: Sequence[int]) -> dict[str, str]:
        """The active decisions of an architecture by path, with their chosen values as text."""
        return {d.path: d.labels[genes[d.index]] for d in self.decisions if at(self.active[d.index], genes)}

    def read(self, labels: dict[str, str]) -> tuple[int, ...]:
        """The genome of `path = label` pairs; decisions not named take their first value. Raises KeyError, ValueError."""
        by_path: dict[str, Decision] = {d.path: d for d in self.decisions}
        genes = [0] * len(self.decisions)
        for path, label in labels.items():
            genes[by_path[path].index] = by_path[path].labels.index(label)
        return tuple(int(g) for g in self.canonical(np.array([genes], dtype=np.int16))[0])


_SLACK: dict[str, Callable[[Array, Array], Array]] = {
    "<=": lambda a, b: a - b,
    "<": lambda a, b: a - b + 1,
    ">=": lambda a, b: b - a,
    ">": lambda a, b: b - a + 1,
}


def _excess(condition: Value, ask: Evaluation) -> Array:
    """0 where a condition holds, else how far it is from holding, relative to its right side."""
    if isinstance(condition, Apply) and condition.function == "and":
        return sum((_excess(a, ask) for a in condition.args), np.zeros(len(ask.genes)))
    if isinstance(condition, Apply) and condition.function in _SLACK:
        left, right = (ask(a).astype(np.float64) for a in condition.args)
        gap = np.maximum(_SLACK[condition.function](left, right), 0)
        return np.asarray(gap / np.maximum(np.abs(right), 1))
    return np.asarray(np.where(ask(condition).astype(bool), 0.0, 1.0))
