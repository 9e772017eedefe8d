"""What belongs together in a genome: which decisions exist, whose options they are, what is drawn as one. Imports numpy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Genes: TypeAlias = npt.NDArray[np.int16]
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Unit:
    """Decisions `columns` that are drawn as one: row k of `rows` [K, columns] with probability `odds[k]`."""

    columns: npt.NDArray[np.intp]
    rows: Genes
    odds: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Linkage:
    """How the decisions of a space hang together.

    `exists` says which decisions are part of each architecture, [P, G] -> bool [P, G]. `owners[d]` is the operator whose
    option decision d is, or d itself. What no unit draws is drawn uniformly.
    """

    exists: Callable[[Genes], Mask]
    owners: Sequence[int]
    units: tuple[Unit, ...] = ()

    def levels(self) -> tuple[npt.NDArray[np.intp], ...]:
        """The options by how many operators stand above them: the outermost first."""
        depth = [self._depth(d) for d in range(len(self.owners))]
        levels = range(1, 1 + max(depth, default=0))
        return tuple(np.array([d for d, here in enumerate(depth) if here == k], np.intp) for k in levels)

    def _depth(self, decision: int) -> int:
        owner = self.owners[decision]
        return 0 if owner == decision else 1 + self._depth(owner)


def unlinked(count: int) -> Linkage:
    """`count` decisions that have nothing to do with each other."""
    return Linkage(lambda genes: np.ones(genes.shape, np.bool_), range(count))


def fresh(rng: np.random.Generator, sizes: Sequence[int], linkage: Linkage, count: int) -> Genes:
    """A choice for every decision, whether it exists or not: by the units' odds, else uniform. [count, G]."""
    drawn = rng.integers(0, sizes, (count, len(sizes))).astype(np.int16)
    for unit in linkage.units:
        drawn[:, unit.columns] = unit.rows[rng.choice(len(unit.rows), count, p=unit.odds)]
    return drawn
