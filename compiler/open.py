"""A fixed network with its widths opened: every channel axis that can shrink becomes a decision from 1 to its width.

Graph without decisions in, a graph with them out, for pruning (`units`). What must shrink together, by sums and by operators
that keep channels, is one decision; what an operator reads by position or number keeps its width, and so does the output.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from ..dsl.diagnostic import Span
from .axis import Joined
from .graph import Graph, Node
from .operator import Operator
from .sym import Decision, Value, variable

Segments = tuple[tuple[int, int], ...]
"""The channels of a flow, part after part: (axis class, length)."""


def opened(graph: Graph) -> Graph:
    """The same network with a decision for each width. Raises ValueError for a graph that has decisions."""
    if graph.decisions:
        raise ValueError("only a network without decisions can be opened")
    classes = _Classes(graph)
    decisions: dict[int, Decision] = {}
    nodes: list[Node] = []
    for number, node in enumerate(graph.nodes):
        own = classes.made.get(number)
        if own is None or classes.closed(own):
            nodes.append(_again(node, node.op, nodes) if number else node)
            continue
        root = classes.root(own)
        if root not in decisions:
            decisions[root] = _decision(node, len(decisions))
        op = cast(Operator, replace(cast(Any, node.op), width=variable(decisions[root])))
        nodes.append(_again(node, op, nodes))
    return replace(graph, nodes=tuple(nodes), decisions=tuple(decisions.values()))


def _decision(node: Node, index: int) -> Decision:
    values = tuple(range(1, node.shape.width + 1))
    return Decision(f"{node.name}.width", index, values, tuple(map(str, values)), node.span)


def _again(node: Node, op: Operator, nodes: list[Node]) -> Node:
    """A node over inputs of other widths."""
    shapes = tuple(nodes[i].shape for i in node.inputs if i is not None)
    shape = op.shape(_Anywhere(node.span), *shapes)
    return replace(node, op=op, shape=shape, weights=op.weights(shapes, shape))


@dataclass(slots=True)
class _Anywhere:
    """A site without faults: what fits at the largest widths was checked, and widths shrink together."""

    span: Span

    def at(self, setting: str) -> Span:
        return self.span

    def check(self, fact: Value, fault: Callable[[str], Exception]) -> None: ...


class _Classes:
    """Which channel axes are one: union-find over the widths that nodes make."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parents: list[int] = []
        self.made: dict[int, int] = {}
        """The class that a node's own width makes."""
        self._closed: set[int] = set()
        flows: list[Segments] = []
        for number, node in enumerate(graph.nodes):
            flows.append(self._flow(number, node, [flows[i] for i in node.inputs if i is not None]))
        self._close(flows[graph.output])

    def root(self, one: int) -> int:
        while self.parents[one] != one:
            one = self.parents[one]
        return one

    def closed(self, one: int) -> bool:
        """Whether an axis keeps its width."""
        return any(self.root(c) == self.root(one) for c in self._closed)

    def _flow(self, number: int, node: Node, x: list[Segments]) -> Segments:
        op = node.op
        if "channels" in op.ordered():
            for each in x:
                self._close(each)
            return self._new(node, fixed=True)
        if op.mixes or not x or any(f.name == "width" for f in fields(cast(Any, op))):
            self.made[number] = len(self.parents)
            return self._new(node, fixed=not op.mixes)
        if op.inputs is None and isinstance(node.shape.channels, Joined):
            return tuple(part for each in x for part in each)
        return self._joined(x, node) if op.joins else self._kept(x, node)

    def _joined(self, x: list[Segments], node: Node) -> Segments:
        wide = [each for each in x if sum(n for _, n in each) != 1]
        for each in wide[1:]:
            if [n for _, n in each] == [n for _, n in wide[0]]:
                for (one, _), (other, _) in zip(each, wide[0], strict=True):
                    self.parents[self.root(one)] = self.root(other)
            else:
                self._close(each)
                self._close(wide[0])
        return wide[0] if wide else x[0]

    def _kept(self, x: list[Segments], node: Node) -> Segments:
        """The channels of the input whose axis it hands on; of any other operator nothing is known."""
        given = [self.graph.nodes[i].shape.channels for i in node.inputs if i is not None]
        for each, axis in zip(x, given, strict=True):
            if node.shape.channels is axis:
                return each
        for each in x:
            self._close(each)
        return self._new(node, fixed=True)

    def _new(self, node: Node, fixed: bool) -> Segments:
        one = len(self.parents)
        self.parents.append(one)
        if fixed:
            self._closed.add(one)
        width: Any = node.shape.width
        return ((one, int(width)),)

    def _close(self, flow: Segments) -> None:
        self._closed.update(one for one, _ in flow)
