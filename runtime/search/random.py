"""Random search, the baseline: the same budget, uniform genomes, none twice. Imports `problem`."""

import numpy as np

from .front import Floats
from .problem import Config, Genes, Pool, Problem


class Random:
    """Draws each generation afresh and learns nothing."""

    def __init__(self, problem: Problem, config: Config) -> None:
        self.pool = Pool(problem)
        self.rng = np.random.default_rng(config.seed)
        self.count = config.population

    def ask(self) -> Genes:
        return self.pool.draw(self.rng, self.count)

    def tell(self, losses: Floats) -> None:
        """Nothing is learnt."""
