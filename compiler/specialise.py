"""A genome to the operations it computes: demand-driven from the output, switches resolved, dead code never visited.

Graph and genes in, `Live` operations in topological order out. Everything per node is memoised by the genes it depends
on, so switching architecture is a dictionary look-up for each live operation. Imports no torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from .axis import Runs
from .graph import Graph, Node, Outputs, Switch
from .operator import Step
from .shape import Shape
from .sym import Decision, Value, at, deps, merge

MOST = 1 << 14
"""A memo of one node is emptied when it holds so many values."""

Genes = Sequence[int]
LATEST = 64
"""Of how many architectures the live operations are kept: a step asks for its own to plan them and to update what they read."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One node at one size: its steps, and the runs of each axis of each weight. Equal entries are one object."""

    steps: tuple[Step, ...]
    weights: tuple[tuple[str, tuple[Runs, ...]], ...]


class Live(NamedTuple):
    """One operation that runs: `inputs` are the nodes (0: the network's input) whose results it reads."""

    node: int
    inputs: tuple[int, ...]
    entry: Entry


class Specialiser:
    """Architectures of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._places = tuple(_Place(graph, i) for i in range(len(graph.nodes)))
        self.lives = lru_cache(LATEST)(lambda genes: self.walk(genes)[0])

    def __call__(self, genes: Genes) -> tuple[Live, ...]:
        """The live operations, in order; the last one gives the network's output (none: the input is the output)."""
        return self.lives(tuple(genes))

    def walk(self, genes: Genes) -> tuple[tuple[Live, ...], dict[int, int]]:
        """Also where the result of each needed node comes from: itself, or the node that it hands on."""
        places, where, live = self._places, {0: 0}, []
        for i in sorted(self._needed(genes)):
            place = places[i]
            if place.select is not None:
                where[i] = where[place.inputs[place.select(genes)]]
                continue
            inputs = tuple([where[k] for k in place.inputs if k in where])
            if place.many and len(inputs) == 1:
                where[i] = inputs[0]
                continue
            found = place.live(genes, inputs, where)
            if found.entry.steps:
                where[i] = i
                live.append(found)
            else:
                where[i] = inputs[0]
        return tuple(live), where

    def _needed(self, genes: Genes) -> set[int]:
        """Backwards from the output: every node that is read and is not `none`."""
        places, stack = self._places, [self.graph.output]
        if not places[self.graph.output].there(genes):
            raise ValueError("the output of this architecture is `none`")
        seen = {0, self.graph.output}
        while stack:
            place = places[stack.pop()]
            sources = place.inputs if place.select is None else (place.inputs[place.select(genes)],)
            for i in sources:
                if i not in seen and (places[i].present is None or places[i].there(genes)):
                    seen.add(i)
                    stack.append(i)
        seen.discard(0)
        return seen


class _Place:
    """A node with what is known about it for any genome."""

    def __init__(self, graph: Graph, number: int) -> None:
        node = graph.nodes[number]
        op = node.op
        self.node: Node = node
        self.number = number
        self.select = _memo(op.select) if isinstance(op, Switch) else None
        read = node.inputs if self.select else tuple(i for i in node.inputs if i is not None)
        self.inputs: tuple[int, ...] = tuple(-1 if i is None else i for i in read)
        self.shapes: dict[int, Shape] = {i: graph.nodes[i].shape for i in self.inputs if i >= 0}
        self.many = op.inputs is None and not isinstance(op, Switch | Outputs)
        self.present = None if node.shape.present is True else _memo(node.shape.present)
        self._key = _key(self._deps())
        self._live: dict[tuple[Any, tuple[int, ...]], Live] = {}
        self._entries: dict[tuple[Any, tuple[int, ...]], Entry] = {}
        self._same: dict[str, Entry] = {}

    def _deps(self) -> tuple[Decision, ...]:
        axes = (axis.deps for weight in self.node.weights for axis in weight.axes)
        return merge((self.node.op.deps(), self.node.shape.deps, *axes, *(s.deps for s in self.shapes.values())))

    def there(self, genes: Genes) -> bool:
        return self.present is None or bool(self.present(genes))

    def live(self, genes: Genes, inputs: tuple[int, ...], where: dict[int, int]) -> Live:
        key = self._key(genes), inputs
        found = self._live.get(key)
        if found is None:
            entry = self.entry(genes, tuple(i for i in self.inputs if i in where))
            if len(self._live) >= MOST:
                self._live.clear()
            found = self._live[key] = Live(self.number, inputs, entry)
        return found

    def entry(self, genes: Genes, present: tuple[int, ...]) -> Entry:
        key = self._key(genes), present
        found = self._entries.get(key)
        if found is None:
            if len(self._entries) >= MOST:
                self._entries.clear()
            found = self._entries[key] = self._make(genes, present)
        return found

    def _make(self, genes: Genes, present: tuple[int, ...]) -> Entry:
        shapes = tuple(self.shapes[i] for i in present)
        steps = self.node.op.lower(lambda value: at(value, genes), shapes, self.node.shape)
        weights = tuple((w.name, tuple(axis.runs(genes) for axis in w.axes)) for w in self.node.weights)
        return self._same.setdefault(repr((steps, weights)), Entry(steps, weights))


def _key(over: tuple[Decision, ...]) -> Callable[[Genes], Any]:
    """The genes of these decisions as a hashable key."""
    return itemgetter(*(d.index for d in over)) if over else _nothing


def _nothing(genes: Genes) -> Any:
    return ()


def _memo(value: Value) -> Callable[[Genes], Any]:
    """A value as a function of a genome, evaluated once for each choice of the genes that it depends on."""
    key, known = _key(deps(value)), dict[Any, Any]()

    def get(genes: Genes) -> Any:
        k = key(genes)
        if k not in known:
            if len(known) >= MOST:
                known.clear()
            known[k] = at(value, genes)
        return known[k]

    return get
