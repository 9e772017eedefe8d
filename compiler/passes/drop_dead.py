"""Drop what no architecture can use."""

from collections.abc import Sequence
from dataclasses import replace

from .. import activity, liveness
from ..graph import Graph, unshared
from ..sym import Value


def drop_dead(graph: Graph) -> Graph:
    """Before: any graph. After: each node but the input is live in some combination of choices."""
    kept = _live(liveness.liveness(graph).nodes)
    left = _only(graph, kept)
    if left is not graph and liveness.carry(graph, left, kept):
        activity.carry(graph, left)
    return left


def drop_dead_apart(graph: Graph) -> Graph:
    """The same were no cells shared between routes, which takes half the time and finds the same but for a cell that another
    route computes in every architecture, and only its decisions could tell."""
    return drop_dead(graph) if unshared(graph) is graph else _only(graph, _live(activity.apart(graph).nodes))


def _live(conditions: Sequence[Value]) -> list[int]:
    return [i for i, condition in enumerate(conditions) if condition is not False or i == 0]


def _only(graph: Graph, kept: Sequence[int]) -> Graph:
    """The graph with some of its nodes."""
    if len(kept) == len(graph.nodes):
        return graph
    number = {old: new for new, old in enumerate(kept)}
    nodes = tuple(
        replace(graph.nodes[i], inputs=tuple(None if k is None else number.get(k) for k in graph.nodes[i].inputs))
        for i in kept
    )
    return replace(graph, nodes=nodes, output=number[graph.output])
