"""What a space and its constraints ask of a pruning: the network that it begins with, costs to reach, and what always holds.

`cost <= number` limits what is found. Everything else that is required holds from the first step to the last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from ...compiler.api import Compiled
from ...compiler.constraints import conjuncts
from ...compiler.sym import Apply, Metric, Value
from ...compiler.units import Refusal, units
from ...dsl import errors
from ...dsl.diagnostic import ArchError, Span
from .choose import Queue, Unreachable, Want, enough, permitted
from .penalty import Cost
from .shrink import Remaining

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """A cost that may not be more than `most`, and where the text says so."""

    cost: str
    most: float
    span: Span


class Limits:
    """What can go from a space, and how far."""

    def __init__(self, compiled: Compiled) -> None:
        """Raises ArchError (E508) where nothing can be pruned."""
        constraints = [(c, part) for c in compiled.graph.constraints if not c.given for part in conjuncts(c.condition)]
        found = [(c, part, bound(part, c.syntax.span)) for c, part in constraints]
        self.bounds = tuple(b for _, _, b in found if b is not None)
        self.rest = tuple(replace(c, condition=part) for c, part, b in found if b is None)
        graph = replace(compiled.graph, constraints=self.rest)
        self.space = replace(compiled, graph=graph)
        """The space without limits on costs."""
        self.genes = self.space.decisions.largest()
        self.groups, refused = units(graph, self.genes)
        self.kept = tuple(self._kept(refused))
        if not self.groups:
            why = [(r.decision.path, r.decision.span, r.reason, r.span) for r in self.kept]
            raise ArchError(errors.nothing_to_prune(compiled.space.name, compiled.space.span, why))

    def _kept(self, refused: Sequence[Refusal]) -> Iterator[Refusal]:
        known = {r.decision: r for r in refused}
        pruned = {g.decision for g in self.groups}
        exists = self.space.decisions.exists(np.array([self.genes], np.int16))[0]
        for d in self.space.graph.decisions:
            if exists[d.index] and len(d) > 1 and d not in pruned:
                yield known.get(d) or Refusal(d, "its values are no numbers of units", d.span)

    def cost(self, name: str) -> Cost:
        """A cost of a matrix of genes."""
        return partial(_price, self.space, name)

    def allowed(self, genome: Genome) -> bool:
        """Whether an architecture meets what always has to hold."""
        if not self.rest:
            return True
        decisions = self.space.decisions
        return bool(decisions.feasible(decisions.canonical(np.array([genome], np.int16)))[0])

    def full(self, name: str) -> float:
        """The cost of the largest network."""
        return float(self.cost(name)(np.array([self.genes], np.int16))[0])

    def budgets(self, name: str, shares: Sequence[Fraction | int]) -> tuple[float, ...]:
        """The costs to reach, falling: shares of that of the largest network, none above its limits. Without shares the least
        limit, and without limits a half."""
        full = self.full(name)
        most = min((b.most for b in self.bounds if b.cost == name), default=None)
        wanted = [full * float(share) for share in shares] or [full / 2 if most is None else most]
        return tuple(sorted({min(full, w, full if most is None else most) for w in wanted}, reverse=True))

    def others(self, name: str) -> tuple[Want, ...]:
        """The limits on other costs."""
        return tuple((self.cost(b.cost), b.most) for b in self.bounds if b.cost != name)

    def require_reachable(self, name: str, budget: float, keep: float, multiple: int, asked: Span) -> None:
        """Raises ArchError (E509) unless the budget and the limits can be met at once. `asked`: where the budget is asked for."""
        left = Remaining(self.groups, self.genes)
        queue = Queue(left, [np.zeros(n) for n in left.counts()], keep, multiple)
        others = [b for b in self.bounds if b.cost != name]
        try:
            permitted(queue, partial(enough, wants=[(self.cost(name), budget), *self.others(name)]), self.allowed)
        except Unreachable as fault:
            here = others[fault.which - 1] if fault.which else self._tightest(name, budget, asked)
            held = [c.syntax.span for c in self.rest]
            raise ArchError(
                errors.unreachable_cost(here.cost, fault.wanted, fault.lowest, here.span, dict.fromkeys(held))
            ) from None

    def require_none(self, options: Mapping[str, Any], asked: Span) -> None:
        """Raises ArchError (E501) if a cost is to be reached, or other than factors tell what goes: they fade as they like."""
        if options["importance"] != "factors":
            raise ArchError(
                errors.bad_setting("importance", "with `rule = faded` factors tell what goes", asked, "factors")
            )
        if options["to"] or self.bounds:
            found = "what has faded goes, whatever is left costs; `to` and limits on costs need another rule"
            raise ArchError(errors.bad_setting("rule", found, self.bounds[0].span if self.bounds else asked, "budget"))

    def _tightest(self, name: str, budget: float, asked: Span) -> Bound:
        """The limit that a budget comes from; the place where it is asked for if it comes from none."""
        found = (b for b in self.bounds if b.cost == name and b.most == budget)
        return next(found, Bound(name, budget, asked))


def _price(compiled: Compiled, name: str, genes: Any) -> np.ndarray[Any, Any]:
    return np.asarray(compiled.prices(genes, [name])[name], np.float64)


def bound(condition: Value, span: Span) -> Bound | None:
    """A condition as a limit, `cost <= number` or turned round; None of any other."""
    if not isinstance(condition, Apply) or condition.function not in ("<=", "<", ">=", ">"):
        return None
    less, more = condition.args if condition.function.startswith("<") else reversed(condition.args)
    if not isinstance(less, Metric) or not isinstance(more, int | Fraction):
        return None
    whole = len(condition.function) == 2
    return Bound(less.name, float(more) if whole else float(np.nextafter(float(more), -np.inf)), span)
