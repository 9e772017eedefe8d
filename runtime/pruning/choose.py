"""Which units go: the least important first, as few as bring the cost to what is wanted."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..faults import RunError
from .penalty import Cost
from .shrink import Mask, Remaining

Floats = npt.NDArray[np.float64]
Allowed = Callable[[tuple[int, ...]], bool]
"""Whether the space allows an architecture."""


class Queue:
    """The units of all groups, least important first; those that must stay are not in it."""

    def __init__(self, left: Remaining, importance: Sequence[Floats], keep: float = 0.0) -> None:
        """`importance[k]`: of each unit of group k. `keep`: the share of each group's units at the start that stays."""
        self.left = left
        groups, units, values = [], [], []
        for k, (each, score) in enumerate(zip(left.left, importance, strict=True)):
            stay = max(each.group.least, int(np.ceil(keep * each.group.count)))
            order = np.argsort(score, kind="stable")[: max(0, len(score) - stay)]
            groups += [k] * len(order)
            units += order.tolist()
            values += score[order].tolist()
        rank = np.argsort(values, kind="stable")
        self.group = np.array(groups, np.int64)[rank]
        self.unit = np.array(units, np.int64)[rank]
        self.value = np.array(values, np.float64)[rank]

    def __len__(self) -> int:
        return len(self.group)

    def genome(self, first: int) -> tuple[int, ...]:
        """The architecture without the first so many units."""
        gone = np.bincount(self.group[:first], minlength=len(self.left.left))
        return self.left.genome_with([len(each) - int(n) for each, n in zip(self.left.left, gone, strict=True)])

    def dead(self, first: int) -> dict[int, Mask]:
        """The first so many units, as a mask for each group that loses some."""
        masks: dict[int, Mask] = {}
        for k, u in zip(self.group[:first].tolist(), self.unit[:first].tolist(), strict=True):
            masks.setdefault(k, np.zeros(len(self.left.left[k]), bool))[u] = True
        return masks

    def without(self, groups: set[int]) -> None:
        """Take the units of some groups out: they stay."""
        rest = ~np.isin(self.group, list(groups))
        self.group, self.unit, self.value = self.group[rest], self.unit[rest], self.value[rest]


def enough(queue: Queue, cost: Cost, wanted: float) -> int:
    """How many units must go, at least, for a cost of at most `wanted`: by bisection, as cost falls with every unit.

    Raises RunError if even all of them are not enough.
    """

    def of(first: int) -> float:
        return float(cost(np.array([queue.genome(first)], np.int16))[0])

    low, high = -1, len(queue)
    if of(high) > wanted:
        raise RunError(
            f"no {wanted:,.0f} can be reached: with the fewest units that must stay the cost is {of(high):,.0f}"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if of(middle) <= wanted else (middle, high)
    return high


def permitted(queue: Queue, cost: Cost, wanted: float, allowed: Allowed) -> int:
    """The same within what the space allows: groups whose last units the space needs keep what they have. Raises RunError."""
    while True:
        first = enough(queue, cost, wanted)
        if allowed(queue.genome(first)):
            return first
        low, high = 0, first
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if allowed(queue.genome(middle)) else (low, middle)
        queue.without({int(queue.group[high - 1])})
