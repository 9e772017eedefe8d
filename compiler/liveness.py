"""Which nodes an architecture computes, and which it would read: conditions over decisions, exact."""

from collections.abc import Sequence
from dataclasses import dataclass

from .conditions import both, either
from .graph import Graph, Switch
from .sym import Value, apply


@dataclass(frozen=True, slots=True)
class Liveness:
    """`nodes[i]`: when node i is computed. `inputs[i][k]`: when it reads its k-th input. `demand[i]`: when it is asked for.

    A node that is asked for is computed unless it is `none`.
    """

    nodes: tuple[Value, ...]
    inputs: tuple[tuple[Value, ...], ...]
    demand: tuple[Value, ...]


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
    if any(wanted is not False for i, wanted in enumerate(known.demand) if i not in left):
        return False
    parts = (known.nodes, known.inputs, known.demand)
    nodes, inputs, demand = (tuple(part[i] for i in kept) for part in parts)
    _LATEST[:] = [(new, Liveness(nodes, inputs, demand))]
    return True


def _liveness(graph: Graph) -> Liveness:
    live: list[Value] = [False] * len(graph.nodes)
    wanted: list[list[Value]] = [[] for _ in graph.nodes]
    wanted[graph.output].append(graph.nodes[graph.output].shape.present)
    reads: list[tuple[Value, ...]] = [()] * len(graph.nodes)
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        live[i] = either(*wanted[i])
        reads[i] = tuple(_reads(graph, i, k, live[i]) for k in range(len(node.inputs)))
        for source, condition in zip(node.inputs, reads[i], strict=True):
            if source is not None and condition is not False:
                wanted[source].append(condition)
    return Liveness(tuple(live), tuple(reads), _demand(graph, live))


def _reads(graph: Graph, i: int, k: int, live: Value) -> Value:
    """When node i, that is computed where `live`, reads its k-th input; that is there then."""
    node = graph.nodes[i]
    source = node.inputs[k]
    if source is None or live is False:
        return False
    present, looks = graph.nodes[source].shape.present, chosen(graph, i, k)
    if looks is True and present is node.shape.present:
        return live
    return both(live, looks, present)


def chosen(graph: Graph, i: int, k: int) -> Value:
    """When node i looks at its k-th input: a switch at the chosen one, any other node at all."""
    op = graph.nodes[i].op
    return apply("==", op.select, k) if isinstance(op, Switch) else True


def _demand(graph: Graph, live: list[Value]) -> tuple[Value, ...]:
    """The conditions under which nodes are asked for, whether or not anything between is `none`."""
    if all(node.shape.present is True for node in graph.nodes):
        return tuple(live)
    demand: list[Value] = [False] * len(graph.nodes)
    wanted: list[list[Value]] = [[] for _ in graph.nodes]
    wanted[graph.output].append(True)
    for i in range(len(graph.nodes) - 1, -1, -1):
        demand[i] = either(*wanted[i])
        for k, source in enumerate(graph.nodes[i].inputs):
            if source is not None and demand[i] is not False:
                wanted[source].append(both(demand[i], chosen(graph, i, k)))
    return tuple(demand)
