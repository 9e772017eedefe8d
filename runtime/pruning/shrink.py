"""The removal of units: one transaction on everything that is laid out like the parameters of a store.

Index sets are prefixes, and units can change places (`compiler.units`). So the units that stay move to the front, in
their order, and the genome is lowered: from then on plans read fewer rows. Nothing is allocated anew, and the network
that is left is an architecture of the space.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...compiler.store import Place
from ...compiler.units import Group, Slice

Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Left:
    """The units that a group still has: their numbers at the start, in the order in which they lie in the store."""

    group: Group
    units: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.units)


class Remaining:
    """The units left of all groups, and the genome of the network that they make."""

    def __init__(self, groups: Sequence[Group], genes: Sequence[int]) -> None:
        """`genes`: the network to begin with; groups start with as many units as it has."""
        self.genes = list(genes)
        self.left = [Left(g, np.arange(_units(g, genes))) for g in groups]

    @property
    def genome(self) -> tuple[int, ...]:
        return tuple(self.genes)

    def counts(self) -> list[int]:
        return [len(left) for left in self.left]

    def genome_with(self, counts: Sequence[int]) -> tuple[int, ...]:
        """The genome with so many units of each group."""
        genes = list(self.genes)
        for left, count in zip(self.left, counts, strict=True):
            genes[left.group.decision.index] = left.group.gene(count)
        return tuple(genes)

    def remove(self, dead: Mapping[int, Mask], places: Mapping[str, Place], flats: Iterable[Tensor]) -> None:
        """Remove units: `dead[k]` marks those of group k, in the order in which they lie in the store. `flats` are laid out
        like the parameters: weights, states of an optimizer, averages. Raises ValueError below the least of a group."""
        for k, mask in dead.items():
            left, stay = self.left[k], np.flatnonzero(~mask)
            if len(stay) < left.group.least:
                raise ValueError(f"{left.group.path} keeps at least {left.group.least} units, not {len(stay)}")
        flats = tuple(flats)
        for k, mask in dead.items():
            left, stay = self.left[k], np.flatnonzero(~mask)
            order = np.concatenate([stay, np.flatnonzero(mask)])
            if not np.array_equal(order, np.arange(len(order))):
                for piece in left.group.slices:
                    move(piece, order, places[piece.weight], flats)
            left.units = left.units[stay]
            self.genes[left.group.decision.index] = left.group.gene(len(stay))


def move(piece: Slice, order: npt.NDArray[np.int64], place: Place, flats: Iterable[Tensor]) -> None:
    """Put the rows of unit `order[k]` where those of unit k were, on one axis of a parameter."""
    index = np.arange(place.size[piece.axis])
    index[piece.rows[: len(order)].reshape(-1)] = piece.rows[order].reshape(-1)
    with torch.no_grad():
        for flat in flats:
            whole = place.whole(flat)
            whole.copy_(whole.index_select(piece.axis, torch.from_numpy(index).to(flat.device)))


def _units(group: Group, genes: Sequence[int]) -> int:
    """How many units an architecture has of a group."""
    return int(genes[group.decision.index]) + group.least
