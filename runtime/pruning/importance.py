"""How much each unit matters: its factors, its weights, or what the loss would lose with it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...compiler.store import Place
from ...compiler.units import Group, Slice


def factors(group: Group, count: int, places: Mapping[str, Place], flat: Tensor) -> Tensor:
    """The sum of the magnitudes of the factors of each unit [count] (HR-NAS, Ding et al. 2021, Section 3.2; network slimming, Liu
    et al. 2017, arXiv 1708.06519), and of the offsets that nothing absorbs. Of a group without factors: the length of its
    weights."""
    if not group.factors:
        return magnitude(group, count, places, flat)
    return torch.stack([rows(f, count, places, flat).abs().sum(1) for f in (*group.factors, *group.offsets)]).sum(0)


def magnitude(group: Group, count: int, places: Mapping[str, Place], flat: Tensor) -> Tensor:
    """The length of all parameters of each unit [count] (Li et al. 2017, arXiv 1608.08710, for all that goes with a filter)."""
    return torch.stack([rows(s, count, places, flat).square().sum(1) for s in group.slices]).sum(0).sqrt()


def taylor(group: Group, count: int, places: Mapping[str, Place], flat: Tensor, gradient: Tensor) -> Tensor:
    """The square of the first-order change of the loss without each unit [count] (Molchanov et al. 2019, arXiv 1906.10771, Eq. 8),
    by its factors where it has any, else by all its parameters. `gradient` is laid out like `flat`."""
    chosen: Sequence[Slice] = group.factors or group.slices
    products = [rows(s, count, places, flat) * rows(s, count, places, gradient) for s in chosen]
    return torch.stack([p.sum(1) for p in products]).sum(0).square()


def rows(piece: Slice, count: int, places: Mapping[str, Place], flat: Tensor) -> Tensor:
    """What the first `count` units have in one slice, as [count, numbers]."""
    return of_units(piece, count, places[piece.weight].whole(flat))


def of_units(piece: Slice, count: int, whole: Tensor) -> Tensor:
    """The same of a tensor as large as the parameter."""
    index = torch.from_numpy(piece.rows[:count].reshape(-1)).to(whole.device)
    numbers = piece.rows.shape[1] * (whole.numel() // whole.shape[piece.axis])
    return whole.index_select(piece.axis, index).movedim(piece.axis, 0).reshape(count, numbers)
