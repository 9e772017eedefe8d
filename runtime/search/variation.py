"""How children are made: genes recombined and drawn afresh, operators together with their options. Imports `problem`."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .linkage import Genes, Mask, fresh
from .problem import Config, Problem

Rng: TypeAlias = np.random.Generator


class Variation:
    """Crossover and mutation of the genomes of one space.

    A decision that a parent lacks stands for nothing there: its child takes what the other parent chose, or a fresh choice.
    So an operator brings its options along. Where two parents differ in an operator, what is an option of it goes with it.
    """

    def __init__(self, problem: Problem, config: Config) -> None:
        self.sizes = problem.space.cardinalities
        self.linkage = problem.linked()
        self.levels = self.linkage.levels()
        self.owners = np.array(self.linkage.owners, np.intp)
        self.cut = two_point if config.pairing == "two_point" else uniform
        self.crossover = config.crossover_rate
        self.mutation = 1 / max(1, len(self.sizes)) if config.mutation_rate is None else config.mutation_rate

    def children(self, rng: Rng, mothers: Genes, fathers: Genes) -> Genes:
        """Two children of each pair, recombined and mutated. [P, G] twice -> [2 P, G], neither canonical nor feasible."""
        mothers, fathers = self.completed(rng, mothers, fathers)
        swap = self.cut(rng, *mothers.shape) & (rng.random((len(mothers), 1)) < self.crossover)
        differ = mothers != fathers
        for options in self.levels:
            owner = self.owners[options]
            swap[:, options] = np.where(differ[:, owner], swap[:, owner], swap[:, options])
        both = np.concatenate([np.where(swap, fathers, mothers), np.where(swap, mothers, fathers)])
        return self.redrawn(rng, both)

    def mutants(self, rng: Rng, parents: Genes) -> Genes:
        """A mutated child of each parent. [P, G] -> [P, G], neither canonical nor feasible."""
        there = self.linkage.exists(parents)
        return self.redrawn(rng, np.where(there, parents, self.fresh(rng, len(parents))))

    def completed(self, rng: Rng, mothers: Genes, fathers: Genes) -> tuple[Genes, Genes]:
        """Both sides of each pair with a choice for every decision: their own, else the other's, else a fresh one."""
        ours, theirs = self.linkage.exists(mothers), self.linkage.exists(fathers)
        drawn = self.fresh(rng, len(mothers))
        return (
            np.where(ours, mothers, np.where(theirs, fathers, drawn)),
            np.where(theirs, fathers, np.where(ours, mothers, drawn)),
        )

    def redrawn(self, rng: Rng, genes: Genes) -> Genes:
        """Each decision afresh with the probability of mutation: an operator with its options, a unit as a whole."""
        picked: Mask = rng.random(genes.shape) < self.mutation
        for unit in self.linkage.units:
            picked[:, unit.columns] |= picked[:, unit.columns].any(axis=1, keepdims=True)
        for options in self.levels:
            picked[:, options] |= picked[:, self.owners[options]]
        return np.where(picked, self.fresh(rng, len(genes)), genes)

    def fresh(self, rng: Rng, count: int) -> Genes:
        """A choice for every decision, [count, G]."""
        return fresh(rng, self.sizes, self.linkage, count)


def two_point(rng: Rng, pairs: int, genes: int) -> Mask:
    """What each pair swaps: one run of genes. Neighbours depend on each other, and prefixes stay shared."""
    cuts = np.sort(rng.integers(0, genes + 1, (pairs, 2)), axis=1)
    column = np.arange(genes)
    swap: Mask = (column >= cuts[:, :1]) & (column < cuts[:, 1:])
    return swap


def uniform(rng: Rng, pairs: int, genes: int) -> Mask:
    """What each pair swaps: every gene with even odds."""
    swap: Mask = rng.random((pairs, genes)) < 0.5
    return swap


def tournament(
    rng: Rng, rank: npt.NDArray[np.int64], crowding: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.intp]:
    """The winners of `count` random duels: the lower rank, then the wider gap to the neighbours, then chance."""
    rounds = -(-2 * count // len(rank))
    entrants = np.concatenate([rng.permutation(len(rank)) for _ in range(rounds)])[: 2 * count]
    one, two = entrants.reshape(2, -1)
    wins = (rank[one] < rank[two]) | ((rank[one] == rank[two]) & (crowding[one] >= crowding[two]))
    return np.where(wins, one, two)
