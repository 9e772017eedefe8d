"""Which units go: the least important first, as few as bring the cost to what is wanted; one by one, or in blocks."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, gcd

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
    """The units of all groups that may go, in blocks that go as one, least important first."""

    def __init__(self, left: Remaining, importance: Sequence[Floats], keep: float = 0.0, multiple: int = 1) -> None:
        """`importance[k]`: of each unit of group k. `keep`: the share of each group's units at the start that stays.
        `multiple`: of channels, or of tokens, that a group has left when a block went, unless it has no more than must stay.
        A block is as important as its units on average."""
        self.left = left
        none = np.zeros(0, np.int64)
        groups, units, values, sizes = [none], [none], [np.zeros(0)], [none]
        for k, (each, score) in enumerate(zip(left.left, importance, strict=True)):
            stay = min(len(each), max(each.group.least, ceil(keep * each.group.count - 1e-9)))
            units.append(np.argsort(score, kind="stable")[: len(each) - stay])
            values.append(score[units[-1]])
            sizes.append(_blocks(len(each), stay, multiple // gcd(multiple, each.group.rows)))
            groups.append(np.full(len(sizes[-1]), k))
        size, value = np.concatenate(sizes), np.concatenate(values)
        start = np.cumsum(size) - size
        rank = np.argsort(np.add.reduceat(value, start) / size if len(size) else value, kind="stable")
        self.group, self.size = np.concatenate(groups)[rank], size[rank]
        """Of each block."""
        where = np.repeat(start[rank] - np.cumsum(self.size) + self.size, self.size) + np.arange(len(value))
        self.unit: npt.NDArray[np.int64] = np.concatenate(units)[where]
        self.value: Floats = value[where]
        """Of each unit, block by block."""

    def __len__(self) -> int:
        return len(self.group)

    def genome(self, first: int) -> tuple[int, ...]:
        """The architecture without the first so many blocks."""
        gone = np.bincount(self.group[:first], self.size[:first], minlength=len(self.left.left))
        return self.left.genome_with([len(each) - int(n) for each, n in zip(self.left.left, gone, strict=True)])

    def dead(self, first: int) -> dict[int, Mask]:
        """The units of the first so many blocks, as a mask for each group that loses some."""
        masks: dict[int, Mask] = {}
        groups = np.repeat(self.group[:first], self.size[:first])
        for k, u in zip(groups.tolist(), self.unit[: len(groups)].tolist(), strict=True):
            masks.setdefault(k, np.zeros(len(self.left.left[k]), bool))[u] = True
        return masks

    def values(self, first: int) -> Floats:
        """How important each unit of the first so many blocks is."""
        return self.value[: int(self.size[:first].sum())]

    def keep_from(self, place: int) -> None:
        """Take a block, and those of its group behind it, out: they stay."""
        rest = self.group != self.group[place]
        rest[:place] = True
        units = np.repeat(rest, self.size)
        self.group, self.size = self.group[rest], self.size[rest]
        self.unit, self.value = self.unit[units], self.value[units]


def _blocks(count: int, stay: int, multiple: int) -> npt.NDArray[np.int64]:
    """The sizes of blocks that take a number down to multiples, and last to what must stay."""
    left = [count, *range((count - 1) // multiple * multiple, stay, -multiple), *([stay] if stay < count else [])]
    return np.array([a - b for a, b in pairwise(left)], np.int64)


def enough(queue: Queue, wants: Sequence[Want]) -> int:
    """How many blocks must go, at least, for costs of at most what is wanted: by bisection, as cost falls with every unit.

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


def faded(queue: Queue, below: float) -> int:
    """How many blocks come before the first unit that is not less important than that."""
    rest = np.flatnonzero(queue.value >= below)
    return int(np.searchsorted(queue.size.cumsum(), rest[0], side="right")) if len(rest) else len(queue)


def permitted(queue: Queue, due: Callable[[Queue], int], allowed: Allowed) -> int:
    """How many blocks go of those that are due, within what the space allows: of a group whose next block the space needs, the
    rest stays. Raises Unreachable if `due` does."""
    while True:
        first = due(queue)
        if allowed(queue.genome(first)):
            return first
        low, high = 0, first
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if allowed(queue.genome(middle)) else (low, middle)
        queue.keep_from(high - 1)
