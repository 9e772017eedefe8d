"""Prunable units: for each decision that counts channels or tokens, which rows of which parameters belong to each of them.

Graph and a base genome in, `Group`s out, and for what cannot be pruned a `Refusal` that says why. Imports no torch.

A unit is what one step of a decision adds to every index set that depends on it. Units of a decision can change places
(their rows in all parameters together) without changing what the network computes, unless an operator reads channels by
their position: then the decision is refused. So to remove any units is to move the others to the front, and to lower
the decision: the smaller network is an architecture of the same space.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..dsl.diagnostic import Span
from .axis import Axis, Chosen, Joined, Prefix, fixed
from .graph import Graph, Node, Switch
from .shape import Shape
from .silence import absorbed
from .specialise import Live, Specialiser
from .sym import Decision, Value, apply, at, deps

Rows = npt.NDArray[np.int64]
"""[units, rows of one unit]: indices on one axis of a parameter."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Where the units of a group lie on one axis of a parameter."""

    weight: str
    axis: int
    rows: Rows


@dataclass(frozen=True, slots=True)
class Group:
    """The units of one decision. `factors` are the vectors whose entries scale what the units hand on: the last
    normalisations before other channels read them. A unit with factors of 0 still hands on its offsets, which batch statistics
    absorb; `offsets` are those that nothing absorbs. At least `least` units stay."""

    decision: Decision
    count: int
    least: int
    slices: tuple[Slice, ...]
    factors: tuple[Slice, ...]
    offsets: tuple[Slice, ...] = ()

    @property
    def path(self) -> str:
        return self.decision.path

    @property
    def rows(self) -> int:
        """Channels or tokens of one unit: the fewest rows that it has in a parameter."""
        return min(int(s.rows.shape[1]) for s in self.slices)

    def gene(self, units: int) -> int:
        """The gene at which so many units are left."""
        return units - self.least


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision that cannot be pruned, why, and where it is read in a way that forbids it."""

    decision: Decision
    reason: str
    span: Span


class Refused(Exception):
    """Why a decision has no units, and the place in the text."""

    def __init__(self, reason: str, span: Span) -> None:
        super().__init__(reason)
        self.span = span


def units(graph: Graph, genes: Sequence[int]) -> tuple[tuple[Group, ...], tuple[Refusal, ...]]:
    """The groups of units that are live in an architecture, and the decisions over counts that have none."""
    found: list[Group] = []
    refused: list[Refusal] = []
    lives = Specialiser(graph)(genes)
    readers = _readers(graph, lives)
    for decision in filter(counts, graph.decisions):
        try:
            group = _group(graph, decision, genes, readers[decision], lives)
        except Refused as fault:
            refused.append(Refusal(decision, str(fault), fault.span))
            continue
        if group.slices:
            found.append(group)
    return tuple(found), tuple(refused)


def _readers(graph: Graph, lives: Sequence[Live]) -> dict[Decision, list[Live]]:
    """For each decision the live operations that it changes, in order."""
    found: dict[Decision, list[Live]] = defaultdict(list)
    for live in lives:
        for decision in graph.nodes[live.node].deps:
            found[decision].append(live)
    return found


def counts(decision: Decision) -> bool:
    """Whether the values are whole numbers with equal steps that a unit can be one step of."""
    values = decision.values
    if len(values) < 2 or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return False
    steps = {b - a for a, b in pairwise(values)}
    return len(steps) == 1 and (step := steps.pop()) > 0 and values[0] >= 0 and values[0] % step == 0


def _group(
    graph: Graph, decision: Decision, genes: Sequence[int], lives: list[Live], everything: Sequence[Live]
) -> Group:
    view = _View(graph, decision, genes)
    view.switches()
    slices = tuple(s for live in lives for s in view.slices(live))
    factors = _factors(view, lives)
    loud = {s.weight.rpartition(".")[0] for s in factors} if not absorbed(graph, factors, everything) else set()
    offsets = tuple(s for s in slices if s.weight.rpartition(".")[0] in loud and s.weight.endswith(".bias"))
    return Group(decision, view.count, decision.values[0] // view.step, slices, factors, offsets)


class _View:
    """The axes of a graph as one decision sees them, all others as in a genome."""

    def __init__(self, graph: Graph, decision: Decision, genes: Sequence[int]) -> None:
        self.graph = graph
        self.decision = decision
        self._genes = [list(genes) for _ in decision.values]
        for gene, row in enumerate(self._genes):
            row[decision.index] = gene
        self.step = decision.values[1] - decision.values[0]
        self.count = decision.values[-1] // self.step
        self._known: dict[Axis, Rows | None] = {}

    def rows(self, axis: Axis, span: Span) -> Rows | None:
        """Which indices each unit has on an axis; None where it does not depend on the decision. Raises Refused."""
        if axis not in self._known:
            self._known[axis] = self._rows(axis, span) if self.decision in axis.deps else None
        return self._known[axis]

    def _rows(self, axis: Axis, span: Span) -> Rows | None:
        if isinstance(axis, Prefix):
            sizes = [at(axis.size, row) for row, value in zip(self._genes, self.decision.values, strict=True) if value]
            if len({Fraction(n, v) for n, v in zip(sizes, filter(None, self.decision.values), strict=True)}) == 1:
                return np.arange(sizes[-1]).reshape(self.count, -1)
        if isinstance(axis, Joined):
            return self._joined(axis, span)
        if isinstance(axis, Chosen):
            return self.rows(axis.options[at(axis.select, self._genes[-1])], span)
        return self._blocks(axis, span)

    def _joined(self, axis: Joined, span: Span) -> Rows | None:
        """The units of all parts that are there; the parts follow each other at their largest."""
        offset, found = 0, []
        for part, present in axis.parts:
            if at(present, self._genes[-1]) and (rows := self.rows(part, span)) is not None:
                found.append(rows + offset)
            offset += part.limit
        return np.hstack(found) if found else None

    def _blocks(self, axis: Axis, span: Span) -> Rows | None:
        """The same for any axis: what each step adds to the index set."""
        sets = [_indices(axis, row) for row, value in zip(self._genes, self.decision.values, strict=True) if value]
        if all(len(s) == len(sets[0]) for s in sets):
            return None
        blocks = list(_split(sets[0], self.count - len(sets) + 1, span))
        for fewer, more in pairwise(sets):
            if not np.isin(fewer, more).all():
                raise Refused("what a smaller number reads is no part of what a larger one reads", span)
            blocks.append(np.setdiff1d(more, fewer))
        if len({len(b) for b in blocks}) != 1:
            raise Refused("not every unit has as many channels as the others", span)
        return np.stack(blocks)

    def switches(self) -> None:
        """Raises Refused where the number, as long as it is not 0, decides which flow goes on."""
        for node in self.graph.nodes:
            if isinstance(node.op, Switch) and self.decision in deps(node.op.select):
                self._constant(node, "which of several flows goes on", node.op.select)

    def _constant(self, node: Node, what: str, value: Value) -> None:
        seen = {at(value, row) for row, v in zip(self._genes, self.decision.values, strict=True) if v}
        if len(seen) > 1:
            raise Refused(f"{what} depends on it", node.span)

    def slices(self, live: Live) -> Iterator[Slice]:
        """The slices of an operation's parameters. Raises Refused where it reads units by their position."""
        node = self.graph.nodes[live.node]
        self._check(node, [self.graph.nodes[i].shape for i in live.inputs])
        for weight in node.weights:
            for k, axis in enumerate(weight.axes):
                rows = self.rows(axis, node.span)
                if rows is not None:
                    yield Slice(f"{node.name}.{weight.name}", k, rows)

    def _check(self, node: Node, shapes: list[Shape]) -> None:
        """Raises Refused unless the units can change places before and behind a node."""
        for name, value in node.op.settings().items():
            if self.decision in deps(value) and name not in ("width", "count"):
                self._constant(
                    node,
                    f"`{name}` of `{node.op.name}`",
                    apply("//", node.shape.width, value) if name == "heads" else value,
                )
        for axes, what in ((channels, "channels"), (tokens, "tokens")):
            seen = [self.rows(axes(s), node.span) for s in (*shapes, node.shape)]
            if what in node.op.ordered() and any(r is not None for r in seen):
                raise Refused(f"`{node.op.name}` reads {what} by their place or their number", node.span)
            joined = [r for s, r in zip(shapes, seen, strict=False) if s.width != 1] if node.op.joins else []
            if any(not _same(a, b) for a, b in pairwise(joined)):
                raise Refused(f"`{node.op.name}` joins flows whose units differ", node.span)

    def carries(self, shape: Shape, span: Span) -> bool:
        """Whether the channels or the tokens of a flow are units of the decision."""
        return self.rows(channels(shape), span) is not None or self.rows(tokens(shape), span) is not None

    def passes(self, live: Live) -> bool:
        """Whether what mixes channels leaves the units alone: they are tokens."""
        shape, span = self.graph.nodes[live.inputs[0]].shape, self.graph.nodes[live.node].span
        return self.rows(channels(shape), span) is None


