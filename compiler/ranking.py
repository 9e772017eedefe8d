"""Architectures as integers: drawing, numbering and listing what an elimination counted, all exact."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from .factors import Elimination, Step
from .vector import Array

BITS = 64
"""Of one draw; what they leave open, further ones decide."""


class Die:
    """Draws codes with probabilities exactly proportional to whole `weights`, which stand on the last axis."""

    def __init__(self, weights: Array) -> None:
        upto = weights.cumsum(axis=-1)[..., :-1] * (1 << BITS)
        self.whole = np.maximum(weights.sum(axis=-1, keepdims=True), 1)
        bounds = np.minimum(upto // self.whole, (1 << BITS) - 1)
        self.rest = upto - bounds * self.whole
        self.bounds = bounds.astype(np.uint64)

    def roll(self, rng: np.random.Generator, place: tuple[Array, ...], count: int) -> Array:
        """[count] codes; row i by the weights at the i-th entry of `place`."""
        bounds = np.broadcast_to(self.bounds[place], (count, self.bounds.shape[-1]))
        dice = rng.integers(0, 1 << BITS, count, dtype=np.uint64)
        codes: Array = (dice[:, None] >= bounds).sum(axis=-1)
        for i in np.flatnonzero((dice[:, None] == bounds).any(axis=-1)):
            here = tuple(p[i] for p in place)
            further = below(rng, int(self.whole[here][0]))
            codes[i] = sum(
                bool(dice[i] > b or (dice[i] == b and further >= r))
                for b, r in zip(self.bounds[here], self.rest[here], strict=True)
            )
        return codes


def below(rng: np.random.Generator, limit: int) -> int:
    """A uniform whole number from 0 to `limit` - 1, of any size."""
    bits = limit.bit_length()
    while True:
        drawn = int.from_bytes(rng.bytes(-(-bits // 8))) >> (-bits % 8)
        if drawn < limit:
            return drawn


class Weighted:
    """Assignments drawn in two steps: values of the kept variables by whole `weights`, then uniformly among those with them."""

    def __init__(self, found: Elimination, weights: Array, decisions: int) -> None:
        self.kept = found.kept
        self.shape = weights.shape
        self.die = Die(weights.reshape(1, -1))
        self.ranking = Ranking(found, decisions)

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """[count, decisions] genes."""
        joint = self.die.roll(rng, (np.zeros(count, dtype=np.int64),), count)
        codes = np.unravel_index(joint, self.shape)
        return self.ranking.draw(rng, count, dict(zip(self.kept, codes, strict=True)))


class Independent:
    """Parts of an assignment that no factor ties to each other, each drawn by itself."""

    def __init__(self, *parts: "Weighted | Ranking") -> None:
        self.parts = parts

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """[count, decisions] genes; a part leaves those of the others 0."""
        drawn = [part.draw(rng, count) for part in self.parts]
        return np.asarray(np.sum(drawn, axis=0, dtype=np.int16))


class Ranking:
    """The assignments that an elimination counted, in lexicographic order of its variables, parents before children.

    Each variable hangs below the first one of its scope that was eliminated after it: given the ones above, branches are
    independent, and the number of an assignment is one digit for each branch.
    """

    def __init__(self, found: Elimination, decisions: int) -> None:
        self.lengths = found.lengths
        self.defined = found.defined
        self.decisions = decisions
        self.total = int(found.joint.sum())
        order = {step.variable: k for k, step in enumerate(found.steps)}
        self.children: dict[int, list[Step]] = {}
        for step in reversed(found.steps):
            above = [v for v in step.scope if v in order]
            self.children.setdefault(min(above, key=lambda v: order[v], default=-1), []).append(step)
        self.steps = self._preorder()
        self.totals = {s.variable: np.asarray(s.table.sum(axis=-1), dtype=object) for s in self.steps}

    def _preorder(self) -> list[Step]:
        found, todo = [], list(reversed(self.children.get(-1, [])))
        while todo:
            found.append(todo.pop())
            todo += reversed(self.children.get(found[-1].variable, []))
        return found

    @cached_property
    def _dice(self) -> list[Die]:
        return [Die(step.table) for step in self.steps]

    def draw(self, rng: np.random.Generator, count: int, given: dict[int, Array] | None = None) -> Array:
        """[count, decisions] genes, each assignment equally likely; `given`: the kept variables of each row."""
        values = np.zeros((len(self.lengths), count), dtype=np.int64)
        for variable, codes in (given or {}).items():
            values[variable] = codes
        for step, die in zip(self.steps, self._dice, strict=True):
            values[step.variable] = die.roll(rng, tuple(values[v] for v in step.scope), count)
        return values[: self.decisions].T.astype(np.int16)

    def all(self) -> Array:
        """[total, decisions] genes: every assignment, in order."""
        values = np.zeros((len(self.lengths), min(self.total, 1)), dtype=np.int64)
        for step in self.steps:
            weights = np.broadcast_to(
                step.table[tuple(values[v] for v in step.scope)], (values.shape[1], step.table.shape[-1])
            )
            rows, codes = np.nonzero(weights)
            values = values[:, rows]
            values[step.variable] = codes
        return values[: self.decisions].T.astype(np.int16)

    def walk(self) -> Iterator[tuple[int, ...]]:
        """Every assignment, in order, one at a time."""
        values = [0] * len(self.lengths)
        opened = [iter((0,) if self.total else ())]
        while opened:
            code = next(opened[-1], None)
            if code is None:
                opened.pop()
                continue
            if len(opened) > 1:
                values[self.steps[len(opened) - 2].variable] = code
            if len(opened) > len(self.steps):
                yield tuple(values[: self.decisions])
            else:
                step = self.steps[len(opened) - 1]
                opened.append(iter(np.flatnonzero(step.table[tuple(values[v] for v in step.scope)]).tolist()))

    def rank(self, genes: Sequence[int]) -> int:
        """The number of an assignment. Raises ValueError if it was not counted."""
        values = [*map(int, genes), *([0] * (len(self.lengths) - self.decisions))]
        for variable, factor in self.defined:
            values[variable] = int(factor.table[tuple(values[v] for v in factor.scope)])
        below: dict[int, int] = {}
        for step in reversed(self.steps):
            weights, code = step.table[tuple(values[v] for v in step.scope)], values[step.variable]
            if not weights[code]:
                raise ValueError("this is not an architecture")
            below[step.variable] = int(sum(weights[:code])) + self._digits(step.variable, values, below)
        return self._digits(-1, values, below)

    def _digits(self, variable: int, values: list[int], below: dict[int, int]) -> int:
        """The numbers of the branches below a variable as one."""
        number = 0
        for child in self.children.get(variable, ()):
            number = number * self._count(child, values) + below[child.variable]
        return number

    def _count(self, step: Step, values: list[int]) -> int:
        return int(self.totals[step.variable][tuple(values[v] for v in step.scope)])

    def unrank(self, number: int) -> tuple[int, ...]:
        """The assignment with a number. Raises ValueError beyond the total."""
        if not 0 <= number < self.total:
            raise ValueError(f"architectures are numbered from 0 to {self.total - 1:,}")
        values = [0] * len(self.lengths)
        todo = self._split(-1, number, values)
        while todo:
            step, rest = todo.pop()
            weights = step.table[tuple(values[v] for v in step.scope)]
            code = 0
            while rest >= weights[code]:
                rest -= weights[code]
                code += 1
            values[step.variable] = code
            todo += self._split(step.variable, rest, values)
        return tuple(values[: self.decisions])

    def _split(self, variable: int, number: int, values: list[int]) -> list[tuple[Step, int]]:
        """One number as one for each branch below a variable."""
        found = []
        for child in reversed(self.children.get(variable, ())):
            number, digit = divmod(number, self._count(child, values))
            found.append((child, digit))
        return found
