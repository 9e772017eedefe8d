"""Which nodes an architecture computes: conditions over decisions, exact."""

from dataclasses import dataclass

from .graph import Graph, Switch
from .sym import Value, apply, both, either


@dataclass(frozen=True, slots=True)
class Liveness:
    """`nodes[i]` is the condition under which node i is computed; `inputs[i][k]`: under which it reads its k-th input."""

    nodes: tuple[Value, ...]
    inputs: tuple[tuple[Value, ...], ...]


def liveness(graph: Graph) -> Liveness:
    """Backwards from the output: a node is live where some live node reads it and it is not `none`."""
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
