"""Random search, the baseline: the same budget, uniform genomes, none twice. Imports `problem`."""

from collections.abc import Callable

import numpy as np

from .front import Floats, Front
from .problem import Config, Genes, Pool, Problem, Progress, Record, search


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


def run(
    problem: Problem,
    config: Config,
    study: Record | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Front:
    """The front of `config.total()` random genomes, or of all there are."""
    return search(problem, config, Random(problem, config), study, progress)
