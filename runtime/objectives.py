"""What a search wants of a space: its goals and constraints as the search's `Problem`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..compiler.api import Compiled
from ..compiler.decisions import Decisions
from ..compiler.linked import Weighed, owners, weighed
from ..dsl.model import TIMES, Run, is_cost
from .latency.goal import tabled
from .search.linkage import Linkage, Unit
from .search.problem import Evaluation, Measure, Objective, Problem

Genome = tuple[int, ...]


def objectives_of(run: Run) -> tuple[Objective, ...]:
    """The goals of a search block; accuracy against MACs where it names none."""
    if not run.objectives:
        return Objective("miou", maximize=True), Objective("macs", exact=True)
    exact = TIMES if tabled(run) else ()
    return tuple(Objective(o.name, o.maximize, is_cost(o.name) or o.name in exact) for o in run.objectives)


def problem_of(
    compiled: Compiled, run: Run, measure: Measure, evaluated: Callable[[int], None] | None = None
) -> Problem:
    """The search problem of a space: exact costs are cheap, the rest is measured."""
    objectives = objectives_of(run)
    exact = [o.name for o in objectives if o.exact]
    counter = iter(range(1, 1 << 60))

    def cheap(genes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        costs = compiled.prices(genes, exact)
        return (
            np.stack([costs[name].astype(np.float64) for name in exact], axis=1) if exact else np.zeros((len(genes), 0))
        )

    def expensive(genomes: Sequence[Genome]) -> Iterable[tuple[Genome, Evaluation]]:
        for answer in measure(genomes):
            if evaluated:
                evaluated(next(counter))
            yield answer

    space = compiled.decisions
    anchors = (space.smallest(), space.largest())
    return Problem(space, objectives, expensive, cheap, anchors=anchors, linkage=linkage_of(space), size=size_of(space))


def size_of(space: Decisions) -> int | None:
    """How many architectures there are; None where that is not known exactly."""
    count = space.count()
    return count.value if count.exact else None


def linkage_of(space: Decisions) -> Linkage:
    """How the decisions of a space hang together. Weights that are all equal say no more than a uniform choice."""
    found = [u for u in weighed(space) if len(u.decisions) > 1 or len(set(u.weights)) > 1 or not _whole(space, u)]
    return Linkage(space.exists, owners(space.decisions, space.active), tuple(map(_unit, found)))


def _whole(space: Decisions, unit: Weighed) -> bool:
    """Whether every value of a single decision has a weight."""
    return len(unit.rows) == space.cardinalities[unit.decisions[0]]


def _unit(unit: Weighed) -> Unit:
    odds = np.array([float(weight / sum(unit.weights)) for weight in unit.weights])
    return Unit(np.array(unit.decisions, np.intp), np.array(unit.rows, np.int16), odds / odds.sum())
