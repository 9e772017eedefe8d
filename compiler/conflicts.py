"""Why no architecture meets the constraints of a space: the fewest of them that exclude each other, and their parts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dsl import errors
from ..dsl.diagnostic import Diagnostic
from ..dsl.model import TIMES
from .constraints import costs_of, ranges
from .factors import TooWide
from .graph import Constraint
from .ranking import Ranking
from .sym import depends_on_cost
from .vector import Genes

if TYPE_CHECKING:
    from .decisions import Decisions

DRAWS = 10_000
"""Architectures that are looked at where there are too many to look at all."""
ENUMERABLE = 200_000
"""Up to this many architectures are enumerated when a constraint names a cost."""
REPAIRED = 4
"""Of these, as many are changed step by step to meet the constraints."""


def conflict(space: "Decisions") -> Diagnostic:
    """One constraint that cannot be met, or several of which any but one can be met together."""
    needed, sure = minimal(space)
    if len(needed) == 1:
        return errors.never_met(needed[0].syntax.span, _parts(space, needed[0]))
    return errors.never_met_together(tuple(c.syntax.span for c in needed), sure)


def minimal(space: "Decisions") -> tuple[list[Constraint], bool]:
    """Constraints without any one of which there are architectures; and whether that is proven rather than searched for."""
    needed, sure = list(space.constraints), True
    for c in space.constraints:
        rest = [n for n in needed if n is not c]
        met, proven = possible(space, rest)
        if not met:
            needed = rest
            sure = sure and proven
    return needed, sure and possible(space, needed)[1]


def possible(space: "Decisions", constraints: Sequence[Constraint]) -> tuple[bool, bool]:
    """Whether some architecture meets these constraints, and whether the answer is exact."""
    priced = [c for c in constraints if depends_on_cost(c.condition)]
    try:
        found = Ranking(space.eliminated([c for c in constraints if c not in priced]), len(space.decisions))
    except TooWide:
        return _searched(space, constraints, space.free(np.random.default_rng(0), DRAWS))
    if not found.total or not priced:
        return found.total > 0, True
    if found.total <= ENUMERABLE:
        return bool(space.feasible(found.all(), priced).any()), True
    return _searched(space, constraints, found.draw(np.random.default_rng(0), DRAWS))


def _searched(space: "Decisions", constraints: Sequence[Constraint], rows: Genes) -> tuple[bool, bool]:
    good = space.feasible(rows, constraints)
    if not good.any():
        closest = rows[space.excess(rows, constraints).argsort()[:REPAIRED]]
        good = space.feasible(space.repair(closest, np.random.default_rng(0), constraints), constraints)
    found = bool(good.any())
    return found, found


def _parts(space: "Decisions", constraint: Constraint) -> str:
    """The ranges of the decisions and costs that a constraint names."""
    found = ranges(space.graph, constraint.syntax.condition.span.text)
    names = costs_of(constraint.condition)
    if names:
        rows = space.free(np.random.default_rng(0), 2000 if space.decisions else 1)
        if space.decisions:
            free = type(space)(replace(space.graph, constraints=()), lambda: space.costs, space.latency)
            rows = np.concatenate([rows, np.array([free.smallest(), free.largest()], dtype=rows.dtype)])
        costs = {**space.costs.named(rows, names), **({n: space.latency(rows) for n in TIMES} if space.latency else {})}
        drawn = " as far as found" if space.decisions else ""
        found += [errors.between(n, _shown(costs[n].min()), _shown(costs[n].max()), drawn) for n in names]
    return errors.parts(found)


def _shown(cost: Any) -> str:
    """A cost in a message; milliseconds to the microsecond."""
    return f"{cost:,.3f}" if isinstance(cost, float) else f"{cost:,}"
