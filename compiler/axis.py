"""Index sets: which slice of a shared tensor axis an architecture reads.

Every channel axis of a flow is an `Axis`. Its `runs` for one genome are the (start, length) stretches of the largest
axis that the architecture uses, in order. Consumers inherit the axis of their producer, so two architectures share
exactly the intersection of their index sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .record import record
from .sym import Apply, Decision, Table, Value, apply, at, deps, merge

Runs = tuple[tuple[int, int], ...]


@record(frozen=True, slots=True)
class Prefix:
    """The first `size` of `limit` indices."""

    size: Value
    limit: int

    def runs(self, genes: Sequence[int]) -> Runs:
        return ((0, at(self.size, genes)),)

    @property
    def deps(self) -> tuple[Decision, ...]:
        return deps(self.size)


@record(frozen=True, slots=True)
class Centre:
    """The middle `size` of `limit` indices: a smaller kernel reads the centre of the largest."""

    size: Value
    limit: int

    def runs(self, genes: Sequence[int]) -> Runs:
        n = at(self.size, genes)
        return (((self.limit - n) // 2, n),)

    @property
    def deps(self) -> tuple[Decision, ...]:
        return deps(self.size)


@dataclass(frozen=True, slots=True)
class Joined:
    """The axes of a concatenation, one after the other; an absent part leaves a gap in the largest axis."""

    parts: tuple[tuple["Axis", Value], ...]

    def runs(self, genes: Sequence[int]) -> Runs:
        out: list[tuple[int, int]] = []
        offset = 0
        for axis, present in self.parts:
            if at(present, genes):
                out += [(offset + start, length) for start, length in axis.runs(genes)]
            offset += axis.limit
        return tidy(out)

    @property
    def size(self) -> Value:
        return add(*(apply("select", apply("not", present), axis.size, 0) for axis, present in self.parts))

    @property
    def limit(self) -> int:
        return sum(axis.limit for axis, _ in self.parts)

    @property
    def deps(self) -> tuple[Decision, ...]:
        return merge(d for axis, present in self.parts for d in (axis.deps, deps(present)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The axis of the alternative that `select` picks; all alternatives share one largest axis."""

    select: Value
    options: tuple["Axis", ...]

    def runs(self, genes: Sequence[int]) -> Runs:
        chosen: Axis = self.options[at(self.select, genes)]
        return chosen.runs(genes)

    @property
    def size(self) -> Value:
        return apply("select", self.select, *(o.size for o in self.options))

    @property
    def limit(self) -> int:
        return max(o.limit for o in self.options)

    @property
    def deps(self) -> tuple[Decision, ...]:
        return merge((deps(self.select), *(o.deps for o in self.options)))


@dataclass(frozen=True, slots=True)
class Heads:
    """`size` of `limit` rows, an equal share from each of `heads` blocks (multi-head sharing, TrioNet Algorithm 1)."""

    size: Value
    heads: Value
    limit: int

    def runs(self, genes: Sequence[int]) -> Runs:
        size, heads = at(self.size, genes), at(self.heads, genes)
        return tidy([(h * self.limit // heads, size // heads) for h in range(heads)])

    @property
    def deps(self) -> tuple[Decision, ...]:
        return merge((deps(self.size), deps(self.heads)))


@dataclass(frozen=True, slots=True)
class Part:
    """Part `index` of `parts` equal parts of an axis, renumbered from 0: what `split` gives."""

    whole: "Axis"
    index: int
    parts: int

    def runs(self, genes: Sequence[int]) -> Runs:
        flat = [i for start, length in self.whole.runs(genes) for i in range(start, start + length)]
        share = len(flat) // self.parts
        mine = flat[self.index * share : (self.index + 1) * share]
        base = min(mine, default=0)
        return tidy([(i - base, 1) for i in mine])

    @property
    def size(self) -> Value:
        return apply("//", self.whole.size, self.parts)

    @property
    def limit(self) -> int:
        return self.whole.limit // self.parts if _gapless(self.whole) else self.whole.limit

    @property
    def deps(self) -> tuple[Decision, ...]:
        return self.whole.deps


Axis = Prefix | Centre | Joined | Chosen | Heads | Part


def _gapless(axis: Axis) -> bool:
    """Whether every index set of an axis is known to be one run."""
    return isinstance(axis, Prefix) or (isinstance(axis, Part) and _gapless(axis.whole))


def fixed(size: int) -> Prefix:
    """An axis that every architecture reads whole."""
    return Prefix(size, size)


def prefix(size: Value) -> Prefix:
    """The first `size` indices of an axis as long as the largest `size`."""
    return Prefix(size, largest(size))


def shares(size: Value, heads: Value) -> Axis:
    """An equal share from each of `heads` blocks of an axis as long as the largest `size`; of one block a prefix."""
    return prefix(size) if heads == 1 else Heads(size, heads, largest(size))


def largest(value: Value, known: dict[int, int] | None = None) -> int:
    """The largest integer that a value takes over all choices (an upper bound where it cannot be tabulated)."""
    kind = type(value)
    if kind is not Apply:
        return int(value.greatest if kind is Table else value)
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = _bound(value, known)
    return known[id(value)]


def _bound(value: Apply, known: dict[int, int]) -> int:
    parts = [largest(a, known) for a in (value.args[1:] if value.function == "select" else value.args)]
    if value.function in ("+", "sum"):
        return sum(parts)
    return parts[0] * parts[1] if value.function == "*" else max(parts)


def add(*values: Value) -> Value:
    total: Value = 0
    for v in values:
        total = apply("+", total, v)
    return total


def tidy(runs: list[tuple[int, int]]) -> Runs:
    """Neighbouring runs joined, empty ones dropped."""
    out: list[tuple[int, int]] = []
    for start, length in runs:
        if not length:
            continue
        if out and sum(out[-1]) == start:
            out[-1] = (out[-1][0], out[-1][1] + length)
        else:
            out.append((start, length))
    return tuple(out)
