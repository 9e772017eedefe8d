"""NSGA-III on integer genes: survivors near reference directions, by pymoo. Imports pymoo late."""

from math import comb

import numpy as np

from .evolution import Evolution, Standing
from .front import Floats
from .problem import Config, Problem

MOST_PARTITIONS = 99


def engine(problem: Problem, config: Config) -> Evolution:
    """Evolution whose survivors of the last front fill the niches of evenly spread reference directions.

    There are as many directions as the population can serve. Source: Deb and Jain 2014; parents meet by chance, as there.
    """
    return Evolution(problem, config, Niches(len(problem.objectives), config.population))


class Niches:
    """pymoo's survival, which keeps its estimate of the ends of the front from generation to generation."""

    def __init__(self, objectives: int, population: int) -> None:
        from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
        from pymoo.config import Config as Settings
        from pymoo.util.ref_dirs import get_reference_directions

        Settings.warnings["not_compiled"] = False
        parts = partitions(objectives, population)
        self.survival = ReferenceDirectionSurvival(
            get_reference_directions("das-dennis", objectives, n_partitions=parts)
        )

    def __call__(self, losses: Floats, count: int, rng: np.random.Generator) -> Standing:
        from pymoo.core.population import Population

        told = Population.new(F=losses)
        told.set("row", np.arange(len(losses)))
        rows = np.array(self.survival._do(None, told, n_survive=count, random_state=rng).get("row"), np.intp)
        return Standing(rows, np.zeros(len(rows), np.int64), np.zeros(len(rows)))


def partitions(objectives: int, population: int) -> int:
    """The most equal parts of each axis with which there are no more directions than members of the population."""
    fits = (p for p in range(1, MOST_PARTITIONS + 1) if comb(p + objectives - 1, objectives - 1) <= population)
    return max(fits, default=1)
