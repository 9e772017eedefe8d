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
Places = npt.NDArray[np.int64]
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
        where = _spread(start[rank], self.size)
        self.unit: npt.NDArray[np.int64] = np.concatenate(units)[where]
        self.value: Floats = value[where]
        """Of each unit, block by block."""

    def __len__(self) -> int:
        return len(self.group)

    def genome(self, first: int) -> tuple[int, ...]:
        """The architecture without the first so many blocks."""
        return self.without(np.arange(first))

    def without(self, places: Places) -> tuple[int, ...]:
        """The architecture without some blocks."""
        gone = np.bincount(self.group[places], self.size[places], minlength=len(self.left.left))
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

    def lowering(self, cost: Cost) -> Places:
        """The blocks of those groups without which a cost is less."""
        groups = range(len(self.left.left))
        rows = [self.genome(0), *(self.without(np.flatnonzero(self.group == k)) for k in groups)]
        costs = np.asarray(cost(np.array(rows, np.int16)))
        return np.flatnonzero((costs[1:] < costs[0])[self.group])

    def put_first(self, places: Places) -> None:
        """Let some blocks go before all others."""
        order = np.concatenate([places, np.delete(np.arange(len(self)), places)])
        start, size = self.size.cumsum() - self.size, self.size[order]
        where = _spread(start[order], size)
        self.group, self.size = self.group[order], size
        self.unit, self.value = self.unit[where], self.value[where]

    def keep_from(self, place: int) -> None:
        """Take a block, and those of its group behind it, out: they stay."""
        rest = self.group != self.group[place]
        rest[:place] = True
        units = np.repeat(rest, self.size)
        self.group, self.size = self.group[rest], self.size[rest]
        self.unit, self.value = self.unit[units], self.value[units]


def _spread(start: Places, size: Places) -> Places:
    """The numbers from each start, as many as its size, one after the other."""
    return np.repeat(start - np.cumsum(size) + size, size) + np.arange(size.sum())


def _blocks(count: int, stay: int, multiple: int) -> npt.NDArray[np.int64]:
    """The sizes of blocks that take a number down to multiples, and last to what must stay."""
    left = [count, *range((count - 1) // multiple * multiple, stay, -multiple), *([stay] if stay < count else [])]
    return np.array([a - b for a, b in pairwise(left)], np.int64)


def enough(queue: Queue, wants: Sequence[Want]) -> int:
    """How many blocks must go, at least, for costs of at most what is wanted: by bisection, as cost falls with every unit.

    For each want but the first, those go first that it needs of the blocks that lower its cost. Raises Unreachable if even
    all blocks are not enough.
    """
    last = np.array([queue.genome(len(queue))], np.int16)
    for which, (cost, most) in enumerate(wants):
        if (lowest := float(cost(last)[0])) > most:
            raise Unreachable(which, most, lowest)
    for want in wants[1:]:
        _hasten(queue, want)
    return _least(len(queue), lambda first: all(_met(queue.genome(first), want) for want in wants))


def _met(genome: tuple[int, ...], want: Want) -> bool:
    """Whether a cost of an architecture is at most what is wanted."""
    cost, most = want
    return bool(cost(np.array([genome], np.int16))[0] <= most)


def _hasten(queue: Queue, want: Want) -> None:
    """Put the blocks first that a want needs, of those that lower its cost."""
    if not _met(queue.genome(0), want):
        places = queue.lowering(want[0])
        queue.put_first(places[: _least(len(places), lambda k: _met(queue.without(places[:k]), want))])


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The least number up to `most` that is enough; `most` is, and so is what is more than enough."""
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
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
