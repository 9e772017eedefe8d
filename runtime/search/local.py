"""Local search around the front: what differs from one of its members in one choice. Imports `problem`."""

from collections.abc import Iterator

import numpy as np

from .front import Floats, nondominated
from .problem import Config, Genes, Pool, Problem
from .variation import Variation


class Local:
    """Local search behind `Engine`: the first generation is drawn, each later one consists of neighbours of the front.

    A neighbour has another value of one decision, or other values of decisions that are drawn as one; what that lets exist, the
    options of another operator, is drawn with it. Each member of the front is left when its neighbours were all asked. The
    order is random. Source: Pareto local search, Paquete et al. 2004.
    """

    def __init__(self, problem: Problem, config: Config) -> None:
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self.pool = Pool(problem)
        self.variation = Variation(problem, config)
        self.front: Genes = np.empty((0, len(problem.space.cardinalities)), np.int16)
        self.losses: Floats = np.empty((0, len(problem.objectives)))
        self.asked = self.front
        self.waiting: dict[bytes, Genes] = {}
        """For each member of the front whose neighbours were made, those that were not asked yet."""

    def ask(self) -> Genes:
        if not len(self.losses):
            self.asked = self.pool.draw(self.rng, self.config.population)
            return self.asked
        found, missing = [self.front[:0]], self.config.population
        for member in self.rng.permutation(len(self.front)).tolist():
            while missing and len(near := self.around(self.front[member])):
                key = self.front[member].tobytes()
                found.append(self.pool.admit(near[:missing], missing))
                self.waiting[key] = near[missing:]
                missing -= len(found[-1])
        self.asked = np.concatenate(found)
        return self.asked

    def around(self, member: Genes) -> Genes:
        """The neighbours of a member that were not asked yet, in random order."""
        key = member.tobytes()
        if key not in self.waiting:
            near = neighbours(self.variation, self.rng, member)
            self.waiting[key] = near[self.rng.permutation(len(near))]
        return self.waiting[key]

    def tell(self, losses: Floats) -> None:
        """The new front; neighbours of what left it are forgotten."""
        genes = np.concatenate([self.front, self.asked[: len(losses)]])
        everything = np.concatenate([self.losses, losses])
        kept = nondominated(everything)
        if not kept.any():
            kept[: self.config.population] = True
        self.front, self.losses = genes[kept], everything[kept]
        here = {row.tobytes() for row in self.front}
        self.waiting = {key: near for key, near in self.waiting.items() if key in here}


def neighbours(variation: Variation, rng: np.random.Generator, member: Genes) -> Genes:
    """Every change of one decision, or of one unit, of a genome [G] -> [N, G], neither canonical nor feasible."""
    there = variation.linkage.exists(member[None])[0]
    changes = list(_changes(variation, member, there))
    if not changes:
        return member[None][:0]
    out = np.where(there, member, variation.fresh(rng, len(changes)))
    for row, (columns, values) in zip(out, changes, strict=True):
        row[columns] = values
    return out


def _changes(
    variation: Variation, member: Genes, there: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Iterator[tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Genes]]:
    for unit in variation.linkage.units:
        if there[unit.columns].any():
            yield from ((unit.columns, row) for row in unit.rows if (row != member[unit.columns]).any())
    for d in np.flatnonzero(there):
        for value in range(variation.sizes[d]):
            if value != member[d]:
                yield np.array([d]), np.array([value], np.int16)
