"""Which units go: the least important first, as few as bring the cost to what is wanted."""

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
import numpy.typing as npt

from ..faults import RunError
from .penalty import Cost
from .shrink import Mask, Remaining

Floats = npt.NDArray[np.float64]
Allowed = Callable[[tuple[int, ...]], bool]
"""Whether the space allows an architecture."""
Want = tuple[Cost, float]
"""A cost, and the most of it that is wanted."""


class Unreachable(RunError):
    """A cost that no removal brings down to what is wanted: `lowest` is what it comes to. `which` of the wants it is."""

    def __init__(self, which: int, wanted: float, lowest: float) -> None:
        super().__init__(
            f"no {wanted:,.0f} can be reached: with the fewest units that must stay the cost is {lowest:,.0f}"
        )
        self.which, self.wanted, self.lowest = which, wanted, lowest


class Queue:
    """The units of all groups, least important first; those that must stay are not in it."""

    def __init__(self, left: Remaining, importance: Sequence[Floats], keep: float = 0.0) -> None:
        """`importance[k]`: of each unit of group k. `keep`: the share of each group's units at the start that stays."""
        self.left = left
        groups, units, values = [], [], []
        for k, (each, score) in enumerate(zip(left.left, importance, strict=True)):
            stay = max(each.group.least, ceil(keep * each.group.count - 1e-9))
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

    def keep_from(self, place: int) -> None:
        """Take a unit, and those of its group behind it, out: they stay."""
        rest = self.group != self.group[place]
        rest[:place] = True
        self.group, self.unit, self.value = self.group[rest], self.unit[rest], self.value[rest]


def enough(queue: Queue, wants: Sequence[Want]) -> int:
    """How many units must go, at least, for costs of at most what is wanted: by bisection, as cost falls with every unit.

    Raises Unreachable if even all of them are not enough.
    """

    def excess(first: int) -> list[tuple[int, float]]:
        row = np.array([queue.genome(first)], np.int16)
        costs = [float(cost(row)[0]) for cost, _ in wants]
        return [(k, cost) for k, (cost, (_, most)) in enumerate(zip(costs, wants, strict=True)) if cost > most]

    low, high = -1, len(queue)
    if over := excess(high):
        which, cost = over[0]
        raise Unreachable(which, wants[which][1], cost)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(middle) else (low, middle)
    return high


def permitted(queue: Queue, wants: Sequence[Want], allowed: Allowed) -> int:
    """The same within what the space allows: of a group whose next unit the space needs, the rest stays. Raises Unreachable."""
    while True:
        first = enough(queue, wants)
        if allowed(queue.genome(first)):
            return first
        low, high = 0, first
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if allowed(queue.genome(middle)) else (low, middle)
        queue.keep_from(high - 1)
