"""Fronts: evaluated genomes in, the non-dominated ones and their hypervolume out. Imports numpy, and pymoo late."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Genome: TypeAlias = tuple[int, ...]
Floats: TypeAlias = npt.NDArray[np.float64]


class Member(NamedTuple):
    """One genome of a front and its objectives, in the units and the order of the problem."""

    genome: Genome
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Front:
    """What a search found: the non-dominated genomes, best first in the first objective, and how many were tried."""

    members: tuple[Member, ...] = ()
    evaluated: int = 0
    failed: int = 0
    hypervolume: float | None = None


def nondominated(losses: Floats) -> npt.NDArray[np.bool_]:
    """Which rows of [P, M], minimised, no other row dominates. Equal rows stay; a row with NaN or inf never does."""
    keep: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(losses), axis=1)
    for row in np.argsort(losses.sum(axis=1), kind="stable"):
        if keep[row]:
            worse = (losses[row] <= losses).all(axis=1) & (losses[row] < losses).any(axis=1)
            keep &= ~worse
    return keep


def hypervolume(losses: Floats, reference: Sequence[float]) -> float:
    """The volume that [P, M], minimised, dominates up to the reference point; rows beyond it add nothing."""
    point = np.asarray(reference, dtype=np.float64)
    inside = losses[(losses < point).all(axis=1)]
    if not len(inside):
        return 0.0
    from pymoo.indicators.hv import HV

    return float(HV(ref_point=point)(inside))


def filtered(members: Sequence[Member], signs: Floats) -> tuple[Member, ...]:
    """The non-dominated members in a fixed order; `signs` is -1 where an objective is maximised, else 1."""
    if not members:
        return ()
    losses = member_losses(members, signs)
    kept = [(tuple(losses[row]), members[row]) for row in np.flatnonzero(nondominated(losses)).tolist()]
    return tuple(member for _, member in sorted(kept))


def member_losses(members: Sequence[Member], signs: Floats) -> Floats:
    """The members' objectives as a matrix [P, M] to minimise."""
    return np.array([member.values for member in members], dtype=np.float64).reshape(-1, len(signs)) * signs
