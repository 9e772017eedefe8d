"""NSGA-II on integer genes: pymoo's ask-and-tell and survival around vectorised variation. Imports pymoo late."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .front import Floats, Front
from .problem import Config, Genes, Pool, Problem, Progress, Record, search

MATINGS = 20
UNRANKED = 1 << 30

Mask: TypeAlias = npt.NDArray[np.bool_]


def run(
    problem: Problem,
    config: Config,
    study: Record | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Front:
    """The front of everything that NSGA-II evaluated within the budget."""
    return search(problem, config, Nsga2(problem, config), study, progress)


class Nsga2:
    """pymoo's NSGA-II behind `Engine`. One seeded generator makes every random choice."""

    def __init__(self, problem: Problem, config: Config) -> None:
        self.algorithm = _algorithm(problem, config)
        self.empty: Genes = np.empty((0, len(problem.space.cardinalities)), np.int16)
        self.asked: Any = None

    def ask(self) -> Genes:
        self.asked = self.algorithm.ask()
        if self.asked is None or not len(self.asked):
            return self.empty
        genes: Genes = self.asked.get("X")
        return genes

    def tell(self, losses: Floats) -> None:
        """Failed candidates violate a constraint: survival keeps them only while there is nothing better."""
        told = self.asked[: len(losses)]
        failed = ~np.all(np.isfinite(losses), axis=1)
        told.set("F", losses)
        told.set("CV", failed[:, None].astype(float))
        self.algorithm.tell(infills=told)


def _algorithm(problem: Problem, config: Config) -> Any:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.config import Config as Settings
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem as Shape
    from pymoo.core.termination import NoTermination

    Settings.warnings["not_compiled"] = False
    pool, sizes = Pool(problem), np.array(problem.space.cardinalities)

    def sampling(_: Any, count: int, *, random_state: np.random.Generator, **__: Any) -> Any:
        return Population.new(X=pool.draw(random_state, count))

    algorithm = NSGA2(
        pop_size=config.population,
        sampling=sampling,
        mating=Mating(pool, sizes, config, lambda genes: Population.new(X=genes)),
        eliminate_duplicates=False,
        output=None,
    )
    counts = {"n_var": len(sizes), "n_obj": len(problem.objectives), "n_ieq_constr": 1}
    shape = Shape(**counts, xl=np.zeros(len(sizes)), xu=sizes - 1, vtype=int)
    return algorithm.setup(shape, termination=NoTermination(), seed=config.seed, verbose=False)


class Mating:
    """Parents in, as many new admissible children out; when mating finds too few, fresh draws fill the generation."""

    def __init__(
        self, pool: Pool, sizes: npt.NDArray[np.int64], config: Config, population: Callable[[Genes], Any]
    ) -> None:
        self.pool, self.sizes, self.population = pool, sizes, population
        self.cross = two_point if config.crossover == "two-point" else uniform
        self.crossover_rate = config.crossover_rate
        self.mutation_rate = 1 / len(sizes) if config.mutation_rate is None else config.mutation_rate

    def do(self, _: Any, parents: Any, count: int, *, random_state: np.random.Generator, **__: Any) -> Any:
        genes, (rank, crowding) = parents.get("X"), standing(parents)
        found, missing = [], count
        for _attempt in range(MATINGS):
            if not missing:
                break
            pairs = tournament(random_state, rank, crowding, 2 * (count // 2 + count % 2)).reshape(2, -1)
            children = self.children(random_state, genes[pairs[0]], genes[pairs[1]])
            found.append(self.pool.admit(children, missing, random_state))
            missing -= len(found[-1])
        if missing:
            found.append(self.pool.draw(random_state, missing))
        return self.population(np.concatenate(found))

    def children(self, rng: np.random.Generator, mothers: Genes, fathers: Genes) -> Genes:
        """Two children of each pair, mutated."""
        swap = self.cross(rng, *mothers.shape) & (rng.random((len(mothers), 1)) < self.crossover_rate)
        both = np.concatenate([np.where(swap, fathers, mothers), np.where(swap, mothers, fathers)])
        return resampled(rng, both, self.sizes, self.mutation_rate)


def standing(population: Any) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rank and crowding of each individual; survival ranks no failed one."""
    rank = np.array([individual.data.get("rank", UNRANKED) for individual in population])
    crowding = np.array([individual.data.get("crowding", 0.0) for individual in population])
    return rank, crowding


def tournament(
    rng: np.random.Generator, rank: npt.NDArray[np.int64], crowding: Floats, count: int
) -> npt.NDArray[np.intp]:
    """The winners of `count` random duels: the lower rank, then the wider gap to the neighbours, then chance."""
    rounds = -(-2 * count // len(rank))
    entrants = np.concatenate([rng.permutation(len(rank)) for _ in range(rounds)])[: 2 * count]
    one, two = entrants.reshape(2, -1)
    wins = (rank[one] < rank[two]) | ((rank[one] == rank[two]) & (crowding[one] >= crowding[two]))
    return np.where(wins, one, two)


def two_point(rng: np.random.Generator, pairs: int, genes: int) -> Mask:
    """What each pair swaps: one run of genes. Neighbours depend on each other, and prefixes stay shared."""
    cuts = np.sort(rng.integers(0, genes + 1, (pairs, 2)), axis=1)
    column = np.arange(genes)
    return (column >= cuts[:, :1]) & (column < cuts[:, 1:])


def uniform(rng: np.random.Generator, pairs: int, genes: int) -> Mask:
    """What each pair swaps: every gene with even odds."""
    return rng.random((pairs, genes)) < 0.5


def resampled(rng: np.random.Generator, genes: Genes, sizes: npt.NDArray[np.int64], rate: float) -> Genes:
    """Each gene drawn afresh, uniformly, with probability `rate`."""
    fresh = rng.integers(0, sizes, genes.shape).astype(np.int16)
    return np.where(rng.random(genes.shape) < rate, fresh, genes)
