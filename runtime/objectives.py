"""What a search wants of a space: its goals and constraints as the search's `Problem`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..compiler.api import Compiled
from ..dsl.model import COSTS, Run
from .search.problem import Evaluation, Measure, Objective, Problem

Genome = tuple[int, ...]


def objectives_of(run: Run) -> tuple[Objective, ...]:
    """The goals of a search block; accuracy against MACs where it names none."""
    if not run.objectives:
        return Objective("miou", maximize=True), Objective("macs", exact=True)
    return tuple(Objective(o.name, o.maximize, o.name in COSTS) for o in run.objectives)


def problem_of(
    compiled: Compiled, run: Run, measure: Measure, evaluated: Callable[[int], None] | None = None
) -> Problem:
    """The search problem of a space: exact costs are cheap, the rest is measured."""
    objectives = objectives_of(run)
    exact = [o.name for o in objectives if o.exact]
    counter = iter(range(1, 1 << 60))

    def cheap(genes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        costs = compiled.costs(genes, peak="peak_activation_bytes" in exact)
        return (
            np.stack([costs[name].astype(np.float64) for name in exact], axis=1) if exact else np.zeros((len(genes), 0))
        )

    def expensive(genomes: Sequence[Genome]) -> Iterable[tuple[Genome, Evaluation]]:
        for answer in measure(genomes):
            if evaluated:
                evaluated(next(counter))
            yield answer

    anchors = (compiled.decisions.smallest(), compiled.decisions.largest())
    return Problem(compiled.decisions, objectives, expensive, cheap, anchors=anchors)
