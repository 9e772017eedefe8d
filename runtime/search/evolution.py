"""Evolution in generations: parents by duels, children by variation, survivors by any rule. Imports `problem`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .front import Floats
from .problem import Config, Genes, Pool, Problem
from .variation import Variation, tournament

MATINGS = 20
"""So often pairs mate for one generation; then fresh draws fill it."""
UNRANKED = 1 << 30


@dataclass(frozen=True, slots=True)
class Standing:
    """Who survives: rows of the losses, and for each its rank and its crowding distance, by which duels are won."""

    rows: npt.NDArray[np.intp]
    rank: npt.NDArray[np.int64]
    crowding: Floats


Survival: TypeAlias = Callable[[Floats, int, np.random.Generator], Standing]
"""At most so many rows of [P, M], minimised, all of them finite."""


@dataclass(slots=True)
class Evolution:
    """Evolution behind `Engine`. One seeded generator makes every random choice."""

    problem: Problem
    config: Config
    survival: Survival
    rng: np.random.Generator = field(init=False)
    pool: Pool = field(init=False)
    variation: Variation = field(init=False)
    genes: Genes = field(init=False)
    losses: Floats = field(init=False)
    standing: Standing | None = None
    asked: Genes = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.config.seed)
        self.pool = Pool(self.problem)
        self.variation = Variation(self.problem, self.config)
        self.genes = self.asked = np.empty((0, len(self.problem.space.cardinalities)), np.int16)
        self.losses = np.empty((0, len(self.problem.objectives)))

    def ask(self) -> Genes:
        count = self.config.population
        if self.standing is None or not len(self.genes):
            self.asked = self.pool.draw(self.rng, count)
        else:
            self.asked = filled(self.pool, self.rng, count, self.mated)
        return self.asked

    def mated(self) -> Genes:
        """Children of as many parents as the population has members."""
        assert self.standing is not None
        parents = 2 * -(-self.config.population // 2)
        pairs = tournament(self.rng, self.standing.rank, self.standing.crowding, parents).reshape(2, -1)
        return self.variation.children(self.rng, self.genes[pairs[0]], self.genes[pairs[1]])

    def tell(self, losses: Floats) -> None:
        """Failed candidates stay only while there are not enough others."""
        genes = np.concatenate([self.genes, self.asked[: len(losses)]])
        everything = np.concatenate([self.losses, losses])
        self.standing = surviving(everything, self.config.population, self.survival, self.rng)
        self.genes, self.losses = genes[self.standing.rows], everything[self.standing.rows]
        if self.config.ceiling:
            self.pool.bound = ceiling(self.problem, self.losses)


def surviving(losses: Floats, count: int, survival: Survival, rng: np.random.Generator) -> Standing:
    """The survivors among rows of which some may have failed: those have no rank, and fill what the others leave."""
    whole = np.isfinite(losses).all(axis=1)
    good, bad = np.flatnonzero(whole), np.flatnonzero(~whole)
    found = survival(losses[good], count, rng) if len(good) else Standing(good, np.empty(0, np.int64), np.empty(0))
    bad = bad[: count - len(found.rows)]
    return Standing(
        np.concatenate([good[found.rows], bad]),
        np.concatenate([found.rank, np.full(len(bad), UNRANKED)]),
        np.concatenate([found.crowding, np.zeros(len(bad))]),
    )


def filled(pool: Pool, rng: np.random.Generator, count: int, make: Callable[[], Genes]) -> Genes:
    """`count` new admissible children; where making finds too few, fresh draws fill the generation."""
    found, missing = [], count
    for _ in range(MATINGS):
        if not missing:
            break
        found.append(pool.admit(make(), missing, rng))
        missing -= len(found[-1])
    if missing:
        found.append(pool.draw(rng, missing))
    return np.concatenate(found)


def ceiling(problem: Problem, losses: Floats) -> Callable[[Genes], Floats] | None:
    """How far genomes lie above the costliest of `losses` in an exact cost that is minimised, [P]; None without any.

    Source: HyCTAS (arXiv 2403.10413), Algorithm 1, line 9, for latency.
    """
    exact = [k for k, o in enumerate(problem.objectives) if o.exact]
    bounded = [k for k, o in enumerate(problem.objectives) if o.exact and not o.maximize]
    finite = losses[np.isfinite(losses).all(axis=1)]
    cheap = problem.cheap
    if not bounded or cheap is None or not len(finite):
        return None
    top, columns = finite[:, bounded].max(axis=0), [exact.index(k) for k in bounded]
    return lambda genes: np.asarray((cheap(genes)[:, columns] - top).max(axis=1))
