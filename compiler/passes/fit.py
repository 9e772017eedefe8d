"""Weights as large as they are read."""

from collections.abc import Sequence
from dataclasses import replace

from .. import activity, liveness
from ..axis import Axis, Prefix
from ..graph import Graph, Node
from ..sym import Table, Value, conjuncts, projected, spread


def fit(graph: Graph) -> Graph:
    """Before: any graph. After: an axis read as a prefix ends where the largest architecture that computes its node ends."""
    live = liveness.liveness(graph).nodes
    nodes = tuple(map(_fitted, graph.nodes, live))
    if all(new is old for new, old in zip(nodes, graph.nodes, strict=True)):
        return graph
    made = replace(graph, nodes=nodes)
    if liveness.carry(graph, made, range(len(nodes))):
        activity.carry(graph, made)
    return made


def _fitted(node: Node, live: Value) -> Node:
    near = [c for c in conjuncts(live) if isinstance(c, Table)] if node.weights else []
    if not near:
        return node
    axes = [tuple(_shortened(a, near) for a in w.axes) for w in node.weights]
    if all(new is old for w, row in zip(node.weights, axes, strict=True) for new, old in zip(row, w.axes, strict=True)):
        return node
    return replace(node, weights=tuple(replace(w, axes=row) for w, row in zip(node.weights, axes, strict=True)))


def _shortened(axis: Axis, live: Sequence[Table]) -> Axis:
    """A prefix as long as its largest size where these conditions hold."""
    if not isinstance(axis, Prefix) or not isinstance(axis.size, Table):
        return axis
    over = axis.size.deps
    columns = [spread(projected(c, over), over) for c in live if any(d in c.deps for d in over)]
    sizes = axis.size.values
    if not columns or (axis.limit in sizes and all(c[sizes.index(axis.limit)] for c in columns)):
        return axis
    rows = zip(sizes, *columns, strict=True)
    most = max((int(size) for size, *there in rows if all(there)), default=axis.limit)
    return axis if most == axis.limit else Prefix(axis.size, most)
