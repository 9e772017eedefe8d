"""Which nodes an architecture computes, and which it would read: conditions over decisions, exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .conditions import both, either
from .graph import Graph, Node, Switch
from .sym import Value, apply


@dataclass(frozen=True)
class Liveness:
    """`nodes[i]`: when node i is computed. `inputs[i][k]`: when it reads its k-th input."""

    graph: Graph
    nodes: tuple[Value, ...]
    inputs: tuple[tuple[Value, ...], ...]

    @cached_property
    def demand(self) -> tuple[Value, ...]:
        """When each node is asked for. A node that is asked for is computed unless it is `none`."""
        return _demand(self.graph, self.nodes)


_LATEST: list[tuple[Graph, Liveness]] = []
"""The graph that was asked about last: passes, costs, activity and pictures all ask about the same one."""


def liveness(graph: Graph) -> Liveness:
    """Backwards from the output: a node is live where some live node reads it and it is not `none`."""
    known = next((found for one, found in _LATEST if one is graph), None)
    if known is None:
        known = _liveness(graph)
        _LATEST[:] = [(graph, known)]
    return known


def carry(old: Graph, new: Graph, kept: Sequence[int]) -> bool:
    """What is known of a graph, for the same without nodes that nothing asks for. Whether nothing asked for them."""
    known = liveness(old)
    left = set(kept)
    if len(left) < len(old.nodes) and any(d is not False for i, d in enumerate(known.demand) if i not in left):
        return False
    nodes, inputs = (tuple(part[i] for i in kept) for part in (known.nodes, known.inputs))
    _LATEST[:] = [(new, Liveness(new, nodes, inputs))]
    return True


def _liveness(graph: Graph) -> Liveness:
    nodes = graph.nodes
    live: list[Value] = [False] * len(nodes)
    wanted: list[list[Value]] = [[] for _ in nodes]
    wanted[graph.output].append(nodes[graph.output].shape.present)
    reads: list[tuple[Value, ...]] = [()] * len(nodes)
    for i in range(len(nodes) - 1, -1, -1):
        asked, node = wanted[i], nodes[i]
        live[i] = here = asked[0] if len(asked) == 1 else either(*asked)
        first = node.inputs[0] if len(node.inputs) == 1 else None
        if first is not None and here is not False and nodes[first].shape.present is True and not _chooses(node):
            reads[i] = (here,)  # as most nodes do
            wanted[first].append(here)
            continue
        reads[i] = _reads(graph, node, here)
        for source, condition in zip(node.inputs, reads[i], strict=True):
            if source is not None and condition is not False:
                wanted[source].append(condition)
    return Liveness(graph, tuple(live), tuple(reads))


def _chooses(node: Node) -> bool:
    return isinstance(node.op, Switch)


def _reads(graph: Graph, node: Node, live: Value) -> tuple[Value, ...]:
    """When a node that is computed where `live` reads each of its inputs; that is there then."""
    if live is False:
        return (False,) * len(node.inputs)
    found: list[Value] = []
    chooses, there = isinstance(node.op, Switch), node.shape.present
    for k, source in enumerate(node.inputs):
        if source is None:
            found.append(False)
            continue
        present = graph.nodes[source].shape.present
        if chooses:
            found.append(both(live, _looks(node, k), present))
        else:
            found.append(live if present is there else both(live, present))
    return tuple(found)


def chosen(graph: Graph, i: int, k: int) -> Value:
    """When node i looks at its k-th input: a switch at the chosen one, any other node at all."""
    return _looks(graph.nodes[i], k)


def _looks(node: Node, k: int) -> Value:
    return apply("==", node.op.select, k) if isinstance(node.op, Switch) else True


def _demand(graph: Graph, live: Sequence[Value]) -> tuple[Value, ...]:
    """The conditions under which nodes are asked for, whether or not anything between is `none`."""
    if all(node.shape.present is True for node in graph.nodes):
        return tuple(live)
    demand: list[Value] = [False] * len(graph.nodes)
    wanted: list[list[Value]] = [[] for _ in graph.nodes]
    wanted[graph.output].append(True)
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        demand[i] = either(*wanted[i])
        if demand[i] is False:
            continue
        chooses = isinstance(node.op, Switch)
        for k, source in enumerate(node.inputs):
            if source is not None:
                wanted[source].append(both(demand[i], _looks(node, k)) if chooses else demand[i])
    return tuple(demand)