def _same(one: Rows | None, other: Rows | None) -> bool:
    return other is None if one is None else other is not None and np.array_equal(one, other)


def channels(shape: Shape) -> Axis:
    return shape.channels


def tokens(shape: Shape) -> Axis:
    """The index set of the tokens; of maps and vectors one that depends on nothing."""
    return shape.tokens if shape.form == "tokens" else _NOTHING


def _indices(axis: Axis, genes: Sequence[int]) -> npt.NDArray[np.int64]:
    runs = axis.runs(genes)
    return np.concatenate([np.arange(a, a + n) for a, n in runs]) if runs else np.zeros(0, np.int64)


def _split(whole: npt.NDArray[np.int64], parts: int, span: Span) -> Iterator[npt.NDArray[np.int64]]:
    """The smallest index set as its units."""
    if parts < 1 or len(whole) % parts:
        raise Refused("not every unit has as many channels as the others", span)
    yield from whole.reshape(parts, -1)


_NOTHING: Axis = fixed(1)

Scales = frozenset[str] | None
"""The factors that scale a flow since channels were last mixed; None where some part of it has none."""


def _factors(view: _View, lives: list[Live]) -> tuple[Slice, ...]:
    """The vectors that together scale all that is read of a unit; none where some flow of it has no scale."""
    scales: dict[int, Scales] = {}
    taken: list[Scales] = []
    slices: dict[str, Slice] = {}
    for live in lives:
        node = view.graph.nodes[live.node]
        read = [scales[i] for i in live.inputs if i in scales]
        mine = {s.weight: s for s in view.slices(live) if s.weight == f"{node.name}.{node.op.scales}"}
        slices |= mine
        made = node.op.mixes and view.rows(channels(node.shape), node.span) is not None
        if not view.carries(node.shape, node.span) or (node.op.mixes and not view.passes(live)):
            taken += read
        if view.carries(node.shape, node.span):
            scales[live.node] = frozenset(mine) or (None if made else _union(read))
    found = _union(taken)
    return () if found is None else tuple(slices[name] for name in sorted(found))


def _union(several: list[Scales]) -> Scales:
    if any(s is None for s in several):
        return None
    return frozenset[str]().union(*(s for s in several if s is not None))
