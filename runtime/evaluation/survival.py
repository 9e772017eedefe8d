"""Who of parents and children survives in NSGA-II, for many possible outcomes at once. Imports numpy only."""

import numpy as np
import numpy.typing as npt

from ..search.front import Floats

Mask = npt.NDArray[np.bool_]
CELLS = 1 << 24
"""Comparisons that are held at once."""


def survivors(losses: Floats, count: int, weights: Floats | None = None) -> Mask:
    """Which `count` rows survive: losses [outcomes, rows, goals], minimised -> [outcomes, rows].

    Fronts are taken whole as long as they fit; of the one that does not, the rows with the widest gaps to their neighbours
    (Deb et al. 2002, Sections III-A and III-B). Rows with a loss that is not finite come last. `weights` [goals] are of
    the gaps, 1 unless given.
    """
    outcomes, rows, goals = losses.shape
    weights = np.ones(goals) if weights is None else weights
    step = max(1, CELLS // (rows * rows))
    parts = [_survivors(losses[k : k + step], min(count, rows), weights) for k in range(0, outcomes, step)]
    return np.concatenate(parts) if parts else np.zeros((0, rows), bool)


def _survivors(losses: Floats, count: int, weights: Floats) -> Mask:
    beaten = _beaten(losses)
    left = np.ones(losses.shape[:2], bool)
    kept = np.zeros_like(left)
    missing = np.full(len(losses), count)
    while missing.any():
        front = left & ~(beaten & left[:, None, :]).any(2) & (missing > 0)[:, None]
        left &= ~front
        fits = front.sum(1) <= missing
        kept |= front & fits[:, None]
        missing -= np.where(fits, front.sum(1), 0)
        if not fits.all():
            kept[~fits] |= _widest(losses[~fits], front[~fits], missing[~fits], weights)
            missing[~fits] = 0
    return kept


def _beaten(losses: Floats) -> Mask:
    """[outcomes, i, j]: whether row j dominates row i."""
    better = np.ones((*losses.shape[:2], losses.shape[1]), bool)
    strictly = np.zeros_like(better)
    for goal in range(losses.shape[2]):
        mine, other = losses[:, :, None, goal], losses[:, None, :, goal]
        better &= other <= mine
        strictly |= other < mine
    return better & strictly


def _widest(losses: Floats, front: Mask, count: npt.NDArray[np.int64], weights: Floats) -> Mask:
    """The `count` rows of each front with the widest gaps; of equal ones the first."""
    gaps = np.where(front, crowding(losses, front, weights), -np.inf)
    order = np.argsort(-gaps, axis=1, kind="stable")
    kept = np.zeros_like(front)
    np.put_along_axis(kept, order, np.arange(front.shape[1]) < count[:, None], axis=1)
    return kept


def crowding(losses: Floats, front: Mask, weights: Floats) -> Floats:
    """The crowding distance [outcomes, rows] within each front; what lies outside it has 0. Gaps count in shares of the goal's
    range, and its ends are infinitely far; a goal with weight 0, or in which all are equal, adds nothing."""
    total = np.zeros(front.shape)
    last = front.sum(1)[:, None] - 1
    place = np.arange(front.shape[1])
    for goal in np.flatnonzero(weights):
        values = np.where(front, losses[:, :, goal], np.inf)
        order = np.argsort(values, axis=1, kind="stable")
        ordered = np.take_along_axis(values, order, 1)
        span = _minus(np.take_along_axis(ordered, np.maximum(last, 0), 1), ordered[:, :1])
        gap = np.zeros(front.shape)
        gap[:, 1:-1] = weights[goal] * _minus(ordered[:, 2:], ordered[:, :-2])
        gap = np.divide(gap, span, out=np.zeros_like(gap), where=(span > 0) & (place < last))
        gap[((place == 0) | (place == last)) & (span > 0)] = np.inf
        back = np.empty_like(gap)
        np.put_along_axis(back, order, gap, 1)
        total += back
    return total


def _minus(above: Floats, below: Floats) -> Floats:
    """A difference that is 0 where neither is finite."""
    return np.subtract(above, below, out=np.zeros_like(above), where=np.isfinite(above) & np.isfinite(below))
