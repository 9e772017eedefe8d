"""Drop what no architecture can use."""

from dataclasses import replace

from .. import activity, liveness
from ..graph import Graph


def drop_dead(graph: Graph) -> Graph:
    """Before: any graph. After: each node but the input is live in some combination of choices."""
    live = liveness.liveness(graph).nodes
    kept = [i for i, condition in enumerate(live) if condition is not False or i == 0]
    if len(kept) == len(graph.nodes):
        return graph
    number = {old: new for new, old in enumerate(kept)}
    nodes = tuple(
        replace(graph.nodes[i], inputs=tuple(None if k is None else number.get(k) for k in graph.nodes[i].inputs))
        for i in kept
    )
    left = replace(graph, nodes=nodes, output=number[graph.output])
    if liveness.carry(graph, left, kept):
        activity.carry(graph, left)
    return left
