"""What the search itself costs in a generation of 1,000: parents, children, duplicates, and pymoo's share of it.

A synthetic space of 120 decisions whose evaluation costs nothing; a third of them are options of operators. `floor` is the
least that any NSGA-II must do there: one sort of the goals and one draw of every gene. pymoo's own NSGA-II, with its vectorised
operators and without its check for duplicates, makes as many children on the same space.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from timing import Report, Target, interleave, once, ratio, seconds, spread

from hrdsl.runtime.search import nsga2, nsga3
from hrdsl.runtime.search.evolution import Evolution
from hrdsl.runtime.search.linkage import Linkage
from hrdsl.runtime.search.problem import Config, Genes, Objective, Problem

DECISIONS, CODES = 120, 6
POPULATIONS = (40, 1000)
ROUNDS = 12


class Free:
    """Decisions of which every third is an option of the one two before it."""

    cardinalities = (CODES,) * DECISIONS

    def sample(self, rng: np.random.Generator, count: int) -> Genes:
        return self.canonical(rng.integers(0, CODES, (count, DECISIONS)).astype(np.int16))

    def canonical(self, genes: Genes) -> Genes:
        return np.where(self.exists(genes), genes, 0).astype(np.int16)

    def exists(self, genes: Genes) -> Any:
        there = np.ones(genes.shape, bool)
        there[:, 2::3] = genes[:, 0::3] > 2
        return there

    def feasible(self, genes: Genes) -> Any:
        return np.ones(len(genes), bool)

    def repair(self, genes: Genes, rng: np.random.Generator) -> Genes:
        return genes

    def enumerate(self) -> Iterator[tuple[int, ...]]:
        return product(*map(range, self.cardinalities))


def goals(genes: Genes) -> Any:
    """Two goals that are at odds."""
    high = genes.astype(np.float64)
    return np.stack([high @ np.arange(1.0, DECISIONS + 1), -np.sin(high).sum(axis=1)], axis=1)


def problem() -> Problem:
    space = Free()
    owners = [d - 2 if d % 3 == 2 else d for d in range(DECISIONS)]
    objectives = (Objective("cost", exact=True), Objective("error", exact=True))
    return Problem(space, objectives, cheap=goals, linkage=Linkage(space.exists, owners))


def ours(make: Callable[[Problem, Config], Evolution], population: int) -> Callable[[], Any]:
    """One generation after the other of one search, each in two phases: all but survival, then survival."""
    engine = make(problem(), Config(population=population, mutation_rate=0.02))
    engine.tell(goals(engine.ask()))

    def generation() -> Iterator[str]:
        losses = goals(engine.ask())
        yield "children"
        engine.tell(losses)
        yield "survivors"

    return generation


def pymoos(population: int) -> Callable[[], Any]:
    """pymoo's own algorithm by ask and tell."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.config import Config as Settings
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem as Shape
    from pymoo.operators.crossover.pntx import TwoPointCrossover
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    class Resampled(Mutation):
        """Each gene drawn afresh with a small probability, all at once."""

        def _do(self, problem: Any, X: Any, *, random_state: np.random.Generator, **_: Any) -> Any:
            drawn = random_state.integers(0, CODES, X.shape)
            return np.where(random_state.random(X.shape) < 0.02, drawn, X)

    Settings.warnings["not_compiled"] = False
    shape = Shape(n_var=DECISIONS, n_obj=2, xl=0, xu=CODES - 1, vtype=int)
    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=TwoPointCrossover(prob=0.9),
        mutation=Resampled(),
        eliminate_duplicates=False,
        output=None,
    )
    algorithm.setup(shape, termination=("n_gen", 1 << 30), seed=0, verbose=False)

    def generation() -> None:
        asked = algorithm.ask()
        asked.set("F", goals(asked.get("X").astype(np.int16)))
        algorithm.tell(infills=asked)

    generation()
    return once(generation)


def floor(population: int) -> Callable[[], Any]:
    rng = np.random.default_rng(0)

    def generation() -> None:
        losses = goals(rng.integers(0, CODES, (2 * population, DECISIONS)).astype(np.int16))
        np.lexsort(losses.T)

    return once(generation)


def main() -> None:
    report = Report(
        "A generation of a search, without its evaluation", ["population", "way", "ms", "of it survival", "of pymoo"]
    )
    for population in POPULATIONS:
        ways = {
            "nsga2": ours(nsga2.engine, population),
            "nsga3": ours(nsga3.engine, population),
            "pymoo": pymoos(population),
            "floor": floor(population),
        }
        times = interleave(ways, ROUNDS)
        for name in ways:
            whole = seconds(times, name)
            tail = spread(seconds(times, name, "survivors")).median * 1e3 if name.startswith("nsga") else 0.0
            against = ratio(whole, seconds(times, "pymoo")).median
            report.add(f"{population:,}", name, spread(whole).median * 1e3, tail, against)
        if population == max(POPULATIONS):
            survival = spread(seconds(times, "nsga2", "survivors")).median * 1e3
            report.targets.append(Target("pymoo's part of a generation of 1,000", 60, survival, "ms"))
            whole = spread(seconds(times, "nsga2")).median * 1e3
            report.targets.append(Target("all of a generation of 1,000 but its evaluation", 60, whole, "ms"))
            faster = ratio(seconds(times, "nsga2"), seconds(times, "pymoo")).median
            report.targets.append(Target("the same, of pymoo's own NSGA-II", 1, faster, "x"))
    report.print()


if __name__ == "__main__":
    main()
