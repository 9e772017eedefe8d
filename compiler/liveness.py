"""Which nodes an architecture computes: conditions over decisions, exact."""

from dataclasses import dataclass

from .graph import Graph, Switch
from .sym import Value, apply, both, either


@dataclass(frozen=True, slots=True)
class Liveness:
    """`nodes[i]` is the condition under which node i is computed; `inputs[i][k]`: under which it reads its k-th input."""

    nodes: tuple[Value, ...]
    inputs: tuple[tuple[Value, ...], ...]


_LATEST: list[tuple[Graph, Liveness]] = []
"""The graph that was asked about last: passes, costs, activity and pictures all ask about the same one."""


def liveness(graph: Graph) -> Liveness:
    """Backwards from the output: a node is live where some live node reads it and it is not `none`."""
    known = next((found for one, found in _LATEST if one is graph), None)
    if known is None:
        known = _liveness(graph)
        _LATEST[:] = [(graph, known)]
    return known


def _liveness(graph: Graph) -> Liveness:
    demand: list[Value] = [False] * len(graph.nodes)
    wanted: list[list[Value]] = [[] for _ in graph.nodes]
    wanted[graph.output].append(True)
    reads: list[tuple[Value, ...]] = [()] * len(graph.nodes)
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        demand[i] = both(either(*wanted[i]), node.shape.present)
        reads[i] = tuple(_reads(graph, i, k, demand[i]) for k in range(len(node.inputs)))
        for source, condition in zip(node.inputs, reads[i], strict=True):
            if source is not None and condition is not False:
                wanted[source].append(condition)
    return Liveness(tuple(demand), tuple(reads))


def _reads(graph: Graph, i: int, k: int, live: Value) -> Value:
    node = graph.nodes[i]
    source = node.inputs[k]
    if source is None or live is False:
        return False
    chosen = apply("==", node.op.select, k) if isinstance(node.op, Switch) else True
    return both(live, chosen, graph.nodes[source].shape.present)
