"""Regularised evolution: the best of a few becomes a parent, the oldest dies. Imports `problem`."""

import numpy as np

from .evolution import filled
from .front import Floats
from .problem import Config, Genes, Pool, Problem
from .variation import Variation


class Aging:
    """Aging evolution for one goal, behind `Engine`.

    With one child a generation it is Algorithm 1 of Real et al. 2019 (arXiv 1802.01548); `keep` spares the best from age, so
    that with `keep` at 1/4, and as many children as the rest, it is the evolution of OFA.
    """

    def __init__(self, problem: Problem, config: Config) -> None:
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self.pool = Pool(problem)
        self.variation = Variation(problem, config)
        self.genes: Genes = np.empty((0, len(problem.space.cardinalities)), np.int16)
        self.asked = self.genes
        self.loss: Floats = np.empty(0)

    def ask(self) -> Genes:
        if len(self.genes):
            self.asked = filled(self.pool, self.rng, self.config.later(), self.born)
        else:
            self.asked = self.pool.draw(self.rng, self.config.population)
        return self.asked

    def born(self) -> Genes:
        """A generation of children, some of them of two parents."""
        count = self.config.later()
        mothers = self.genes[self.parents(count)]
        if not self.config.crossover_rate:
            return self.variation.mutants(self.rng, mothers)
        return self.variation.children(self.rng, mothers, self.genes[self.parents(count)])[:count]

    def parents(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """The best of as many random entrants as a tournament has, `count` times; the first of equals."""
        entrants = self.rng.integers(0, len(self.genes), (count, self.config.tournament))
        return np.asarray(entrants[np.arange(count), self.loss[entrants].argmin(axis=1)])

    def tell(self, losses: Floats) -> None:
        """The new ones join; as many of the oldest leave, but for the best that are kept."""
        genes = np.concatenate([self.genes, self.asked[: len(losses)]])
        loss = np.concatenate([self.loss, losses[:, 0]])
        surplus = max(0, len(genes) - self.config.population)
        spared = np.argsort(loss, kind="stable")[: int(self.config.keep * self.config.population)]
        mortal = np.ones(len(genes), np.bool_)
        mortal[spared] = False
        stays = np.ones(len(genes), np.bool_)
        stays[np.flatnonzero(mortal)[:surplus]] = False
        self.genes, self.loss = genes[stays], loss[stays]
