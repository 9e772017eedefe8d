"""Every architecture of a small space, in canonical order. Imports `problem`."""

from itertools import islice

import numpy as np

from .front import Floats
from .problem import Config, Genes, Pool, Problem


class Exhaustive:
    """Asks in the order of the space and learns nothing."""

    def __init__(self, problem: Problem, config: Config) -> None:
        self.pool = Pool(problem)
        self.rows = problem.space.enumerate()
        self.count = config.population
        self.genes = len(problem.space.cardinalities)

    def ask(self) -> Genes:
        """The next ones that the limits of the search admit."""
        found: Genes = np.empty((0, self.genes), np.int16)
        while len(found) < self.count and (chunk := list(islice(self.rows, self.count - len(found)))):
            found = np.concatenate(
                [found, self.pool.admit(np.array(chunk, np.int16).reshape(len(chunk), -1), len(chunk))]
            )
        return found

    def tell(self, losses: Floats) -> None:
        """Nothing is learnt."""
