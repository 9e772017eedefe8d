"""How well one ranking predicts another: two lists of accuracies in, coefficients with confidence intervals out. numpy, scipy."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats: TypeAlias = npt.NDArray[np.float64]
Statistic: TypeAlias = Callable[[Floats, Floats], float]

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


def tau(predicted: Floats, true: Floats) -> float:
    """Kendall's tau-b (Kendall 1945): agreeing less disagreeing pairs, corrected for ties."""
    return math.nan if _flat(predicted, true) else float(stats.kendalltau(predicted, true).statistic)


def rho(predicted: Floats, true: Floats) -> float:
    """Pearson's correlation."""
    return math.nan if _flat(predicted, true) else float(stats.pearsonr(predicted, true).statistic)


def spearman(predicted: Floats, true: Floats) -> float:
    """Spearman's correlation: Pearson's of the ranks, ties at their mean rank."""
    return math.nan if _flat(predicted, true) else float(stats.spearmanr(predicted, true).statistic)


def regret(predicted: Floats, true: Floats, top: int) -> float:
    """What is lost by training only the `top` networks predicted best: the best of all less the best among them.

    In units of accuracy, at least 0. Of networks predicted alike the worse ones count as ranked first.
    """
    first = np.lexsort((true, -predicted))[:top]
    return float(true.max() - true[first].max())


def statistics(count: int) -> Mapping[str, Statistic]:
    """All coefficients by name, for `count` networks."""

    def lost(top: int) -> Statistic:
        return lambda predicted, true: regret(predicted, true, top)

    tops = {f"regret_{top}": lost(top) for top in TOPS if top < count}
    return {"tau": tau, "rho": rho, "spearman": spearman, **tops}


def agreement(predicted: Sequence[float], true: Sequence[float], seed: int = 0) -> dict[str, Estimate]:
    """Every coefficient of [N] predicted and [N] true accuracies, N >= 2, with a percentile bootstrap interval over networks.

    Efron & Tibshirani 1993, Section 13.3: networks are drawn with replacement, `RESAMPLES` times. Draws without a
    coefficient (all networks alike) are left out.
    """
    pairs = np.array([predicted, true], dtype=np.float64)
    count = pairs.shape[1]
    rows = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    return {name: _estimate(of, pairs, rows) for name, of in statistics(count).items()}


def _estimate(of: Statistic, pairs: Floats, rows: npt.NDArray[np.int64]) -> Estimate:
    drawn = np.array([of(*pairs[:, row]) for row in rows])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Estimate(of(*pairs), math.nan, math.nan)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(of(*pairs), float(low), float(high))


def mean(values: Sequence[float]) -> Estimate:
    """The mean of a few values, with Student's interval; NaN as its ends for a single value."""
    sample = np.array(values, dtype=np.float64)
    centre = float(sample.mean())
    if len(sample) < 2:
        return Estimate(centre, math.nan, math.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample)))
    return Estimate(centre, centre - half, centre + half)


def _flat(*samples: Floats) -> bool:
    """Is there a list whose values are all the same? Then nothing correlates with it."""
    return any(bool((sample == sample[0]).all()) for sample in samples)
