"""Weights as large as they are read."""

from dataclasses import replace
from operator import is_

from .. import activity, liveness
from ..axis import Axis, Prefix
from ..graph import Graph, Node
from ..operator import Weight
from ..sym import Table, Value, conjuncts, projected, spread


def fit(graph: Graph) -> Graph:
    """Before: any graph. After: an axis read as a prefix ends where the largest architecture that computes its node ends."""
    live = liveness.liveness(graph).nodes
    known: dict[tuple[int, int], Axis] = {}
    nodes = tuple(
        [_fitted(node, there, known) if node.weights else node for node, there in zip(graph.nodes, live, strict=True)]
    )
    if all(map(is_, nodes, graph.nodes)):
        return graph
    made = replace(graph, nodes=nodes)
    if liveness.carry(graph, made, range(len(nodes))):
        activity.carry(graph, made)
    return made


def _fitted(node: Node, live: Value, known: dict[tuple[int, int], Axis]) -> Node:
    weights = tuple([_read(w, live, known) for w in node.weights])
    return node if all(map(is_, weights, node.weights)) else replace(node, weights=weights)


def _read(weight: Weight, live: Value, known: dict[tuple[int, int], Axis]) -> Weight:
    axes = tuple([_shortened(a, live, known) if isinstance(a, Prefix) else a for a in weight.axes])
    return weight if all(map(is_, axes, weight.axes)) else replace(weight, axes=axes)


def _shortened(axis: Prefix, live: Value, known: dict[tuple[int, int], Axis]) -> Axis:
    """A prefix as long as its largest size where a condition holds; nodes in a row share axis and condition."""
    if not isinstance(axis.size, Table):
        return axis
    key = (id(axis), id(live))
    if key not in known:
        most = _most(axis.size, axis.limit, live)
        known[key] = axis if most == axis.limit else Prefix(axis.size, most)
    return known[key]


def _most(size: Table, limit: int, live: Value) -> int:
    """The largest value of a size by what the tables of a condition say, each by itself."""
    over, sizes = size.deps, size.values
    near = [c for c in conjuncts(live) if isinstance(c, Table) and any(d in c.deps for d in over)]
    columns = [spread(projected(c, over), over) for c in near]
    if not columns or (limit in sizes and all(c[sizes.index(limit)] for c in columns)):
        return limit
    rows = zip(sizes, *columns, strict=True)
    return max((int(n) for n, *there in rows if all(there)), default=limit)
