"""Least squares with no negative weights: from measured works to others, and from sums of works to whole networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.stats import kendalltau

from ...compiler.works import Work

Floats = npt.NDArray[np.float64]
ENOUGH = 6
"""Works that a group needs for a model of its own."""
TRUST = 0.1
"""How much an observation that is off by 1 weighs against a factor that is off by 1: noise over expected spread."""
FOLD = 5
"""The error of models is taken on each such part of the works in turn, with a model of the others."""


@dataclass(frozen=True, slots=True)
class Models:
    """Nanoseconds of works from calls, MACs and numbers: for each group, each kind and, under the empty name, for all.

    No coefficient is negative, so a work that does more never takes less than another of its group.
    """

    known: Mapping[str, tuple[float, float, float]]

    def of(self, group: str) -> tuple[float, float, float]:
        """The model of a group, or of what it belongs to."""
        names = (group, group.partition(" ")[0], "")
        return next((self.known[n] for n in names if n in self.known), (0.0, 0.0, 0.0))

    def __call__(self, work: Work) -> float:
        call, mac, number = self.of(work.group)
        return call + mac * work.macs + number * work.numbers


def models(works: Sequence[Work], measured: Sequence[float]) -> Models:
    """Models from measured works."""
    members: dict[str, list[int]] = {"": list(range(len(works)))}
    for i, work in enumerate(works):
        for name in {work.kind, work.group}:
            members.setdefault(name, []).append(i)
    found = {}
    for name, rows in members.items():
        if len(rows) >= ENOUGH or (name == "" and rows):
            amounts = np.array([(1, works[i].macs, works[i].numbers) for i in rows], np.float64)
            found[name] = _relative(amounts, np.array([measured[i] for i in rows]))
    return Models(found)


def _relative(amounts: Floats, times: Floats) -> tuple[float, float, float]:
    """The coefficients with the least squares of relative errors."""
    rows = amounts / times[:, None]
    scale = np.maximum(rows.max(axis=0), 1e-300)
    found, _ = nnls(rows / scale, np.ones(len(rows)))
    call, mac, number = (found / scale).tolist()
    return call, mac, number


def model_errors(works: Sequence[Work], measured: Sequence[float]) -> Floats:
    """The relative error for each work, from a model of the other parts."""
    out = np.zeros(len(works))
    for part in range(FOLD):
        rest = [i for i in range(len(works)) if i % FOLD != part]
        if not rest:
            continue
        made = models([works[i] for i in rest], [measured[i] for i in rest])
        for i in range(part, len(works), FOLD):
            out[i] = abs(made(works[i]) / measured[i] - 1)
    return out


@dataclass(frozen=True, slots=True)
class Correction:
    """From sums of works to networks: a factor for each kind of operator, and nanoseconds that every network takes."""

    factors: Mapping[str, float]
    constant: float

    def factor(self, kind: str) -> float:
        return self.factors.get(kind, self.factors.get("", 1.0))


def correction(sums: Sequence[Mapping[str, float]], measured: Sequence[float], trust: float = TRUST) -> Correction:
    """The correction of networks: `sums` are the nanoseconds of their works by kind, `measured` what they took.

    Factors stay near the common one, and the constant near 0, as far as the networks say nothing else: a network that is off
    by `trust` weighs as much as a factor that is off by 1. Under the empty name is the common factor, for other kinds.
    """
    times = np.array(measured, np.float64)
    totals = np.array([sum(s.values()) for s in sums])
    if not len(times) or not totals.all():
        return Correction({"": 1.0}, 0.0)
    common = float(np.median(times / totals))
    kinds = sorted({kind for s in sums for kind in s})
    usual = float(np.median(times))
    shares = [[common * s.get(kind, 0.0) / t for kind in kinds] for s, t in zip(sums, times.tolist(), strict=True)]
    rows = np.column_stack([np.array(shares), usual / times])
    prior = trust * np.eye(len(kinds) + 1)
    wanted = np.concatenate([np.ones(len(times)), trust * np.ones(len(kinds)), [0.0]])
    found, _ = nnls(np.concatenate([rows, prior]), wanted)
    *factors, constant = found.tolist()
    known = {kind: common * factor for kind, factor in zip(kinds, factors, strict=True)}
    return Correction({"": common, **known}, usual * constant)


@dataclass(frozen=True, slots=True)
class Errors:
    """How far predictions are from what was measured: median and 90th percentile of the relative error, Kendall's tau."""

    count: int
    median: float
    q90: float
    tau: float | None
    """None of fewer than two."""


def errors(predicted: Sequence[float], measured: Sequence[float]) -> Errors | None:
    """None of none."""
    if not len(measured):
        return None
    off = np.abs(np.array(predicted) / np.array(measured) - 1)
    tau = float(kendalltau(predicted, measured).statistic) if len(measured) > 1 else float("nan")
    return Errors(len(measured), float(np.median(off)), float(np.quantile(off, 0.9)), None if tau != tau else tau)
