"""How well one ranking predicts another: two lists of accuracies in, coefficients with confidence intervals out. numpy, scipy.

Every coefficient is written for weights [R, N], how often each of N networks counts in each of R samples: one sample of ones is
the data itself, the others are draws of the bootstrap.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Statistic: TypeAlias = Callable[[Floats, Floats, Floats], Floats]

RESAMPLES = 2000
LEVEL = 0.95
TOPS = (1, 3, 5)
"""For how many of the networks that the supernet ranks first regret is reported."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A coefficient and its confidence interval; NaN where the data has none."""

    value: float
    low: float
    high: float


def tau(predicted: Floats, true: Floats, weights: Floats) -> Floats:
    """Kendall's tau-b (Kendall 1945): agreeing less disagreeing pairs, corrected for ties. [R]"""
    x, y = (np.sign(values[:, None] - values) for values in (predicted, true))

    def pairs(signs: Floats) -> Floats:
        counted: Floats = ((weights @ signs) * weights).sum(axis=1)
        return counted

    return _ratio(pairs(x * y), pairs(x * x) * pairs(y * y))


def rho(predicted: Floats, true: Floats, weights: Floats) -> Floats:
    """Pearson's correlation. [R]"""
    return _pearson(predicted[None], true[None], weights)


def spearman(predicted: Floats, true: Floats, weights: Floats) -> Floats:
    """Spearman's correlation: Pearson's of the ranks, ties at their mean rank. [R]"""

    def ranks(values: Floats) -> Floats:
        below, level = values[:, None] > values, values[:, None] == values
        counted: Floats = weights @ (below + level / 2).T
        return counted

    return _pearson(ranks(predicted), ranks(true), weights)


def regret(predicted: Floats, true: Floats, weights: Floats, top: int) -> Floats:
    """What is lost by training only the `top` networks predicted best: the best of all less the best among them. [R]

    In units of accuracy, at least 0. Of networks predicted alike the worse ones count as ranked first.
    """
    order = np.lexsort((true, -predicted))
    counts, values = weights[:, order], true[order]
    there = counts > 0
    first = there & (counts.cumsum(axis=1) - counts < top)
    best, found = (np.where(among, values, -np.inf).max(axis=1) for among in (there, first))
    lost: Floats = best - found
    return lost


def statistics(count: int) -> Mapping[str, Statistic]:
    """All coefficients by name, for `count` networks."""

    def lost(top: int) -> Statistic:
        return lambda predicted, true, weights: regret(predicted, true, weights, top)

    tops = {f"regret_{top}": lost(top) for top in TOPS if top < count}
    return {"tau": tau, "rho": rho, "spearman": spearman, **tops}


def agreement(predicted: Sequence[float], true: Sequence[float], seed: int = 0) -> dict[str, Estimate]:
    """Every coefficient of [N] predicted and [N] true accuracies, N >= 2, with a percentile bootstrap interval over networks.

    Efron & Tibshirani 1993, Section 13.3: networks are drawn with replacement, `RESAMPLES` times. Draws without a
    coefficient (all networks alike) are left out.
    """
    x, y = np.array(predicted, dtype=np.float64), np.array(true, dtype=np.float64)
    count = len(x)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    weights = np.concatenate([np.ones((1, count)), draws])
    return {name: _estimate(of(x, y, weights)) for name, of in statistics(count).items()}


def _estimate(values: Floats) -> Estimate:
    """The first is that of the data, the others of the draws."""
    value, drawn = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not len(drawn):
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def mean(values: Sequence[float]) -> Estimate:
    """The mean of a few values, with Student's interval; NaN as its ends for a single value."""
    from scipy import stats

    sample = np.array(values, dtype=np.float64)
    centre = float(sample.mean())
    if len(sample) < 2:
        return Estimate(centre, math.nan, math.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample)))
    return Estimate(centre, centre - half, centre + half)


def _pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Of values [R or 1, N]."""
    total = weights.sum(axis=1, keepdims=True)
    x, y = (values - (weights * values).sum(axis=1, keepdims=True) / total for values in (x, y))
    return _ratio((weights * x * y).sum(axis=1), (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / sqrt(below), NaN where nothing varies (as far as rounding can tell)."""
    flat = below <= 1e-24
    found: Floats = np.where(flat, np.nan, above / np.sqrt(np.where(flat, 1.0, below)))
    return found.clip(-1.0, 1.0)
