"""What each unit costs, and the pull on its factors: the penalty of resource-aware pruning.

HR-NAS (Ding et al. 2021, arXiv 2106.06560), Eq. 6: task loss + lambda x sum over units of cost x |factor|.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...compiler.store import Place
from ...compiler.units import Slice
from .importance import of_units
from .shrink import Remaining

Floats = npt.NDArray[np.float64]
Cost = Callable[[npt.NDArray[np.int16]], npt.NDArray[np.number]]
"""One cost of a matrix of genes [P, G], as [P]."""


def marginal(left: Remaining, cost: Cost) -> Floats:
    """What the last unit of each group costs, as [groups]: the cost of the network less that of the network without it.

    Groups that are at their least, or empty, cost nothing more: 0.
    """
    counts = left.counts()
    open_ = [k for k, (count, each) in enumerate(zip(counts, left.left, strict=True)) if count > each.group.least]
    rows_ = [left.genome]
    rows_ += [left.genome_with([c - (j == k) for j, c in enumerate(counts)]) for k in open_]
    costs = np.asarray(cost(np.array(rows_, np.int16)), np.float64)
    out = np.zeros(len(counts))
    out[open_] = costs[0] - costs[1:]
    return out


def mean(left: Remaining, cost: Cost) -> float:
    """The mean cost of a unit: what the network costs less without all units of a group, added over groups, over the units.

    Costs over it are penalties that mean the same for every space and every cost (HR-NAS, its code: the normaliser).
    """
    counts = left.counts()
    bare = [
        left.genome_with([each.group.least if j == k else c for j, c in enumerate(counts)])
        for k, each in enumerate(left.left)
    ]
    costs = np.asarray(cost(np.array([left.genome, *bare], np.int16)), np.float64)
    units = sum(count - each.group.least for count, each in zip(counts, left.left, strict=True))
    return float((costs[0] - costs[1:]).sum()) / max(1, units)


class Pull:
    """`sum over units of weight x importance` and its gradient: importance is the sum of the magnitudes of a unit's factors,
    or, of units without factors, the length of their weights (group lasso, Wen et al. 2016, arXiv 1608.03665)."""

    def __init__(
        self, left: Remaining, weights: Sequence[float], places: Mapping[str, Place], device: torch.device
    ) -> None:
        """`weights`: of each unit of each group."""
        scaled: list[tuple[Tensor, float]] = []
        plain: list[tuple[Tensor, float]] = []
        for each, weight in zip(left.left, weights, strict=True):
            group, count = each.group, len(each)
            chosen = (*group.factors, *group.offsets) if group.factors else group.slices
            found = torch.cat([positions(s, count, places) for s in chosen], 1)
            (scaled if group.factors else plain).append((found, float(weight)))
        self.factors, self.strength = _flat(scaled, device)
        self.lengths = [(found.to(device), weight) for found, weight in plain if found.numel()]

    def value(self, flat: Tensor) -> Tensor:
        """The penalty of parameters laid out like those of the store."""
        total = (flat[self.factors].abs() * self.strength).sum()
        for found, weight in self.lengths:
            total = total + weight * flat[found].square().sum(1).sqrt().sum()
        return total

    def add_gradient(self, flat: Tensor, gradient: Tensor, scale: float) -> None:
        """Add `scale` times its gradient; of a factor that is 0 it is 0."""
        gradient.index_add_(0, self.factors, flat[self.factors].sign() * self.strength, alpha=scale)
        for found, weight in self.lengths:
            here = flat[found]
            slope = here / here.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
            gradient.index_add_(0, found.reshape(-1), slope.reshape(-1), alpha=scale * weight)


def positions(piece: Slice, count: int, places: Mapping[str, Place]) -> Tensor:
    """Where the numbers of the first `count` units lie in the flat tensors, [count, numbers]."""
    place = places[piece.weight]
    whole = torch.arange(place.offset, place.offset + prod(place.size)).view(place.size)
    return of_units(piece, count, whole)


def _flat(parts: Sequence[tuple[Tensor, float]], device: torch.device) -> tuple[Tensor, Tensor]:
    """All positions of some groups, and the weight of each."""
    index = [found.reshape(-1) for found, _ in parts]
    weight = [torch.full((found.numel(),), w) for found, w in parts]
    none = torch.zeros(0)
    return torch.cat([none.long(), *index]).to(device), torch.cat([none, *weight]).to(device)
