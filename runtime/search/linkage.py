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
    option decision d is, or d itself; an operator comes before its options. What no unit draws is drawn uniformly.
    """

    exists: Callable[[Genes], Mask]
    owners: Sequence[int]
    units: tuple[Unit, ...] = ()

    def levels(self) -> tuple[npt.NDArray[np.intp], ...]:
        """The options by how many operators stand above them: the outermost first."""
        depth: dict[int, int] = {}
        for d, owner in enumerate(self.owners):
            depth[d] = 0 if owner == d else depth[owner] + 1
        found = (
            np.array([d for d in depth if depth[d] == k], np.intp) for k in range(1, 1 + max(depth.values(), default=0))
        )
        return tuple(found)


def unlinked(count: int) -> Linkage:
    """`count` decisions that have nothing to do with each other."""
    return Linkage(lambda genes: np.ones(genes.shape, np.bool_), range(count))
