"""Every architecture of a small space, in canonical order. Imports `problem`."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np

from .front import Floats, Front, Genome
from .problem import Config, Genes, Pool, Problem, Progress, Record, search


class Listed(Protocol):
    """A space that lists its architectures."""

    def enumerate(self) -> Iterator[Genome]: ...


class Exhaustive:
    """Asks in the order of the space and learns nothing."""

    def __init__(self, problem: Problem, config: Config, space: Listed) -> None:
        self.pool = Pool(problem)
        self.rows = space.enumerate()
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


def run(
    problem: Problem,
    config: Config,
    study: Record | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Front:
    """The front of the whole space, whose architectures it must be able to list."""
    space: Listed = problem.space  # type: ignore[assignment]
    return search(problem, config, Exhaustive(problem, config, space), study, progress)
