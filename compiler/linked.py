"""What belongs together in an architecture: which decisions are options of an operator, which are weighed as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

from .sym import Apply, Decision, Table, Value, deps, projected, settled

if TYPE_CHECKING:
    from .decisions import Decisions


@dataclass(frozen=True, slots=True)
class Weighed:
    """Decisions that a prior weighs: their joint codes, and the weight of each."""

    decisions: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    weights: tuple[Fraction, ...]


def owners(decisions: Sequence[Decision], active: Sequence[Value]) -> tuple[int, ...]:
    """For each decision the operator that it is an option of, the innermost if several; itself where there is none.

    An operator is a decision whose values bring decisions that exclude each other: what exists under one value does not exist
    under another. A depth or a gate, whose values only add to each other, is none.
    """
    under = [dict(_conditions(d, active[d.index])) for d in decisions]
    operators = {d.index for d in decisions if _excludes([u[d.index] for u in under if d.index in u])}
    above = [operators & set(u) for u in under]
    return tuple(max(above[d.index], key=lambda o: (len(above[o]), o), default=d.index) for d in decisions)


def _conditions(decision: Decision, active: Value) -> Iterator[tuple[int, frozenset[int]]]:
    """The codes of each other decision with which this one may exist, where not with all."""
    for other in deps(active):
        codes = _codes(active, other)
        if len(codes) < len(other) and other is not decision:
            yield other.index, codes


def _codes(condition: Value, decision: Decision) -> frozenset[int]:
    """The codes of a decision with which a condition may hold; all where that is not plain."""
    if isinstance(condition, Table) and decision in condition.deps:
        found = projected(condition, (decision,))
        return frozenset(k for k, holds in enumerate(found.values) if holds)
    if isinstance(condition, Apply) and condition.function in ("and", "or"):
        parts = (_codes(part, decision) for part in condition.args)
        return frozenset.intersection(*parts) if condition.function == "and" else frozenset.union(*parts)
    return frozenset() if condition is False else frozenset(range(len(decision)))


def _excludes(groups: Sequence[frozenset[int]]) -> bool:
    """Whether two of the sets have nothing in common."""
    distinct = list(dict.fromkeys(groups))
    return any(not one & other for k, one in enumerate(distinct) for other in distinct[:k])


def weighed(space: "Decisions") -> Iterator[Weighed]:
    """What priors weigh, as far as one table holds it; a decision counts for the first prior that reads it."""
    seen: set[int] = set()
    for prior in space.graph.priors:
        quantity = settled(prior.quantity)
        if not isinstance(quantity, Table) or seen & {d.index for d in quantity.deps}:
            continue
        seen |= {d.index for d in quantity.deps}
        weights = dict(prior.weights)
        rows = tuple(product(*(range(len(d)) for d in quantity.deps)))
        often = {v: quantity.values.count(v) for v in weights}
        shares = tuple(Fraction(weights[v]) / often[v] if v in weights else Fraction(0) for v in quantity.values)
        kept = [k for k, share in enumerate(shares) if share]
        if kept:
            columns = tuple(d.index for d in quantity.deps)
            yield Weighed(columns, tuple(rows[k] for k in kept), tuple(shares[k] for k in kept))
