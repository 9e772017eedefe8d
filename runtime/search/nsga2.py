"""NSGA-II on integer genes: pymoo's sorting into fronts, then a weighted crowding distance. Imports pymoo late."""

from collections.abc import Sequence

import numpy as np

from .evolution import Evolution, Standing
from .front import Floats
from .problem import Config, Problem


def engine(problem: Problem, config: Config) -> Evolution:
    """Evolution whose survivors are those of the first fronts, and of the last one the least crowded.

    Source: Deb et al. 2002, Section III; the weights and the ceiling: HyCTAS (arXiv 2403.10413), Algorithm 1.
    """

    def survival(losses: Floats, count: int, _: np.random.Generator) -> Standing:
        return survivors(losses, count, config.weights)

    return Evolution(problem, config, survival)


def survivors(losses: Floats, count: int, weights: Sequence[float] = ()) -> Standing:
    """The best `count` rows of [P, M] by front, then by crowding distance, then in their order."""
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    rows, ranks, distances = [], [], []
    missing = count
    for rank, front in enumerate(NonDominatedSorting().do(losses, n_stop_if_ranked=count)):
        distance = crowding(losses[front], weights)
        kept = np.argsort(-distance, kind="stable")[:missing] if len(front) > missing else np.arange(len(front))
        rows.append(front[kept])
        distances.append(distance[kept])
        ranks.append(np.full(len(kept), rank))
        missing -= len(kept)
    return Standing(np.concatenate(rows), np.concatenate(ranks), np.concatenate(distances))


def crowding(losses: Floats, weights: Sequence[float] = ()) -> Floats:
    """The weighted gap to the neighbours of each row of one front, [P, M] -> [P]; the ends of a goal are infinitely far.

    Gaps count in shares of the goal's range. A goal with weight 0, or in which all are equal, adds nothing.
    """
    distance = np.zeros(len(losses))
    for column, weight in zip(losses.T, weights or [1.0] * losses.shape[1], strict=True):
        order = np.argsort(column, kind="stable")
        values = column[order]
        span = values[-1] - values[0]
        if weight and span:
            padded = np.concatenate([[-np.inf], values, [np.inf]])
            distance[order] += weight * (padded[2:] - padded[:-2]) / span
    return distance
